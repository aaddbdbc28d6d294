#include <json-c/json.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/reply.h"
#include "ctl/top.h"

enum { PEERS_MAX = 64 };

void
top_sample_done(struct top_sample *s)
{
	roster_done(&s->roster);
	programs_done(&s->helper);
	*s = (struct top_sample){};
}

static double
seconds_between(const struct top_sample *before, const struct top_sample *now)
{
	return (double)(now->age_ns - before->age_ns) / (double)CLOCK_SECOND_NS;
}

/* A counter that went back belongs to something new: no rate yet. */
static void
show_rate(struct writer *w, const char *key, const uint64_t *before, uint64_t now, double seconds)
{
	if (before && now >= *before && seconds > 0)
		writer_real(w, key, (double)(now - *before) / seconds, 0);
	else
		writer_none(w, key);
}

/* --- members --------------------------------------------------------------------------------- */

static const struct table_process *
same_process(const struct roster *roster, const struct table_process *process)
{
	for (size_t i = 0; i < roster->count; i++)
		if (roster->at[i].pid == process->pid && roster->at[i].start_ns == process->start_ns)
			return &roster->at[i];
	return NULL;
}

/* Has any member ever asked a places service? Where none does there is nothing to see of it. */
static bool
looks_up(const struct roster *roster)
{
	for (size_t i = 0; i < roster->count; i++)
		if (roster->at[i].counter[TABLE_COUNTER_looked_up] > 0)
			return true;
	return false;
}

static void
show_member(struct writer *w, const struct top_sample *before, const struct top_sample *now,
	    const struct table_process *p)
{
	static const struct {
		const char *key;
		enum table_counter counter;
	} rates[] = {
		{"iamat_per_s", TABLE_COUNTER_iamat},
		{"whatsat_per_s", TABLE_COUNTER_whatsat},
		{"lookups_per_s", TABLE_COUNTER_looked_up},
		{"invalid_per_s", TABLE_COUNTER_invalid},
	};
	const struct table_process *was = same_process(&before->roster, p);
	const bool is_hiding = !looks_up(&now->roster);

	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_string(w, "member", p->name);
	writer_style(w, p->alive ? WRITER_GOOD : WRITER_BAD);
	writer_bool(w, "alive", p->alive, "alive", "dead");
	writer_count(w, "connections", p->alive ? p->counter[TABLE_COUNTER_connections] : 0);
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		const enum table_counter counter = rates[i].counter;

		writer_details(w, is_hiding && counter == TABLE_COUNTER_looked_up);
		show_rate(w, rates[i].key, was ? &was->counter[counter] : NULL, p->counter[counter],
			  seconds_between(before, now));
	}
	writer_details(w, is_hiding);
	writer_count(w, "lookups", p->alive ? p->counter[TABLE_COUNTER_lookups] : 0);
	writer_details(w, false);
	writer_object_end(w);
}

static void
show_members(struct writer *w, const struct top_sample *before, const struct top_sample *now)
{
	writer_list_begin(w, "members");
	for (size_t i = 0; i < now->roster.count; i++)
		if (now->roster.at[i].role == TABLE_MEMBER)
			show_member(w, before, now, &now->roster.at[i]);
	writer_list_end(w);
}

/* --- peers ----------------------------------------------------------------------------------- */

static const struct json_object *
peers_of(const struct top_sample *s)
{
	return s->helper.count && s->helper.at[0].reply ? reply_list(s->helper.at[0].reply, "peers") : NULL;
}

/* A name, or where it is while nobody knows its name. */
static struct text
name_of(const struct json_object *peer)
{
	struct text host = reply_text(peer, "host");

	return host.len ? host : reply_text(peer, "address");
}

static bool
same_peer(const struct json_object *list, const struct json_object *peer, const char *key, uint64_t *ret)
{
	for (size_t i = 0; i < reply_length(list) && i < PEERS_MAX; i++) {
		const struct json_object *other = reply_entry(list, i);

		if (text_equal(name_of(other), name_of(peer))) {
			*ret = reply_count(other, key);
			return true;
		}
	}
	return false;
}

static void
show_lines(struct writer *w, const char *key, const char *counter, const struct json_object *before,
	   const struct json_object *peer, double seconds)
{
	uint64_t was;
	bool is_known = same_peer(before, peer, counter, &was);

	show_rate(w, key, is_known ? &was : NULL, reply_count(peer, counter), seconds);
}

static void
show_peer(struct writer *w, const struct json_object *before, const struct json_object *peer, double seconds)
{
	const bool is_up = text_equal(reply_text(peer, "state"), TEXT("up"));
	int64_t ns;

	writer_object_begin(w, NULL);
	writer_style(w, WRITER_STRONG);
	writer_text(w, "host", name_of(peer));
	writer_style(w, is_up ? WRITER_GOOD : WRITER_WARNING);
	writer_text(w, "state", reply_text(peer, "state"));
	if (reply_seconds(peer, "lag_seconds", &ns))
		writer_duration(w, "lag", ns);
	else
		writer_none(w, "lag");
	writer_count(w, "behind", reply_count(peer, "lag_changes"));
	show_lines(w, "in_per_s", "lines_in", before, peer, seconds);
	show_lines(w, "out_per_s", "lines_out", before, peer, seconds);
	writer_object_end(w);
}

static void
show_peers(struct writer *w, const struct top_sample *before, const struct top_sample *now)
{
	const struct json_object *peers = peers_of(now);

	writer_list_begin(w, "peers");
	for (size_t i = 0; i < reply_length(peers) && i < PEERS_MAX; i++)
		show_peer(w, peers_of(before), reply_entry(peers, i), seconds_between(before, now));
	writer_list_end(w);
}

/* --- all of it ------------------------------------------------------------------------------- */

void
top_show(struct writer *w, const struct top_sample *before, const struct top_sample *now)
{
	const bool has_helper = roster_alive(&now->roster, TABLE_HELPER) > 0;

	writer_object_begin(w, NULL);
	writer_clock(w, "time", now->posix_ns);
	if (now->has_table) {
		writer_count(w, "clients", now->info.used + now->info.long_used);
		writer_percent(w, "load", now->info.used, now->info.clients);
	} else {
		writer_none(w, "clients");
		writer_none(w, "load");
	}
	writer_style(w, has_helper ? WRITER_GOOD : WRITER_BAD);
	writer_bool(w, "helper", has_helper, "alive", "MISSING");
	show_members(w, before, now);
	if (writer_is_json(w) || reply_length(peers_of(now)))
		show_peers(w, before, now);
	writer_object_end(w);
}
