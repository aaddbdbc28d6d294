/*
 * The commands there are, in the order in which --help tells them.
 */
#include "ctl/ctl.h"

#define COMMANDS(X)      \
	X(status)        \
	X(doctor)        \
	X(members)       \
	X(fixes)         \
	X(watch)         \
	X(top)           \
	X(trace)         \
	X(iamat)         \
	X(whatsat)       \
	X(bench)         \
	X(places_query)  \
	X(places_import) \
	X(config)        \
	X(reload)        \
	X(restart)       \
	X(drain)         \
	X(add)           \
	X(remove)        \
	X(peers)         \
	X(flood_graph)   \
	X(ca_init)       \
	X(ca_issue)      \
	X(ca_revoke)     \
	X(ca_crl)        \
	X(ca_list)

#define X(name) extern const struct command command_##name;
COMMANDS(X)
#undef X

const struct command *const commands[] = {
#define X(name) &command_##name,
	COMMANDS(X)
#undef X
		NULL,
};
