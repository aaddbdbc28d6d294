#ifndef BASE_HASH_H
#define BASE_HASH_H
/*
 * SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
 * 2012): a keyed hash, so that nobody without the key can choose ids that
 * collide. Not for anything that must stay secret.
 */
#include <stddef.h>
#include <stdint.h>

struct hash_key {
	uint64_t k0, k1;
};

uint64_t hash_siphash13(const struct hash_key *key, const void *bytes, size_t len);

/* Fills a new key from the kernel's random source; negative errno. */
int hash_key_random(struct hash_key *ret_key);

#endif
