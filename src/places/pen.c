/*
 * Pen: the services' answers are a few kilobytes of small members, most of
 * them optional. Writing them straight into bytes keeps json-c to reading, and
 * a comma that is looked up in the last byte written needs no state.
 */
#include "places/pen.h"

#include <json-c/json.h>
#include <string.h>

#include "places/json.h"

enum {
	LINK_PART_MAX = 1024, /* of the words and of the address, before HTML's escapes */
	LINK_MAX = 2 * 6 * LINK_PART_MAX + 32,
};

void
pen_clear(struct pen *p)
{
	p->out.len = 0;
	p->full = false;
}

void
pen_done(struct pen *p)
{
	buffer_done(&p->out);
	p->full = false;
}

/* Room for n bytes, or NULL from now on. */
static char *
pen_reserve(struct pen *p, size_t n)
{
	char *at = p->full ? NULL : buffer_reserve(&p->out, n);

	if (!at)
		p->full = true;
	return at;
}

static void
pen_wrote(struct pen *p, const char *end)
{
	p->out.len = (size_t)(end - p->out.bytes);
}

void
pen_put(struct pen *p, struct text t)
{
	char *at = pen_reserve(p, t.len);

	if (at)
		pen_wrote(p, text_put(at, t));
}

void
pen_next(struct pen *p)
{
	char last = p->out.len ? p->out.bytes[p->out.len - 1] : '[';

	if (last != '[' && last != '{')
		pen_put(p, TEXT(","));
}

void
pen_member(struct pen *p, struct text name)
{
	pen_next(p);
	pen_string(p, name);
	pen_put(p, TEXT(":"));
}

void
pen_string(struct pen *p, struct text t)
{
	/* A text that would not fit even if it needed no escapes is not worth the multiplication. */
	char *at = t.len < p->out.max ? pen_reserve(p, 6 * t.len + 2) : NULL;

	if (at)
		pen_wrote(p, json_put_string(at, t));
	else
		p->full = true;
}

void
pen_u64(struct pen *p, uint64_t value)
{
	char *at = pen_reserve(p, 20);

	if (at)
		pen_wrote(p, text_put_u64(at, value));
}

void
pen_degrees(struct pen *p, int32_t e7)
{
	char *at = pen_reserve(p, JSON_DEGREES_MAX);

	if (at)
		pen_wrote(p, json_put_degrees(at, e7));
}

/* --- trees ------------------------------------------------------------------- */

static void
pen_tree_object(struct pen *p, struct json_object *object)
{
	pen_put(p, TEXT("{"));
	json_object_object_foreach(object, name, value)
	{
		pen_member(p, text_of(name));
		pen_tree(p, value);
	}
	pen_put(p, TEXT("}"));
}

static void
pen_tree_array(struct pen *p, struct json_object *array)
{
	pen_put(p, TEXT("["));
	for (size_t i = 0; i < json_object_array_length(array) && !p->full; i++) {
		pen_next(p);
		pen_tree(p, json_object_array_get_idx(array, i));
	}
	pen_put(p, TEXT("]"));
}

void
pen_tree(struct pen *p, struct json_object *value)
{
	if (p->full)
		return;
	switch (json_object_get_type(value)) {
	case json_type_object:
		pen_tree_object(p, value);
		return;
	case json_type_array:
		pen_tree_array(p, value);
		return;
	case json_type_string:
		pen_string(p, (struct text){json_object_get_string(value),
					    (size_t)json_object_get_string_len(value)});
		return;
	default: /* null, booleans, numbers: json-c keeps how a fraction was written */
		pen_put(p, text_of(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN)));
	}
}

/* --- HTML -------------------------------------------------------------------- */

static bool
is_web_link(struct text uri)
{
	static const struct text schemes[] = {TEXT("https://"), TEXT("http://")};

	for (size_t i = 0; i < 2; i++)
		if (uri.len > schemes[i].len && memcmp(uri.at, schemes[i].at, schemes[i].len) == 0)
			return true;
	return false;
}

void
pen_link(struct pen *p, struct text words, struct text uri)
{
	char html[LINK_MAX];
	char *end = html;
	bool link = is_web_link(uri);

	if (words.len > LINK_PART_MAX || (link && uri.len > LINK_PART_MAX)) {
		p->full = true;
		return;
	}
	if (link) {
		end = text_put(end, TEXT("<a href=\""));
		end = json_put_html(end, uri);
		end = text_put(end, TEXT("\">"));
	}
	end = json_put_html(end, words);
	if (link)
		end = text_put(end, TEXT("</a>"));
	pen_string(p, (struct text){html, (size_t)(end - html)});
}
