"""Services on the network that fail in every way we know: a clear status, a line in the log, the next
provider of the chain, bounded memory; and nobody else notices."""

import os
import re
import time

import pytest

from harness import SANITIZED, until
from upstream import KEYS
from web import LOCAL, SPOT, Others, ask, failed, has_input, names, people, take

SERVICES = ["google", "google-legacy", "overpass"]
UNKNOWN, LIMIT_WORD, DENIED = "UNKNOWN_ERROR", "OVER_QUERY_LIMIT", "REQUEST_DENIED"
GROWTH_KB = 6000	# of a member by any answer, whatever its size

# name: (what the upstream does, status words that are right, settings)
FAULTS = {
	"429": ({"kind": "status", "status": 429}, [LIMIT_WORD], {}),
	"429 for longer than a lookup lasts": ({"kind": "status", "status": 429, "retry_after": 120}, [LIMIT_WORD], {}),
	"429 and at once again": ({"kind": "status", "status": 429, "retry_after": 0}, [LIMIT_WORD], {}),
	"500": ({"kind": "status", "status": 500}, [UNKNOWN], {}),
	"503": ({"kind": "status", "status": 503, "retry_after": 120}, [UNKNOWN], {}),
	"504": ({"kind": "status", "status": 504}, [UNKNOWN], {}),
	"404": ({"kind": "status", "status": 404}, [UNKNOWN, "INVALID_REQUEST", DENIED], {}),
	"reset": ({"kind": "reset"}, [UNKNOWN], {}),
	"reset within the body": ({"kind": "reset-body"}, [UNKNOWN], {}),
	"cut short": ({"kind": "short"}, [UNKNOWN], {}),
	"nothing": ({"kind": "empty"}, [UNKNOWN], {}),
	"garbage": ({"kind": "garbage"}, [UNKNOWN], {}),
	"not HTTP": ({"kind": "not-http"}, [UNKNOWN], {}),
	"HTML": ({"kind": "html"}, [UNKNOWN], {}),
	"a list": ({"kind": "shape", "which": 0}, [UNKNOWN], {}),
	"null": ({"kind": "shape", "which": 1}, [UNKNOWN], {}),
	"a string": ({"kind": "shape", "which": 2}, [UNKNOWN], {}),
	"members of the wrong type": ({"kind": "shape", "which": 3}, [UNKNOWN], {}),
	"redirect": ({"kind": "redirect"}, [UNKNOWN], {}),
	"redirect for good": ({"kind": "redirect", "status": 308}, [UNKNOWN], {}),
	"30 MB": ({"kind": "big"}, [UNKNOWN], {}),
	"no end": ({"kind": "endless"}, [UNKNOWN], {}),
	"a GiB in a MB": ({"kind": "bomb"}, [UNKNOWN], {}),
	"deep": ({"kind": "deep"}, [UNKNOWN], {}),
	"slow": ({"kind": "hold"}, [UNKNOWN], {"timeout": "400ms"}),
	"stalled": ({"kind": "stall"}, [UNKNOWN], {"timeout": "400ms"}),
	"a byte a second": ({"kind": "drip"}, [UNKNOWN], {"timeout": "1500ms"}),
	"denied": ({"kind": "status", "status": 403, "bare": False}, [DENIED, UNKNOWN], {}),
}


def lookup(web, member, others):
	"""Asks while others go on."""
	with member.client() as connection:
		id, = people(connection, 1, SPOT)
		connection.send(b"before\nWHATSAT %s 10 5\nafter\n" % id)
		assert connection.line() == b"? before\n"
		others.live_until(lambda: has_input(connection), "an answer")
		answer = take(connection, id)
		assert connection.line() == b"? after\n"
	return answer


@pytest.mark.parametrize("http2", [True, False], ids=["http2", "http1"])
@pytest.mark.parametrize("fault", FAULTS)
def test_google_fails(web, upstream, fault, http2):
	what, words, settings = FAULTS[fault]
	upstream.door(http2=http2)
	web.import_local()
	member = web.start("google", **dict({"retries": "1", "answer_max": "200K"}, **settings))
	with Others(member) as others:
		before = member.rss_kb()
		upstream.fault(**what)
		answer = lookup(web, member, others)
		assert failed(answer, *words), answer
		asked = upstream.count("google")["requests"]
		assert 1 <= asked <= 2, asked
		assert SANITIZED or member.rss_kb() - before < GROWTH_KB
		assert web.state(member, "google")["failed"] >= 1
		assert re.search(r"google.*", member.text().partition("is ready")[2]), member.text()	# something was said
		# The same with somebody to fall back on.
		web.reload(member, "google, local", **dict({"retries": "1", "answer_max": "200K"}, **settings))
		until(lambda: len(web.states(member)) == 2 or names(lookup(web, member, others)) == [LOCAL], "the chain")
		answer = lookup(web, member, others)
		assert answer["status"] == "OK" and names(answer) == [LOCAL], answer
		# And afterwards all is well.
		upstream.well()
		upstream.release()
		upstream.door(http2=http2)
		if what.get("retry_after") or fault == "denied":	# it is left alone for a while, unless somebody changes what it is asked
			assert names(lookup(web, member, others)) == [LOCAL]
			web.reload(member, "google, local", language="de", **dict({"retries": "1", "answer_max": "200K"}, **settings))
			until(lambda: web.state(member, "google")["state"] == "ok", "it may be asked again")
		assert len(names(lookup(web, member, others))) == 5
		assert SANITIZED or others.slowest < 0.5, others.slowest
		assert SANITIZED or member.rss_kb() - before < GROWTH_KB
	upstream.check()


@pytest.mark.parametrize("service", ["google-legacy", "overpass"])
@pytest.mark.parametrize("fault", ["500", "reset", "cut short", "nothing", "garbage", "HTML", "a list", "null", "members of the wrong type", "redirect",
	"30 MB", "deep", "slow"])
def test_another_service_fails(web, upstream, service, fault):
	what, words, settings = FAULTS[fault]
	web.import_local()
	settings = dict({"retries": "1", "answer_max": "200K", "overpass__cache_ttl": "0"}, **settings)
	member = web.start(service, **settings)
	with Others(member) as others:
		before = member.rss_kb()
		upstream.fault(**what)
		answer = lookup(web, member, others)
		assert failed(answer, *words), answer
		web.reload(member, service + ",local", **settings)
		until(lambda: names(lookup(web, member, others)) == [LOCAL], "the place of the file")
		upstream.well()
		upstream.release()
		assert len(names(lookup(web, member, others))) == 5
		assert SANITIZED or member.rss_kb() - before < GROWTH_KB
	upstream.check()


@pytest.mark.parametrize("certificate", ["wrong-name", "expired", "other"])
@pytest.mark.parametrize("service", SERVICES)
def test_certificates_are_checked(web, upstream, service, certificate):
	upstream.door(certificate=certificate)
	member = web.start(service, retries="0")
	with Others(member) as others:
		answer = lookup(web, member, others)
		assert failed(answer, UNKNOWN) and re.search("certificate|TLS|SSL", answer["error_message"], re.I), answer
		member.wait_log(service)
	assert upstream.count(service)["requests"] == 0
	assert not any(key in upstream.process.text() for key in KEYS.values())


def test_our_authority_is_not_the_system_s(web, upstream):
	member = web.start("google", ca_file=None)
	with Others(member) as others:
		assert failed(lookup(web, member, others), UNKNOWN)
	assert upstream.count("google")["requests"] == 0


@pytest.mark.parametrize("url", ["https://localhost:1", "https://nobody.invalid", "https://127.0.0.1:PORT"])
def test_where_nobody_is(web, upstream, url):
	"""The last one is there, by another name that the certificate has, too."""
	member = web.start("google", google__url=url.replace("PORT", str(upstream.port)), retries="0")
	with Others(member) as others:
		answer = lookup(web, member, others)
		assert answer["status"] == "OK" if "PORT" in url else failed(answer, UNKNOWN), answer


def test_a_door_that_opens_too_slowly(web, upstream):
	upstream.door(accept_delay=30)
	member = web.start("google", connect_timeout="300ms", retries="0")
	before = time.monotonic()
	with Others(member) as others:
		assert failed(lookup(web, member, others), UNKNOWN)
	assert time.monotonic() - before < 10
	upstream.well()
	with Others(member) as others:
		assert lookup(web, member, others)["status"] == "OK"


def test_a_port_that_nobody_listens_on_any_more(web, upstream):
	member = web.start("google", retries="0")
	with Others(member) as others:
		assert lookup(web, member, others)["status"] == "OK"
		port = upstream.do("refuse")
		assert failed(lookup(web, member, others), UNKNOWN)
		upstream.do("listen", port)
		assert lookup(web, member, others)["status"] == "OK"


@pytest.mark.parametrize("service,body,word", [
	("google", '{"error":{"code":400,"message":"bad field","status":"INVALID_ARGUMENT"}}', "INVALID_REQUEST"),
	("google", '{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":'
		'"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}', DENIED),
	("google", '{"error":{"code":403,"message":"not enabled","status":"PERMISSION_DENIED"}}', DENIED),
	("google", '{"error":{"code":401,"message":"who","status":"UNAUTHENTICATED"}}', DENIED),
	("google", '{"error":{"code":429,"message":"slower","status":"RESOURCE_EXHAUSTED"}}', LIMIT_WORD),
	("google-legacy", '{"error_message":"The provided API key is invalid.","html_attributions":[],"results":[],"status":"REQUEST_DENIED"}', DENIED),
	("google-legacy", '{"error_message":"over","html_attributions":[],"results":[],"status":"OVER_QUERY_LIMIT"}', LIMIT_WORD),
	("google-legacy", '{"html_attributions":[],"results":[],"status":"INVALID_REQUEST"}', "INVALID_REQUEST"),
	("google-legacy", '{"html_attributions":[],"results":[],"status":"UNKNOWN_ERROR"}', UNKNOWN),
	("overpass", '{"version":0.6,"elements":[],"remark":"runtime error: Query timed out in \\"query\\" at line 2 after 11 seconds."}', UNKNOWN),
])
def test_a_service_s_own_failures(web, upstream, service, body, word):
	code = re.search(r'"code":(\d+)', body)
	upstream.fault("say", body=body, status=int(code.group(1)) if code else 200)
	member = web.start(service, retries="0")
	with Others(member) as others:
		answer = lookup(web, member, others)
		assert failed(answer, word), answer
		message = re.search(r'message":"([^"]+)"', body)
		assert not message or message.group(1) in answer["error_message"], answer
		if word == DENIED:
			member.wait_log("refuse|denied|DENIED|%s" % (message.group(1) if message else "key"))
	upstream.check()


@pytest.mark.parametrize("service", ["google", "google-legacy", "overpass"])
def test_a_hiccup_is_not_noticed(web, upstream, service):
	member = web.start(service, retries="3")
	if service != "overpass":
		upstream.fault("status", status=429, times=1)
	upstream.fault("status", status=503, times=1)
	with Others(member) as others:
		assert lookup(web, member, others)["status"] == "OK"
		assert web.state(member, service)["retried"] == (1 if service == "overpass" else 2)
	upstream.check()


def test_what_is_wrong_for_good_is_not_tried_again(web, upstream):
	member = web.start("google", retries="3")
	with Others(member) as others:
		for number, what in enumerate(({"kind": "status", "status": 403}, {"kind": "status", "status": 400}, {"kind": "redirect"}, {"kind": "html"})):
			upstream.well()
			upstream.fault(**what)
			web.reload(member, "google", retries="3", language=("de", "en")[number % 2])	# so that who was refused is asked again
			until(lambda: web.state(member, "google")["state"] == "ok", "it may be asked again")
			assert lookup(web, member, others)["results"] == []
			assert upstream.count("google")["requests"] == number + 1, what
	upstream.check()


def test_the_deadline_is_for_all_tries_together(web, upstream):
	member = web.start("google", retries="10", timeout="1s")
	upstream.fault("status", status=503)
	before = time.monotonic()
	with Others(member) as others:
		assert failed(lookup(web, member, others), UNKNOWN)
	assert SANITIZED or time.monotonic() - before < 3


# --- left alone ------------------------------------------------------------------------------

def test_a_service_that_fails_is_left_alone_and_tried_again(web, upstream):
	web.import_local()
	member = web.start("google, local", retries="0", breaker_failures="3", breaker_pause="1s")
	upstream.fault("status", status=500)
	with member.client() as connection:
		id, = people(connection, 1, SPOT)
		assert web.state(member, "google")["state"] == "ok"
		for _ in range(3):
			assert names(ask(connection, id)) == [LOCAL]
		assert upstream.count("google")["requests"] == 3
		state = web.state(member, "google")
		assert state["state"] == "down" and state["why"], state
		until(lambda: re.search(r"google", member.text().partition("is ready")[2]), "a line in the log")
		status = web.herd.run_ctl("status").stdout
		assert "google" in status and "down" in status
		for _ in range(20):
			assert names(ask(connection, id)) == [LOCAL]
		before = upstream.times("google")
		if before[-1] + 0.7 > time.monotonic():	# so slow may this machine be that the pause is over
			assert len(before) == 3

		def probed():
			assert names(ask(connection, id)) == [LOCAL]
			return upstream.count("google")["requests"] == 4
		until(probed, "one request that tries")
		times = upstream.times("google")
		assert times[3] - times[2] >= 0.5, times	# the pause, less what is random about it
		assert web.state(member, "google")["state"] == "down"
		upstream.well()
		until(lambda: len(names(ask(connection, id))) == 5, "the service is back")
		assert web.state(member, "google")["state"] == "ok"
		assert web.state(member, "google")["why"] == ""
	upstream.check()


def test_only_one_tries_whether_it_is_back(web, upstream):
	web.import_local()
	member = web.start("google, local", retries="0", breaker_failures="1", breaker_pause="100ms")
	upstream.fault("status", status=500, times=1)
	upstream.fault("hold")
	with member.client() as connection, member.client() as asker:
		ids = people(connection, 20, SPOT)
		ask(connection, ids[0])

		def probing():
			asker.send(b"WHATSAT %s %d 5\n" % (ids[1], 1))
			until(lambda: has_input(asker) or upstream.count("google")["in_flight"] == 1, "an answer or a probe")
			if upstream.count("google")["in_flight"] == 1:
				return True
			take(asker, ids[1])
			return False
		until(probing, "a probe")
		assert web.state(member, "google")["state"] == "trying"
		for id in ids:	# they are not made to wait for it
			assert names(ask(connection, id, b"20", b"3")) == [LOCAL]
		assert upstream.count("google")["requests"] == 2
		upstream.well()
		upstream.release()
		assert len(names(take(asker, ids[1]))) == 5
		assert web.state(member, "google")["state"] == "ok"


def test_a_hanging_service_is_left_alone_too(web, upstream):
	web.import_local()
	member = web.start("google, local", retries="0", timeout="300ms", breaker_failures="2", breaker_pause="1h")
	upstream.fault("hold")
	with member.client() as connection:
		ids = people(connection, 100, SPOT)
		for id in ids[:2]:
			assert names(ask(connection, id)) == [LOCAL]
		before = time.monotonic()
		for id in ids:
			assert names(ask(connection, id)) == [LOCAL]
		assert time.monotonic() - before < 10
	assert upstream.count("google")["requests"] == 2


def test_openstreetmap_waits_half_a_minute_after_429(web, upstream):
	member = web.start("overpass", retries="2", overpass__cache_ttl="0")
	upstream.fault("status", status=429, times=1)
	with member.client() as connection:
		id, = people(connection, 1, SPOT)
		assert failed(ask(connection, id), LIMIT_WORD)
		assert failed(ask(connection, id), LIMIT_WORD)
		assert upstream.count("overpass")["requests"] == 1
		assert web.state(member, "overpass")["state"] == "down" and web.state(member, "overpass")["why"]
		until(lambda: ask(connection, id)["status"] == "OK", "it is asked again", pause=0.2)
	times = upstream.times("overpass")
	assert len(times) == 2 and times[1] - times[0] >= 30, times
	upstream.check()


# --- the chain -------------------------------------------------------------------------------------

def test_one_after_the_other(web, upstream):
	web.import_local()
	member = web.start("google, google-legacy, overpass, local", retries="0", overpass__cache_ttl="0")
	with Others(member) as others:
		for count, service in enumerate(SERVICES + [None]):
			answer = lookup(web, member, others)
			assert answer["status"] == "OK"
			asked = [upstream.count(one)["requests"] for one in SERVICES]
			assert asked == [max(0, min(4, count + 1 - n)) for n in range(3)], asked
			if service:
				assert len(names(answer)) == 5
				upstream.fault("status", status=500, service=service)
			else:
				assert names(answer) == [LOCAL]
	upstream.check()


def test_nobody_of_the_chain_can(web, upstream):
	member = web.start("google, google-legacy", retries="0")
	upstream.fault("status", status=403, service="google", bare=False, message="first")
	upstream.fault("status", status=500, service="google-legacy", message="second")
	with Others(member) as others:
		answer = lookup(web, member, others)
		assert failed(answer, DENIED) and "first" in answer["error_message"], answer	# what the first one said


def test_the_log_is_not_flooded(web, upstream):
	member = web.start("google", retries="0")
	upstream.fault("html")
	with member.client() as connection:
		ids = people(connection, 300, SPOT)
		for id in ids:
			ask(connection, id)
	assert 1 <= member.text().partition("is ready")[2].count("google") <= 20
	assert os.path.getsize(member.log) < 20000
