/*
 * herdctl drain: a member out of service, gently. Its sockets are closed first,
 * so that new clients are refused at once and turn to another member instead of
 * waiting here; who is connected stays and is served as ever; only when the
 * last one has gone, or time is up, the member is stopped. What it has
 * acknowledged is in the table, which belongs to all: nothing is lost whenever
 * this is interrupted.
 *
 * The service manager's copies of the sockets have to go as well, while the
 * member runs. Stopping a socket unit stops its member (PartOf=), so it is told
 * to look at these units alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/fix.h"
#include "ctl/ctl.h"
#include "ctl/program.h"
#include "ctl/progress.h"
#include "ctl/reply.h"
#include "ctl/systemctl.h"

#define TIMEOUT_NS (300 * CLOCK_SECOND_NS)
#define ASK_NS	   CLOCK_SECOND_NS
#define PAUSE_NS   (100 * CLOCK_MSEC_NS)
#define SILENCE_NS (10 * CLOCK_SECOND_NS) /* of a member that is busy, not dead */

enum { UNIT_MAX = 64 };

struct drain {
	struct ctl *ctl;
	struct program *member;
	const char *name;
	uint64_t pid, clients, left; /* at first; connected at first, and now */
	int64_t began_ns, end_ns;
	bool is_idle;
	struct progress progress;
};

/* --- what it waits for ----------------------------------------------------------------------- */

static void
show_progress(struct drain *d, int64_t now_ns)
{
	const double share = d->clients ? 1 - (double)d->left / (double)d->clients : 0;

	progress_show(&d->progress, share,
		      "%s: %" PRIu64 " of %" PRIu64 " client%s left, %" PRId64 " s at most", d->name, d->left,
		      d->clients, d->clients == 1 ? "" : "s",
		      (d->end_ns - now_ns + CLOCK_SECOND_NS - 1) / CLOCK_SECOND_NS);
}

static void
take_reply(struct drain *d)
{
	d->left = reply_count(d->member->reply, "clients");
	d->is_idle = reply_bool(d->member->reply, "idle");
	if (d->left > d->clients)
		d->clients = d->left; /* those that were let in at the last moment */
}

/* Until its last client has gone, or time is up. 0, or CTL_FAILED, said. */
static int
wait_for_clients(struct drain *d)
{
	const struct timespec pause = {0, PAUSE_NS};
	int64_t now_ns = clock_monotonic_ns(), heard_ns = now_ns;

	for (; !d->is_idle && now_ns < d->end_ns; now_ns = clock_monotonic_ns()) {
		show_progress(d, now_ns);
		nanosleep(&pause, NULL);
		program_ask(d->member, d->ctl, HERD_CONTROL_STATUS, ASK_NS);
		if (!program_is_ok(d->member)) {
			if (clock_monotonic_ns() - heard_ns <= SILENCE_NS)
				continue;
			progress_clear(&d->progress);
			return ctl_fail(CTL_FAILED,
					"%s does not answer any more: %s; its sockets are closed: "
					"`systemctl restart herd@%s` opens them again",
					d->name, strerror(-d->member->error), d->name);
		}
		if (program_pid(d->member) != d->pid || !reply_bool(d->member->reply, "draining")) {
			progress_clear(&d->progress);
			return ctl_fail(
				CTL_FAILED,
				"%s was started again meanwhile and takes new clients: drain it again",
				d->name);
		}
		heard_ns = clock_monotonic_ns();
		take_reply(d);
	}
	return 0;
}

/* --- the steps -------------------------------------------------------------------------------- */

static int
close_sockets(const struct drain *d)
{
	char stream[UNIT_MAX], datagram[UNIT_MAX];
	const char *const arguments[] = {"stop", "--job-mode=ignore-dependencies", stream, datagram, NULL};

	snprintf(stream, sizeof(stream), "herd@%s.socket", d->name);
	snprintf(datagram, sizeof(datagram), "herd-udp@%s.socket", d->name);
	return systemctl(arguments, "the member runs on");
}

/* The member's own copies. */
static int
close_doors(struct drain *d)
{
	program_ask(d->member, d->ctl, HERD_CONTROL_DRAIN, SILENCE_NS);
	if (!program_is_ok(d->member))
		return ctl_fail(
			CTL_FAILED,
			"%s cannot be drained: %s; `systemctl restart herd@%s` opens its sockets again",
			d->name, d->member->error ? strerror(-d->member->error) : "it does not know how to",
			d->name);
	take_reply(d);
	return 0;
}

static int
stop(const char *service)
{
	const char *const arguments[] = {"stop", service, NULL};

	return systemctl(arguments, "it takes no new clients");
}

static int
drain(struct drain *d)
{
	char service[UNIT_MAX];
	int r;

	snprintf(service, sizeof(service), "herd@%s.service", d->name);
	/* One that was started by hand would not be stopped, and what listens for it is nobody's to close. */
	r = systemctl_must_be_active(service, d->name, "nothing was changed");
	if (r == 0)
		r = program_must_answer(d->member, d->ctl, HERD_CONTROL_STATUS);
	if (r != 0)
		return r;
	d->pid = program_pid(d->member);
	d->clients = reply_count(d->member->reply, "clients");
	r = close_sockets(d);
	if (r == 0)
		r = close_doors(d);
	if (r == 0)
		r = wait_for_clients(d);
	progress_clear(&d->progress);
	return r == 0 ? stop(service) : r;
}

static int
show(const struct drain *d)
{
	struct writer *w = d->ctl->out;
	char undo[UNIT_MAX];

	snprintf(undo, sizeof(undo), "systemctl start herd@%s", d->name);
	writer_object_begin(w, NULL);
	writer_string(w, "member", d->name);
	writer_style(w, d->is_idle ? WRITER_GOOD : WRITER_WARNING);
	writer_bool(w, "drained", d->is_idle, "yes", "no, time was up");
	writer_count(w, "clients", d->clients);
	writer_count(w, "cut_off", d->left);
	writer_duration(w, "took", clock_monotonic_ns() - d->began_ns);
	writer_string(w, "undo", undo);
	writer_object_end(w);
	return d->is_idle ? CTL_OK : CTL_NO;
}

static int
drain_run(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP(programs_done) struct programs p = {};
	int64_t timeout_ns = TIMEOUT_NS;
	struct drain d = {.ctl = ctl, .name = argv[0], .progress = progress_begin(ctl)};
	int r;

	r = ctl_option_duration(ctl, "timeout", CLOCK_MSEC_NS, &timeout_ns);
	if (r == 0)
		r = programs_take(&p, ctl, NULL, argc, argv);
	if (r != 0)
		return r;
	d.member = &p.at[0];
	d.began_ns = clock_monotonic_ns();
	d.end_ns = d.began_ns + timeout_ns;
	r = drain(&d);
	return r == 0 ? show(&d) : r;
}

const struct command command_drain = {
	.name = "drain",
	.operands = "NAME",
	.help = "Take a member out of service without cutting off its clients",
	.more = "Closes its sockets, lets those who are connected go on until they leave, then stops it.\n"
		"'systemctl start herd@NAME' undoes it. Exit code 1: time was up, and the rest was cut off;\n"
		"2: it is not systemd's to stop, or cannot be asked.",
	.entries =
		(const struct options_entry[]){
			{.name = "timeout",
			 .argument = "TIME",
			 .help = "Stop it after this long, whoever is connected (5min)"},
			{0},
		},
	.operands_min = 1,
	.operands_max = 1,
	.run = drain_run,
};
