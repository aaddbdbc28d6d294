/*
 * herdctl iamat: tells a member where a client is, as the client would.
 */
#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/ask.h"
#include "ctl/show.h"

/* What a member would only answer with "? ". */
static int
check_operands(struct text id, struct text location, struct text time)
{
	struct location where;
	struct fix_time when;

	if (!fix_id_valid(id))
		return ctl_fail(CTL_USAGE, "'%s' is no id: 1 to %d bytes without white space", id.at,
				HERD_ID_MAX);
	if (location_parse(location, &where) != 0)
		return ctl_fail(
			CTL_USAGE,
			"'%s' is no location: latitude and longitude in decimal degrees with their signs, "
			"as in +34.068930-118.445127",
			location.at);
	if (fix_time_parse(time, &when) != 0)
		return ctl_fail(CTL_USAGE,
				"'%s' is no time: seconds since 1970 with at most 9 decimals, as in "
				"1621464827.959498503",
				time.at);
	return 0;
}

static int
iamat_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(client_reply_done) struct client_reply reply = {};
	char now[HERD_TIME_MAX + 1], line[HERD_AT_MAX + 16];
	const char *time = now;
	int r, len;

	if (argc > 2)
		time = argv[2];
	else
		client_put_now(now);
	r = check_operands(text_of(argv[0]), text_of(argv[1]), text_of(time));
	if (r != 0)
		return r;
	len = snprintf(line, sizeof(line), "IAMAT %s %s %s", argv[0], argv[1], time);
	r = ask_member(ctl, (struct text){line, (size_t)len}, MESSAGE_IAMAT, &reply);
	return r ? r : show_reply(ctl->out, &reply);
}

const struct command command_iamat = {
	.name = "iamat",
	.operands = "ID LOCATION [TIME]",
	.help = "Tell a member where a client is",
	.more = "LOCATION is latitude and longitude as in +34.068930-118.445127, TIME seconds since 1970\n"
		"(default: now). Prints the reply. Exit code 1: the member refused.",
	.entries = (const struct options_entry[]){ASK_ENTRIES{0}},
	.operands_min = 2,
	.operands_max = 3,
	.run = iamat_run,
};
