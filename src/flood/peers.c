/*
 * The parts of a host's links, put together: what the settings say (setup), the
 * host's share of the map (replica), whom to be linked with (mesh), and the
 * links themselves. All but the listening sockets begin anew when the table is
 * another one: its slots are the ground that everything stands on.
 */
#include "flood/peers.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "flood/peers-private.h"
#include "herd/events.h"

enum { LAST_FIXES = 4096 /* taken from the table when stopping; what is left is compared with later */ };

#define TICK_NS (100 * CLOCK_MSEC_NS)
#define LAST_NS (300 * CLOCK_MSEC_NS) /* for what members told before we were stopped */

struct peers *
peers_check(void *arg)
{
	struct peers *p = arg;

	assert(p->magic == PEERS_MAGIC);
	return p;
}

/* --- what links, names and the mesh have to say --------------------------------------- */

void
peers_resynced(struct peer *peer, bool diverged, uint64_t lines, int64_t took_ns)
{
	struct peers *p = peer->peers;
	double took_s = (double)took_ns / 1e9;

	if (!log_enabled(diverged ? LOG_WARNING : LOG_INFO) ||
	    !log_limit_allow(&p->comings, clock_monotonic_ns()))
		return;
	if (diverged)
		log_event(
			LOG_WARNING, MSG_PEER_DIVERGED,
			LOG_FIELDS("HERD_PEER=%s", peer->name, "HERD_LINES=%llu", (unsigned long long)lines),
			"Had other fixes than '%s' though the link was up: exchanged %" PRIu64
			" in %.3f s, equal again",
			peer->name, lines, took_s);
	else
		log_event(
			LOG_INFO, MSG_PEER_RESYNCED,
			LOG_FIELDS("HERD_PEER=%s", peer->name, "HERD_LINES=%llu", (unsigned long long)lines),
			"Has the same fixes as '%s' now: exchanged %" PRIu64 " in %.3f s", peer->name, lines,
			took_s);
}

void
peers_parked(struct peer *peer, const struct herd_fix *fix)
{
	struct peers *p = peer->peers;
	char server[HERD_SERVER_MAX + 1] = "";
	int64_t ahead_ns = fix->rx_ns - clock_now_ns();

	memcpy(server, fix->server, fix->server_len);
	p->figures.parked++;
	if (log_enabled(LOG_WARNING) && log_limit_allow(&p->aheads, clock_monotonic_ns()))
		log_event(LOG_WARNING, MSG_PEER_AHEAD,
			  LOG_FIELDS("HERD_SERVER=%s", server, "HERD_PEER=%s", peer->name),
			  "Fixes of server '%s' are %" PRId64 " s in the future, waiting for their time: the "
			  "clock of its host is wrong, or of this one",
			  server, ahead_ns / CLOCK_SECOND_NS);
}

static void
hex_of(const uint8_t id[16], char out[33])
{
	for (size_t i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", id[i]);
}

static void
peers_on_name_conflict(void *arg, const char *server, const uint8_t one[16], const uint8_t other[16])
{
	struct peers *p = peers_check(arg);
	char ids[2][33];

	p->figures.conflicts++;
	hex_of(one, ids[0]);
	hex_of(other, ids[1]);
	if (log_limit_allow(&p->troubles, clock_monotonic_ns()))
		log_event(LOG_ERR, MSG_NAME_CONFLICT,
			  LOG_FIELDS("HERD_SERVER=%s", server, "HERD_HOST_ID=%s", ids[0], "HERD_OTHER_ID=%s",
				     ids[1]),
			  "Two hosts have a member '%s': nobody can tell whose fixes are whose (host ids %s "
			  "and %s)",
			  server, ids[0], ids[1]);
}

static void
peers_on_dial(void *arg, unsigned int host)
{
	peer_dial(peers_check(arg), host);
}

static void
peers_on_hang_up(void *arg, unsigned int host, const char *reason)
{
	peers_hang_up(peers_check(arg), host, reason);
}

static const char *
name_of_host(const struct peers *p, unsigned int host)
{
	const struct host *h = mesh_host(p->mesh, host);

	return !h ? "?" : h->name[0] ? h->name : h->address;
}

static void
peers_on_replaced(void *arg, unsigned int host, unsigned int stand_in)
{
	struct peers *p = peers_check(arg);

	p->figures.replaced++;
	if (log_enabled(LOG_NOTICE) && log_limit_allow(&p->comings, clock_monotonic_ns()))
		log_event(LOG_NOTICE, MSG_PEER_REPLACED,
			  LOG_FIELDS("HERD_PEER=%s", name_of_host(p, host), "HERD_STAND_IN=%s",
				     name_of_host(p, stand_in)),
			  "'%s' stays away: linking with '%s' in its place", name_of_host(p, host),
			  name_of_host(p, stand_in));
}

static void
peers_on_restored(void *arg, unsigned int host)
{
	struct peers *p = peers_check(arg);

	if (log_enabled(LOG_NOTICE) && log_limit_allow(&p->comings, clock_monotonic_ns()))
		log_event(LOG_NOTICE, MSG_PEER_RESTORED, LOG_FIELDS("HERD_PEER=%s", name_of_host(p, host)),
			  "'%s' is back, and has its place again", name_of_host(p, host));
}

/* --- time ---------------------------------------------------------------------------------- */

static bool
everything_is_told(const struct peers *p)
{
	for (const struct peer *peer = p->first; peer; peer = peer->next)
		if (peer->is_up && !peer->is_lost &&
		    replica_has_next(p->replica, link_peer(connection_link(peer->connection))))
			return false;
	return true;
}

/* A host that goes down must not take the last fixes with it. */
static void
look_for_the_end(struct peers *p)
{
	loop_fn *stopped = p->stopped;

	if (p->bye_ns != 0 && (everything_is_told(p) || clock_monotonic_ns() >= p->bye_ns)) {
		p->bye_ns = 0;
		peers_hang_up_all(p, "stopping");
	}
	if (!stopped || p->first || p->bye_ns != 0)
		return;
	p->stopped = NULL;
	stopped(p->stopped_arg);
}

static void
peers_on_later(void *arg)
{
	struct peers *p = peers_check(arg);

	p->later = loop_timer_free(p->later); /* the end of this turn has the rest */
}

/* The first of the links that hold something back is due then. */
static void
look_again(struct peers *p)
{
	const int64_t now_ns = clock_now_ns(), monotonic_ns = clock_monotonic_ns();
	int64_t first_ns = INT64_MAX;

	for (struct peer *peer = p->first; peer; peer = peer->next) {
		const struct link *l = peer->connection ? connection_link(peer->connection) : NULL;
		const int64_t ns = l ? link_waits_ns(l, now_ns) : 0;

		if (ns > 0 && ns < first_ns)
			first_ns = ns;
	}
	if (first_ns == INT64_MAX || (p->later && p->later_ns <= monotonic_ns + first_ns))
		return;
	p->later = loop_timer_free(p->later);
	p->later_ns = monotonic_ns + first_ns;
	if (loop_timer_new(&p->later, p->loop, first_ns, peers_on_later, p) < 0)
		log_debug("No memory for a timer: what links hold back waits for the next turn");
}

static void
peers_on_turn(void *arg)
{
	struct peers *p = peers_check(arg);

	for (struct peer *peer = p->first; peer; peer = peer->next)
		if (peer->connection)
			connection_flush(peer->connection);
	look_again(p);
	if (p->mesh) {
		peers_reap(p);
		drain_confirm(p->drain);
	}
	look_for_the_end(p);
}

static void
peers_on_tick(void *arg)
{
	struct peers *p = peers_check(arg);
	int64_t now_ns = clock_monotonic_ns();

	for (struct peer *peer = p->first; peer; peer = peer->next)
		if (peer->connection)
			connection_tick(peer->connection);
	if (p->is_stopping)
		return;
	mesh_tick(p->mesh, now_ns);
	teach_tick(&p->teach, now_ns);
	peers_watch(p, now_ns);
}

/* --- beginning and beginning anew -------------------------------------------------------------- */

/* Everything that stands on the table. Links are told why, as far as that goes at once. */
static void
tear_down(struct peers *p, const char *reason)
{
	peers_hang_up_all(p, reason);
	for (struct peer *peer = p->first, *next; peer; peer = next) {
		next = peer->next;
		if (peer->connection)
			connection_flush(peer->connection);
		peer_free(peer);
	}
	p->first = NULL;
	p->teach = (struct teach){0};
	p->tick = loop_timer_free(p->tick);
	p->later = loop_timer_free(p->later);
	p->drain = drain_free(p->drain);
	p->mesh = mesh_free(p->mesh);
	p->names = names_free(p->names);
	p->replica = replica_free(p->replica);
	for (unsigned int i = 0; i < p->place_count; i++)
		free(p->places[i].error);
	free(p->places);
	p->places = NULL;
	p->place_count = 0;
	peers_forget_acquaintances(p);
}

static int
make_mesh(struct peers *p)
{
	const struct mesh_hooks hooks = {p, peers_on_dial, peers_on_hang_up, peers_on_replaced,
					 peers_on_restored};
	const struct mesh_options options = {
		.self = p->setup.self.host,
		.key = p->setup.key,
		.site_links = p->conf->flood_site_links,
		.seed = p->setup.self.incarnation,
	};
	int r = mesh_new(&p->mesh, &options, &hooks);

	return r == 0 ? mesh_set_hosts(p->mesh, &p->setup.hosts, p->setup.drawn, clock_monotonic_ns()) : r;
}

static int
build_up(struct peers *p)
{
	int r;

	if (getrandom(&p->setup.self.incarnation, sizeof(p->setup.self.incarnation), 0) < 0)
		return -errno;
	p->setup.self.incarnation |= 1; /* never 0, which means none */
	r = replica_new(&p->replica, p->table, &p->setup.key, p->conf->fix_ttl_ns, clock_now_ns());
	if (r == 0)
		r = names_new(&p->names, p->setup.self.host_id, peers_on_name_conflict, p);
	if (r == 0)
		r = drain_new(&p->drain, p->loop, p->conf);
	if (r == 0)
		r = loop_timer_new(&p->tick, p->loop, TICK_NS, peers_on_tick, p);
	if (r == 0)
		r = make_mesh(p);
	if (r < 0)
		return r;
	replica_set_ack_after(p->replica, p->conf->ack_after);
	drain_use(p->drain, p->replica);
	peers_let_in(p);
	if (replica_count(p->replica) == 0)
		teach_newcomer(&p->teach);
	p->second_ns = p->minute_ns = p->hour_ns = 0;
	return 0;
}

int
peers_start(struct peers *p, struct table *table)
{
	int r;

	tear_down(p, "the table is another one");
	p->table = table;
	if (!p->setup.is_on || p->is_stopping)
		return 0;
	r = build_up(p);
	if (r < 0) {
		tear_down(p, "no memory");
		return log_error_r(r, "Cannot link this host with others");
	}
	peers_say_files(p);
	return 0;
}

static int
say_setup(int r, const char *why)
{
	if (r == SETUP_E_PLAIN)
		log_event(LOG_ERR, MSG_FLOOD_REFUSED, LOG_NO_FIELDS, "Refused: %s", why);
	else if (r > 0)
		log_error("%s", why);
	else
		return log_error_r(r, "Cannot link this host with others");
	return PEERS_E_CONFIG;
}

int
peers_new(struct peers **ret, struct loop *loop, const struct conf *conf)
{
	CLEANUP(peers_freep) struct peers *p = calloc(1, sizeof(*p));
	char why[SETUP_WHY_MAX];
	int r;

	if (!p)
		return log_error_r(-ENOMEM, "Cannot link this host with others");
	*p = (struct peers){
		.magic = PEERS_MAGIC,
		.loop = loop,
		.conf = conf,
		.comings = LOG_LIMIT("links that came and went", 60, 60),
		.refusals = LOG_LIMIT("refused links", 10, 10),
		.troubles = LOG_LIMIT("hosts in trouble", 20, 60),
		.aheads = LOG_LIMIT("fixes from the future", 1, 60),
	};
	r = setup_read(&p->setup, conf, why);
	if (r != 0)
		return say_setup(r, why);
	r = connection_scratch_new(&p->scratch);
	if (r == 0)
		r = peers_listen(p);
	if (r < 0)
		return r;
	loop_after_turn(loop, peers_on_turn, p);
	*ret = p;
	p = NULL;
	return 0;
}

struct peers *
peers_free(struct peers *p)
{
	if (!p)
		return NULL;
	peers_stop_listening(p);
	tear_down(p, "stopping");
	loop_after_turn(p->loop, NULL, NULL);
	connection_scratch_free(p->scratch);
	setup_done(&p->setup);
	p->magic = 0;
	free(p);
	return NULL;
}

void
peers_stop(struct peers *p, loop_fn *done, void *arg)
{
	p->stopped = done;
	p->stopped_arg = arg;
	p->is_stopping = true;
	p->bye_ns = clock_monotonic_ns() + LAST_NS;
	peers_stop_listening(p);
	if (p->replica)
		(void)replica_drain(p->replica, LAST_FIXES, clock_now_ns());
}

/* --- reload -------------------------------------------------------------------------------------- */

static void
take_setup(struct peers *p, struct setup *fresh)
{
	struct setup old = p->setup;
	bool fits = setup_fits(&old, fresh);

	fresh->self.incarnation = old.self.incarnation;
	p->setup = *fresh;
	*fresh = old;
	if (!p->table)
		return;
	if (!fits || !p->mesh) {
		(void)peers_start(p, p->table);
		return;
	}
	replica_set_ack_after(p->replica, p->conf->ack_after);
	mesh_set_ring(p->mesh, &p->setup.key, p->conf->flood_site_links);
	if (mesh_set_hosts(p->mesh, &p->setup.hosts, p->setup.drawn, clock_monotonic_ns()) < 0)
		log_error("Cannot take over the hosts: out of memory");
	peers_judge_again(p);
	peers_say_files(p);
}

bool
peers_reload(struct peers *p, conf_report_fn *report, void *user)
{
	CLEANUP(setup_done) struct setup fresh = {0};
	char why[SETUP_WHY_MAX];
	int r = setup_read(&fresh, p->conf, why);

	if (p->is_stopping)
		return true;
	if (r == 0) {
		if (fresh.tls)
			log_event(LOG_INFO, MSG_TLS_RELOADED, LOG_NO_FIELDS, "Read %s of links anew",
				  tls_is_psk(fresh.tls) ? "the key" : "the certificates");
		take_setup(p, &fresh);
		return true;
	}
	if (say_setup(r, why) > 0 && report)
		report(user, why);
	log_notice("The links stay as they are");
	return false;
}

/* --- figures ---------------------------------------------------------------------------------------- */

const struct peers_figures *
peers_figures(const struct peers *p)
{
	return &p->figures;
}

void
peers_link_figures(const struct peers *p, struct link_figures *ret)
{
	*ret = p->past;
	for (const struct peer *peer = p->first; peer; peer = peer->next) {
		const struct link *l = peer->connection ? connection_link(peer->connection) : NULL;

		if (!l)
			continue;
#define X(name, help) ret->name += link_figures(l)->name;
		LINK_FIGURES(X)
#undef X
	}
}
