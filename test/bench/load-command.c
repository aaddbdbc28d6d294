/*
 * Commands: one client telling where it is, or asking what is near it, in the
 * words of three protocols. The generator shares the machine with the server
 * under test, so a command is put together from ready pieces by copies of
 * fixed width (which may write a few bytes past their end), and a reply is
 * compared with the bytes that asked for it.
 */
#include "load-command.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"

enum {
	LOAD_SPREAD_POINTS = 256,
	LOAD_POINTS_MAX = 1000000,
	LOAD_SUFFIXES = 8,
	LOAD_RESULTS_MAX = 1000,
};

/* Ids are a letter, seven digits and one of these: 20 to 30 bytes, 25.1 in the middle. */
static const char load_suffix[LOAD_SUFFIXES][32] = {
	".bus.example",	      ".tram.example",	     ".lab.example.edu",     ".taxi.example.com",
	".fleet.example.net", ".phones.example.org", ".kiwi.cs.example.edu", ".harbours.example.info",
};
static uint8_t load_suffix_len[LOAD_SUFFIXES];

/* Frames of a bulk string holding an id of each length. */
static char load_bulk[LOAD_SUFFIXES][8];

static char load_digits[1000][4];

static void
load_tables_init(void)
{
	if (load_suffix_len[0])
		return;
	for (unsigned int i = 0; i < LOAD_SUFFIXES; i++) {
		load_suffix_len[i] = (uint8_t)strlen(load_suffix[i]);
		snprintf(load_bulk[i], sizeof(load_bulk[i]), "$%u\r\n", 8U + load_suffix_len[i]);
	}
	for (unsigned int i = 0; i < 1000; i++)
		text_put_digits(load_digits[i], i, 3);
}

/* --- points ------------------------------------------------------------ */

static uint64_t
load_random(struct load_source *s)
{
	/* Marsaglia, "Xorshift RNGs", 2003; the multiplier is Vigna's xorshift64*. */
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return s->random * UINT64_C(2685821657736338717);
}

static void
load_point_make(struct load_point *p, const char *lat, const char *lon)
{
	int value_len;

	*p = (struct load_point){0};
	p->iso_len = (uint8_t)snprintf(p->iso, sizeof(p->iso), "%s%s%s%s", *lat == '-' ? "" : "+", lat,
				       *lon == '-' ? "" : "+", lon);
	p->resp_len = (uint8_t)snprintf(p->resp, sizeof(p->resp), "$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(lon),
					lon, strlen(lat), lat);
	value_len = p->iso_len + 1 + LOAD_TIME_LEN;
	p->value_len = (uint8_t)snprintf(p->value, sizeof(p->value), "$%d\r\n", value_len);
	p->block_len = (uint8_t)snprintf(p->block, sizeof(p->block), " 0 0 %d\r\n", value_len);
}

/* Finds the six decimals of both numbers, to be overwritten per command. */
static void
load_point_open(struct load_point *p)
{
	p->iso_lat = (uint8_t)(strchr(p->iso, '.') - p->iso + 1);
	p->iso_lon = (uint8_t)(strrchr(p->iso, '.') - p->iso + 1);
	p->resp_lon = (uint8_t)(strchr(p->resp, '.') - p->resp + 1);
	p->resp_lat = (uint8_t)(strrchr(p->resp, '.') - p->resp + 1);
}

int
load_source_spread(struct load_source *s)
{
	char lat[16], lon[16];

	load_tables_init();
	s->points = calloc(LOAD_SPREAD_POINTS, sizeof(*s->points));
	if (!s->points)
		return -ENOMEM;
	s->point_count = LOAD_SPREAD_POINTS;
	for (uint32_t i = 0; i < LOAD_SPREAD_POINTS; i++) {
		/* Two digits of latitude and inside what Redis can index: below 85. */
		int degrees_lat = 10 + (int)(load_random(s) % 60), degrees_lon = (int)(load_random(s) % 180);

		snprintf(lat, sizeof(lat), "%s%d.000000", load_random(s) & 64 ? "-" : "", degrees_lat);
		snprintf(lon, sizeof(lon), "%s%d.000000", load_random(s) & 64 ? "-" : "", degrees_lon);
		load_point_make(&s->points[i], lat, lon);
		load_point_open(&s->points[i]);
	}
	return 0;
}

int
load_source_read(struct load_source *s, const char *path)
{
	CLEANUP(cleanup_fclose) FILE *file = fopen(path, "re");
	char line[128], lat[16], lon[16];
	uint32_t room = 0;

	load_tables_init();
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%15s %15s", lat, lon) != 2 || s->point_count == LOAD_POINTS_MAX)
			return -EINVAL;
		if (s->point_count == room) {
			struct load_point *more;

			room = room ? 2 * room : 1024;
			more = reallocarray(s->points, room, sizeof(*more));
			if (!more)
				return -ENOMEM;
			s->points = more;
		}
		load_point_make(&s->points[s->point_count++], lat, lon);
	}
	s->points_by_client = true;
	return s->point_count ? 0 : -EINVAL;
}

void
load_source_set_area(struct load_source *s, unsigned int radius_km, unsigned int bound)
{
	char radius[16], count[16];
	int radius_len = snprintf(radius, sizeof(radius), "%u", radius_km);
	int count_len = snprintf(count, sizeof(count), "%u", bound);

	s->area_len = (size_t)snprintf(s->area, sizeof(s->area), " %s %s\n", radius, count);
	s->search_head_len = (size_t)snprintf(s->search_head, sizeof(s->search_head),
					      "*%d\r\n$9\r\nGEOSEARCH\r\n", bound ? 11 : 8);
	s->search_len = (size_t)snprintf(s->search, sizeof(s->search),
					 "$8\r\nBYRADIUS\r\n$%d\r\n%s\r\n$2\r\nkm\r\n", radius_len, radius);
	if (bound)
		s->search_len += (size_t)snprintf(
			s->search + s->search_len, sizeof(s->search) - s->search_len,
			"$3\r\nASC\r\n$5\r\nCOUNT\r\n$%d\r\n%s\r\n", count_len, count);
}

void
load_source_done(struct load_source *s)
{
	free(s->points);
	s->points = NULL;
	s->point_count = 0;
}

/* --- pieces ------------------------------------------------------------ */

/* Copies 32 bytes, of which len count. */
static inline char *
load_put32(char *out, const char *from, size_t len)
{
	memcpy(out, from, 32);
	return out + len;
}

#define LOAD_PUT(out, literal) ((char *)memcpy((out), (literal), sizeof(literal) - 1) + (sizeof(literal) - 1))

/* Writes four bytes, of which three count. */
static inline char *
load_put_digits3(char *out, uint32_t value)
{
	memcpy(out, load_digits[value], 4);
	return out + 3;
}

static inline char *
load_put_id(const struct load_source *s, char *out, uint32_t client)
{
	unsigned int suffix = client % LOAD_SUFFIXES;

	*out++ = s->prefix;
	*out++ = (char)('0' + client / 1000000);
	out = load_put_digits3(out, client / 1000 % 1000);
	out = load_put_digits3(out, client % 1000);
	return load_put32(out, load_suffix[suffix], load_suffix_len[suffix]);
}

static inline char *
load_put_bulk_id(const struct load_source *s, char *out, uint32_t client)
{
	memcpy(out, load_bulk[client % LOAD_SUFFIXES], 8);
	out = load_put_id(s, out + 5, client);
	return LOAD_PUT(out, "\r\n");
}

static inline uint32_t
load_draw_client(struct load_source *s)
{
	if (s->in_order || s->in_turn) {
		uint32_t client = s->next++;

		if (s->next == s->clients && s->in_turn)
			s->next = 0;
		return client;
	}
	return (uint32_t)(((load_random(s) >> 32) * s->clients) >> 32);
}

static inline const struct load_point *
load_draw_point(struct load_source *s, uint32_t client, uint64_t *ret_random)
{
	uint64_t random = load_random(s);

	*ret_random = random >> 8;
	return &s->points[s->points_by_client ? client % s->point_count : random % LOAD_SPREAD_POINTS];
}

/* Six decimals out of twenty random bits. */
static inline void
load_put_decimals(char *at, uint64_t random)
{
	char next = at[6];

	load_put_digits3(at, (uint32_t)((random & 1023) * 1000 >> 10));
	load_put_digits3(at + 3, (uint32_t)((random >> 10 & 1023) * 1000 >> 10));
	at[6] = next;
}

static inline char *
load_put_iso(char *out, const struct load_point *p, uint64_t random)
{
	memcpy(out, p->iso, sizeof(p->iso));
	if (p->iso_lat) {
		load_put_decimals(out + p->iso_lat, random);
		load_put_decimals(out + p->iso_lon, random >> 20);
	}
	return out + p->iso_len;
}

static inline char *
load_put_resp(char *out, const struct load_point *p, uint64_t random)
{
	memcpy(out, p->resp, sizeof(p->resp));
	if (p->resp_lat) {
		load_put_decimals(out + p->resp_lat, random);
		load_put_decimals(out + p->resp_lon, random >> 20);
	}
	return out + p->resp_len;
}

static void
load_format_time(struct load_source *s)
{
	char *at = s->time;
	uint64_t seconds = (uint64_t)s->time_ns / 1000000000;

	at = text_put_digits(at, (uint32_t)(seconds / 1000000000 % 10), 1);
	at = text_put_digits(at, (uint32_t)(seconds % 1000000000), 9);
	*at++ = '.';
	text_put_digits(at, (uint32_t)((uint64_t)s->time_ns % 1000000000), 9);
}

void
load_source_set_time(struct load_source *s, int64_t now_ns)
{
	if (s->time_fixed || now_ns <= s->time_ns)
		return;
	s->time_ns = now_ns;
	load_format_time(s);
}

/* The next time is a nanosecond later, so that every IAMAT is newer than all before it. */
static inline char *
load_put_time(struct load_source *s, char *out)
{
	if (!s->time_fixed) {
		uint32_t low = (uint32_t)((uint64_t)++s->time_ns % 1000);

		if (low == 0)
			load_format_time(s);
		else
			load_put_digits3(s->time + LOAD_TIME_LEN - 3, low);
	}
	memcpy(out, s->time, LOAD_TIME_LEN);
	return out + LOAD_TIME_LEN;
}

/* --- herd -------------------------------------------------------------- */

static size_t
iamat_put(struct load_source *s, char *out, size_t at, struct load_mark *ret_mark)
{
	uint32_t client = load_draw_client(s);
	uint64_t random;
	const struct load_point *point = load_draw_point(s, client, &random);
	char *p = LOAD_PUT(out + at, "IAMAT ");

	ret_mark->at = (uint32_t)(p - out);
	p = load_put_id(s, p, client);
	*p++ = ' ';
	p = load_put_iso(p, point, random);
	*p++ = ' ';
	p = load_put_time(s, p);
	ret_mark->len = (uint16_t)(p - out - ret_mark->at);
	*p++ = '\n';
	return (size_t)(p - out);
}

/* "AT NAME +S.nnnnnnnnn ": returns what stands behind it; an empty text: it is something else. */
static inline struct text
at_operands(const struct load_source *s, struct text line)
{
	const char *p = line.at + s->server_len, *end = line.at + line.len;

	if (line.len < s->server_len + 13 || memcmp(line.at, s->server, s->server_len) != 0)
		return (struct text){0};
	if (*p != '+' && *p != '-')
		return (struct text){0};
	p++;
	while (p < end && text_is_digit(*p))
		p++;
	if (end - p < 11 || *p != '.')
		return (struct text){0};
	for (int i = 1; i <= 9; i++)
		if (!text_is_digit(p[i]))
			return (struct text){0};
	if (p[10] != ' ')
		return (struct text){0};
	return (struct text){p + 11, (size_t)(end - p - 11)};
}

static size_t
iamat_check(struct load_source *s, const char *sent, const struct load_mark *mark, struct text in,
	    bool *ret_good)
{
	const char *end = memchr(in.at, '\n', in.len);

	if (!end)
		return 0;
	*ret_good = text_equal(at_operands(s, (struct text){in.at, (size_t)(end - in.at)}),
			       (struct text){sent + mark->at, mark->len});
	return (size_t)(end - in.at) + 1;
}

static size_t
floor_check(struct load_source *s, const char *sent, const struct load_mark *mark, struct text in,
	    bool *ret_good)
{
	const char *end;

	(void)sent;
	(void)mark;
	if (s->constant_len && in.len >= s->constant_len &&
	    memcmp(in.at, s->constant, s->constant_len) == 0) {
		*ret_good = true;
		return s->constant_len;
	}
	end = memchr(in.at, '\n', in.len);
	if (!end)
		return 0;
	in.len = (size_t)(end - in.at) + 1;
	*ret_good = !s->constant_len && in.len < sizeof(s->constant) && in.len > 3 &&
		    !memcmp(in.at, "AT ", 3);
	if (*ret_good) {
		memcpy(s->constant, in.at, in.len);
		s->constant_len = in.len;
	}
	return in.len;
}

static size_t
whatsat_put(struct load_source *s, char *out, size_t at, struct load_mark *ret_mark)
{
	uint32_t client = load_draw_client(s);
	char *p = LOAD_PUT(out + at, "WHATSAT ");

	ret_mark->client = client;
	ret_mark->at = (uint32_t)(p - out);
	p = load_put_id(s, p, client);
	ret_mark->len = (uint16_t)(p - out - ret_mark->at);
	memcpy(p, s->area, sizeof(s->area));
	return (size_t)(p - out) + s->area_len;
}

/* The held line: who was asked about, where the client's point is, the fixed time. */
static bool
whatsat_line_good(const struct load_source *s, const char *sent, const struct load_mark *mark,
		  struct text line)
{
	const struct load_point *point = &s->points[mark->client % s->point_count];
	struct text operands = at_operands(s, line);
	const char *p = operands.at;

	if (operands.len != mark->len + 1U + point->iso_len + 1U + LOAD_TIME_LEN)
		return false;
	if (memcmp(p, sent + mark->at, mark->len) != 0 || p[mark->len] != ' ')
		return false;
	p += mark->len + 1;
	if (memcmp(p, point->iso, point->iso_len) != 0 || p[point->iso_len] != ' ')
		return false;
	return memcmp(p + point->iso_len + 1, s->time, LOAD_TIME_LEN) == 0;
}

/* The JSON ends at the first empty line; its status stands near either end. */
static bool
whatsat_json_good(struct text json)
{
	struct text head = {json.at, json.len < 160 ? json.len : 160};
	struct text tail = {json.at + json.len - head.len, head.len};

	return json.len > 20 && json.at[0] == '{' && json.at[json.len - 1] == '}' &&
	       (memmem(tail.at, tail.len, "\"OK\"", 4) || memmem(head.at, head.len, "\"OK\"", 4));
}

static size_t
whatsat_check(struct load_source *s, const char *sent, const struct load_mark *mark, struct text in,
	      bool *ret_good)
{
	const char *line_end = memchr(in.at, '\n', in.len), *stop = in.at + in.len, *p;

	if (!line_end)
		return 0;
	if (!whatsat_line_good(s, sent, mark, (struct text){in.at, (size_t)(line_end - in.at)})) {
		*ret_good = false;
		return (size_t)(line_end - in.at) + 1;
	}
	for (p = line_end + 1; p < stop && (p = memchr(p, '\n', (size_t)(stop - p))); p++)
		if (p + 1 < stop && p[1] == '\n')
			break;
	if (!p || p >= stop)
		return 0;
	*ret_good = whatsat_json_good((struct text){line_end + 1, (size_t)(p - line_end - 1)});
	return (size_t)(p - in.at) + 2;
}

/* --- redis ------------------------------------------------------------- */

static size_t
set_put(struct load_source *s, char *out, size_t at, struct load_mark *ret_mark)
{
	uint32_t client = load_draw_client(s);
	uint64_t random;
	const struct load_point *point = load_draw_point(s, client, &random);
	char *p = LOAD_PUT(out + at, "*3\r\n$3\r\nSET\r\n");

	(void)ret_mark;
	p = load_put_bulk_id(s, p, client);
	memcpy(p, point->value, sizeof(point->value));
	p = load_put_iso(p + point->value_len, point, random);
	*p++ = ' ';
	p = load_put_time(s, p);
	return (size_t)(LOAD_PUT(p, "\r\n") - out);
}

static size_t
geoadd_put(struct load_source *s, char *out, size_t at, struct load_mark *ret_mark)
{
	uint32_t client = load_draw_client(s);
	uint64_t random;
	const struct load_point *point = load_draw_point(s, client, &random);
	char *p = LOAD_PUT(out + at, "*5\r\n$6\r\nGEOADD\r\n$5\r\nfixes\r\n");

	(void)ret_mark;
	p = load_put_resp(p, point, random);
	return (size_t)(load_put_bulk_id(s, p, client) - out);
}

static size_t
geosearch_put(struct load_source *s, char *out, size_t at, struct load_mark *ret_mark)
{
	uint32_t client = load_draw_client(s);
	const struct load_point *point = &s->points[client % s->point_count];
	char *p = load_put32(out + at, s->search_head, s->search_head_len);

	(void)ret_mark;
	p = LOAD_PUT(p, "$6\r\nplaces\r\n$10\r\nFROMLONLAT\r\n");
	p = load_put_resp(p, point, 0);
	memcpy(p, s->search, sizeof(s->search));
	return (size_t)(p - out) + s->search_len;
}

/* One line that is one of two. */
static size_t
line_check(struct text in, struct text one, struct text other, bool *ret_good)
{
	const char *end = memchr(in.at, '\n', in.len);

	if (!end)
		return 0;
	in.len = (size_t)(end - in.at) + 1;
	*ret_good = text_equal(in, one) || text_equal(in, other);
	return in.len;
}

static size_t
set_check(struct load_source *s, const char *sent, const struct load_mark *mark, struct text in,
	  bool *ret_good)
{
	(void)s;
	(void)sent;
	(void)mark;
	return line_check(in, TEXT("+OK\r\n"), TEXT("+OK\r\n"), ret_good);
}

static size_t
geoadd_check(struct load_source *s, const char *sent, const struct load_mark *mark, struct text in,
	     bool *ret_good)
{
	(void)s;
	(void)sent;
	(void)mark;
	return line_check(in, TEXT(":0\r\n"), TEXT(":1\r\n"), ret_good);
}

/* "*5\r\n" or "$17\r\n": the number; -1 something else, -2 not whole. Steps over it. */
static int
resp_take(struct text *in, char kind)
{
	int value = 0;
	size_t i;

	if (in->len == 0)
		return -2;
	if (in->at[0] != kind)
		return -1;
	for (i = 1; i < in->len && i < 8 && text_is_digit(in->at[i]); i++)
		value = value * 10 + (in->at[i] - '0');
	if (in->len < i + 2)
		return -2;
	if (i == 1 || in->at[i] != '\r' || in->at[i + 1] != '\n')
		return -1;
	in->at += i + 2;
	in->len -= i + 2;
	return value;
}

/* The centre is one of the places, so an empty answer is a wrong one. */
static size_t
geosearch_check(struct load_source *s, const char *sent, const struct load_mark *mark, struct text in,
		bool *ret_good)
{
	struct text rest = in;
	int count = resp_take(&rest, '*');

	(void)sent;
	(void)mark;
	if (count == -2)
		return 0;
	*ret_good = count > 0 && count <= LOAD_RESULTS_MAX;
	for (int i = 0; i < count && *ret_good; i++) {
		int len = resp_take(&rest, '$');

		if (len == -2 || (len >= 0 && rest.len < (size_t)len + 2))
			return 0;
		*ret_good = len >= 0;
		if (*ret_good) {
			rest.at += len + 2;
			rest.len -= (size_t)len + 2;
		}
	}
	if (!*ret_good)
		return in.len;
	s->results += (uint64_t)count;
	return (size_t)(rest.at - in.at);
}

/* --- memcached --------------------------------------------------------- */

static size_t
store_put(struct load_source *s, char *out, size_t at, struct load_mark *ret_mark)
{
	uint32_t client = load_draw_client(s);
	uint64_t random;
	const struct load_point *point = load_draw_point(s, client, &random);
	char *p = LOAD_PUT(out + at, "set ");

	(void)ret_mark;
	p = load_put_id(s, p, client);
	memcpy(p, point->block, sizeof(point->block));
	p = load_put_iso(p + point->block_len, point, random);
	*p++ = ' ';
	p = load_put_time(s, p);
	return (size_t)(LOAD_PUT(p, "\r\n") - out);
}

static size_t
store_check(struct load_source *s, const char *sent, const struct load_mark *mark, struct text in,
	    bool *ret_good)
{
	(void)s;
	(void)sent;
	(void)mark;
	return line_check(in, TEXT("STORED\r\n"), TEXT("STORED\r\n"), ret_good);
}

/* --- all --------------------------------------------------------------- */

static const struct load_command load_commands[] = {
	{"herd-iamat", iamat_put, iamat_check}, /* names begin with the server's */
	{"herd-whatsat", whatsat_put, whatsat_check},
	{"floor", iamat_put, floor_check}, /* it answers all commands alike */
	{"floor-whatsat", whatsat_put, floor_check},
	{"redis-set", set_put, set_check}, /* a client's fix as a string */
	{"redis-geoadd", geoadd_put, geoadd_check},
	{"redis-geosearch", geosearch_put, geosearch_check}, /* among other points: "places" */
	{"memcached-set", store_put, store_check},
};

const struct load_command *
load_command_find(const char *name)
{
	for (size_t i = 0; i < sizeof(load_commands) / sizeof(load_commands[0]); i++)
		if (strcmp(load_commands[i].name, name) == 0)
			return &load_commands[i];
	return NULL;
}

void
load_command_list(char *out, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < sizeof(load_commands) / sizeof(load_commands[0]) && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s", i ? ", " : "", load_commands[i].name);
}
