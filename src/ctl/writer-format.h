#ifndef CTL_WRITER_FORMAT_H
#define CTL_WRITER_FORMAT_H
/*
 * What a format of the writer implements. Only writer.c, writer-text.c and
 * writer-json.c include this.
 */
#include "base/buffer.h"
#include "ctl/writer.h"

enum writer_kind { WRITER_STRING, WRITER_INTEGER, WRITER_REAL, WRITER_BOOLEAN, WRITER_NULL, WRITER_TREE };

/* One value in both of its shapes. */
struct writer_value {
	const char *key;
	enum writer_kind kind;
	struct text shown;  /* text: what a person reads, not yet escaped */
	bool right;	    /* text: columns of it align to the right */
	struct text string; /* JSON */
	uint64_t integer;
	double real;
	unsigned int decimals;
	bool boolean;
	struct json_object *tree; /* JSON: the format takes it over, whatever it returns */
};

/* Each gives 0 or negative errno. The caller has checked the nesting. */
struct writer_format {
	int (*object_begin)(struct writer *w, const char *key);
	int (*object_end)(struct writer *w);
	int (*list_begin)(struct writer *w, const char *key);
	int (*list_end)(struct writer *w);
	int (*value)(struct writer *w, const struct writer_value *value);
	int (*flush)(struct writer *w); /* moves what is complete into `out` */
	void (*free)(struct writer *w); /* what the format allocated, and w */
};

enum writer_level { WRITER_OBJECT, WRITER_LIST };

/* The head of every writer. */
struct writer {
	const struct writer_format *format;
	struct writer_setup setup;
	bool is_json;
	bool details; /* text shows no values now */
	int fault;
	enum writer_style style; /* of the next value */
	unsigned int depth;
	enum writer_level level[WRITER_DEPTH_MAX];
	struct buffer out; /* on its way to the file */
};

enum {
	WRITER_OUT_MAX = 64 << 20,    /* a document or a window; places answers are the largest part */
	WRITER_OUT_ENOUGH = 64 << 10, /* write when this much has gathered */
};

/* Is the list that is open, or the object in it, part of a stream? */
static inline bool
writer_is_stream(const struct writer *w)
{
	return w->depth > 0 && w->level[0] == WRITER_LIST;
}

/* Writes `out` to the file. */
int writer_spill(struct writer *w);

/* Before the setup is used: fills the head. */
void writer_init(struct writer *w, const struct writer_format *format, const struct writer_setup *setup);

#endif
