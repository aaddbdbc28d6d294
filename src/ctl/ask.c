/*
 * Ask: whom an operator means, and what to say when no answer comes. Without
 * --to and --member any member will do, since they share one table.
 */
#include "ctl/ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* The first address in a member's own words ("127.0.0.1:12000 unix:/run/herd/Alpha") that a stream
   can be opened to. */
static bool
address_in(const char *listen, char *ret, size_t size)
{
	struct text rest = text_of(listen), field;

	while ((field = text_take_field(&rest)).len) {
		while (field.len && field.at[field.len - 1] == ',')
			field.len--;
		if (field.len >= size)
			continue;
		memcpy(ret, field.at, field.len);
		ret[field.len] = '\0';
		if (client_address_valid(ret))
			return true;
	}
	return false;
}

/* The member called `name`, or the first one that is alive, from entry *at of the table on; *at is then behind it. Past the
   first one nothing is said when there are no more. */
static int
find_member(const struct ctl *ctl, const char *name, uint32_t *at, char *ret, size_t size)
{
	CLEANUP(table_freep) struct table *table = NULL;
	struct table_process process;
	bool alive = false, is_first = *at == 0;
	int r;

	r = ctl_open_table(ctl, &table);
	if (r != 0)
		return r;
	while ((r = table_process(table, (*at)++, &process)) != TABLE_E_END) {
		if (r < 0)
			return ctl_fail(CTL_FAILED, "Cannot read the fix table '%s': %s", ctl->shm,
					strerror(-r));
		if (r != 0 || process.role != TABLE_MEMBER || !process.alive ||
		    (name && strcmp(name, process.name) != 0))
			continue;
		if (address_in(process.listen, ret, size))
			return 0;
		alive = true;
	}
	if (!is_first)
		return CTL_FAILED;
	if (alive)
		return ctl_fail(CTL_FAILED, "No member says where a stream can be opened to it; give --to");
	if (name)
		return ctl_fail(CTL_FAILED, "No member called '%s' is alive; 'herdctl members' shows who is",
				name);
	return ctl_fail(CTL_FAILED, "No member is alive; start one: "
				    "herd-member --name Alpha --listen 127.0.0.1:12000");
}

static int
fail_ask(const struct client_reply *reply, int r)
{
	switch (-r) {
	case EINVAL:
		return ctl_fail(
			CTL_USAGE,
			"'%s' is no address: give ADDR:PORT in numbers (127.0.0.1:12000, [::1]:12000) or "
			"unix:/PATH",
			reply->address);
	case ETIMEDOUT:
		return ctl_fail(CTL_FAILED, "No reply from %s in time", reply->address);
	case EPIPE:
		return ctl_fail(CTL_FAILED, "%s closed the connection before it had replied", reply->address);
	case EMSGSIZE:
		return ctl_fail(CTL_FAILED, "The reply from %s does not end", reply->address);
	case EPROTO:
		return ctl_fail(CTL_FAILED, "The reply from %s is none to what was asked", reply->address);
	default:
		return ctl_fail(CTL_FAILED, "Cannot ask %s: %s", reply->address, strerror(-r));
	}
}

int
ask_member(struct ctl *ctl, struct text line, enum message_verb verb, struct client_reply *ret)
{
	const char *to = options_value(ctl->options, "to"), *name = options_value(ctl->options, "member");
	int64_t timeout_ns = 5 * CLOCK_SECOND_NS;
	struct message message;
	uint32_t at = 0;
	int r;

	if (to && name)
		return ctl_fail(CTL_USAGE, "--to and --member exclude each other");
	r = ctl_option_duration(ctl, "timeout", CLOCK_MSEC_NS, &timeout_ns);
	if (r != 0)
		return r;
	if (to)
		snprintf(ret->address, sizeof(ret->address), "%s", to);
	else
		r = find_member(ctl, name, &at, ret->address, sizeof(ret->address));
	if (r != 0)
		return r;
	message_parse(line, &message);
	ret->bytes.max = CLIENT_REPLY_MAX;
	r = client_ask(ret->address, line, verb, timeout_ns, &ret->bytes);
	/* One that is being drained lives, but lets nobody in. */
	while (r == -ECONNREFUSED && !to && !name &&
	       find_member(ctl, NULL, &at, ret->address, sizeof(ret->address)) == 0)
		r = client_ask(ret->address, line, verb, timeout_ns, &ret->bytes);
	if (r == 0)
		r = client_reply_parse(ret, verb, message.id);
	return r < 0 ? fail_ask(ret, r) : 0;
}
