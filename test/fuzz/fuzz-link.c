/*
 * Fuzzes the state machine between two helpers, with a real replica on a small
 * table behind it. The first byte says which way:
 *
 *   even: one link, and the input is the peer. Bytes from 0x80 on are no lines but
 *   what happens meanwhile, or lines that only who listens can say; see do_step().
 *   Nothing is written past the room, all that is said are whole lines of the
 *   protocol, all loops end, and what the peer says never makes the link claim
 *   what is not so.
 *
 *   odd: two links, and the input is the order in which things happen: bytes
 *   carried, time, changes, cuts, restarts. Then, left alone for some minutes,
 *   both hosts hold the same, and neither ever ended a link for what it said.
 */
#include "../link-help.h"
#include "core/message.h"
#include "flood/link-line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	STEPS_MAX = 1000, /* of time, between two links */
	INPUT_MAX = 1 << 14,
	CLIENTS = 64,
	FILLS_MAX = 4096,     /* with all the room there is, all is said after that many */
	IDLE_FILLS_MAX = 600, /* that give nothing */
};

#define TTL_NS (300 * CLOCK_SECOND_NS)

/* Receipt times follow versions, in microseconds from HELP_BASE_NS: see help_fix(). */
static uint64_t
version_at(int64_t now_ns)
{
	return (uint64_t)(now_ns - HELP_BASE_NS) / 1000;
}

/* --- one link: what it says ----------------------------------------------------------- */

struct peer {
	struct help_wire wire; /* only end 0 has a link */
	const uint8_t *at, *end;
	char in[INPUT_MAX + 4 * LINK_LONG_LINE_MAX]; /* said by the peer, not taken */
	size_t in_len;
	uint64_t seq_said, ping, seq_in; /* by the link, the same; by the peer, at most */
	bool ended;
};

static void
check_said_line(struct peer *p, struct text text)
{
	struct message_at at;
	struct link_line line;

	help_must(text.len < LINK_LONG_LINE_MAX);
	if (text.len > 3 && memcmp(text.at, "AT ", 3) == 0) {
		help_must(message_parse_at(text, &at));
		return;
	}
	help_must(link_line_parse(text, &line) == 0);
	help_must(text.len < LINK_LINE_MAX || line.verb == LINK_GRP || line.verb == LINK_DIG);
	if (line.verb == LINK_SEQ || line.verb == LINK_ASK) {
		help_must(line.number >= p->seq_said);
		help_must(line.number <= replica_sequence(p->wire.end[0].node->host.replica));
		p->seq_said = line.number;
	} else if (line.verb == LINK_ACK) {
		help_must(line.number <= p->seq_in);
	} else if (line.verb == LINK_PING) {
		p->ping = line.number;
	} else if (line.verb == LINK_BYE) {
		help_must(link_state(p->wire.end[0].link) == LINK_ENDED);
	}
}

/* Exactly as many bytes of room: the sanitizer sees the first one too many. */
static size_t
fill(struct peer *p, size_t room)
{
	struct help_end *e = &p->wire.end[0];
	char *out = malloc(room ? room : 1);
	const char *at = out;
	size_t len;

	help_must(out != NULL);
	len = link_fill(e->link, out, room, p->wire.now_ns);
	help_must(len <= room);
	while (at < out + len) {
		const char *lf = memchr(at, '\n', (size_t)(out + len - at));

		help_must(lf != NULL);
		check_said_line(p, (struct text){at, (size_t)(lf - at)});
		at = lf + 1;
	}
	free(out);
	return len;
}

static void
fill_all(struct peer *p)
{
	unsigned int fills = 0, idle = 0;

	while (link_wants_out(p->wire.end[0].link, p->wire.now_ns)) {
		if (fill(p, 4096) == 0)
			help_must(++idle < IDLE_FILLS_MAX);
		help_must(++fills < FILLS_MAX);
	}
}

/* Hands over the first `len` bytes of what the peer said, in a block of their own. */
static void
take(struct peer *p, size_t len)
{
	struct help_end *e = &p->wire.end[0];
	char *in = malloc(len ? len : 1);
	size_t taken = SIZE_MAX;
	int r;

	help_must(in != NULL);
	memcpy(in, p->in, len);
	r = link_take(e->link, in, len, &taken, p->wire.now_ns);
	help_must(taken <= len);
	help_must(r <= 0); /* nobody holds the table */
	help_must(r < 0 || !memchr(in + taken, '\n', len - taken));
	help_must((r < 0) == (link_state(e->link) == LINK_ENDED));
	help_must(!p->ended || r < 0);
	help_must((r < 0) == (link_why(e->link)[0] != '\0'));
	p->ended = r < 0;
	free(in);
	memmove(p->in, p->in + taken, p->in_len - taken);
	p->in_len -= taken;
	if (p->ended)
		p->in_len = 0;
}

static void
check_peer(struct peer *p)
{
	struct help_end *e = &p->wire.end[0];
	struct replica *r = e->node->host.replica;

	help_must(e->memory.seq <= p->seq_in);
	help_must(link_acknowledged(e->link) <= p->seq_said);
	help_must(p->seq_said <= replica_sequence(r));
	help_must(link_rtt_ns(e->link) >= -1);
	help_must(names_count(e->node->names) <= NAMES_MAX);
}

/* --- one link: what the peer says, and what happens ---------------------------------- */

static uint8_t
next_byte(struct peer *p)
{
	return p->at < p->end ? *p->at++ : 0;
}

static void
say(struct peer *p, const char *end)
{
	p->in_len = (size_t)(end - p->in);
	take(p, p->in_len);
}

/* The sums that are right, but for those that a byte chooses. */
static void
say_sums(struct peer *p, enum link_verb verb, int64_t since_s)
{
	const struct digest *d = replica_digest(p->wire.end[0].node->host.replica);
	struct link_sums sums = {0};
	uint8_t wrong;

	if (verb == LINK_GRP) {
		digest_groups(d, since_s, sums.sum);
	} else {
		sums.group = next_byte(p) % DIGEST_GROUPS;
		digest_buckets(d, since_s, sums.group, sums.sum);
	}
	wrong = next_byte(p);
	for (unsigned int i = 0; i < wrong % 65U; i++)
		sums.sum[i]++;
	if (verb == LINK_GRP) {
		say(p, link_put_groups(p->in + p->in_len, since_s, sums.sum));
		return;
	}
	sums.fresh = wrong / 65U;
	say(p, link_put_buckets(p->in + p->in_len, since_s, &sums));
}

static void
say_fix(struct peer *p)
{
	struct herd_fix fix;
	uint8_t client = next_byte(p), when = next_byte(p);
	int64_t rx_ns = p->wire.now_ns + ((int64_t)when - 200) * CLOCK_SECOND_NS;

	help_client(&fix, client % 100, version_at(rx_ns), 2);
	say(p, message_put_fix(p->in + p->in_len, &fix));
}

static void
hear(struct peer *p)
{
	struct help_host *h = &p->wire.end[0].node->host;
	uint8_t client = next_byte(p);

	help_must(help_host_put(h, client % 100, version_at(p->wire.now_ns) + client) >= 0);
	help_must(help_drain(h, p->wire.now_ns) == 0);
}

static void
pass(struct peer *p)
{
	struct help_end *e = &p->wire.end[0];
	uint8_t tenths = next_byte(p);

	/* Now and then a clock that jumps, either way. */
	if (tenths > 250)
		p->wire.now_ns += (tenths - 253) * 100 * CLOCK_SECOND_NS;
	for (unsigned int i = 0; i < tenths; i++) {
		p->wire.now_ns += 100 * CLOCK_MSEC_NS;
		p->ended = link_tick(e->link, p->wire.now_ns) < 0;
	}
	names_tick(e->node->names, p->wire.now_ns);
	if (tenths % 8 == 7) {
		help_must(help_sweep(e->node->host.helper, p->wire.now_ns) == 0);
		help_must(help_compare(&e->node->host, p->wire.now_ns) == 0);
	}
}

/* A byte from 0x80 on. */
static void
do_step(struct peer *p, uint8_t step)
{
	struct help_end *e = &p->wire.end[0];
	const int64_t since_s = replica_since_s(e->node->host.replica, p->wire.now_ns);
	char *out = p->in + p->in_len;

	switch (step & 0x0f) {
	case 0:
		pass(p);
		break;
	case 1:
		(void)fill(p, (size_t)next_byte(p) * 16);
		break;
	case 2:
		fill_all(p);
		break;
	case 3:
		hear(p);
		break;
	case 4:
		say(p, link_put_root(out, LINK_ROOT, since_s,
				     digest_root(replica_digest(e->node->host.replica), since_s)));
		break;
	case 5:
		say(p, link_put_root(out, LINK_ROOT, since_s, 1));
		break;
	case 6:
		say_sums(p, LINK_GRP, since_s);
		break;
	case 7:
		say_sums(p, LINK_DIG, since_s);
		break;
	case 8:
		say(p, link_put_pull(out, since_s, next_byte(p) % DIGEST_GROUPS,
				     UINT64_C(0x0101010101010101) * next_byte(p)));
		break;
	case 9:
		say_fix(p);
		break;
	case 10:
		say(p, link_put_number(out, LINK_ACK, p->seq_said));
		break;
	case 11:
		say(p, link_put_number(out, LINK_PONG, p->ping));
		break;
	case 12:
		say(p, link_put_done(out));
		break;
	case 13:
		link_compare(e->link);
		break;
	case 14:
		link_hold_back(e->link, next_byte(p) & 1);
		break;
	default:
		names_own(e->node->names, TEXT("Alpha"), next_byte(p), p->wire.now_ns);
		break;
	}
}

static void
greet(struct peer *p, uint8_t how)
{
	const struct help_node *node = p->wire.end[0].node;
	char *out = p->in;

	out += sprintf(
		out,
		"HERD 1 herd 7700000000000000000000000000000%c 00000000000000ff hill ttl=%d,key=%016x%s\n",
		how & 8 ? '0' : '1', how & 16 ? 300 : 600, 7, how & 32 ? ",zip" : ",ask");
	out = link_put_resume(out, how & 64 ? node->self.incarnation : 0, how & 64 ? 3 : 0);
	say(p, out);
}

/* A number that a SEQ or ASK line of the input may have said, so far. */
static void
note_seq(struct peer *p)
{
	for (size_t i = 0; i + 4 < p->in_len; i++) {
		uint64_t seq = 0;

		if (memcmp(p->in + i, "SEQ ", 4) != 0 && memcmp(p->in + i, "ASK ", 4) != 0)
			continue;
		for (size_t k = i + 4; k < p->in_len && text_is_digit(p->in[k]) && k < i + 4 + 19; k++)
			seq = seq * 10 + (uint64_t)(p->in[k] - '0');
		if (seq > p->seq_in)
			p->seq_in = seq;
	}
}

static void
run_peer(struct peer *p, uint8_t how)
{
	struct help_end *e = &p->wire.end[0];

	if (how & 2) {
		e->memory = (struct link_memory){0xff, 5};
		p->seq_in = 5;
	}
	e->holds = how & 4;
	help_must(link_new(&e->link, &e->node->self, e->node->host.replica, e->node->names, &e->hooks,
			   p->wire.now_ns) == 0);
	if (how & 128)
		greet(p, how);
	while (p->at < p->end) {
		uint8_t byte = *p->at++;

		if (byte & 0x80) {
			do_step(p, byte);
		} else {
			p->in[p->in_len++] = (char)byte;
			/* Whole lines, mostly; but a step may come in between. */
			if (byte == '\n' || p->at == p->end || (*p->at & 0x80)) {
				note_seq(p);
				take(p, p->in_len);
			}
		}
		check_peer(p);
	}
	fill_all(p);
	check_peer(p);
}

static void
fuzz_peer(const uint8_t *data, size_t size)
{
	static struct peer p;
	struct help_node node;

	help_node_init(&node, 0, CLIENTS, TTL_NS);
	help_wire_between(&p.wire, &node, &node);
	for (uint32_t n = 0; n < 8; n++)
		help_hear(&p.wire, 0, n, version_at(p.wire.now_ns) - n);
	help_drain_both(&p.wire);
	p.at = data + 1;
	p.end = data + size;
	p.in_len = 0;
	p.seq_said = p.ping = p.seq_in = 0;
	p.ended = false;
	run_peer(&p, data[0]);
	help_hang_up(&p.wire);
	help_node_done(&node);
}

/* --- two links --------------------------------------------------------------------------- */

static void
check_pair(const struct help_wire *w)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct help_end *e = &w->end[i];

		/* Nobody says what the other does not understand. */
		help_must(e->taken != -EPROTO && e->taken != -ECONNREFUSED);
		help_must(link_figures(e->link)->ignored < 16);
		help_must(link_acknowledged(e->link) <= replica_sequence(e->node->host.replica));
	}
}

static void
restart(struct help_wire *w, unsigned int which)
{
	struct help_end *e = &w->end[which];

	help_hang_up(w);
	help_must(help_replica(&e->node->host, TTL_NS, w->now_ns) == 0);
	e->node->self.incarnation += 2;
	e->memory = (struct link_memory){0};
	help_dial(w);
}

static unsigned int steps;

static void
step_pair(struct help_wire *w, bool talk, bool slowly)
{
	if (++steps > STEPS_MAX)
		return;
	w->now_ns += (slowly ? 10 : 200) * CLOCK_MSEC_NS;
	for (unsigned int i = 0; i < 2; i++)
		(void)link_tick(w->end[i].link, w->now_ns);
	if (talk)
		help_talk(w);
}

/* Left alone; by then whatever can be had again was. */
static void
leave_alone(struct help_wire *w)
{
	for (unsigned int i = 0; i < 100; i++) {
		w->now_ns += 200 * CLOCK_MSEC_NS;
		for (unsigned int k = 0; k < 2; k++)
			(void)link_tick(w->end[k].link, w->now_ns);
		help_talk(w);
	}
}

/* What may be compared: some may have come close to their end meanwhile. */
static bool
is_level(const struct help_wire *w)
{
	int64_t since_s = 0;

	for (unsigned int i = 0; i < 2; i++) {
		int64_t own_s = replica_since_s(w->end[i].node->host.replica, w->now_ns);

		since_s = own_s > since_s ? own_s : since_s;
	}
	return digest_root(replica_digest(w->end[0].node->host.replica), since_s) ==
	       digest_root(replica_digest(w->end[1].node->host.replica), since_s);
}

static void
do_pair_step(struct help_wire *w, uint8_t step, uint8_t argument)
{
	const unsigned int end = argument & 1;

	switch (step % 8) {
	case 0:
		(void)help_say(w, end);
		break;
	case 1:
		(void)help_carry(w, end, (size_t)argument * 8);
		break;
	case 2:
		(void)help_carry(w, end, SIZE_MAX);
		break;
	case 3:
	case 4:
		help_must(help_host_put(&w->end[end].node->host, argument % 50,
					version_at(w->now_ns) + argument) >= 0);
		help_must(help_drain(&w->end[end].node->host, w->now_ns) == 0);
		break;
	case 5:
		for (unsigned int i = 0; i < argument / 4U; i++)
			step_pair(w, argument & 1, argument & 2);
		break;
	case 6:
		if (argument & 2)
			link_compare(w->end[end].link);
		else
			help_dial(w);
		break;
	default:
		if (argument & 2)
			link_hold_back(w->end[end].link, argument & 4);
		else
			restart(w, end);
		break;
	}
}

static bool
is_over(const struct help_wire *w)
{
	return link_state(w->end[0].link) == LINK_ENDED || link_state(w->end[1].link) == LINK_ENDED;
}

static void
fuzz_pair(const uint8_t *data, size_t size)
{
	static struct help_wire w;

	steps = 0;
	help_wire_init(&w, CLIENTS, TTL_NS);
	if (data[0] & 2)
		w.own[1].self.key_check++;
	w.transcript = getenv("HERD_FUZZ_TRANSCRIPT") ? stderr : NULL;
	w.chunk = data[0] >> 4 ? 100U * (data[0] >> 4) : 0;
	help_dial(&w);
	for (size_t i = 1; i + 1 < size; i += 2) {
		do_pair_step(&w, data[i], data[i + 1]);
		check_pair(&w);
		if (is_over(&w))
			help_dial(&w); /* silent for too long */
	}
	for (unsigned int i = 0; i < 2; i++)
		link_hold_back(w.end[i].link, false);
	leave_alone(&w);
	check_pair(&w);
	if (is_over(&w)) {
		help_dial(&w);
		leave_alone(&w);
	}
	help_must(!is_over(&w));
	help_must(!link_is_comparing(w.end[0].link) && !link_is_comparing(w.end[1].link));
	help_must(is_level(&w));
	help_wire_done(&w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > INPUT_MAX)
		return 0;
	if (data[0] & 1)
		fuzz_pair(data, size);
	else
		fuzz_peer(data, size);
	return 0;
}
