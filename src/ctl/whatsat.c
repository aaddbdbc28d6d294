/*
 * herdctl whatsat: asks a member what is near a client, as anyone may.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/ctl.h"
#include "ctl/show.h"

static int
check_operands(char **argv)
{
	unsigned int bound;
	double radius_km;

	if (!fix_id_valid(text_of(argv[0])))
		return ctl_fail(CTL_USAGE, "'%s' is no id: 1 to %d bytes without white space", argv[0],
				HERD_ID_MAX);
	if (!message_parse_radius(text_of(argv[1]), &radius_km))
		return ctl_fail(CTL_USAGE, "'%s' is no radius: 0 to %d kilometres", argv[1],
				MESSAGE_RADIUS_MAX_KM);
	if (!message_parse_bound(text_of(argv[2]), &bound))
		return ctl_fail(CTL_USAGE, "'%s' is no bound: 0 to %d places", argv[2], MESSAGE_BOUND_MAX);
	return 0;
}

static int
whatsat_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(client_reply_done) struct client_reply reply = {};
	char line[4096];
	int r, len;

	(void)argc;
	r = check_operands(argv);
	if (r != 0)
		return r;
	len = snprintf(line, sizeof(line), "WHATSAT %s %s %s", argv[0], argv[1], argv[2]);
	if ((size_t)len >= sizeof(line))
		return ctl_fail(CTL_USAGE, "Radius and bound are too long");
	r = ask_member(ctl, (struct text){line, (size_t)len}, MESSAGE_WHATSAT, &reply);
	return r ? r : show_reply(ctl->out, &reply);
}

const struct command command_whatsat = {
	.name = "whatsat",
	.operands = "ID RADIUS BOUND",
	.help = "Ask a member what is near a client",
	.more = "RADIUS is 0 to 50 kilometres, BOUND 0 to 20 places. Prints the reply: the AT line and the\n"
		"places as JSON. Exit code 1: the member refused; it knows no such client.",
	.entries = (const struct options_entry[]){ASK_ENTRIES{0}},
	.operands_min = 3,
	.operands_max = 3,
	.run = whatsat_run,
};
