/*
 * One peer is one attempt to be linked, and its end is looked after in one
 * place, peers_reap(), between two turns of the loop: whatever ended it, and in
 * whatever call, nothing is freed while somebody still looks at it, and the
 * mesh hears of ups and downs when nobody is in the middle of anything.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flood/peers-private.h"
#include "herd/events.h"

enum { ERROR_MAX = 200 };

#define REST_BYE_NS	CLOCK_SECOND_NS	       /* it goes down: maybe only to be started again */
#define REST_REFUSED_NS (10 * CLOCK_SECOND_NS) /* it does not want us, or we it: that takes an operator */

static struct peer *
peer_check(void *arg)
{
	struct peer *peer = arg;

	assert(peer->magic == PEER_MAGIC);
	return peer;
}

/* NULL: the number is none, or there is no memory for what is remembered of it. */
static struct place *
place_of(struct peers *p, uint32_t host)
{
	unsigned int count = mesh_hosts(p->mesh);
	struct place *places;

	if (host >= count)
		return NULL;
	if (count > p->place_count) {
		places = reallocarray(p->places, count, sizeof(*places));
		if (!places)
			return NULL;
		memset(places + p->place_count, 0, (count - p->place_count) * sizeof(*places));
		p->places = places;
		p->place_count = count;
	}
	return &p->places[host];
}

static const char *
name_of(const struct peer *peer)
{
	return peer->name[0] ? peer->name : peer->where;
}

static const char *
why_of(const struct peer *peer)
{
	return peer->connection && connection_why(peer->connection)[0] ? connection_why(peer->connection)
								       : peer->why;
}

/* --- what the journal hears ------------------------------------------------------ */

static void
say_up(struct peer *peer)
{
	struct peers *p = peer->peers;

	if (log_enabled(LOG_INFO) && log_limit_allow(&p->comings, clock_monotonic_ns()))
		log_event(LOG_INFO, MSG_PEER_UP,
			  LOG_FIELDS("HERD_PEER=%s", peer->name, "HERD_ADDRESS=%s", peer->where),
			  "Linked with '%s' (%s, %s)", peer->name, peer->where,
			  connection_tls(peer->connection) ? "TLS" : "plain");
}

static void
say_down(struct peer *peer)
{
	struct peers *p = peer->peers;

	if (log_enabled(LOG_NOTICE) && log_limit_allow(&p->comings, clock_monotonic_ns()))
		log_event(p->is_stopping ? LOG_INFO : LOG_NOTICE, MSG_PEER_DOWN,
			  LOG_FIELDS("HERD_PEER=%s", peer->name, "HERD_ADDRESS=%s", peer->where,
				     "HERD_REASON=%s", why_of(peer)),
			  "The link with '%s' (%s) has ended: %s", peer->name, peer->where, why_of(peer));
}

/* Whom we dial is dialled again and again: one message until there is another reason. */
static void
say_refused(struct peer *peer)
{
	struct peers *p = peer->peers;
	const struct place *place = place_of(p, peer->host);
	bool dialled = connection_is_dialled(peer->connection);

	p->figures.refused++;
	if (dialled && place && place->error && strncmp(place->error, why_of(peer), ERROR_MAX) == 0)
		return;
	if (log_enabled(LOG_WARNING) && log_limit_allow(&p->refusals, clock_monotonic_ns()))
		log_event(LOG_WARNING, MSG_PEER_REFUSED,
			  LOG_FIELDS("HERD_PEER=%s", name_of(peer), "HERD_ADDRESS=%s", peer->where,
				     "HERD_REASON=%s", why_of(peer)),
			  "No link %s '%s' (%s): %s", dialled ? "with" : "from", name_of(peer), peer->where,
			  why_of(peer));
}

/* Once for each host, until it is there. */
static void
say_unreachable(struct peer *peer)
{
	struct place *place = place_of(peer->peers, peer->host);

	peer->peers->figures.unreachable++;
	if (!place || place->is_unreachable)
		return;
	place->is_unreachable = true;
	if (log_limit_allow(&peer->peers->troubles, clock_monotonic_ns()))
		log_notice("Cannot reach '%s', trying again: %s", name_of(peer), peer->why);
}

/* --- beginnings -------------------------------------------------------------------- */

static struct peer *
peer_new(struct peers *p, uint32_t host)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	*peer = (struct peer){.magic = PEER_MAGIC, .peers = p, .next = p->first, .host = host};
	p->first = peer;
	return peer;
}

static int
peer_on_greeted(void *arg, const char *host, const uint8_t host_id[16], char why[LINK_WHY_MAX])
{
	struct peer *peer = peer_check(arg);
	int r = peer_judge(peer, host, host_id, why);

	if (r != 0)
		return r;
	peer->acquaintance = peers_make_acquaintance(peer->peers, host_id);
	if (peer->acquaintance) {
		peer->acquaintance->users++;
		peer->acquaintance->address = *connection_address(peer->connection);
		link_set_memory(connection_link(peer->connection), &peer->acquaintance->memory);
	}
	peer->is_greeted = true;
	teach_greeted(&peer->peers->teach, connection_link(peer->connection));
	return 0;
}

static void
peer_on_parked(void *arg, const struct herd_fix *fix)
{
	peers_parked(peer_check(arg), fix);
}

static void
peer_on_resynced(void *arg, bool diverged, uint64_t lines, int64_t took_ns)
{
	peers_resynced(peer_check(arg), diverged, lines, took_ns);
}

static int
peer_on_open(void *arg, struct connection *c, struct link **ret)
{
	struct peer *peer = peer_check(arg);
	struct peers *p = peer->peers;

	(void)c;
	peer->hooks = (struct link_hooks){.arg = peer,
					  .greeted = peer_on_greeted,
					  .resynced = peer_on_resynced,
					  .parked = peer_on_parked};
	return link_new(ret, &p->setup.self, p->replica, p->names, &peer->hooks, clock_now_ns());
}

static void
peer_on_up(void *arg, struct connection *c)
{
	struct peer *peer = peer_check(arg);

	(void)c;
	peer->is_up = true;
	peer->up_ns = clock_now_ns();
	peer->peers->figures.up++;
	say_up(peer);
	teach_up(&peer->peers->teach, connection_link(peer->connection), clock_monotonic_ns());
}

static const struct connection_hooks connection_hooks = {peer_on_open, peer_on_up};

static void
begin(struct peer *peer, int fd, const struct address *address, bool dialled)
{
	struct peers *p = peer->peers;
	const struct connection_options options = {
		.loop = p->loop,
		.scratch = p->scratch,
		.hooks = &connection_hooks,
		.arg = peer,
		.tls = p->setup.tls,
		.dialled = dialled,
		.name = dialled && peer->name[0] ? peer->name : NULL,
		.address = address,
	};
	int r = connection_new(&peer->connection, fd, &options);

	if (r < 0) {
		snprintf(peer->why, sizeof(peer->why), "%s", strerror(-r));
		peer->is_over = true;
	}
}

static void
peer_on_dialled(void *arg, int fd, const struct address *where, const char *why)
{
	struct peer *peer = peer_check(arg);

	if (fd >= 0) {
		begin(peer, fd, where, true);
	} else {
		snprintf(peer->why, sizeof(peer->why), "%s", why);
		peer->is_over = true;
		say_unreachable(peer);
	}
	peer->dial = dial_free(peer->dial);
}

void
peer_dial(struct peers *p, uint32_t number)
{
	const struct host *host = mesh_host(p->mesh, number);
	struct peer *peer = peer_new(p, number);
	int r;

	if (!peer) {
		mesh_down(p->mesh, number, clock_monotonic_ns());
		return;
	}
	peer->owes = true;
	p->figures.dialled++;
	snprintf(peer->name, sizeof(peer->name), "%s", host ? host->name : "");
	snprintf(peer->where, sizeof(peer->where), "%s", host ? host->address : "");
	r = dial_start(&peer->dial, p->loop, peer->where, peer_on_dialled, peer);
	if (r < 0) {
		snprintf(peer->why, sizeof(peer->why), "%s", strerror(-r));
		peer->is_over = true;
	}
}

void
peer_accept(struct peers *p, int fd, const struct address *address)
{
	struct peer *peer = peer_new(p, PEERS_NOBODY);

	if (!peer) {
		close(fd);
		return;
	}
	p->figures.accepted++;
	address_format((const struct sockaddr *)&address->socket, peer->where);
	begin(peer, fd, address, false);
}

/* --- ends ------------------------------------------------------------------------------ */

void
peer_free(struct peer *peer)
{
	const struct link *l = peer->connection ? connection_link(peer->connection) : NULL;

	if (l) {
#define X(name, help) peer->peers->past.name += link_figures(l)->name;
		LINK_FIGURES(X)
#undef X
	}
	dial_free(peer->dial);
	connection_free(peer->connection);
	if (peer->acquaintance)
		peer->acquaintance->users--;
	peer->magic = 0;
	free(peer);
}

static void
hang_up(struct peer *peer, const char *reason)
{
	if (peer->connection) {
		connection_end(peer->connection, reason);
	} else if (!peer->is_over) {
		snprintf(peer->why, sizeof(peer->why), "%s", reason);
		peer->dial = dial_free(peer->dial);
		peer->is_over = true;
	}
}

void
peers_hang_up(struct peers *p, uint32_t host, const char *reason)
{
	bool is_gone = mesh_host(p->mesh, host) == NULL;

	for (struct peer *peer = p->first; peer; peer = peer->next)
		if (peer->host == host &&
		    (is_gone || (peer->connection && connection_is_dialled(peer->connection))))
			hang_up(peer, reason);
}

void
peers_hang_up_all(struct peers *p, const char *reason)
{
	for (struct peer *peer = p->first; peer; peer = peer->next)
		hang_up(peer, reason);
}

struct peer *
peers_find(struct peers *p, uint32_t host)
{
	for (struct peer *peer = p->first; peer; peer = peer->next)
		if (peer->host == host && host != PEERS_NOBODY && peer->is_greeted && !peer->is_lost)
			return peer;
	return NULL;
}

/* --- what the mesh hears ------------------------------------------------------------------ */

/* There is a link with that host, whichever it is. */
static void
count_up(struct peer *peer)
{
	struct peers *p = peer->peers;
	struct place *place = place_of(p, peer->host);

	peer->owes = false;
	peer->is_counted = true;
	if (!place)
		return;
	free(place->error);
	place->error = NULL;
	place->is_unreachable = false;
	if (!place->is_up) {
		place->is_up = true;
		mesh_up(p->mesh, peer->host, clock_monotonic_ns());
	}
}

static void
tell_mesh_down(struct peer *peer)
{
	struct peers *p = peer->peers;
	struct place *place = place_of(p, peer->host);
	const struct link *l = peer->connection ? connection_link(peer->connection) : NULL;
	int64_t now_ns = clock_monotonic_ns(), rest_ns = peer->rest_ns;

	if (!place || !(peer->owes || peer->is_counted))
		return;
	place->is_up = false;
	free(place->error);
	place->error = strndup(why_of(peer), ERROR_MAX);
	if (rest_ns == 0 && l && link_heard_bye(l))
		rest_ns = peer->is_up ? REST_BYE_NS : REST_REFUSED_NS;
	if (rest_ns > 0)
		mesh_rest(p->mesh, peer->host, rest_ns, now_ns);
	else
		mesh_down(p->mesh, peer->host, now_ns);
}

/* Its end is certain, whatever is still to be said to it. */
static void
lose(struct peer *peer)
{
	struct peers *p = peer->peers;
	struct peer *other;

	peer->is_lost = true;
	if (peer->is_greeted)
		teach_lost(&p->teach, connection_link(peer->connection), clock_monotonic_ns());
	other = peers_find(p, peer->host);
	p->figures.down += peer->is_up;
	if (peer->is_duplicate || (other && peer->is_up))
		log_debug("One link with '%s' is enough: ended one of two", peer->name);
	else if (peer->is_up)
		say_down(peer);
	else if (peer->connection && !p->is_stopping)
		say_refused(peer);
	if (!other)
		tell_mesh_down(peer);
	else
		other->owes = other->owes || (peer->owes && !other->is_counted);
}

static void
free_ended(struct peers *p)
{
	struct peer **link = &p->first;

	while (*link) {
		struct peer *peer = *link;

		if (!peer->is_lost ||
		    (peer->connection && connection_state(peer->connection) != CONNECTION_ENDED)) {
			link = &peer->next;
			continue;
		}
		*link = peer->next;
		peer_free(peer);
	}
}

void
peers_reap(struct peers *p)
{
	/* New ones are put in front while we are at it: they have their turn the next time. */
	for (struct peer *peer = p->first; peer; peer = peer->next)
		if (peer->is_up && !peer->is_counted && !peer->is_lost)
			count_up(peer);
	for (struct peer *peer = p->first; peer; peer = peer->next)
		if (!peer->is_lost &&
		    (peer->is_over ||
		     (peer->connection && connection_state(peer->connection) >= CONNECTION_CLOSING)))
			lose(peer);
	free_ended(p);
}
