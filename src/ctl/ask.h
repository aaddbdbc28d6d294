#ifndef CTL_ASK_H
#define CTL_ASK_H
/*
 * Ask: iamat and whatsat, as far as they are the same.
 */
#include "ctl/client.h"
#include "ctl/ctl.h"

#define ASK_ENTRIES                                                                      \
	{.name = "to", .argument = "ADDRESS", .help = "Ask at ADDR:PORT or unix:/PATH"}, \
		{.name = "member",                                                       \
		 .argument = "NAME",                                                     \
		 .help = "Ask this member (default: the first one alive)"},              \
		{.name = "timeout", .argument = "SECONDS", .help = "Give up after this long (default 5)"},

struct ask {
	char address[CLIENT_ADDRESS_MAX];
	int64_t timeout_ns;
	uint32_t at;	/* where in the table the next member is looked for */
	bool is_anyone; /* any member will do */
};

/* Whom the options mean, and how long to wait. 0, or an enum ctl_exit whose reason was said. */
int ask_whom(struct ctl *ctl, struct ask *ret);

/* What came is -ECONNREFUSED, as from a member that is being drained, and there is another one to ask. */
bool ask_goes_on(struct ctl *ctl, struct ask *ask, int r);

/* Says why there was no answer, for what client.h's functions give; gives an enum ctl_exit. */
int ask_failed(const char *address, int r);

/* Finds the member that the options ask for, asks, takes the reply apart. 0 (also when refused), or
   an enum ctl_exit whose reason was said. */
int ask_member(struct ctl *ctl, struct text line, enum message_verb verb, struct client_reply *ret);

#endif
