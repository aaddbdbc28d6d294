/* Tests of places/fetch-origin.h: whose turn it is, and over how many connections requests are spread. */
#include "unit.h"

#include "places/fetch-origin.h"

enum { MANY = 2000 };

struct place {
	struct origins all;
	struct fetch_origin *origin;
	struct fetch_request requests[MANY];
	uint32_t next; /* not handed over yet */
};

static int
open_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	p->all.connections_max = 16;
	(void)origins_spread(&p->all);
	p->origin = origins_get(&p->all, TEXT("https://a"));
	*state = p;
	return 0;
}

static int
close_place(void **state)
{
	struct place *p = *state;

	while (p->origin->sockets)
		origin_closed(p->origin, TAILQ_FIRST(&p->origin->open)->fd);
	origins_forget(&p->all, 0);
	assert_int_equal(p->all.count, 0);
	assert_null(p->all.first);
	free(p);
	return 0;
}

static void
queue(struct place *p, struct fetch_origin *o, uint32_t from, uint32_t count)
{
	for (uint32_t i = from; i < from + count; i++) {
		p->requests[i].origin = o;
		p->requests[i].number = i;
		origin_queue(&p->requests[i]);
	}
}

/* Hands over what there is room for; each that is more than the connections carry opens one, as curl does. How many. */
static uint32_t
hand_over(struct place *p)
{
	uint32_t before = p->next;
	struct fetch_origin *o;

	(void)origins_spread(&p->all);
	while ((o = origins_next(&p->all)) != NULL) {
		struct fetch_request *r = TAILQ_FIRST(&o->waiting);

		assert_ptr_equal(r, &p->requests[p->next]);
		p->next++;
		origin_unqueue(r);
		origin_begin(&p->all, r);
		if (o->is_http2 ? r->is_opening : o->under_way > o->sockets)
			assert_int_equal(origin_opened(r, (curl_socket_t)r->number), 0);
	}
	return p->next - before;
}

static void
send_from(struct place *p, uint32_t from, bool is_http2)
{
	for (uint32_t i = from; i < p->next; i++)
		origin_sends(&p->requests[i], is_http2);
}

static void
end(struct place *p)
{
	for (uint32_t i = 0; i < p->next; i++)
		origin_end(&p->requests[i]);
	assert_int_equal(p->origin->under_way, 0);
	assert_int_equal(p->origin->connecting, 0);
	assert_int_equal(p->origin->opening, 0);
}

static void
test_one_on_each_connection(void **state)
{
	struct place *p = *state;

	queue(p, p->origin, 0, 40);
	assert_int_equal(hand_over(p), 16);
	send_from(p, 0, false);
	assert_int_equal(hand_over(p), 0);
	origin_end(&p->requests[0]);
	assert_int_equal(hand_over(p), 1);
	for (uint32_t i = p->next; i < 40; i++)
		origin_unqueue(&p->requests[i]);
	origin_begin(&p->all, &p->requests[0]);
	end(p);
}

/* The first connection says that it is HTTP/2: what waits is sent at once, as far as there is room. */
static void
test_many_on_each_connection(void **state)
{
	struct place *p = *state;
	uint32_t sent = 1;

	queue(p, p->origin, 0, 1);
	assert_int_equal(hand_over(p), 1);
	send_from(p, 0, true);
	queue(p, p->origin, 1, 159);
	assert_int_equal(p->origin->queued, 159);
	/* nine beside the first, and one to open a connection */
	assert_int_equal(hand_over(p), 10);
	assert_int_equal(p->origin->opening, 1);
	assert_int_equal(hand_over(p), 0);
	for (uint32_t connections = 2; connections <= 16;) {
		uint32_t before = p->next;

		assert_int_equal(p->origin->sockets, connections);
		assert_true(p->origin->opening <= 1 + (connections - p->origin->opening) / 2);
		send_from(p, sent, true);
		sent = before;
		if (p->next < 160)
			assert_true(hand_over(p) > 0);
		if (connections == p->origin->sockets)
			break;
		connections = p->origin->sockets;
	}
	assert_int_equal(p->next, 160);
	assert_int_equal(p->origin->sockets, 16);
	assert_int_equal(p->all.streams, 10);
	end(p);
}

/* All connections are there: then more on each, a hundred at most, and the rest waits. */
static void
test_more_on_each_connection(void **state)
{
	struct place *p = *state;

	queue(p, p->origin, 0, 160);
	assert_int_equal(origins_spread(&p->all), 10);
	queue(p, p->origin, 160, 1);
	assert_int_equal(origins_spread(&p->all), 20);
	queue(p, p->origin, 161, MANY - 161);
	p->origin->is_http2 = true;
	while (hand_over(p))
		send_from(p, 0, true);
	assert_int_equal(p->all.streams, 100);
	assert_int_equal(p->next, 1600);
	assert_int_equal(p->origin->sockets, 16);
	for (uint32_t i = p->next; i < MANY; i++)
		origin_unqueue(&p->requests[i]);
	end(p);
	assert_int_equal(origins_spread(&p->all), 10);
}

/* Connections that are gone carry nothing. */
static void
test_connections_are_lost(void **state)
{
	struct place *p = *state;

	queue(p, p->origin, 0, 100);
	p->origin->is_http2 = true;
	while (hand_over(p))
		send_from(p, 0, true);
	assert_int_equal(p->next, 100);
	assert_int_equal(p->origin->sockets, 10);
	end(p);
	while (p->origin->sockets)
		origin_closed(p->origin, TAILQ_FIRST(&p->origin->open)->fd);
	queue(p, p->origin, 100, 20);
	p->next = 100;
	assert_int_equal(hand_over(p), 1);
	/* it could not connect; nobody says that its socket is closed */
	origin_end(&p->requests[100]);
	assert_int_equal(p->origin->sockets, 0);
	assert_int_equal(p->origin->opening, 0);
	assert_int_equal(p->origin->connecting, 0);
	assert_int_equal(hand_over(p), 1);
	for (uint32_t i = p->next; i < 120; i++)
		origin_unqueue(&p->requests[i]);
	origin_end(&p->requests[101]);
}

/* It answered with HTTP/1.1 after all. */
static void
test_another_version(void **state)
{
	struct place *p = *state;

	p->origin->is_http2 = true;
	queue(p, p->origin, 0, 40);
	assert_int_equal(hand_over(p), 1);
	origin_answered(p->origin, false);
	assert_int_equal(hand_over(p), 15);
	for (uint32_t i = p->next; i < 40; i++)
		origin_unqueue(&p->requests[i]);
	end(p);
}

/* Who came first is first, whichever server it is about, and a server that takes no more holds nobody up. */
static void
test_two_servers(void **state)
{
	struct place *p = *state;
	struct fetch_origin *other = origins_get(&p->all, TEXT("https://b"));

	assert_ptr_equal(origins_get(&p->all, TEXT("https://a")), p->origin);
	p->origin->is_http2 = other->is_http2 = true;
	queue(p, p->origin, 0, 1);
	queue(p, other, 1, 1);
	queue(p, p->origin, 2, 1); /* waits for the first one's connection */
	queue(p, other, 3, 1);
	assert_int_equal(hand_over(p), 2);
	send_from(p, 0, true);
	assert_int_equal(hand_over(p), 2);
	for (uint32_t i = 0; i < 4; i++)
		origin_end(&p->requests[i]);
	while (other->sockets)
		origin_closed(other, TAILQ_FIRST(&other->open)->fd);
}

/* Those that have a request or a connection are not forgotten. */
static void
test_forgotten(void **state)
{
	struct place *p = *state;
	struct fetch_origin *last = NULL;
	char name[32];

	queue(p, p->origin, 0, 1);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "https://%d", i);
		last = origins_get(&p->all, text_of(name));
		assert_true(p->all.count <= 16);
	}
	assert_ptr_equal(origins_get(&p->all, TEXT("https://a")), p->origin);
	p->requests[1].origin = last;
	assert_int_equal(origin_opened(&p->requests[1], 5), 0);
	origin_sends(&p->requests[1], true);
	origin_closed(last, 6);
	assert_int_equal(hand_over(p), 1);
	origins_forget(&p->all, 0);
	assert_int_equal(p->all.count, 2);
	origin_closed(last, 5);
	origins_forget(&p->all, 0);
	assert_int_equal(p->all.count, 1);
	end(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_on_each_connection, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_many_on_each_connection, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_more_on_each_connection, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_connections_are_lost, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_another_version, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_two_servers, open_place, close_place),
		cmocka_unit_test_setup_teardown(test_forgotten, open_place, close_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
