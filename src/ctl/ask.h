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

/* Finds the member that the options ask for, asks, takes the reply apart. 0 (also when refused), or
   an enum ctl_exit whose reason was said. */
int ask_member(struct ctl *ctl, struct text line, enum message_verb verb, struct client_reply *ret);

#endif
