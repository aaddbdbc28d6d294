"""WHATSAT answered by services on the network: the answers, their order, and how little is asked."""

import json
import os
import re

import pytest

import harness
from harness import Datagrams, Turn, fresh, now_text, until
from web import LOCAL, SPOT, Others, ask, distance_m, failed, iso, names, people, spot, take

SERVICES = ["google", "google-legacy", "overpass"]


def near_enough(answer, at, radius_km):
	return all(distance_m(*at, place["geometry"]["location"]["lat"], place["geometry"]["location"]["lng"]) <= radius_km * 1000 + 0.1
		for place in answer["results"])


# --- the answers ------------------------------------------------------------------

@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("radius,bound", [(b"10", b"5"), (b"0.5", b"20"), (b"50", b"1"), (b"3.25", b"7")])
def test_an_answer_has_the_promised_shape(web, upstream, service, radius, bound):
	member = web.start(service)
	with member.client() as connection:
		id, = people(connection, 1)
		held = connection.held(id)
		connection.send(b"WHATSAT %s %s %s\n" % (id, radius, bound))
		assert connection.line() == held
		body = connection.until(b"\n\n")
		assert body.startswith(b"{") and body.endswith(b"}\n\n") and body.count(b"\n") == 2
		answer = json.loads(body)
		assert answer["status"] == "OK" and 1 <= len(answer["results"]) <= int(bound)
		assert near_enough(answer, SPOT, float(radius))
		for place in answer["results"]:
			assert place["place_id"] and place["name"].startswith("Place ") and place["types"]
			assert isinstance(place["geometry"]["location"]["lat"], float)
		assert connection.exactly(b"junk\n") == b"? junk\n"
	upstream.check()


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_asked_is_what_was_meant(web, upstream, service):
	member = web.start(service)
	with member.client() as connection:
		for number, (lat, lon) in enumerate([(0, 0), (-33.868800, 151.209300), (89.9, -179.999999), (-10.000001, 0.000001)]):
			id = fresh()
			connection.iamat(id, location=iso(lat, lon))
			answer = ask(connection, id, b"2", b"20")
			asked = upstream.asked(service)[number]
			away = distance_m(lat, lon, asked["lat"], asked["lon"])
			if service == "overpass":	# cells of 500 m
				assert away <= 500 and 2000 <= asked["radius"] <= 3000, (away, asked)
			else:
				assert away < 0.02 and asked["radius"] == 2000, asked
			assert names(answer) and all(name.endswith(" of %.6f,%.6f" % (asked["lat"], asked["lon"])) for name in names(answer))
			assert near_enough(answer, (lat, lon), 2)
	upstream.check()


def test_google_new_is_told_in_the_old_words(web, upstream):
	member = web.start("google", language="de", google__region="AT", google__types="cafe,museum")
	with member.client() as connection:
		id, = people(connection, 1)
		place = ask(connection, id, b"10", b"1")["results"][0]
		asked = upstream.asked("google")[0]
		assert asked["count"] >= 1
	assert place["place_id"] == place["reference"] == "ChIJ-0" and place["scope"] == "GOOGLE"
	assert place["types"][0] == "cafe" and "food" in place["types"] and place["types"].count("cafe") == 1
	assert place["vicinity"] == "0 Herd \u201cStreet\u201d" and place["business_status"] == "OPERATIONAL"
	assert place["plus_code"] == {"global_code": "4RRH46R6+G2", "compound_code": "46R6+G2 The Rocks"}
	viewport = place["geometry"]["viewport"]
	assert viewport["northeast"]["lat"] > place["geometry"]["location"]["lat"] > viewport["southwest"]["lat"]
	upstream.check()


def test_google_s_attributions_are_escaped(web, upstream):
	member = web.start("google")
	with member.client() as connection:
		id, = people(connection, 1)
		text = "".join(ask(connection, id)["html_attributions"])
	assert "https://provider.example/?a=1&amp;b=2" in text and "A &lt;provider&gt; &amp;" in text
	assert "<provider>" not in text


def test_the_dearer_fields_come_only_if_asked_for(web, upstream):
	member = web.start("google", google__field_mask="places.id,places.displayName,places.location,places.types,places.rating,"
		"places.userRatingCount,places.priceLevel")
	with member.client() as connection:
		id, = people(connection, 1)
		place = ask(connection, id)["results"][0]
	assert (place["rating"], place["user_ratings_total"], place["price_level"]) == (4.5, 1269, 2)
	assert "vicinity" not in place and "business_status" not in place
	upstream.check()


def test_legacy_keeps_its_token_and_loses_what_is_outside(web, upstream):
	member = web.start("google-legacy", language="de", google_legacy__types="cafe,museum")
	with member.client() as connection:
		id, = people(connection, 1)
		answer = ask(connection, id, b"10", b"20")
	assert answer["next_page_token"].startswith("Aap_uEA7vb0") and answer["html_attributions"] == ["Listings by <a href=\"https://x.example\">X</a>"]
	assert len(answer["results"]) == 20 and "Outside of it" not in names(answer)
	assert answer["results"][0]["user_ratings_total"] == 1269 and answer["results"][0]["photos"]
	upstream.check()


def test_legacy_is_asked_for_the_nearest_of_a_type(web, upstream):
	member = web.start("google-legacy", google_legacy__types="cafe", rank="distance")
	with member.client() as connection:
		id, = people(connection, 1)
		answer = ask(connection, id, b"50", b"20")
		away = [distance_m(*SPOT, place["geometry"]["location"]["lat"], place["geometry"]["location"]["lng"]) for place in answer["results"]]
	assert len(away) == 20 and away == sorted(away)
	upstream.check()


def test_openstreetmap_is_named(web, upstream):
	member = web.start("overpass")
	with member.client() as connection:
		id, = people(connection, 1)
		answer = ask(connection, id, b"50", b"20")
		assert any("OpenStreetMap" in text for text in answer["html_attributions"])
		assert near_enough(answer, SPOT, 6)
		asked = upstream.asked("overpass")[0]
		assert asked["radius"] <= 5000	# however far somebody looks
	upstream.check()


@pytest.mark.parametrize("service,body", [("google", "{}"), ("google-legacy", '{"html_attributions":[],"results":[],"status":"ZERO_RESULTS"}'),
	("overpass", '{"version":0.6,"elements":[]}')])
def test_nothing_is_near(web, upstream, service, body):
	member = web.start(service)
	upstream.fault("say", body=body)
	with member.client() as connection:
		id, = people(connection, 1)
		answer = ask(connection, id)
		assert answer["status"] == "ZERO_RESULTS" and "error_message" not in answer


@pytest.mark.parametrize("rank", ["prominence", "distance"])
def test_the_nearest_first_if_so_set(web, upstream, rank):
	member = web.start("google", rank=rank)
	places = [{"id": "x%d" % n, "displayName": {"text": "P%d" % n}, "location": {"latitude": SPOT[0] + lat, "longitude": SPOT[1]}}
		for n, lat in enumerate((0.03, 0.01, 0.02))]
	upstream.fault("say", body=json.dumps({"places": places}))
	with member.client() as connection:
		id, = people(connection, 1)
		assert names(ask(connection, id)) == (["P0", "P1", "P2"] if rank == "prominence" else ["P1", "P2", "P0"])


def test_compressed_answers(web, upstream):
	member = web.start("google")
	upstream.fault("gzip")
	with member.client() as connection:
		id, = people(connection, 1)
		assert ask(connection, id)["status"] == "OK"


@pytest.mark.parametrize("http2", [True, False])
def test_connections_are_kept(web, upstream, http2):
	upstream.door(http2=http2)
	member = web.start("google,google-legacy")
	with member.client() as connection:
		for id in people(connection, 20):
			assert ask(connection, id)["status"] == "OK"
	counts = upstream.counts()
	assert counts["connections"] == 1 and counts["services"]["google"]["http2"] == (20 if http2 else 0), counts
	upstream.check()


def test_the_environment_and_home_say_nothing(web, upstream, tmp_path):
	(tmp_path / ".netrc").write_text("machine localhost login joe password secret\n")
	env = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
	member = web.start("google", process={"env": dict(env, HOME=str(tmp_path), CURL_HOME=str(tmp_path), CURL_CA_BUNDLE="/nowhere")})
	with member.client() as connection:
		id, = people(connection, 1)
		assert ask(connection, id)["status"] == "OK"
	upstream.check()


# --- order, and how much is under way ----------------------------------------------

@pytest.mark.parametrize("service", SERVICES)
def test_replies_come_in_command_order(web, upstream, service):
	member = web.start(service)
	upstream.fault("delay", seconds=0.05, times=3)
	upstream.fault("delay", seconds=0.001)
	with member.client() as connection:
		ids = people(connection, 30)
		sent = []
		for number, id in enumerate(ids):
			sent += [b"IAMAT %s %s %s\n" % (id, iso(*spot(number)), now_text()), b"WHATSAT %s 1 3\n" % id, b"junk %d\n" % number,
				b"WHATSAT nobody 1 3\n", b"\n"]
		connection.send(b"".join(sent))
		for number, id in enumerate(ids):
			first = connection.line()
			assert first.startswith(b"AT Alpha ") and b" %s " % id in first, first
			answer = take(connection, id)
			assert answer["status"] == "OK"
			at = re.fullmatch(r"Place \d+ of (\S+),(\S+)", names(answer)[0])
			assert distance_m(*spot(number), float(at.group(1)), float(at.group(2))) < 500, (number, names(answer))
			assert connection.line() == b"? junk %d\n" % number
			assert connection.line() == b"? WHATSAT nobody 1 3\n"
			assert connection.line() == b"? \n"
		assert connection.exactly(b"") == b""
	upstream.check()


def test_what_comes_before_a_lookup_is_not_kept_back(web, upstream):
	member = web.start("google")
	upstream.fault("hold")
	with member.client() as connection:
		id, = people(connection, 1)
		connection.send(b"one\nWHATSAT %s 10 5\ntwo\n" % id)
		assert connection.line() == b"? one\n"
		upstream.wait_held("google", 1)
		upstream.release()
		assert take(connection, id)["status"] == "OK"
		assert connection.line() == b"? two\n"


@pytest.mark.parametrize("most", [1, 4])
def test_past_places_pending_max_the_connection_is_not_read(web, upstream, most):
	member = web.start("google", settings={"herd.places-pending-max": most})
	turn = Turn(member)
	upstream.fault("hold")
	with member.client() as connection, Others(member) as others:
		ids = people(connection, 50)
		connection.send(b"".join(b"WHATSAT %s 10 5\n" % id for id in ids))
		upstream.wait_held("google", most)
		connection.socket.settimeout(0.2)
		sent = 0
		with pytest.raises(TimeoutError):	# the kernel's buffers fill, and nobody empties them
			while sent < 64 << 20:
				sent += connection.socket.send(b"junk\n" * 10000)
		turn.turn()
		assert upstream.count("google")["requests"] == most
		others.live()
		assert member.rss_kb() < 40000
		connection.socket.settimeout(30)
		upstream.well()
		upstream.release()
		for id in ids:
			assert take(connection, id)["status"] == "OK"
		connection.half_close()
		assert connection.end().count(b"? junk\n") >= sent // 5
	assert upstream.count("google")["in_flight_max"] <= most
	turn.close()
	upstream.check()


def test_lookups_over_udp(web, upstream):
	member = web.start("google", process={"udp": ["127.0.0.1:0"]})
	with member.client() as connection, Datagrams(member.udp[0]) as datagrams:
		id, = people(connection, 1)
		datagrams.send(b"WHATSAT %s 10 5\n" % id)
		reply = datagrams.receive()
		assert reply.startswith(b"AT ") and reply.endswith(b"}\n\n") and b'"OK"' in reply
	upstream.check()


# --- how little is asked ----------------------------------------------------------------

@pytest.mark.parametrize("service", SERVICES)
def test_a_thousand_phones_ask_the_same_and_one_request_is_made(web, upstream, service):
	member = web.start(service, settings={"herd.connections-max": 1200})
	upstream.fault("hold")
	phones = [member.client() for _ in range(1000)]
	try:
		ids = people(phones[0], 1000, SPOT)
		for phone, id in zip(phones, ids):
			phone.send(b"WHATSAT %s 10 5\n" % id)
		until(lambda: web.state(member, service)["coalesced"] == 999, lambda: web.state(member, service))
		upstream.release()
		bodies = set()
		for phone, id in zip(phones, ids):
			line = phone.line()
			assert line.startswith(b"AT Alpha ") and b" %s " % id in line
			bodies.add(phone.until(b"\n\n"))
		assert len(bodies) == 1 and b'"OK"' in bodies.pop()
	finally:
		for phone in phones:
			phone.close()
	assert upstream.count(service)["requests"] == 1
	upstream.check()


@pytest.mark.parametrize("http2", [True, False])
def test_a_thousand_ask_differently_over_few_connections(web, upstream, http2):
	upstream.door(http2=http2)
	member = web.start("google", settings={"herd.connections-max": 200}, connections_max="4", timeout="60s")
	phones = [member.client() for _ in range(100)]
	try:
		ids = people(phones[0], 1000)
		for number, id in enumerate(ids):
			phones[number % 100].send(b"WHATSAT %s 10 5\n" % id)
		for number, id in enumerate(ids):
			answer = take(phones[number % 100], id)
			assert answer["status"] == "OK" and names(answer)[0].endswith(" of %.6f,%.6f" % spot(number))
	finally:
		for phone in phones:
			phone.close()
	counts = upstream.counts()
	assert counts["open_max"] <= 4 and counts["connections"] <= 4, counts
	assert counts["services"]["google"]["requests"] == 1000
	upstream.check()


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("stays", [True, False])
def test_whom_nobody_waits_for_is_told(web, upstream, http2, stays):
	upstream.door(http2=http2)
	member = web.start("google", timeout="60s")
	upstream.fault("hold")
	with member.client() as connection:
		ids = people(connection, 7)
		if stays:
			connection.send(b"WHATSAT %s 10 5\n" % ids[5])
		leaver = member.client()
		for id in ids[:5]:
			leaver.send(b"WHATSAT %s 10 5\n" % id)
		upstream.wait_held("google", 5 + stays)
		leaver.reset()
		if stays:	# it is told with what it is told next
			connection.send(b"WHATSAT %s 10 5\n" % ids[6])
			until(lambda: upstream.count("google")["requests"] == 7, "the seventh question")
		until(lambda: upstream.count("google")["in_flight"] == 2 * stays, "the service knows that five are not wanted", 1)
		upstream.well()
		upstream.release()
		for id in ids[5:] if stays else ():
			assert take(connection, id)["status"] == "OK"
		connection.send(b"WHATSAT %s 10 5\n" % ids[0])
		assert take(connection, ids[0])["status"] == "OK"
	upstream.check()


def test_different_questions_are_not_one(web, upstream):
	member = web.start("google")
	upstream.fault("hold")
	with member.client() as connection:
		id, = people(connection, 1)
		asked = [b"WHATSAT %s %s %s\n" % (id, radius, bound) for radius, bound in ((b"1", b"5"), (b"2", b"5"), (b"01.0", b"5"), (b"2", b"5"))]
		connection.send(b"".join(asked))
		upstream.wait_held("google", 2)
		upstream.release()
		for _ in asked:
			assert take(connection, id)["status"] == "OK"
	assert sorted(q["radius"] for q in upstream.asked("google")) == [1000, 2000]
	upstream.check()


def test_google_is_asked_each_time(web, upstream):
	member = web.start("google,google-legacy")
	with member.client() as connection:
		id, = people(connection, 1)
		for _ in range(3):
			assert ask(connection, id)["status"] == "OK"
	assert upstream.count("google")["requests"] == 3
	assert not any("budget" not in name for name in os.listdir(web.state_dir))


def test_openstreetmap_is_remembered(web, upstream):
	member = web.start("overpass")
	with member.client() as connection:
		one, = people(connection, 1)
		first = ask(connection, one, b"2", b"20")
		other = fresh()
		connection.iamat(other, location=iso(SPOT[0] + 0.0000005, SPOT[1]))	# in the same cell
		assert names(ask(connection, other, b"2", b"20")) == names(first)
		assert upstream.count("overpass")["requests"] == 1
		assert web.state(member, "overpass")["cached"] == 1
		far = fresh()
		connection.iamat(far, location=iso(*spot(1)))
		assert names(ask(connection, far, b"2", b"20")) != names(first)
	assert upstream.count("overpass")["requests"] == 2
	upstream.check()


def test_what_is_remembered_is_forgotten_in_time(web, upstream):
	member = web.start("overpass", overpass__cache_ttl="300ms")
	with member.client() as connection:
		id, = people(connection, 1)
		ask(connection, id)

		def asked_again():
			ask(connection, id)
			return upstream.count("overpass")["requests"] >= 2
		until(asked_again, "the service is asked again")


def test_failures_are_not_remembered(web, upstream):
	member = web.start("overpass", retries="0")
	upstream.fault("status", status=500, times=1)
	with member.client() as connection:
		id, = people(connection, 1)
		assert failed(ask(connection, id), "UNKNOWN_ERROR")
		assert ask(connection, id)["status"] == "OK"


def test_what_is_remembered_is_bounded(web, upstream):
	member = web.start("overpass", cache_size="64K", settings={"herd.places-pending-max": 300})
	with member.client() as connection:
		ids = people(connection, 300)
		before = 0
		for at in range(0, len(ids), 50):
			connection.send(b"".join(b"WHATSAT %s 5 20\n" % id for id in ids[at:at + 50]))
			assert all(take(connection, id)["status"] == "OK" for id in ids[at:at + 50])
			before = before or member.rss_kb()
		# 250 answers have 2 MB; a sanitizer keeps what was freed
		assert harness.SANITIZED or member.rss_kb() - before < 1500
		asked = upstream.count("overpass")["requests"]
		ask(connection, ids[-1], b"5", b"20")
		assert upstream.count("overpass")["requests"] == asked
		ask(connection, ids[0], b"5", b"20")
		assert upstream.count("overpass")["requests"] == asked + 1


def test_who_wants_nothing_asks_nobody(web, upstream):
	member = web.start("google")
	with member.client() as connection:
		id, = people(connection, 1)
		assert ask(connection, id, b"10", b"0")["results"] == []
	assert upstream.count("google")["requests"] == 0


def test_openstreetmap_is_asked_one_at_a_time(web, upstream):
	member = web.start("overpass")
	upstream.fault("delay", seconds=0.005)
	phones = [member.client() for _ in range(4)]
	try:
		ids = people(phones[0], 40)
		for number, id in enumerate(ids):
			phones[number % 4].send(b"WHATSAT %s 1 5\n" % id)
		for number, id in enumerate(ids):
			assert take(phones[number % 4], id)["status"] == "OK"
	finally:
		for phone in phones:
			phone.close()
	count = upstream.count("overpass")
	assert (count["requests"], count["in_flight_max"]) == (40, 1)
	upstream.check()


def test_openstreetmap_wants_a_contact(web, upstream):
	web.configure("overpass,local", overpass__contact=None)
	done = web.herd.run_ctl("--check-config")
	assert done.returncode == 78 and "contact" in done.stderr, done


def test_the_contact_goes_with_every_request(web, upstream):
	web.import_local()
	member = web.start("overpass,local", overpass__contact="someone@else.example")
	with member.client() as connection:
		id, = people(connection, 1)
		assert names(ask(connection, id)) == [LOCAL]	# it is refused: this is not who the test said
	assert upstream.counts()["violations"] == ["overpass: User-Agent 'herd/0.1.0 (+someone@else.example)'"]
	member.wait_log("406|contact")


# --- budgets ---------------------------------------------------------------------------------

@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_day_s_requests_are_counted_over_restarts(web, upstream, end):
	member = web.start("google", google__requests_per_day="10")
	with member.client() as connection:
		ids = people(connection, 20)
		for id in ids[:4]:
			assert ask(connection, id)["status"] == "OK"
	getattr(member, end)()
	member = web.member()
	with member.client() as connection:
		answers = [ask(connection, id) for id in ids]
		good = [answer for answer in answers if answer["status"] == "OK"]
		assert all(failed(answer, "OVER_QUERY_LIMIT") for answer in answers[len(good):])
		assert 4 <= len(good) <= 6, len(good)	# what was set aside at a kill is lost
	assert 8 <= upstream.count("google")["requests"] <= 10
	state = web.state(member, "google")
	assert state["day_used"] == 10 == state["day_max"] and state["state"] == "limited" and state["why"]
	member.wait_log("google.*(day|today)")
	upstream.check()


def test_a_day_s_requests_with_a_chain(web, upstream):
	web.import_local()
	member = web.start("google,local", google__requests_per_day="2")
	with member.client() as connection:
		ids = people(connection, 5, SPOT)
		answers = [names(ask(connection, id)) for id in ids]
		assert [found == [LOCAL] for found in answers] == [False, False, True, True, True]
		web.reload(member, "google,local", google__requests_per_day="3")
		until(lambda: names(ask(connection, ids[0])) != [LOCAL], "one more")
		assert names(ask(connection, ids[0])) == [LOCAL]
	assert upstream.count("google")["requests"] == 3


def test_no_more_than_so_many_a_second(web, upstream):
	member = web.start("google", google__requests_per_second="5")
	with member.client() as connection:
		ids = people(connection, 60)
		connection.send(b"".join(b"WHATSAT %s 10 5\n" % id for id in ids))
		answers = [take(connection, id) for id in ids]
		until(lambda: ask(connection, ids[0])["status"] == "OK", "a second later")
	assert all(answer["status"] == "OK" or failed(answer, "OVER_QUERY_LIMIT") for answer in answers)
	assert any(answer["status"] == "OVER_QUERY_LIMIT" for answer in answers)
	times = upstream.times("google")
	for start in times:
		assert sum(start <= at < start + 1 for at in times) <= 11	# the burst of one second, and the next one's
	assert len(times) <= 5 + 5 * (times[-1] - times[0]) + 1


def test_openstreetmap_is_asked_at_its_pace(web, upstream):
	member = web.start("overpass", overpass__requests_per_second="20")
	with member.client() as connection:
		ids = people(connection, 30)
		connection.send(b"".join(b"WHATSAT %s 1 5\n" % id for id in ids))
		assert all(take(connection, id)["status"] == "OK" for id in ids)
	times = upstream.times("overpass")
	assert len(times) == 30 and times[-1] - times[0] >= (30 - 20 - 1) / 20
