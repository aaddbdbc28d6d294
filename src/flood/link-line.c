/*
 * Lines of a link. Reading is strict: a line is what link_put_...() would have
 * written, byte for byte, or it is bad. There is one way to say a thing, so
 * whatever reads leniently elsewhere cannot read something else here.
 */
#include "flood/link-line.h"

#include <assert.h>

#include "base/digits.h"
#include "conf/hosts.h"

enum {
	NUMBER_DIGITS = 19, /* of 64 bits, all of which fit */
	HEX_DIGITS = 16,
	VERB_MAX = 16,
};

/* --- words ------------------------------------------------------------------ */

/* Takes the next word; what is left has no `at` after the last one. */
static bool
take_word(struct text *rest, struct text *ret)
{
	const char *space;

	if (!rest->at || rest->len == 0)
		return false;
	space = memchr(rest->at, ' ', rest->len);
	if (!space) {
		*ret = *rest;
		*rest = (struct text){NULL, 0};
		return true;
	}
	*ret = (struct text){rest->at, (size_t)(space - rest->at)};
	*rest = (struct text){space + 1, rest->len - ret->len - 1};
	return ret->len > 0;
}

static bool
parse_number(struct text t, uint64_t *ret)
{
	const char *at = t.at;

	return t.len > 0 && (t.len == 1 || *t.at != '0') &&
	       digits_take(&at, t.at + t.len, NUMBER_DIGITS, ret) == t.len;
}

static bool
take_number(struct text *rest, uint64_t *ret)
{
	struct text word;

	return take_word(rest, &word) && parse_number(word, ret);
}

static int
hex_digit(char c)
{
	if (text_is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
parse_hex(struct text t, uint64_t *ret)
{
	uint64_t value = 0;

	if (t.len != HEX_DIGITS)
		return false;
	for (size_t i = 0; i < HEX_DIGITS; i++) {
		int digit = hex_digit(t.at[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (uint64_t)digit;
	}
	*ret = value;
	return true;
}

static bool
take_hex(struct text *rest, uint64_t *ret)
{
	struct text word;

	return take_word(rest, &word) && parse_hex(word, ret);
}

static bool
take_host_id(struct text *rest, uint8_t ret[NAMES_HOST_ID_BYTES])
{
	uint64_t half[2];
	struct text word;

	if (!take_word(rest, &word) || word.len != (size_t)2 * HEX_DIGITS)
		return false;
	for (size_t i = 0; i < 2; i++)
		if (!parse_hex((struct text){word.at + i * HEX_DIGITS, HEX_DIGITS}, &half[i]))
			return false;
	for (size_t i = 0; i < NAMES_HOST_ID_BYTES; i++)
		ret[i] = (uint8_t)(half[i / 8] >> (56 - i % 8 * 8));
	return true;
}

static bool
take_since(struct text *rest, struct link_line *line)
{
	uint64_t since;

	if (!take_number(rest, &since) || since > INT64_MAX / CLOCK_SECOND_NS)
		return false;
	line->since_s = (int64_t)since;
	return true;
}

/* --- verbs ------------------------------------------------------------------ */

static bool
parse_capability(struct text t, struct link_hello *hello)
{
	static const struct text ttl = {"ttl=", 4}, key = {"key=", 4};
	uint64_t value;

	if (t.len == 0)
		return false;
	if (t.len > ttl.len && memcmp(t.at, ttl.at, ttl.len) == 0) {
		if (hello->has_ttl || !parse_number((struct text){t.at + 4, t.len - 4}, &value) ||
		    value > INT64_MAX)
			return false;
		hello->has_ttl = true;
		hello->ttl_s = (int64_t)value;
	} else if (t.len > key.len && memcmp(t.at, key.at, key.len) == 0) {
		if (hello->has_key || !parse_hex((struct text){t.at + 4, t.len - 4}, &hello->key_check))
			return false;
		hello->has_key = true;
	} else if (text_equal(t, TEXT("ask"))) {
		hello->can_ask = true;
	} else {
		hello->has_more = true;
	}
	return true;
}

static bool
parse_capabilities(struct text t, struct link_hello *hello)
{
	for (;;) {
		const char *comma = memchr(t.at, ',', t.len);
		size_t len = comma ? (size_t)(comma - t.at) : t.len;

		if (!parse_capability((struct text){t.at, len}, hello))
			return false;
		if (!comma)
			return true;
		t = (struct text){comma + 1, t.len - len - 1};
	}
}

static bool
parse_herd(struct text rest, struct link_line *line)
{
	struct link_hello *hello = &line->hello;
	struct text word;

	*hello = (struct link_hello){0};
	if (!take_number(&rest, &hello->version))
		return false;
	if (hello->version != LINK_VERSION)
		return true; /* who knows what its line looks like */
	if (!take_word(&rest, &hello->herd) || !take_host_id(&rest, hello->host_id) ||
	    !take_hex(&rest, &hello->incarnation) || !take_word(&rest, &hello->host) ||
	    !host_name_valid(hello->host))
		return false;
	if (!rest.at)
		return true;
	return take_word(&rest, &word) && !rest.at && parse_capabilities(word, hello);
}

static bool
parse_resume(struct text rest, struct link_line *line)
{
	return take_hex(&rest, &line->resume.incarnation) && take_number(&rest, &line->resume.seq) &&
	       !rest.at;
}

static bool
parse_numbered(struct text rest, struct link_line *line)
{
	return take_number(&rest, &line->number) && !rest.at;
}

static bool
parse_name(struct text rest, struct link_line *line)
{
	uint64_t boot;

	if (!take_word(&rest, &line->name.server) || !fix_server_valid(line->name.server) ||
	    !take_host_id(&rest, line->name.host_id) || !take_number(&rest, &boot) || rest.at ||
	    boot > INT64_MAX)
		return false;
	line->name.boot_s = (int64_t)boot;
	return true;
}

static bool
parse_bye(struct text rest, struct link_line *line)
{
	line->reason = rest;
	return rest.len > 0;
}

static bool
parse_root(struct text rest, struct link_line *line)
{
	return take_since(&rest, line) && take_hex(&rest, &line->number) && !rest.at;
}

static bool
take_sums(struct text *rest, struct link_sums *sums, bool may_be_fresh)
{
	sums->fresh = 0;
	for (unsigned int i = 0; i < DIGEST_GROUPS; i++) {
		struct text word;

		if (!take_word(rest, &word))
			return false;
		if (may_be_fresh && text_equal(word, TEXT("-"))) {
			sums->fresh |= UINT64_C(1) << i;
			sums->sum[i] = 0;
		} else if (!parse_hex(word, &sums->sum[i])) {
			return false;
		}
	}
	return !rest->at;
}

static bool
parse_groups(struct text rest, struct link_line *line)
{
	line->sums.group = 0;
	return take_since(&rest, line) && take_sums(&rest, &line->sums, false);
}

static bool
parse_buckets(struct text rest, struct link_line *line)
{
	uint64_t group;

	if (!take_since(&rest, line) || !take_number(&rest, &group) || group >= DIGEST_GROUPS)
		return false;
	line->sums.group = (unsigned int)group;
	return take_sums(&rest, &line->sums, true);
}

static bool
parse_pull(struct text rest, struct link_line *line)
{
	uint64_t bucket, least = 0;

	if (!take_since(&rest, line))
		return false;
	for (line->pull.count = 0; rest.at; line->pull.count++) {
		if (line->pull.count == DIGEST_BUCKETS || !take_number(&rest, &bucket) || bucket < least ||
		    bucket >= DIGEST_ALL)
			return false;
		line->pull.bucket[line->pull.count] = (uint16_t)bucket;
		least = bucket + 1;
	}
	return true;
}

static bool
parse_nothing(struct text rest, struct link_line *line)
{
	(void)line;
	return !rest.at;
}

static const struct {
	struct text name;
	bool (*parse)(struct text rest, struct link_line *line);
} verbs[] = {
	/* clang-format off */
	[LINK_HERD] =	{{"HERD", 4}, parse_herd},
	[LINK_RESUME] =	{{"RESUME", 6}, parse_resume},
	[LINK_SEQ] =	{{"SEQ", 3}, parse_numbered},
	[LINK_ASK] =	{{"ASK", 3}, parse_numbered},
	[LINK_ACK] =	{{"ACK", 3}, parse_numbered},
	[LINK_NAME] =	{{"NAME", 4}, parse_name},
	[LINK_PING] =	{{"PING", 4}, parse_numbered},
	[LINK_PONG] =	{{"PONG", 4}, parse_numbered},
	[LINK_BYE] =	{{"BYE", 3}, parse_bye},
	[LINK_ROOT] =	{{"ROOT", 4}, parse_root},
	[LINK_SAME] =	{{"SAME", 4}, parse_root},
	[LINK_GRP] =	{{"GRP", 3}, parse_groups},
	[LINK_DIG] =	{{"DIG", 3}, parse_buckets},
	[LINK_PULL] =	{{"PULL", 4}, parse_pull},
	[LINK_DONE] =	{{"DONE", 4}, parse_nothing},
	/* clang-format on */
};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

struct text
link_verb_name(enum link_verb verb)
{
	return verbs[verb].name;
}

/* What a later version may call its own: capital letters, in a line that keeps the rules. */
static bool
is_verb(struct text t)
{
	if (t.len < 1 || t.len > VERB_MAX || text_equal(t, TEXT("AT")))
		return false;
	for (size_t i = 0; i < t.len; i++)
		if (t.at[i] < 'A' || t.at[i] > 'Z')
			return false;
	return true;
}

int
link_line_parse(struct text line, struct link_line *ret)
{
	struct text rest = line, verb;

	if (!text_is_printable(line) || !take_word(&rest, &verb))
		return LINK_LINE_E_BAD;
	for (unsigned int i = 0; i < VERBS; i++) {
		if (!text_equal(verb, verbs[i].name))
			continue;
		ret->verb = (enum link_verb)i;
		return verbs[i].parse(rest, ret) ? 0 : LINK_LINE_E_BAD;
	}
	return is_verb(verb) ? LINK_LINE_E_UNKNOWN : LINK_LINE_E_BAD;
}

void
link_escape(struct text t, char *out, size_t size)
{
	size_t used = 0, cut = 0; /* cut: where "..." still fits */

	assert(size >= 8);
	for (size_t i = 0; i < t.len; i++) {
		const unsigned char byte = (unsigned char)t.at[i];
		const bool plain = byte >= ' ' && byte <= '~';

		if (used + 4 <= size)
			cut = used;
		if (used + (plain ? 1 : 4) + 1 > size) {
			memcpy(out + cut, "...", 4);
			return;
		}
		if (plain) {
			out[used++] = (char)byte;
			continue;
		}
		out[used++] = '\\';
		out[used++] = 'x';
		out[used++] = "0123456789abcdef"[byte >> 4];
		out[used++] = "0123456789abcdef"[byte & 15];
	}
	out[used] = '\0';
}
