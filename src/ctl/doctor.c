/*
 * herdctl doctor: looks at all that has to be right for a herd to work on this
 * host, from the settings to the clock, changes nothing, and says what to do
 * about what is wrong. Every look has an end: one that hangs is a finding.
 */
#include "ctl/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

enum { FINDING_MAX = 1024 };

#define ASK_NS CLOCK_SECOND_NS

static const char *const state_names[] = {"good", "warning", "bad"};
static const enum writer_style state_styles[] = {WRITER_GOOD, WRITER_WARNING, WRITER_BAD};

void
doctor_find(struct doctor *d, enum doctor_state state, const char *check, const char *format, ...)
{
	struct writer *w = d->ctl->out;
	char finding[FINDING_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(finding, sizeof(finding), format, args);
	va_end(args);
	finding[utf8_cut(text_of(finding))] = '\0';
	d->count[state]++;
	writer_object_begin(w, NULL);
	writer_style(w, state_styles[state]);
	writer_string(w, "state", state_names[state]);
	writer_string(w, "check", check);
	writer_string(w, "finding", finding);
	writer_object_end(w);
}

static void
doctor_done(struct doctor *d)
{
	conf_roster_done(&d->roster);
	programs_done(&d->programs);
}

/* What several of them need: the members there should be, and the programs there are. */
static int
look_round(struct doctor *d)
{
	struct conf_source source = options_source(d->ctl->global, NULL);
	int r;

	source.report = NULL; /* it was told when the command began */
	source.warn = NULL;
	d->has_systemd = access("/run/systemd/system", F_OK) == 0;
	r = conf_roster_load(&d->roster, &source);
	if (r == 0)
		r = programs_find(&d->programs, d->ctl);
	for (size_t i = 0; r == 0 && i < d->programs.count; i++)
		program_ask(&d->programs.at[i], d->ctl, HERD_CONTROL_STATUS, ASK_NS);
	return r;
}

static int
doctor_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(doctor_done) struct doctor d = {.ctl = ctl};
	int r;

	(void)argc;
	(void)argv;
	r = look_round(&d);
	if (r < 0)
		return r;
	writer_object_begin(ctl->out, NULL);
	writer_list_begin(ctl->out, "findings");
	doctor_settings(&d);
	doctor_units(&d);
	doctor_table(&d);
	doctor_programs(&d);
	doctor_sockets(&d);
	doctor_peers(&d);
	doctor_certificates(&d);
	doctor_places(&d);
	doctor_services(&d);
	doctor_clock(&d);
	writer_list_end(ctl->out);
	writer_count(ctl->out, "good", d.count[DOCTOR_GOOD]);
	writer_count(ctl->out, "warnings", d.count[DOCTOR_WARNING]);
	writer_count(ctl->out, "bad", d.count[DOCTOR_BAD]);
	writer_object_end(ctl->out);
	return d.count[DOCTOR_BAD] ? CTL_NO : CTL_OK;
}

const struct command command_doctor = {
	.name = "doctor",
	.help = "Look for what is wrong here, and say what to do about it",
	.more = "Checks settings, units, the fix table, programs and their sockets, links and "
		"certificates,\n"
		"places with their services and keys, and the clock, and changes nothing. Some of it only "
		"root\n"
		"can see. Exit code 1: something is bad; warnings alone are 0.",
	.takes_bad_conf = true,
	.run = doctor_run,
};
