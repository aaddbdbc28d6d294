/*
 * herdctl flood graph: which hosts are to be linked when all are up, as the
 * helper of this host computes it, and so every other one.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/program.h"
#include "ctl/reply.h"

enum { PAGES_MAX = 4096, NEIGHBOURS_MAX = 256 };

/* All pages, and the hosts in them. */
struct graph {
	struct json_object **page; /* owned */
	size_t page_count;
	struct json_object **host; /* owned array, the objects are the pages' */
	size_t host_count;
	bool drawn;
};

static void
graph_done(struct graph *g)
{
	for (size_t i = 0; i < g->page_count; i++)
		json_object_put(g->page[i]);
	free(g->page);
	free(g->host);
}

/* --- what the helper says ------------------------------------------------------------------------------ */

static int
add_page(struct graph *g, struct json_object *reply)
{
	const struct json_object *hosts = reply_list(reply, "hosts");
	size_t count = reply_length(hosts);
	struct json_object **host, **page = reallocarray(g->page, g->page_count + 1, sizeof(void *));

	if (!page)
		return -ENOMEM;
	g->page = page;
	page[g->page_count++] = json_object_get(reply);
	g->drawn = reply_bool(reply, "drawn");
	if (count == 0)
		return 0;
	host = reallocarray(g->host, g->host_count + count, sizeof(struct json_object *));
	if (!host)
		return -ENOMEM;
	g->host = host;
	for (size_t i = 0; i < count; i++)
		if (reply_entry(hosts, i))
			host[g->host_count++] = reply_entry(hosts, i);
	return 0;
}

static int
load(struct graph *g, const struct ctl *ctl)
{
	CLEANUP(programs_done) struct programs helper = {};
	uint64_t from = 0, next = 0;
	char request[64];
	int r;

	r = programs_add(&helper, ctl, NULL);
	while (r == 0) {
		snprintf(request, sizeof(request), HERD_CONTROL_GRAPH " %ju", (uintmax_t)from);
		r = program_must_answer(&helper.at[0], ctl, request);
		if (r == 0)
			r = add_page(g, helper.at[0].reply);
		if (r == 0)
			next = reply_count(helper.at[0].reply, "next");
		if (r == 0 && (next <= from || g->page_count == PAGES_MAX))
			return next == 0 ? 0 : -EPROTO;
		from = next;
	}
	return r;
}

/* --- as text --------------------------------------------------------------------------------------------- */

static size_t
neighbours_of(const struct json_object *host, const char *ret[NEIGHBOURS_MAX])
{
	const struct json_object *list = reply_list(host, "neighbours");
	size_t count = 0;

	for (size_t i = 0; i < reply_length(list) && count < NEIGHBOURS_MAX; i++)
		if (reply_entry_text(list, i).len > 0)
			ret[count++] = reply_entry_text(list, i).at;
	return count;
}

/* In text one value, so that a host is a line. */
static int
show_neighbours(struct writer *w, const char *const *names, size_t count)
{
	CLEANUP(buffer_done) struct buffer line = {.max = 1 << 20};
	int r = 0;

	if (writer_is_json(w)) {
		writer_strings(w, "neighbours", names, count);
		return 0;
	}
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = i ? buffer_append(&line, TEXT(" ")) : 0;
		if (r == 0)
			r = buffer_append(&line, text_of(names[i]));
	}
	writer_text(w, "neighbours", (struct text){line.bytes, line.len});
	return r;
}

static int
show(struct writer *w, const struct graph *g)
{
	int r = 0;

	writer_object_begin(w, NULL);
	writer_bool(w, "drawn", g->drawn, "by the settings (peer)", "computed from the hosts");
	writer_list_begin(w, "hosts");
	for (size_t i = 0; r == 0 && i < g->host_count; i++) {
		const char *names[NEIGHBOURS_MAX];
		size_t count = neighbours_of(g->host[i], names);

		writer_object_begin(w, NULL);
		writer_style(w, WRITER_STRONG);
		writer_text(w, "name", reply_text(g->host[i], "name"));
		writer_text(w, "site", reply_text(g->host[i], "site"));
		writer_count(w, "links", count);
		r = show_neighbours(w, names, count);
		writer_object_end(w);
	}
	writer_list_end(w);
	writer_object_end(w);
	return r;
}

/* --- as DOT ------------------------------------------------------------------------------------------------ */

static int
put_quoted(struct buffer *out, struct text t)
{
	int r = buffer_append(out, TEXT("\""));

	for (size_t i = 0; r == 0 && i < t.len; i++) {
		if (t.at[i] == '"' || t.at[i] == '\\')
			r = buffer_append(out, TEXT("\\"));
		if (r == 0)
			r = buffer_append(out, (struct text){&t.at[i], 1});
	}
	return r == 0 ? buffer_append(out, TEXT("\"")) : r;
}

/* A line; without `middle` there is only one text in it. */
static int
put_line(struct writer *w, const char *front, struct text one, const char *middle, struct text other,
	 const char *back)
{
	CLEANUP(buffer_done) struct buffer line = {.max = 1 << 16};
	int r = buffer_append(&line, text_of(front));

	if (r == 0)
		r = put_quoted(&line, one);
	if (r == 0 && middle)
		r = buffer_append(&line, text_of(middle));
	if (r == 0 && middle)
		r = put_quoted(&line, other);
	if (r == 0)
		r = buffer_append(&line, text_of(back));
	if (r == 0)
		writer_verbatim(w, (struct text){line.bytes, line.len}, false);
	return r;
}

static int
compare_sites(const void *a, const void *b)
{
	const struct json_object *const *x = a, *const *y = b;
	int r = text_compare(reply_text(*x, "site"), reply_text(*y, "site"));

	return r ? r : text_compare(reply_text(*x, "name"), reply_text(*y, "name"));
}

/* Hosts, those of a site in a box of their own. */
static int
put_hosts(struct writer *w, const struct graph *g)
{
	struct text site = TEXT("");
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->host_count; i++) {
		struct text its = reply_text(g->host[i], "site");

		if (!text_equal(its, site)) {
			char front[64];

			if (site.len)
				writer_verbatim(w, TEXT("  }"), false);
			snprintf(front, sizeof(front), "  subgraph cluster_%zu { label=", i);
			r = put_line(w, front, its, NULL, its, ";");
			site = its;
		}
		if (r == 0)
			r = put_line(w, site.len ? "    " : "  ", reply_text(g->host[i], "name"), NULL, its,
				     ";");
	}
	if (r == 0 && site.len)
		writer_verbatim(w, TEXT("  }"), false);
	return r;
}

static int
compare_names(const void *a, const void *b)
{
	const struct json_object *const *x = a, *const *y = b;

	return text_compare(reply_text(*x, "name"), reply_text(*y, "name"));
}

/* Does the host of this name say that it is linked with `to`? */
static bool
has_link(const struct graph *by_name, struct text name, struct text to)
{
	size_t low = 0, high = by_name->host_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = text_compare(reply_text(by_name->host[middle], "name"), name);

		if (r == 0) {
			const struct json_object *list = reply_list(by_name->host[middle], "neighbours");

			for (size_t i = 0; i < reply_length(list); i++)
				if (text_equal(reply_entry_text(list, i), to))
					return true;
			return false;
		}
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* Each link once: at the end whose name sorts first, or at the only end that tells of it. */
static int
put_links(struct writer *w, const struct graph *by_name)
{
	int r = 0;

	for (size_t i = 0; i < by_name->host_count; i++) {
		struct text name = reply_text(by_name->host[i], "name");
		const char *names[NEIGHBOURS_MAX];
		size_t count = neighbours_of(by_name->host[i], names);

		for (size_t n = 0; r == 0 && n < count; n++) {
			struct text other = text_of(names[n]);

			if (text_compare(name, other) < 0 || !has_link(by_name, other, name))
				r = put_line(w, "  ", name, " -- ", other, ";");
		}
	}
	return r;
}

static void
sort(struct graph *g, int (*compare)(const void *, const void *))
{
	if (g->host_count)
		qsort(g->host, g->host_count, sizeof(struct json_object *), compare);
}

static int
show_dot(struct writer *w, struct graph *g)
{
	int r;

	sort(g, compare_sites);
	writer_verbatim(w, TEXT("graph herd {"), false);
	r = put_hosts(w, g);
	sort(g, compare_names);
	if (r == 0)
		r = put_links(w, g);
	writer_verbatim(w, TEXT("}"), false);
	return r;
}

static int
graph_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(graph_done) struct graph g = {};
	bool dot = options_value(ctl->options, "dot") != NULL;
	int r;

	(void)argc;
	(void)argv;
	if (dot && writer_is_json(ctl->out))
		return ctl_fail(CTL_USAGE, "--dot and --json exclude each other");
	r = load(&g, ctl);
	if (r != 0)
		return r;
	r = dot ? show_dot(ctl->out, &g) : show(ctl->out, &g);
	return r < 0 ? r : g.host_count ? CTL_OK : CTL_NO;
}

const struct command command_flood_graph = {
	.name = "flood graph",
	.help = "Show which hosts are to be linked",
	.more = "Exit code 1: with these settings there are no other hosts. 3: the helper does not run.",
	.entries =
		(const struct options_entry[]){
			{.name = "dot", .help = "For Graphviz: herdctl flood graph --dot | dot -Tsvg"},
			{0},
		},
	.run = graph_run,
};
