/*
 * Crowd: a hash table with a chain per bucket. It counts also while nothing
 * is limited, so that a limit set by a reload knows who is there; that costs
 * less than a hundredth of accepting. The hash is keyed: whoever owns many
 * addresses cannot choose them so that they meet in one chain.
 */
#include "member/crowd.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/hash.h"

enum { CROWD_FIRST = 64 }; /* buckets; as many as there are addresses later on */

/* The high half of what stands for an IPv4 address: as an IPv6 prefix it is multicast, from which nobody
   connects. */
#define CROWD_IPV4 UINT64_C(0xffffffff00000000)

struct crowd_address {
	uint64_t prefix; /* a /64's first eight bytes, or CROWD_IPV4 and the IPv4 address */
	struct crowd_address *next;
	uint32_t count; /* connections, never 0 */
};

struct crowd {
	struct hash_key key;
	struct crowd_address **bucket;
	uint32_t buckets; /* a power of two */
	uint32_t addresses;
};

int
crowd_new(struct crowd **ret)
{
	CLEANUP(crowd_freep) struct crowd *crowd = calloc(1, sizeof(*crowd));
	int r;

	if (!crowd)
		return -ENOMEM;
	r = hash_key_random(&crowd->key);
	if (r < 0)
		return r;
	crowd->bucket = calloc(CROWD_FIRST, sizeof(struct crowd_address *));
	if (!crowd->bucket)
		return -ENOMEM;
	crowd->buckets = CROWD_FIRST;
	*ret = crowd;
	crowd = NULL;
	return 0;
}

struct crowd *
crowd_free(struct crowd *crowd)
{
	if (crowd) {
		assert(crowd->addresses == 0);
		free(crowd->bucket);
		free(crowd);
	}
	return NULL;
}

uint32_t
crowd_addresses(const struct crowd *crowd)
{
	return crowd->addresses;
}

/* false: it has no address. */
static bool
prefix_of(const struct sockaddr *peer, uint64_t *ret)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)peer;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;
	uint64_t prefix = 0;

	if (peer->sa_family == AF_INET)
		prefix = CROWD_IPV4 | ntohl(in4->sin_addr.s_addr);
	else if (peer->sa_family != AF_INET6)
		return false;
	else if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		prefix = CROWD_IPV4 | ntohl(in6->sin6_addr.s6_addr32[3]);
	else
		prefix = (uint64_t)ntohl(in6->sin6_addr.s6_addr32[0]) << 32 |
			 ntohl(in6->sin6_addr.s6_addr32[1]);
	*ret = prefix;
	return true;
}

static struct crowd_address **
bucket_of(const struct crowd *crowd, uint64_t prefix)
{
	uint64_t hash = hash_siphash13(&crowd->key, &prefix, sizeof(prefix));

	return &crowd->bucket[hash & (crowd->buckets - 1)];
}

static void
bucket_add(struct crowd *crowd, struct crowd_address *address)
{
	struct crowd_address **bucket = bucket_of(crowd, address->prefix);

	address->next = *bucket;
	*bucket = address;
}

/* Twice as many buckets; without the memory for them the chains grow longer. */
static void
crowd_grow(struct crowd *crowd)
{
	struct crowd_address **old = crowd->bucket;
	uint32_t old_buckets = crowd->buckets;
	struct crowd_address **bucket = calloc((size_t)old_buckets * 2, sizeof(struct crowd_address *));

	if (!bucket)
		return;
	crowd->bucket = bucket;
	crowd->buckets = old_buckets * 2;
	for (uint32_t i = 0; i < old_buckets; i++) {
		struct crowd_address *address, *next;

		for (address = old[i]; address; address = next) {
			next = address->next;
			bucket_add(crowd, address);
		}
	}
	free(old);
}

static struct crowd_address *
crowd_find(const struct crowd *crowd, uint64_t prefix)
{
	struct crowd_address *address = *bucket_of(crowd, prefix);

	while (address && address->prefix != prefix)
		address = address->next;
	return address;
}

int
crowd_enter(struct crowd *crowd, const struct sockaddr *peer, uint32_t most,
	    struct crowd_address **ret_address)
{
	struct crowd_address *address;
	uint64_t prefix;

	if (!prefix_of(peer, &prefix)) {
		*ret_address = NULL;
		return 0;
	}
	address = crowd_find(crowd, prefix);
	if (address && most > 0 && address->count >= most)
		return CROWD_E_FULL;
	if (!address) {
		address = calloc(1, sizeof(*address));
		if (!address)
			return -ENOMEM;
		address->prefix = prefix;
		if (crowd->addresses >= crowd->buckets)
			crowd_grow(crowd);
		bucket_add(crowd, address);
		crowd->addresses++;
	}
	address->count++;
	*ret_address = address;
	return 0;
}

void
crowd_leave(struct crowd *crowd, struct crowd_address *address)
{
	struct crowd_address **link;

	if (!address || --address->count > 0)
		return;
	for (link = bucket_of(crowd, address->prefix); *link != address; link = &(*link)->next)
		assert(*link);
	*link = address->next;
	free(address);
	crowd->addresses--;
}
