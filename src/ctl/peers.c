/*
 * herdctl peers: the links to other hosts, as the helper of this one has them.
 * JSON is what the helper said, whole; text what fits a terminal, and a line
 * of its own for each peer that ought to be up and is not.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/program.h"
#include "ctl/reply.h"

enum {
	PEERS_MAX = 1024,  /* shown; a helper has room for 64 */
	PROBLEM_MAX = 512, /* bytes */
};

struct view {
	struct json_object *reply, *peers;
	size_t count, wanted, up;      /* up: of those that are wanted */
	char *problems[PEERS_MAX + 1]; /* owned */
	size_t problem_count;
};

static void
view_done(struct view *v)
{
	for (size_t i = 0; i < v->problem_count; i++)
		free(v->problems[i]);
}

static bool
is_text(const struct json_object *peer, const char *key, const char *text)
{
	return text_equal(reply_text(peer, key), text_of(text));
}

static bool
is_up(const struct json_object *peer)
{
	return is_text(peer, "state", "up");
}

static bool
is_wanted(const struct json_object *peer)
{
	return is_text(peer, "why", "neighbour") || is_text(peer, "why", "stand-in");
}

/* A name, or where it is while nobody knows its name. */
static struct text
host_of(const struct json_object *peer)
{
	struct text host = reply_text(peer, "host");

	return host.len ? host : reply_text(peer, "address");
}

/* --- what is wrong --------------------------------------------------------------------------------- */

static int
add_problem(struct view *v, const char *line)
{
	v->problems[v->problem_count] = strdup(line);
	if (!v->problems[v->problem_count])
		return -ENOMEM;
	v->problem_count++;
	return 0;
}

static int
add_down(struct view *v, const struct json_object *peer)
{
	struct text host = host_of(peer), state = reply_text(peer, "state"),
		    error = reply_text(peer, "error");
	char line[PROBLEM_MAX], retry[48] = "";
	int64_t retry_ns;

	if (reply_seconds(peer, "retry", &retry_ns) && retry_ns >= 0)
		snprintf(retry, sizeof(retry), "; again in %jd s",
			 (intmax_t)((retry_ns + CLOCK_SECOND_NS - 1) / CLOCK_SECOND_NS));
	snprintf(line, sizeof(line), "%.*s is %.*s%s%.*s%s", (int)host.len, host.at, (int)state.len, state.at,
		 error.len ? ": " : "", (int)(error.len < 300 ? error.len : 300), error.at, retry);
	return add_problem(v, line);
}

static int
look(struct view *v)
{
	uint64_t conflicts = reply_count(v->reply, "name_conflicts");
	char line[PROBLEM_MAX];
	int r = 0;

	v->peers = reply_list(v->reply, "peers");
	v->count = reply_length(v->peers) < PEERS_MAX ? reply_length(v->peers) : PEERS_MAX;
	for (size_t i = 0; r == 0 && i < v->count; i++) {
		const struct json_object *peer = reply_entry(v->peers, i);

		v->wanted += is_wanted(peer);
		v->up += is_wanted(peer) && is_up(peer);
		if (is_wanted(peer) && !is_up(peer))
			r = add_down(v, peer);
	}
	if (r == 0 && conflicts) {
		snprintf(line, sizeof(line), "names of members on more than one host: %ju, see the journal",
			 (uintmax_t)conflicts);
		r = add_problem(v, line);
	}
	return r;
}

/* --- what there is ----------------------------------------------------------------------------------- */

static void
show_seconds(struct writer *w, const char *key, const struct json_object *peer, const char *from)
{
	int64_t ns;

	if (reply_seconds(peer, from, &ns))
		writer_duration(w, key, ns);
	else
		writer_none(w, key);
}

static void
show_resync(struct writer *w, const struct json_object *peer)
{
	int64_t ended_ns;

	if (reply_seconds(reply_object(peer, "resync"), "ended", &ended_ns))
		writer_duration(w, "resync", clock_now_ns() - ended_ns);
	else
		writer_none(w, "resync");
}

static void
show_peer(struct writer *w, const struct json_object *peer)
{
	bool up = is_up(peer);

	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_text(w, "host", host_of(peer));
	writer_text(w, "site", reply_text(peer, "site"));
	writer_style(w, up ? WRITER_GOOD : is_wanted(peer) ? WRITER_BAD : WRITER_PLAIN);
	writer_text(w, "state", reply_text(peer, "state"));
	show_seconds(w, "rtt", peer, "rtt");
	show_seconds(w, "lag", peer, "lag_seconds");
	writer_short(w, "behind", reply_count(peer, "lag_changes") + reply_count(peer, "behind_ack"));
	writer_short(w, "in", reply_count(peer, "lines_in"));
	writer_short(w, "out", reply_count(peer, "lines_out"));
	writer_short(w, "dup", reply_count(peer, "duplicates"));
	show_resync(w, peer);
	writer_object_end(w);
}

static void
show_text(struct writer *w, const struct view *v)
{
	writer_text(w, "host", reply_text(v->reply, "host"));
	writer_text(w, "herd", reply_text(v->reply, "herd"));
	writer_style(w, v->wanted && !v->up ? WRITER_BAD : v->up < v->wanted ? WRITER_WARNING : WRITER_GOOD);
	writer_count(w, "up", v->up);
	writer_count(w, "wanted", v->wanted);
	writer_style(w, WRITER_WARNING);
	writer_strings(w, "problem", (const char *const *)v->problems, v->problem_count);
	writer_list_begin(w, "peers");
	for (size_t i = 0; i < v->count; i++)
		show_peer(w, reply_entry(v->peers, i));
	writer_list_end(w);
}

/* As it was said: keys that this herdctl does not know, too. */
static void
show_json(struct writer *w, const struct view *v)
{
	static const char *const keys[] = {"host", "host_id", "herd", "name_conflicts", "peers"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct json_object *value = NULL;

		if (json_object_object_get_ex(v->reply, keys[i], &value))
			writer_json(w, keys[i], json_object_get(value));
	}
}

static int
peers_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(programs_done) struct programs helper = {};
	CLEANUP(view_done) struct view v = {};
	int r;

	(void)argc;
	(void)argv;
	r = programs_add(&helper, ctl, NULL);
	if (r == 0)
		r = program_must_answer(&helper.at[0], ctl, HERD_CONTROL_PEERS);
	if (r != 0)
		return r;
	v.reply = helper.at[0].reply;
	r = look(&v);
	if (r < 0)
		return r;
	writer_object_begin(ctl->out, NULL);
	if (writer_is_json(ctl->out))
		show_json(ctl->out, &v);
	else
		show_text(ctl->out, &v);
	writer_object_end(ctl->out);
	return v.wanted && !v.up ? CTL_NO : CTL_OK;
}

const struct command command_peers = {
	.name = "peers",
	.help = "Show the links to other hosts",
	.more = "Exit code 1: there should be links, and none is up. 3: the helper does not run.",
	.run = peers_run,
};
