#ifndef CTL_CTL_H
#define CTL_CTL_H
/*
 * What every command of herdctl gets, what it gives back, and what several of
 * them need.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "conf/conf.h"
#include "conf/options.h"
#include "core/table.h"
#include "ctl/writer.h"

/* herdctl(1) explains them; scripts rely on them. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_NO = 1,	 /* the answer is no: degraded, "? ", nothing found */
	CTL_FAILED = 2,	 /* no answer could be had */
	CTL_NO_HERD = 3, /* there is no fix table here */
	CTL_USAGE = 64,	 /* sysexits.h: EX_USAGE */
	CTL_CONFIG = 78, /* EX_CONFIG */
};

struct ctl {
	const struct options *global;  /* --config, --set, --shm ... */
	const struct options *options; /* of the command */
	const struct conf *conf;
	struct writer *out;
	const char *shm; /* name of the table */
	bool bad_conf;	 /* said; conf has what the command line says, and defaults */
};

/* One command, in a file of its own. */
struct command {
	const char *name;		     /* "fixes", "places import" */
	const char *operands;		     /* "[PATTERN]"; NULL: none */
	const char *help;		     /* one line */
	const char *more;		     /* for its --help; may be NULL */
	const struct options_entry *entries; /* its options, ended by a NULL name; may be NULL */
	int operands_min, operands_max;
	bool takes_bad_conf; /* runs also when the settings are bad: see struct ctl */

	/* 0, an enum ctl_exit whose reason was said, or a negative errno that is still to be said. */
	int (*run)(struct ctl *ctl, int argc, char **argv);
};

extern const struct command *const commands[]; /* ends with NULL */

/* The whole program but for the process around it; gives the exit code. */
int ctl_run(int argc, char **argv);

/* --- for commands -------------------------------------------------------- */

/* Says it on stderr, controls escaped; gives code. */
#define ctl_fail(code, ...) (log_print(LOG_ERR, __VA_ARGS__), (int)(code))

CLEANUP_POINTER(struct table, table_free);

/* Attaches to the table, or says why not: 0, CTL_NO_HERD, CTL_FAILED. */
int ctl_open_table(const struct ctl *ctl, struct table **ret);

/* A writer like ctl->out, into a file whose bytes go to standard output later. */
int ctl_new_page(const struct ctl *ctl, FILE *file, struct writer **ret);

/* An option's argument as a number; when it was not given, *value stays. 0, or CTL_USAGE, said. */
int ctl_option_count(const struct ctl *ctl, const char *name, uint32_t *value);

/* The same for a time, written as in settings ("5", "250ms", "2min"): min_ns to a day. */
int ctl_option_duration(const struct ctl *ctl, const char *name, int64_t min_ns, int64_t *value_ns);

/* The `name` that is most like what was typed; NULL when none is. `next` walks the names. */
const char *ctl_nearest(const char *typed, const char *(*next)(size_t index));

#endif
