/*
 * Doctor: the programs of this herd, asked for themselves, as clients see
 * them, and for their links to other hosts.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "conf/hosts.h"
#include "ctl/ca-cert.h"
#include "ctl/client.h"
#include "ctl/doctor.h"
#include "ctl/reply.h"

enum {
	CHECK_MAX = 128,
	CERTIFICATE_MAX = 64 << 10,
	PEERS_MAX = 1024,
	DAY_S = 86400,
	EXPIRES_SOON_S = 14 * DAY_S,
};

#define ANSWER_NS (2 * CLOCK_SECOND_NS)

/* --- what they say of themselves ------------------------------------------------------- */

static void
check_program(struct doctor *d, const struct program *p)
{
	const char *texts[PROGRAM_STRINGS_MAX];
	size_t count = program_strings(p, "degraded", texts), told = 0;

	for (size_t i = 0; i < count; i++) {
		if (doctor_is_of_service(p, texts[i]))
			continue;
		doctor_find(d, DOCTOR_WARNING, p->name, "%s", texts[i]);
		told++;
	}
	if (p->reply && told == 0)
		doctor_find(d, DOCTOR_GOOD, p->name, "%.*s", (int)program_string(p, "facts").len,
			    program_string(p, "facts").at);
	if (!p->reply && p->error == -EACCES)
		doctor_find(d, DOCTOR_WARNING, p->name, "may not be asked by this user: ask as root");
	else if (!p->reply && p->pid)
		doctor_find(d, DOCTOR_BAD, p->name,
			    "pid %d runs, but does not answer at %s: %s; if it hangs, its watchdog or "
			    "`herdctl restart` ends that",
			    (int)p->pid, p->path, strerror(-p->error));
}

void
doctor_programs(struct doctor *d)
{
	size_t asked = 0;

	for (size_t i = 0; i < d->programs.count; i++) {
		if (program_is_gone(&d->programs.at[i]))
			continue;
		asked++;
		check_program(d, &d->programs.at[i]);
	}
	if (asked == 0)
		doctor_find(d, DOCTOR_BAD, "programs", "none of this herd runs (shm = %s, control-dir = %s)",
			    d->ctl->shm, d->ctl->conf->control_dir);
}

/* --- as clients see them ------------------------------------------------------------------ */

/* Any member refuses this line, and changes nothing for it. */
static void
check_address(struct doctor *d, const char *member, const struct address *address)
{
	CLEANUP(buffer_done) struct buffer reply = {.max = CLIENT_REPLY_MAX};
	char text[ADDRESS_TEXT_MAX], check[CHECK_MAX];
	int64_t began_ns = clock_monotonic_ns();
	int r;

	address_format((const struct sockaddr *)&address->socket, text);
	snprintf(check, sizeof(check), "%s at %s", member, text);
	r = client_ask(text, TEXT("herdctl doctor"), MESSAGE_INVALID, ANSWER_NS, &reply);
	if (r == 0 && reply.len > 2 && memcmp(reply.bytes, "? ", 2) == 0)
		doctor_find(d, DOCTOR_GOOD, check, "answers in %.1f ms",
			    (double)(clock_monotonic_ns() - began_ns) / CLOCK_MSEC_NS);
	else if (r == 0)
		doctor_find(d, DOCTOR_BAD, check, "something else than a member answers there");
	else
		doctor_find(d, DOCTOR_BAD, check,
			    "does not answer: %s; `systemctl status herd@%s.socket herd@%s`", strerror(-r),
			    member, member);
}

void
doctor_sockets(struct doctor *d)
{
	for (size_t i = 0; i < d->roster.count; i++) {
		const struct conf_entry *e = &d->roster.at[i];

		/* Port 0 is any that was free: settings do not tell which. */
		for (size_t k = 0; k < e->conf.listen.count; k++)
			if (address_port(&e->conf.listen.at[k]) != 0)
				check_address(d, e->name, &e->conf.listen.at[k]);
	}
}

/* --- links to other hosts --------------------------------------------------------------------- */

static bool
is_linked(const struct conf *conf)
{
	return conf->flood_peers.count > 0 || conf->flood_hosts.count > 0 || conf->flood_listen.count > 0;
}

static void
check_peer(struct doctor *d, const struct json_object *peer)
{
	struct text host = reply_text(peer, "host"), state = reply_text(peer, "state"),
		    error = reply_text(peer, "error");
	char check[CHECK_MAX];

	if (host.len == 0)
		host = reply_text(peer, "address");
	snprintf(check, sizeof(check), "link with %.*s", (int)host.len, host.at);
	if (text_equal(state, TEXT("up")))
		doctor_find(d, DOCTOR_GOOD, check, "up, %" PRIu64 " changes behind",
			    reply_count(peer, "lag_changes"));
	else
		doctor_find(d, DOCTOR_WARNING, check, "%.*s%s%.*s", (int)state.len, state.at,
			    error.len ? ": " : "", (int)error.len, error.at);
}

/* A file that is wrong keeps the helper from starting; the one that runs has the list it had. */
static void
check_hosts(struct doctor *d)
{
	CLEANUP(hosts_done) struct hosts hosts = {0};
	char why[HOSTS_WHY_MAX];

	if (hosts_read_known(&hosts, d->ctl->conf, why) != 0)
		doctor_find(d, DOCTOR_BAD, "list of hosts",
			    "%s; the helper keeps the list it has, and does not start with this one", why);
}

void
doctor_peers(struct doctor *d)
{
	CLEANUP(programs_done) struct programs helper = {};
	const struct json_object *peers;
	uint64_t conflicts;

	if (!is_linked(d->ctl->conf))
		return;
	check_hosts(d);
	if (programs_add(&helper, d->ctl, NULL) < 0)
		return;
	program_ask(&helper.at[0], d->ctl, HERD_CONTROL_PEERS, ANSWER_NS);
	if (!program_is_ok(&helper.at[0])) {
		doctor_find(d, DOCTOR_BAD, "links", "the helper cannot be asked for them");
		return;
	}
	peers = reply_list(helper.at[0].reply, "peers");
	for (size_t i = 0; i < reply_length(peers) && i < PEERS_MAX; i++)
		check_peer(d, reply_entry(peers, i));
	conflicts = reply_count(helper.at[0].reply, "name_conflicts");
	if (conflicts > 0)
		doctor_find(d, DOCTOR_WARNING, "links",
			    "%" PRIu64 " member names are used on more than one host: rename these members",
			    conflicts);
}

/* --- certificates ------------------------------------------------------------------------------- */

/* The first one in the file. */
static int
read_certificate(const char *folder, const char *name, X509 **ret)
{
	CLEANUP(buffer_done) struct buffer pem = {.max = CERTIFICATE_MAX};
	CLEANUP(cleanup_close) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : file_read(fd, name, &pem);

	return r < 0 ? r : ca_cert_read((struct text){pem.bytes, pem.len}, ret);
}

static void
check_certificate(struct doctor *d, const char *name, const char *remedy)
{
	CLEANUP(X509_freep) X509 *certificate = NULL;
	const char *folder = d->ctl->conf->flood_tls_dir;
	int r = read_certificate(folder, name, &certificate);
	int64_t left_s;

	if (r == -ENOENT)
		return;
	if (r < 0) {
		doctor_find(d, DOCTOR_BAD, name, "in '%s' cannot be read: %s", folder,
			    r == -EBADMSG ? ca_cert_why() : strerror(-r));
		return;
	}
	left_s = ca_cert_until_s(certificate) - clock_now_ns() / CLOCK_SECOND_NS;
	if (left_s <= 0)
		doctor_find(d, DOCTOR_BAD, name, "in '%s' has expired: other hosts refuse it; %s", folder,
			    remedy);
	else
		doctor_find(d, left_s < EXPIRES_SOON_S ? DOCTOR_WARNING : DOCTOR_GOOD, name,
			    "in '%s' is good for %" PRId64 " days%s%s", folder, left_s / DAY_S,
			    left_s < EXPIRES_SOON_S ? ": " : "", left_s < EXPIRES_SOON_S ? remedy : "");
}

void
doctor_certificates(struct doctor *d)
{
	if (!is_linked(d->ctl->conf))
		return;
	check_certificate(d, "ca.crt", "make another authority, see herd-flood(8)");
	check_certificate(d, "host.crt", "`herdctl ca issue NAME --renew` where the authority is");
}
