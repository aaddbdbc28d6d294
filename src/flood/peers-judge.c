/*
 * Who may be a peer, when it has said who it is. TLS has let it come so far;
 * here its name is compared with its certificate and the list, and the host id
 * tells whether it is somebody whom we are linked with already.
 *
 * Of two links between the same two hosts the one dialled by the host with the
 * smaller id stays: both ends come to that without asking each other.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "flood/peers-private.h"
#include "herd/events.h"

enum { ACQUAINTANCES_MAX = 1024 };

#define REST_SELF_NS	  (300 * CLOCK_SECOND_NS)
#define REST_DUPLICATE_NS (60 * CLOCK_SECOND_NS)

__attribute__((format(printf, 2, 3))) static int
refuse(char why[LINK_WHY_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, LINK_WHY_MAX, format, ap);
	va_end(ap);
	return -EPERM;
}

/* --- hosts that were here before ------------------------------------------------- */

struct acquaintance *
peers_find_acquaintance(struct peers *p, const uint8_t host_id[16])
{
	for (struct acquaintance *a = p->acquaintances; a; a = a->next)
		if (memcmp(a->host_id, host_id, sizeof(a->host_id)) == 0)
			return a;
	return NULL;
}

static void
forget_oldest(struct peers *p)
{
	struct acquaintance **oldest = NULL, *gone;

	for (struct acquaintance **a = &p->acquaintances; *a; a = &(*a)->next)
		if ((*a)->users == 0 && (!oldest || (*a)->seen_ns < (*oldest)->seen_ns))
			oldest = a;
	if (!oldest)
		return;
	gone = *oldest;
	*oldest = gone->next;
	free(gone);
	p->acquaintance_count--;
}

/* NULL: no memory; then the next link with it begins from scratch. */
struct acquaintance *
peers_make_acquaintance(struct peers *p, const uint8_t host_id[16])
{
	struct acquaintance *a = peers_find_acquaintance(p, host_id);

	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a)
			return NULL;
		memcpy(a->host_id, host_id, sizeof(a->host_id));
		if (p->acquaintance_count >= ACQUAINTANCES_MAX)
			forget_oldest(p);
		a->next = p->acquaintances;
		p->acquaintances = a;
		p->acquaintance_count++;
	}
	a->seen_ns = clock_monotonic_ns();
	return a;
}

void
peers_forget_acquaintances(struct peers *p)
{
	struct acquaintance *next;

	for (struct acquaintance *a = p->acquaintances; a; a = next) {
		next = a->next;
		free(a);
	}
	p->acquaintances = NULL;
	p->acquaintance_count = 0;
}

/* --- one of two --------------------------------------------------------------------- */

static struct peer *
find_by_id(struct peers *p, const struct peer *but, const uint8_t host_id[16])
{
	for (struct peer *peer = p->first; peer; peer = peer->next)
		if (peer != but && peer->is_greeted && !peer->is_lost &&
		    connection_state(peer->connection) == CONNECTION_OPEN &&
		    memcmp(link_host_id(connection_link(peer->connection)), host_id, 16) == 0)
			return peer;
	return NULL;
}

static void
say_conflict(struct peer *peer, const char *host, const char *other, const char *where)
{
	struct peers *p = peer->peers;

	p->figures.conflicts++;
	if (log_limit_allow(&p->troubles, clock_monotonic_ns()))
		log_event(
			LOG_ERR, MSG_HOST_CONFLICT,
			LOG_FIELDS("HERD_PEER=%s", host, "HERD_ADDRESS=%s", peer->where, "HERD_OTHER=%s",
				   other),
			"'%s' (%s) and '%s' (%s) have the same name or host id: give each its own (settings "
			"'name' and 'host-id' in [flood]; copies of a machine need a machine-id of their "
			"own)",
			host, peer->where, other, where);
}

/* What the link that goes was to the mesh, the one that stays is from now on. */
static void
hand_over(struct peer *from, struct peer *to)
{
	from->is_duplicate = true;
	if (to->host == PEERS_NOBODY) {
		to->host = from->host;
		to->is_counted = false;
	}
	if (to->host != from->host)
		from->rest_ns = REST_DUPLICATE_NS; /* two entries of the list are one host */
}

static int
settle(struct peer *peer, struct peer *other, const uint8_t host_id[16], char why[LINK_WHY_MAX])
{
	bool dialled = connection_is_dialled(peer->connection);
	bool ours = memcmp(peer->peers->setup.self.host_id, host_id, 16) < 0;

	if (dialled == connection_is_dialled(other->connection) ? dialled : dialled != ours) {
		hand_over(peer, other);
		return refuse(why, "duplicate");
	}
	/* It has come again: the link that we still have is dead, only nobody has told us. */
	hand_over(other, peer);
	connection_end(other->connection, "duplicate");
	return 0;
}

static int
judge_duplicate(struct peer *peer, const char *host, const uint8_t host_id[16], char why[LINK_WHY_MAX])
{
	struct peer *other = find_by_id(peer->peers, peer, host_id);
	bool conflict;

	if (!other)
		return 0;
	conflict = host_name_compare(other->name, host) != 0 ||
		   (!connection_is_dialled(peer->connection) && !connection_is_dialled(other->connection) &&
		    !address_same_host(connection_address(peer->connection),
				       connection_address(other->connection)));
	if (!conflict)
		return settle(peer, other, host_id, why);
	say_conflict(peer, host, other->name, other->where);
	return refuse(why, "the host id is that of '%s' (%s)", other->name, other->where);
}

/* --- who it is ------------------------------------------------------------------------- */

static int
judge_self(struct peer *peer, const char *host, const uint8_t host_id[16], char why[LINK_WHY_MAX])
{
	const struct link_self *self = &peer->peers->setup.self;
	bool same_id = memcmp(self->host_id, host_id, sizeof(self->host_id)) == 0;
	bool same_name = host_name_compare(self->host, host) == 0;

	if (!same_id && !same_name)
		return 0;
	peer->rest_ns = REST_SELF_NS;
	if (same_id && same_name)
		return refuse(why, "this is the same host");
	say_conflict(peer, host, self->host, "this host");
	return refuse(why, "%s as '%s'", same_id ? "the same host id" : "the same name", self->host);
}

static int
judge_list(const struct peers *p, const char *host, char why[LINK_WHY_MAX])
{
	if (p->setup.known.count == 0 || hosts_find(&p->setup.known, host) ||
	    hosts_find(&p->setup.hosts, host))
		return 0;
	return refuse(why, "'%s' is not in the list of hosts here", host);
}

static int
judge_name(struct peer *peer, const char *host, char why[LINK_WHY_MAX])
{
	struct peers *p = peer->peers;
	const struct tls_session *tls = connection_tls(peer->connection);

	if (connection_is_dialled(peer->connection) && peer->name[0] &&
	    host_name_compare(peer->name, host) != 0)
		return refuse(why, "this is '%s', not '%s'", host, peer->name);
	if (!tls || tls_is_psk(p->setup.tls))
		return 0;
	if (!tls_session_is_for(tls, host))
		return refuse(why, "the certificate is for '%.64s', not for '%s'", tls_session_name(tls),
			      host);
	return judge_list(p, host, why);
}

static bool
is_guest(const struct peers *p, uint32_t host)
{
	struct mesh_view view;

	return host == PEERS_NOBODY || !mesh_view(p->mesh, host, &view) || view.why == MESH_GUEST;
}

/* Room for those whom the graph has next to us is kept free of those who just came. */
static int
judge_number(const struct peer *peer, char why[LINK_WHY_MAX])
{
	const struct peers *p = peer->peers;
	unsigned int links = 0, guests = 0;

	for (const struct peer *other = p->first; other; other = other->next) {
		if (other == peer || !other->is_greeted || other->is_lost)
			continue;
		links++;
		guests += is_guest(p, other->host);
	}
	if (links >= PEERS_LINKS_MAX || (is_guest(p, peer->host) && guests >= PEERS_GUESTS_MAX))
		return refuse(why, "enough links");
	return 0;
}

int
peer_judge(struct peer *peer, const char *host, const uint8_t host_id[16], char why[LINK_WHY_MAX])
{
	struct peers *p = peer->peers;
	unsigned int number;
	int r;

	if (p->is_stopping)
		return refuse(why, "stopping");
	r = judge_self(peer, host, host_id, why);
	if (r == 0)
		r = judge_name(peer, host, why);
	if (peer->host == PEERS_NOBODY && r == 0 && mesh_find(p->mesh, host, &number) == 0)
		peer->host = number;
	if (r == 0)
		r = judge_duplicate(peer, host, host_id, why);
	if (r == 0)
		r = judge_number(peer, why);
	snprintf(peer->name, sizeof(peer->name), "%s", host);
	return r;
}

/* False: why it may not stay. */
static bool
may_stay(const struct peers *p, const struct peer *peer, struct tls_session *tls, char why[LINK_WHY_MAX])
{
	char reason[TLS_WHY_MAX];

	if (tls_judge(p->setup.tls, tls, reason))
		return tls_is_psk(p->setup.tls) || judge_list(p, peer->name, why) == 0;
	snprintf(why, LINK_WHY_MAX, "%.*s", LINK_WHY_MAX - 1, reason);
	return false;
}

void
peers_judge_again(struct peers *p)
{
	char why[LINK_WHY_MAX];

	for (struct peer *peer = p->first; peer; peer = peer->next) {
		struct tls_session *tls = peer->connection ? connection_tls(peer->connection) : NULL;

		if (!peer->is_greeted || peer->is_lost || !tls || !p->setup.tls ||
		    may_stay(p, peer, tls, why))
			continue;
		connection_end(peer->connection, why);
		p->figures.refused++;
	}
}
