"""The places services that the tests play: asked as documented, they answer as documented, and
whatever is not is found out. curl asks, over both versions of HTTP."""

import json
import subprocess
import time
import urllib.parse

import pytest

from harness import LIMIT, until
from upstream import CONTACT, KEYS

MASK = "places.id,places.displayName,places.location,places.viewport,places.types,places.primaryType," \
	"places.shortFormattedAddress,places.businessStatus,places.plusCode,places.attributions"
CIRCLE = {"circle": {"center": {"latitude": 34.06893, "longitude": -118.445127}, "radius": 10000.0}}
GOOGLE = {"maxResultCount": 20, "rankPreference": "POPULARITY", "locationRestriction": CIRCLE}
KINDS = "^(amenity|shop|tourism|leisure|historic|office)$"
OVERPASS = "[out:json][timeout:10][maxsize:16777216];\nnwr(around:1000,34.068930,-118.445127)[\"name\"][~\"%s\"~\".\"];\n" \
	"out center qt 60;" % KINDS


def curl(upstream, *words, version="--http2"):
	"""(exit status, HTTP status, version, body)"""
	done = subprocess.run(["curl", "-q", "--silent", "--show-error", version, "--cacert", upstream.ca, "--max-time", "20", "-A", "herd/0.1.0",
		"--write-out", "\n%{http_code} %{http_version}"] + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
		stderr=subprocess.PIPE, timeout=LIMIT, check=False)
	body, _, told = done.stdout.rpartition(b"\n")
	status, version = told.decode().split()
	return done.returncode, int(status), version, body


def google(upstream, *words, body=None, key=KEYS["google"], mask=MASK, **options):
	data = json.dumps(GOOGLE if body is None else body)
	return curl(upstream, upstream.url("google") + "/v1/places:searchNearby", "-H", "Content-Type: application/json",
		"-H", "X-Goog-Api-Key: " + key, "-H", "X-Goog-FieldMask: " + mask, "--data-binary", data, *words, **options)


def legacy(upstream, *words, query="location=34.068930,-118.445127&radius=10000", key=KEYS["google-legacy"], **options):
	return curl(upstream, upstream.url("google-legacy") + "/maps/api/place/nearbysearch/json?%s&key=%s" % (query, key), *words, **options)


def overpass(upstream, *words, query=OVERPASS, agent="herd/0.1.0 (+%s)" % CONTACT, **options):
	return curl(upstream, upstream.url("overpass"), "-A", agent, "--data-binary", "data=" + urllib.parse.quote(query, safe=""), *words, **options)


ASK = {"google": google, "google-legacy": legacy, "overpass": overpass}


@pytest.mark.parametrize("version,told", [("--http2", "2"), ("--http1.1", "1.1")])
def test_it_answers_as_documented(upstream, version, told):
	for service, member, count in (("google", "places", 20), ("google-legacy", "results", 21), ("overpass", "elements", 20)):
		done, status, seen, body = ASK[service](upstream, version=version)
		assert (done, status, seen) == (0, 200, told)
		assert len(json.loads(body)[member]) == count
		assert upstream.asked(service)[-1]["lat"] == 34.06893
	upstream.check()


def test_the_mask_says_what_comes(upstream):
	places = json.loads(google(upstream, mask="places.id,places.location")[3])["places"]
	assert all(set(place) == {"id", "location"} for place in places)


@pytest.mark.parametrize("what,words", [
	("google", {"key": "wrong"}), ("google", {"mask": "places.id, places.location"}), ("google", {"mask": "places.colour"}),
	("google", {"body": dict(GOOGLE, maxResultCount=21)}), ("google", {"body": dict(GOOGLE, keyword="cafe")}),
	("google", {"body": dict(GOOGLE, locationRestriction={"circle": {"center": {"latitude": 91, "longitude": 0}, "radius": 5}})}),
	("google-legacy", {"key": "wrong"}), ("google-legacy", {"query": "location=34,x&radius=10"}),
	("google-legacy", {"query": "location=34,5&radius=10&rankby=distance"}), ("google-legacy", {"query": "radius=10"}),
	("overpass", {"agent": "curl/7.88.1"}), ("overpass", {"agent": "herd/0.1.0"}),
	("overpass", {"query": OVERPASS.replace("1000", "5001")}), ("overpass", {"query": OVERPASS + "out;"}),
])
def test_what_is_not_documented_is_found_out(upstream, what, words):
	done, status, _, body = ASK[what](upstream, **words)
	assert done == 0 and (status >= 400 or json.loads(body)["status"] in ("REQUEST_DENIED", "INVALID_REQUEST")), (status, body)
	with pytest.raises(AssertionError):
		upstream.check()
	upstream.do("forget")


@pytest.mark.parametrize("service", ASK)
def test_a_header_too_many_is_found_out(upstream, service):
	ASK[service](upstream, "-H", "Cookie: a=b")
	assert "cookie" in upstream.counts()["violations"][0]
	upstream.do("forget")


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
@pytest.mark.parametrize("fault,done,status,begins", [
	({"kind": "status", "status": 429, "retry_after": 7}, (0,), 429, b""),
	({"kind": "status", "status": 500}, (0,), 500, b""),
	({"kind": "reset"}, (35, 52, 55, 56), 0, b""),
	({"kind": "reset-body"}, (18, 56, 92), 200, b"{"),
	({"kind": "short"}, (18, 92, 56), 200, b"{"),
	({"kind": "not-http"}, (1, 8, 16, 18, 52, 56, 92), 0, b""),
	({"kind": "garbage"}, (0,), 200, b""),
	({"kind": "html"}, (0,), 200, b"<!DOCTYPE"),
	({"kind": "shape", "which": 0}, (0,), 200, b"[1,2,3]"),
	({"kind": "redirect"}, (0,), 302, b"elsewhere"),
	({"kind": "deep"}, (0,), 200, b'{"places":[[['),
	({"kind": "gzip"}, (0,), 200, b"{"),
	({"kind": "empty"}, (0,), 200, b""),
	({"kind": "echo"}, (0,), 403, b"{"),
	({"kind": "delay", "seconds": 0.01}, (0,), 200, b"{"),
])
def test_each_fault_is_what_it_says(upstream, version, fault, done, status, begins):
	upstream.fault(**fault)
	words = ("--compressed",) if fault["kind"] == "gzip" else ()
	seen = google(upstream, *words, version=version)
	assert seen[0] in done and seen[1] == status and seen[3].startswith(begins), (seen[:3], seen[3][:200])
	if fault["kind"] == "echo":
		assert KEYS["google"].encode() in seen[3]
	upstream.well()
	assert google(upstream, version=version)[:2] == (0, 200)
	upstream.check()


def test_large_answers(upstream):
	for kind, most in (("big", 31 << 20), ("endless", 30 << 20)):
		upstream.fault(kind, times=1)
		assert len(google(upstream)[3]) >= 30 << 20
	upstream.fault("bomb", times=1)
	assert len(google(upstream)[3]) < 2 << 20	# as it travels


def test_a_fault_for_so_many(upstream):
	upstream.fault("none", times=1)
	upstream.fault("status", status=503, times=2, service="google")
	assert [google(upstream)[1] for _ in range(4)] == [200, 503, 503, 200]
	assert upstream.count("google")["requests"] == 4
	assert legacy(upstream)[1] == 200


def test_certificates(upstream):
	for certificate, status in (("wrong-name", 60), ("expired", 60), ("other", 60), ("good", 0)):
		upstream.door(certificate=certificate)
		assert google(upstream)[0] == status, certificate
	upstream.door(http2=False)
	assert google(upstream)[2] == "1.1"


def test_a_door_that_opens_slowly_and_one_that_is_shut(upstream):
	upstream.door(accept_delay=30)
	before = time.monotonic()
	assert google(upstream, "--connect-timeout", "0.3")[0] == 28
	assert time.monotonic() - before < 10
	port = upstream.do("refuse")
	assert google(upstream)[0] == 7
	upstream.do("listen", port)
	upstream.well()
	assert google(upstream)[0] == 0


def test_held_until_released_and_counted(upstream):
	upstream.fault("hold")
	asking = [subprocess.Popen(["curl", "-q", "-s", "--cacert", upstream.ca, "-A", "herd/0.1.0", upstream.url("google-legacy") +
		"/maps/api/place/nearbysearch/json?location=1,2&radius=5&key=" + KEYS["google-legacy"]], stdout=subprocess.PIPE)
		for _ in range(3)]
	try:
		upstream.wait_held("google-legacy", 3)
		asking[0].terminate()
		upstream.wait_held("google-legacy", 2)
		upstream.release()
		assert all(b'"OK"' in one.communicate(timeout=LIMIT)[0] for one in asking[1:])
	finally:
		for one in asking:
			one.kill()
			one.communicate()
	until(lambda: upstream.count("google-legacy")["in_flight"] == 0, "nothing in flight")
	count = upstream.count("google-legacy")
	assert (count["requests"], count["in_flight_max"], count["cancelled"], count["answered"]) == (3, 3, 1, 2)
	assert upstream.counts()["connections"] == 3


def test_one_byte_after_the_other(upstream):
	upstream.fault("drip", seconds=0.05)
	done, status, _, body = google(upstream, "--max-time", "1")
	assert done == 28 and 1 <= len(body) < 30
