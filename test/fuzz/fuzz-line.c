/*
 * Fuzzes the line parsers and the AT formatter: nothing is read past the line,
 * what parses as IAMAT comes back byte for byte in its AT line, and what parses
 * as an AT line is one that the formatter writes.
 */
#include <assert.h>
#include <stdlib.h>

#include "core/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
inside(struct text part, struct text line)
{
	return part.at >= line.at && part.at + part.len <= line.at + line.len;
}

static void
check_at(struct text line)
{
	char again[HERD_AT_MAX];
	struct message_at at;
	size_t len;

	if (!message_parse_at(line, &at))
		return;
	assert(inside(at.server, line) && inside(at.id, line) && inside(at.location, line) &&
	       inside(at.time, line));
	assert(at.rx_ns >= 0 && line.len < HERD_AT_MAX);
	len = (size_t)(message_put_at(again, &at) - again);
	assert(len == line.len + 1 && memcmp(again, line.at, line.len) == 0 && again[len - 1] == '\n');
}

static void
check_iamat(const struct message *m, int64_t rx_ns)
{
	const struct message_at at = {
		.server = TEXT("Alpha"),
		.id = m->id,
		.location = m->location,
		.time = m->time,
		.client_time = m->client_time,
		.rx_ns = rx_ns,
	};
	char line[HERD_AT_MAX], copy[HERD_AT_MAX];
	struct text rest = {line, (size_t)(message_put_at(line, &at) - line)};
	struct location location;
	struct fix_time client;
	struct message again;
	char *end = copy;

	assert(rest.len <= HERD_AT_MAX && rest.at[rest.len - 1] == '\n');
	check_at((struct text){line, rest.len - 1});
	assert(inside(m->id, m->line) && inside(m->location, m->line) && inside(m->time, m->line));
	assert(fix_id_valid(m->id) && location_parse(m->location, &location) == 0);
	assert(fix_time_parse(m->time, &client) == 0 && client.s == m->client_time.s &&
	       client.ns == m->client_time.ns);
	assert(fix_order_ns(&client, rx_ns) <= rx_ns + FIX_AHEAD_NS);

	assert(text_equal(text_take_field(&rest), TEXT("AT")));
	assert(text_equal(text_take_field(&rest), TEXT("Alpha")));
	text_take_field(&rest);
	assert(text_equal(text_take_field(&rest), m->id));
	assert(text_equal(text_take_field(&rest), m->location));
	assert(text_equal(text_take_field(&rest), m->time));
	assert(text_equal(rest, TEXT("\n")));

	/* With single spaces it is the same command. */
	end = text_put(end, TEXT("IAMAT "));
	end = text_put(end, m->id);
	*end++ = ' ';
	end = text_put(end, m->location);
	*end++ = ' ';
	end = text_put(end, m->time);
	message_parse((struct text){copy, (size_t)(end - copy)}, &again);
	assert(again.verb == MESSAGE_IAMAT && text_equal(again.id, m->id) &&
	       text_equal(again.location, m->location) && text_equal(again.time, m->time));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of exactly this size: the sanitizer sees a byte read beyond it. */
	char *bytes = malloc(size ? size : 1);
	struct text line = {bytes, size};
	struct message m;
	double km;
	unsigned int bound;

	assert(bytes);
	if (size)
		memcpy(bytes, data, size);
	check_at(line);
	message_parse(line, &m);
	assert(m.line.at == bytes && m.line.len == size);
	if (m.verb == MESSAGE_IAMAT) {
		check_iamat(&m, INT64_C(1621464828223371889));
		check_iamat(&m, 0);
	} else if (m.verb == MESSAGE_WHATSAT) {
		assert(inside(m.id, line) && fix_id_valid(m.id));
		assert(m.radius_km >= 0 && m.radius_km <= MESSAGE_RADIUS_MAX_KM &&
		       m.bound <= MESSAGE_BOUND_MAX);
	}
	if (message_parse_radius(line, &km))
		assert(km >= 0 && km <= MESSAGE_RADIUS_MAX_KM);
	if (message_parse_bound(line, &bound))
		assert(bound <= MESSAGE_BOUND_MAX);
	free(bytes);
	return 0;
}
