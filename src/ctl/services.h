#ifndef CTL_SERVICES_H
#define CTL_SERVICES_H
/*
 * Services: the places services on the network that members ask, and how each
 * of them does: part of what herdctl status shows.
 */
#include "ctl/program.h"

/* The list "places" from what the members replied to HERD_CONTROL_STATUS. */
void services_show(struct writer *w, const struct programs *p);

#endif
