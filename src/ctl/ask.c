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

int
ask_failed(const char *address, int r)
{
	switch (-r) {
	case EINVAL:
		return ctl_fail(
			CTL_USAGE,
			"'%s' is no address: give ADDR:PORT in numbers (127.0.0.1:12000, [::1]:12000) or "
			"unix:/PATH",
			address);
	case ETIMEDOUT:
		return ctl_fail(CTL_FAILED, "No reply from %s in time", address);
	case EPIPE:
		return ctl_fail(CTL_FAILED, "%s closed the connection before it had replied", address);
	case EMSGSIZE:
		return ctl_fail(CTL_FAILED, "The reply from %s does not end", address);
	case EPROTO:
		return ctl_fail(CTL_FAILED, "The reply from %s is none to what was asked", address);
	default:
		return ctl_fail(CTL_FAILED, "Cannot ask %s: %s", address, strerror(-r));
	}
}

int
ask_whom(struct ctl *ctl, struct ask *ret)
{
	const char *to = options_value(ctl->options, "to"), *name = options_value(ctl->options, "member");
	struct ask ask = {.timeout_ns = 5 * CLOCK_SECOND_NS, .is_anyone = !to && !name};
	int r;

	if (to && name)
		return ctl_fail(CTL_USAGE, "--to and --member exclude each other");
	r = ctl_option_duration(ctl, "timeout", CLOCK_MSEC_NS, &ask.timeout_ns);
	if (r == 0 && to)
		snprintf(ask.address, sizeof(ask.address), "%s", to);
	else if (r == 0)
		r = find_member(ctl, name, &ask.at, ask.address, sizeof(ask.address));
	if (r == 0)
		*ret = ask;
	return r;
}

bool
ask_goes_on(struct ctl *ctl, struct ask *ask, int r)
{
	return r == -ECONNREFUSED && ask->is_anyone &&
	       find_member(ctl, NULL, &ask->at, ask->address, sizeof(ask->address)) == 0;
}

int
ask_member(struct ctl *ctl, struct text line, enum message_verb verb, struct client_reply *ret)
{
	struct message message;
	struct ask ask;
	int r;

	r = ask_whom(ctl, &ask);
	if (r != 0)
		return r;
	message_parse(line, &message);
	ret->bytes.max = CLIENT_REPLY_MAX;
	do
		r = client_ask(ask.address, line, verb, ask.timeout_ns, &ret->bytes);
	while (ask_goes_on(ctl, &ask, r));
	memcpy(ret->address, ask.address, sizeof(ret->address));
	if (r == 0)
		r = client_reply_parse(ret, verb, message.id);
	return r < 0 ? ask_failed(ask.address, r) : 0;
}
