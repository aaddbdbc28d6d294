/*
 * Lines of a link, put together. Nothing here can fail: who calls has the
 * room, and what is put was checked when it came.
 */
#include "flood/link-line.h"

static char *
put_hex(char *out, uint64_t value)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*out++ = "0123456789abcdef"[value >> shift & 15];
	return out;
}

static char *
put_host_id(char *out, const uint8_t id[NAMES_HOST_ID_BYTES])
{
	for (unsigned int i = 0; i < NAMES_HOST_ID_BYTES; i++) {
		*out++ = "0123456789abcdef"[id[i] >> 4];
		*out++ = "0123456789abcdef"[id[i] & 15];
	}
	return out;
}

static char *
put_verb(char *out, enum link_verb verb)
{
	out = text_put(out, link_verb_name(verb));
	*out++ = ' ';
	return out;
}

static char *
put_since(char *out, enum link_verb verb, int64_t since_s)
{
	return text_put_u64(put_verb(out, verb), (uint64_t)since_s);
}

char *
link_put_hello(char *out, const struct link_self *self)
{
	out = text_put_u64(put_verb(out, LINK_HERD), LINK_VERSION);
	*out++ = ' ';
	out = text_put(out, text_of(self->herd));
	*out++ = ' ';
	out = put_host_id(out, self->host_id);
	*out++ = ' ';
	out = put_hex(out, self->incarnation);
	*out++ = ' ';
	out = text_put(out, text_of(self->host));
	out = text_put_u64(text_put(out, TEXT(" ttl=")), (uint64_t)self->ttl_s);
	out = put_hex(text_put(out, TEXT(",key=")), self->key_check);
	out = text_put(out, TEXT(",ask"));
	*out++ = '\n';
	return out;
}

char *
link_put_resume(char *out, uint64_t incarnation, uint64_t seq)
{
	out = put_hex(put_verb(out, LINK_RESUME), incarnation);
	*out++ = ' ';
	out = text_put_u64(out, seq);
	*out++ = '\n';
	return out;
}

char *
link_put_number(char *out, enum link_verb verb, uint64_t number)
{
	out = text_put_u64(put_verb(out, verb), number);
	*out++ = '\n';
	return out;
}

char *
link_put_name(char *out, const struct link_name *name)
{
	out = text_put(put_verb(out, LINK_NAME), name->server);
	*out++ = ' ';
	out = put_host_id(out, name->host_id);
	*out++ = ' ';
	out = text_put_u64(out, (uint64_t)name->boot_s);
	*out++ = '\n';
	return out;
}

char *
link_put_root(char *out, enum link_verb verb, int64_t since_s, uint64_t sum)
{
	out = put_since(out, verb, since_s);
	*out++ = ' ';
	out = put_hex(out, sum);
	*out++ = '\n';
	return out;
}

char *
link_put_groups(char *out, int64_t since_s, const uint64_t sums[DIGEST_GROUPS])
{
	out = put_since(out, LINK_GRP, since_s);
	for (unsigned int i = 0; i < DIGEST_GROUPS; i++) {
		*out++ = ' ';
		out = put_hex(out, sums[i]);
	}
	*out++ = '\n';
	return out;
}

char *
link_put_buckets(char *out, int64_t since_s, const struct link_sums *sums)
{
	out = put_since(out, LINK_DIG, since_s);
	*out++ = ' ';
	out = text_put_u64(out, sums->group);
	for (unsigned int i = 0; i < DIGEST_BUCKETS; i++) {
		*out++ = ' ';
		if (sums->fresh >> i & 1)
			*out++ = '-';
		else
			out = put_hex(out, sums->sum[i]);
	}
	*out++ = '\n';
	return out;
}

char *
link_put_pull(char *out, int64_t since_s, unsigned int group, uint64_t buckets)
{
	out = put_since(out, LINK_PULL, since_s);
	for (unsigned int i = 0; i < DIGEST_BUCKETS; i++) {
		if (!(buckets >> i & 1))
			continue;
		*out++ = ' ';
		out = text_put_u64(out, group * DIGEST_BUCKETS + i);
	}
	*out++ = '\n';
	return out;
}

char *
link_put_done(char *out)
{
	return text_put(out, TEXT("DONE\n"));
}

char *
link_put_bye(char *out, const char *reason)
{
	out = text_put(put_verb(out, LINK_BYE), text_of(reason));
	*out++ = '\n';
	return out;
}
