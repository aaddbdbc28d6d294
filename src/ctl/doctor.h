#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H
/*
 * Doctor: what herdctl doctor looks at, one function for each thing. Each says
 * at least one finding; what is not good says what to do.
 */
#include "conf/roster.h"
#include "ctl/ctl.h"
#include "ctl/program.h"

enum doctor_state { DOCTOR_GOOD, DOCTOR_WARNING, DOCTOR_BAD };

struct doctor {
	struct ctl *ctl;
	struct conf_roster roster; /* owned; the members that the settings name */
	struct programs programs;  /* owned; those that run, asked for their status */
	bool has_systemd;	   /* process 1 is */
	size_t count[DOCTOR_BAD + 1];
};

/* check: "table", "unit herd@Alpha"; one sentence. */
void doctor_find(struct doctor *d, enum doctor_state state, const char *check, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

void doctor_settings(struct doctor *d);
void doctor_table(struct doctor *d);
void doctor_units(struct doctor *d);
void doctor_programs(struct doctor *d);
void doctor_sockets(struct doctor *d);
void doctor_peers(struct doctor *d);
void doctor_certificates(struct doctor *d);
void doctor_places(struct doctor *d);
void doctor_services(struct doctor *d);
void doctor_clock(struct doctor *d);

/* What a member says of itself here, doctor_services() tells with what to do about it. */
bool doctor_is_of_service(const struct program *p, const char *sentence);

#endif
