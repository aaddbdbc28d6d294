/*
 * herdctl trace: everything this host can tell about the newest fix of one
 * client: who heard it and where that is, how old it is by each of the clocks
 * that had a look at it, whether all programs here read the same, and, from
 * what the helper keeps anyway, from where it came and which other hosts have it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "core/fix.h"
#include "ctl/ctl.h"
#include "ctl/program.h"
#include "ctl/reply.h"
#include "ctl/show.h"

enum {
	LAPS_MAX = 1000, /* a client cannot report that fast for that long */
	HOSTS_MAX = 64,
	REQUEST_MAX = sizeof(HERD_CONTROL_TRACE " ") + 2 * HERD_ID_MAX,
};

/* All programs together, and one of them: a stopped one must not hold up the answer. */
#define ASK_ALL_NS (5 * CLOCK_SECOND_NS)
#define ASK_ONE_NS CLOCK_SECOND_NS

struct trace {
	struct ctl *ctl;
	struct text id;
	struct programs programs;
	const struct program *helper; /* one of them that answered; NULL: none did */
	struct herd_fix fix;
	bool has_fix;
	int64_t now_ns;
};

static void
trace_done(struct trace *t)
{
	programs_done(&t->programs);
}

/* --- asking ----------------------------------------------------------------------------------- */

static int
read_table(struct trace *t)
{
	CLEANUP(table_freep) struct table *table = NULL;
	struct table_key key;
	int r = ctl_open_table(t->ctl, &table);

	if (r != 0)
		return r;
	table_key_make(table, t->id, &key);
	r = TABLE_E_LAPPED;
	for (int i = 0; r == TABLE_E_LAPPED && i < LAPS_MAX; i++)
		r = table_find(table, &key, t->now_ns, &t->fix);
	if (r < 0 || r == TABLE_E_LAPPED)
		return ctl_fail(CTL_FAILED, "Cannot read the fix table '%s' on: %s", t->ctl->shm,
				strerror(r < 0 ? -r : EBUSY));
	t->has_fix = r == 0;
	return 0;
}

static int
ask_programs(struct trace *t)
{
	int64_t end_ns = clock_monotonic_ns() + ASK_ALL_NS;
	char request[REQUEST_MAX] = HERD_CONTROL_TRACE " ";
	size_t len = strlen(request), kept = 0;
	int r;

	for (size_t i = 0; i < t->id.len; i++)
		len += (size_t)snprintf(request + len, sizeof(request) - len, "%02x",
					(unsigned int)(unsigned char)t->id.at[i]);
	r = programs_find(&t->programs, t->ctl);
	for (size_t i = 0; r == 0 && i < t->programs.count; i++) {
		struct program *p = &t->programs.at[i];
		int64_t left_ns = end_ns - clock_monotonic_ns();

		if (left_ns > 0)
			program_ask(p, t->ctl, request, left_ns < ASK_ONE_NS ? left_ns : ASK_ONE_NS);
		else
			p->error = -ETIMEDOUT;
		if (!program_is_gone(p)) /* else there is no reply to free */
			t->programs.at[kept++] = *p;
	}
	if (r == 0)
		t->programs.count = kept;
	for (size_t i = 0; i < t->programs.count; i++)
		if (t->programs.at[i].role == TABLE_HELPER && program_is_ok(&t->programs.at[i]))
			t->helper = &t->programs.at[i];
	return r;
}

/* --- what they say ------------------------------------------------------------------------------ */

static bool
is_known_by(const struct program *p)
{
	return program_is_ok(p) && reply_bool(p->reply, "known");
}

/* The fix that is in the table; one that changes just now is another one. */
static bool
is_same(const struct trace *t, const struct program *p)
{
	char received[24];

	snprintf(received, sizeof(received), "%" PRId64, t->fix.rx_ns);
	return t->has_fix && text_equal(program_string(p, "received"), text_of(received)) &&
	       text_equal(program_string(p, "time"), (struct text){t->fix.time, t->fix.time_len});
}

static const char *
knowledge(const struct trace *t, const struct program *p)
{
	if (!program_is_ok(p))
		return p->error ? "no answer" : "cannot tell";
	return !is_known_by(p) ? "no" : is_same(t, p) ? "yes" : "another fix";
}

static void
show_program(const struct trace *t, const struct program *p)
{
	struct writer *w = t->ctl->out;
	bool is_well = program_is_ok(p) && reply_bool(p->reply, "shared") &&
		       (t->has_fix ? is_same(t, p) : !is_known_by(p));

	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_string(w, "program", p->name);
	writer_string(w, "role", p->role == TABLE_HELPER ? "helper" : "member");
	writer_style(w, is_well ? WRITER_GOOD : WRITER_WARNING);
	writer_string(w, "knows", knowledge(t, p));
	if (program_is_ok(p))
		writer_bool(w, "table", reply_bool(p->reply, "shared"), "shared", "its own");
	else
		writer_none(w, "table");
	writer_object_end(w);
}

/* --- the fix itself --------------------------------------------------------------------------------- */

static void
show_sent(const struct trace *t)
{
	struct fix_time sent;

	if (fix_time_parse((struct text){t->fix.time, t->fix.time_len}, &sent) == 0 &&
	    sent.s <= INT64_MAX / CLOCK_SECOND_NS - 1)
		writer_time(t->ctl->out, "sent", sent.s * CLOCK_SECOND_NS + sent.ns);
	else
		writer_none(t->ctl->out, "sent");
}

static void
show_times(const struct trace *t)
{
	struct writer *w = t->ctl->out;
	int64_t ttl_ns = t->ctl->conf->fix_ttl_ns, expires_ns;
	char at[HERD_AT_MAX];

	writer_text(w, "time", (struct text){t->fix.time, t->fix.time_len});
	show_sent(t);
	writer_text(w, "skew", show_skew(&t->fix, at));
	writer_time(w, "received", t->fix.rx_ns);
	writer_duration(w, "age", t->now_ns - t->fix.rx_ns);
	if (ttl_ns > 0 && !__builtin_add_overflow(t->fix.rx_ns, ttl_ns, &expires_ns)) {
		writer_time(w, "expires", expires_ns);
		writer_duration(w, "expires_in", expires_ns - t->now_ns);
	} else {
		writer_none(w, "expires");
		writer_none(w, "expires_in");
	}
}

/* --- its way ------------------------------------------------------------------------------------------ */

static bool
is_member_here(const struct trace *t)
{
	for (size_t i = 0; i < t->programs.count; i++)
		if (t->programs.at[i].role == TABLE_MEMBER &&
		    text_equal(text_of(t->programs.at[i].name),
			       (struct text){t->fix.server, t->fix.server_len}))
			return true;
	return false;
}

/* Hosts that have a member of the server's name; those that are no neighbours by their id. */
static void
show_hosts(const struct trace *t)
{
	struct json_object *hosts = t->helper ? reply_list(t->helper->reply, "hosts") : NULL;
	const char *names[HOSTS_MAX];
	bool is_own = is_member_here(t);
	size_t count = 0;

	for (size_t i = 0; i < reply_length(hosts) && count < HOSTS_MAX; i++) {
		struct json_object *entry = reply_entry(hosts, i);
		struct text name = reply_text(entry, "host");

		is_own = is_own || reply_bool(entry, "own");
		names[count++] = name.len ? name.at : reply_text(entry, "host_id").at;
	}
	/* A member that has just started was not told of yet. */
	if (count == 0 && is_own && t->helper && program_string(t->helper, "host").len > 0)
		names[count++] = program_string(t->helper, "host").at;
	writer_style(t->ctl->out, is_own || count ? WRITER_PLAIN : WRITER_WARNING);
	writer_string(t->ctl->out, "heard",
		      count > 1 ? "on one of several hosts"
		      : is_own	? "on this host"
		      : count	? "on another host"
				: "nobody knows where");
	writer_strings(t->ctl->out, "host", names, count);
}

static void
show_since(const struct trace *t)
{
	struct writer *w = t->ctl->out;
	int64_t since_ns;

	if (!t->helper || !is_same(t, t->helper) || !reply_seconds(t->helper->reply, "since", &since_ns)) {
		writer_none(w, "here_since");
		return;
	}
	/* The helper saw it after it was received, whatever the clocks say. */
	writer_time(w, "here_since", since_ns);
	if (reply_bool(t->helper->reply, "at_start"))
		writer_bool(w, "at_start", true, "yes, then the helper started; it was here before", "no");
}

static void
show_way(const struct trace *t)
{
	writer_text(t->ctl->out, "server", (struct text){t->fix.server, t->fix.server_len});
	show_hosts(t);
	if (t->helper && is_same(t, t->helper))
		program_show_strings(t->ctl->out, t->helper, "from");
	show_since(t);
}

static void
show_peers(const struct trace *t)
{
	struct json_object *peers = t->helper && is_same(t, t->helper) ? reply_list(t->helper->reply, "peers")
								       : NULL;
	struct writer *w = t->ctl->out;

	writer_list_begin(w, "peers");
	for (size_t i = 0; i < reply_length(peers); i++) {
		struct text state = reply_text(reply_entry(peers, i), "state");

		writer_object_begin(w, NULL);
		writer_style(w, WRITER_STRONG);
		writer_text(w, "peer", reply_text(reply_entry(peers, i), "host"));
		writer_style(w, text_equal(state, TEXT("has")) ? WRITER_GOOD : WRITER_WARNING);
		writer_text(w, "state", state);
		writer_object_end(w);
	}
	writer_list_end(w);
}

/* --- all of it ----------------------------------------------------------------------------------------- */

static int
show(const struct trace *t)
{
	struct writer *w = t->ctl->out;
	bool known = t->has_fix;

	for (size_t i = 0; i < t->programs.count; i++)
		known = known || is_known_by(&t->programs.at[i]);
	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_bytes(w, "id", "id_hex", t->id);
	writer_style(w, known ? WRITER_GOOD : WRITER_BAD);
	writer_bool(w, "known", known, t->has_fix ? "yes" : "not in the table that all share", "no");
	if (t->has_fix) {
		writer_text(w, "location", (struct text){t->fix.location, t->fix.location_len});
		show_times(t);
		show_way(t);
	}
	if (t->helper)
		program_show_strings(w, t->helper, "unasked");
	writer_list_begin(w, "programs");
	for (size_t i = 0; i < t->programs.count; i++)
		show_program(t, &t->programs.at[i]);
	writer_list_end(w);
	if (t->has_fix)
		show_peers(t);
	writer_object_end(w);
	return known ? CTL_OK : CTL_NO;
}

static int
trace_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(trace_done) struct trace t = {.ctl = ctl, .id = text_of(argv[0])};
	int r;

	(void)argc;
	if (!fix_id_valid(t.id))
		return ctl_fail(CTL_USAGE, "'%s' is no id: 1 to %d bytes without white space", argv[0],
				HERD_ID_MAX);
	t.now_ns = clock_now_ns();
	r = read_table(&t);
	if (r == 0)
		r = ask_programs(&t);
	return r == 0 ? show(&t) : r;
}

const struct command command_trace = {
	.name = "trace",
	.operands = "ID",
	.help = "Who heard a client, how that travelled, how old it is",
	.more = "Asks the table, every program of this host, and the helper for what it knows of others.\n"
		"Exit code 1: nobody here knows this client.",
	.operands_min = 1,
	.operands_max = 1,
	.run = trace_run,
};
