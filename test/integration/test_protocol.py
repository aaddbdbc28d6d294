"""The line protocol, command by command: what is taken, what is refused, and what is said."""

import json
import math
import time

import pytest

from harness import At, fresh, now_text, time_ns, time_text, until

WHITE = [b" ", b"\t", b"\r", b"\f", b"\v"]
KIWI = b"+34.068930-118.445127"


def refused(client, line):
	"""An invalid command comes back as it went, and is all that comes back."""
	assert client.exactly(line + b"\n") == b"? " + line + b"\n"


# --- fields ---------------------------------------------------------------

@pytest.mark.parametrize("white", WHITE, ids=lambda w: "%02x" % w[0])
def test_each_white_space_byte_separates(client, white):
	id = fresh()
	for run in (white, white * 3, b" " + white, white + b" "):
		before = time.time_ns()
		at = now_text()
		reply = At(client.exactly(run.join([b"", b"IAMAT", id, KIWI, at, b""]) + b"\n"))
		assert (reply.client, reply.location, reply.time) == (id, KIWI, at)
		assert before <= reply.receipt_ns <= time.time_ns()


def test_line_feed_separates_lines_only(client):
	at = now_text()
	assert client.exactly(b"IAMAT a\n" + KIWI + b" " + at + b"\n") == b"? IAMAT a\n? " + KIWI + b" " + at + b"\n"


@pytest.mark.parametrize("byte", [b for b in range(256) if b != 0 and bytes([b]) not in WHITE + [b"\n"]],
	ids=lambda b: "%02x" % b)
def test_every_other_byte_is_part_of_an_id(client, byte):
	id = fresh() + bytes([byte]) + b"x"
	assert client.iamat(id).client == id
	assert client.held(id) is not None


def test_ids_are_compared_byte_for_byte(client):
	id = fresh("case")
	client.iamat(id)
	for other in (id.upper(), id + b"\x80", id[:-1], id + b".", id + b"\xc2\xa0"):
		assert client.held(other) is None
	composed, decomposed = id + "é".encode(), id + "e\u0301".encode()
	client.iamat(composed)
	assert client.held(decomposed) is None


@pytest.mark.parametrize("length", [1, 2, 23, 24, 39, 40, 41, 42, 64, 96, 97, 127, 128, 254, 255])
def test_ids_up_to_255_bytes(client, length):
	id = (fresh() + b"-" + b"i" * 255)[:length] if length > 20 else (b"%x" % time.time_ns())[-length:]
	reply = client.iamat(id)
	assert client.held(id) == reply.line
	assert client.held(id + b"j") is None or length < 20


@pytest.mark.parametrize("length", [256, 257, 300, 1000, 3000])
def test_longer_ids_are_refused(client, length):
	id = (fresh() + b"-" + b"i" * length)[:length]
	refused(client, b"IAMAT %s %s %s" % (id, KIWI, now_text()))
	refused(client, b"WHATSAT %s 10 5" % id)
	assert client.held(id[:255]) is None


def test_one_long_id_is_not_another(client):
	"""Ids that agree in their first 40, or 254, bytes are still two clients."""
	stem = fresh() + b"-" + b"i" * 255
	first = {n: client.iamat(stem[:n], location=b"+1+%d" % (n % 100)).line for n in range(38, 44)}
	first.update({n: client.iamat(stem[:n], location=b"+2+%d" % (n % 100)).line for n in range(252, 256)})
	for n, line in first.items():
		assert client.held(stem[:n]) == line


@pytest.mark.parametrize("line", [
	b"IAMAT a\0b +1+1 1", b"IAMAT \0 +1+1 1", b"IAMAT a +1\0+1 1", b"IAMAT a +1+1 1\0", b"\0IAMAT a +1+1 1",
	b"IAMAT\0a +1+1 1", b"WHATSAT a\0 10 5", b"WHATSAT a 10\0 5", b"WHATSAT a 10 5\0", b"\0", b"\0\0\0", b"a\0b",
])
def test_nul_makes_a_line_invalid(client, line):
	refused(client, line)


# --- what is no command ---------------------------------------------------

@pytest.mark.parametrize("line", [
	b"", b" ", b"\t", b"\v\f ", b" " * 100,
	b"X", b"hello herd", b"?", b"? ", b"? ?", b"\xff\xfe", "żółw 🐢".encode(),
	b"IAMAT", b"IAMAT ", b"WHATSAT", b"AT",
	b"iamat a +1+1 1", b"Iamat a +1+1 1", b"IAMATa +1+1 1", b"IAMA a +1+1 1", b"IAMATS a +1+1 1", b"IAMAT+ a +1+1 1",
	b"whatsat a 10 5", b"WhatsAt a 10 5", b"WHATSATT a 10 5", b"WHATSA a 10 5",
	b"AT Alpha +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1621464827.959498503",
	b"AT Alpha +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127", b"at Alpha", b"AT",
	b"HERD 1 herd 0 0 flood", b"PING 1", b"GET / HTTP/1.1", b"IAMAT\xa0a +1+1 1", b"IAMAT\x85a +1+1 1",
	b"IAMAT\x1ca\x1c+1+1\x1c1", b"IAMAT a +1+1\xc2\xa01", b"quit", b"QUIT", b"HELP", b"\x1b[2J", b"\x04",
	b"   leading", b"trailing   ", b" both ", b"in  the   middle", b"a\tb\vc\fd", b"a\rb", b"\ra", b"a\r ",
])
def test_what_is_no_command_comes_back(client, line):
	refused(client, line)


@pytest.mark.parametrize("line", [
	b"IAMAT a", b"IAMAT a +1+1", b"IAMAT a +1+1 1 1", b"IAMAT a b +1+1 1", b"IAMAT +1+1 1", b"IAMAT a +1 +1 1",
	b"IAMAT a +1+1 1 IAMAT", b"WHATSAT a", b"WHATSAT a 10", b"WHATSAT a 10 5 5", b"WHATSAT 10 5", b"WHATSAT a b 10 5",
])
def test_wrong_number_of_fields(client, line):
	id = fresh()
	client.iamat(id)
	refused(client, (line + b" ").replace(b" a ", b" " + id + b" ")[:-1])


def test_carriage_return_belongs_to_the_line_end_only_before_it(client):
	assert client.exactly(b"x\r\n") == b"? x\n"
	assert client.exactly(b"\r\n") == b"? \n"
	assert client.exactly(b"x\r\r\n") == b"? x\r\n"
	assert client.exactly(b"\rx\n") == b"? \rx\n"
	assert client.exactly(b"x\r \n") == b"? x\r \n"
	id = fresh()
	assert At(client.exactly(b"IAMAT %s %s %s\r\n" % (id, KIWI, now_text()))).client == id
	assert At(client.exactly(b"IAMAT %s %s %s\r\r\r\n" % (id, KIWI, now_text()))).client == id


def test_an_at_line_from_a_client_changes_nothing(client):
	id = fresh()
	line = client.iamat(id, at=now_text(-100)).line
	other = b"AT Bravo +0.000000001 %s +1+1 %s" % (id, now_text())
	refused(client, other)
	assert client.held(id) == line


def test_an_invalid_command_changes_nothing(client):
	id = fresh()
	line = client.iamat(id, at=b"1").line
	for bad in (b"IAMAT %s +1+1 2 x", b"IAMAT %s +1+1", b"iamat %s +1+1 2", b"IAMAT %s +91+1 2", b"IAMAT %s +1+1 2e9",
			b"IAMAT %s\0 +1+1 2", b"x IAMAT %s +1+1 2"):
		refused(client, bad % id)
		assert client.held(id) == line


# --- IAMAT ----------------------------------------------------------------

GOOD_LOCATIONS = [
	b"+34.068930-118.445127", b"+34.068930-118.445127/", b"+0+0", b"-0-0", b"+0-0", b"-0+0", b"+00+000", b"+0.0+0.0",
	b"+1+1", b"+01+001", b"+1+01", b"+90+180", b"-90-180", b"+90-180", b"-90+180", b"+90.0+180.0",
	b"+90.000000000000+180.000000000000", b"-90.000000000000-180.000000000000", b"+89.999999999999+179.999999999999",
	b"+34.1-118.1", b"+34.123456789012-118.123456789012", b"-34.123456789012-118.123456789012/",
	b"+34-118.445127", b"+34.068930-118", b"+5.5+5.5/", b"+90+180/", b"+9+9", b"+09+009.000000000001",
]
BAD_LOCATIONS = [
	b"34+118", b"34.068930-118.445127", b"+34", b"+34.068930", b"+34+", b"+34-", b"+", b"+-", b"++", b"-", b"/", b"+/",
	b"+34/", b"++34-118", b"+-34-118", b"+34--118", b"+34+-118", b"-118.445127", b"+34118",
	b"+034-118", b"+134-118", b"+034.068930-118.445127", b"+34-1118", b"+34-0118", b"+34.068930-0118.445127",
	b"+91+0", b"-91+0", b"+90.1+0", b"+90.000000000001+0", b"-90.000000000001+0", b"+99+0", b"+90.000000000001-118",
	b"+0+181", b"+0-181", b"+0+180.1", b"+0+180.000000000001", b"+0-180.000000000001", b"+0+999", b"+0+200",
	b"+34.-118.445127", b"+34.068930-118.", b"+34.-118.", b"+.5+1", b"+1+.5", b"+.+.", b"+34..1-118", b"+34.0.1-118.4",
	b"+34.1234567890123-118.445127", b"+34.068930-118.1234567890123", b"+34.1234567890123456789-118.4",
	b"+34.068930-118.445127//", b"+34.068930-118.445127/x", b"+34.068930/-118.445127", b"/+34.068930-118.445127",
	b"+34.068930-118.445127+10", b"+34.068930-118.445127+10/", b"+34.068930-118.445127-1.5/",
	b"+34.068930-118.445127CRSWGS_84/", b"+34.068930-118.445127,", b"+34,068930-118,445127", b"+34.068930,-118.445127",
	b"+3404.13-11826.70", b"+340408-1182642", b"+340408.1-1182642.4/", b"+3404-11826",
	b"+34e0-118e0", b"+3.4e1-118", b"+0x22-0x76", b"+nan-nan", b"+inf-inf", b"+34.06893O-118.445127",
	b"+34.068930-118.445127x", b"x+34.068930-118.445127", b"N34W118", b"+34N-118W", b"\xef\xbc\x8b34-118",
	b"\xe2\x88\x9234-118", "+34−118".encode(), "+٣٤-١١٨".encode(), b"+34.068930-118.445127\0",
	b"+34.068930-118.445127" + b"0" * 100, b"+" + b"0" * 100 + b"34-118", b"+3" * 100,
]


@pytest.mark.parametrize("location", GOOD_LOCATIONS, ids=lambda v: v.decode())
def test_locations_taken(client, location):
	id = fresh()
	line = client.iamat(id, location=location).line
	assert client.held(id) == line
	assert client.whatsat(id) is not None


@pytest.mark.parametrize("location", BAD_LOCATIONS, ids=repr)
def test_locations_refused(client, location):
	id = fresh()
	refused(client, b"IAMAT %s %s %s" % (id, location, now_text()))
	assert client.held(id) is None


GOOD_TIMES = [
	b"0", b"00000000000", b"1", b"01", b"9", b"0.0", b"0.000000000", b"0.000000001", b"1.5", b"1621464827.959498503",
	b"1621464827", b"1621464827.9", b"1621464827.95949850", b"01621464827.959498503", b"99999999999",
	b"99999999999.999999999", b"99999999999.9", b"10000000000", b"9223372036", b"9223372037", b"9223372036.854775807",
	b"9223372036.854775808", b"18446744073.709551615", b"18446744073.709551616", b"18446744074", b"4294967296", b"2147483648",
]
BAD_TIMES = [
	b"000000000000", b"100000000000", b"123456789012.5", b"9" * 20, b"1.", b".5", b".", b"1..5", b"1.5.5", b"1.5.",
	b"1.0000000000", b"1.1234567890", b"1.1234567891234", b"+1", b"-1", b"-0", b"+0", b"+1.5", b"1e9", b"1E9", b"1.5e3",
	b"0x10", b"nan", b"NaN", b"inf", b"-inf", b"1,5", b"1_000", b"1:00", b"2021-05-19T22:53:47Z", b"1621464827.95949850x",
	b"x1621464827", b"1621464827s", b"1/", b"1\0", "１".encode(), "١".encode(), b"1e308", b"0" * 400, b"1." + b"0" * 400,
]


@pytest.mark.parametrize("at", GOOD_TIMES, ids=lambda v: v.decode())
def test_times_taken(client, at):
	id = fresh()
	reply = client.iamat(id, at=at)
	# Receipt less the client's time, to the nanosecond, however many digits.
	assert abs(reply.skew_ns - (time.time_ns() - time_ns(at))) < 60 * 10**9
	assert client.held(id) == reply.line


@pytest.mark.parametrize("at", BAD_TIMES, ids=lambda v: repr(v[:30]))
def test_times_refused(client, at):
	id = fresh()
	refused(client, b"IAMAT %s %s %s" % (id, KIWI, at))
	assert client.held(id) is None


def test_the_at_line_names_the_member_that_heard(shared):
	id = fresh()
	for member in shared.processes[1:]:
		with member.client() as connection:
			assert connection.iamat(id).server == member.name.encode()


@pytest.mark.parametrize("ahead_s, sign", [(-100, b"+"), (-0.5, b"+"), (0.5, b"-"), (1.5, b"-"), (100, b"-"), (1e9, b"-")])
def test_skew_is_always_signed(client, ahead_s, sign):
	"""Also between -1 and 0 seconds, where the whole part alone has no sign."""
	line = client.iamat(fresh(), at=now_text(ahead_s)).line
	assert line.startswith(b"AT Alpha " + sign)


def test_skew_has_nine_decimals_and_eleven_digits(client):
	skew = client.iamat(fresh(), at=b"99999999999.999999999").line.split(b" ")[2]
	seconds, fraction = skew.split(b".")
	assert seconds.startswith(b"-") and len(seconds) == 12 and len(fraction) == 9
	skew = client.iamat(fresh(), at=b"0").line.split(b" ")[2]
	seconds, fraction = skew.split(b".")
	assert seconds.startswith(b"+") and len(seconds) == 11 and len(fraction) == 9


def test_operands_come_back_byte_for_byte(client):
	"""Leading zeros, trailing zeros, the closing solidus: nothing is tidied up."""
	id = fresh() + b"\xff\x01"
	reply = client.iamat(id, location=b"-00.500-000.500/", at=b"00000000001.500")
	assert reply.line.endswith(b" " + id + b" -00.500-000.500/ 00000000001.500\n")
	assert client.held(id) == reply.line


# --- the newest wins ------------------------------------------------------

def test_an_older_fix_is_answered_and_changes_nothing(client):
	id = fresh()
	now = time.time_ns()
	newest = client.iamat(id, location=b"+1+1", at=time_text(now)).line
	for ns in (1, 2, 1000, 10**9, 86400 * 10**9):
		client.iamat(id, location=b"+2+2", at=time_text(now - ns))	# answered for what it said
		assert client.held(id) == newest
	client.iamat(id, location=b"+2+2", at=b"0")
	assert client.held(id) == newest


def test_a_nanosecond_decides(client):
	id = fresh()
	now = time.time_ns()
	for ns in range(5):
		line = client.iamat(id, at=time_text(now + ns)).line
		assert client.held(id) == line


def test_clients_own_times_decide_whatever_the_order_of_arrival(client, bravo):
	id = fresh()
	now = time.time_ns() - 3600 * 10**9
	lines = {}
	with bravo.client() as other:
		for n, connection in enumerate([client, other] * 10):
			ns = now + (n * 7919) % 20
			lines[ns] = connection.iamat(id, location=b"+%d+%d" % (n, n), at=time_text(ns)).line
			assert client.held(id) == lines[max(lines)] == other.held(id)


@pytest.mark.parametrize("first, second", [(b"5", b"5.0"), (b"5.000000000", b"5"), (b"05", b"5"), (b"5", b"00000000005.0")])
def test_equal_times_are_told_apart_by_receipt(client, first, second):
	id = fresh()
	client.iamat(id, location=b"+9+9", at=first)
	line = client.iamat(id, location=b"+1+1", at=second).line
	assert client.held(id) == line


def test_times_in_the_far_future_are_ordered_by_arrival(client):
	id = fresh()
	for at in (b"99999999999.999999999", b"20000000000", b"99999999999", now_text(3600), now_text(86400)):
		line = client.iamat(id, at=at).line
		assert client.held(id) == line


def test_a_future_time_pins_its_client_for_ten_seconds(client):
	id = fresh()
	started = time.monotonic()
	pinned = client.iamat(id, location=b"+1+1", at=b"99999999999.999999999").line
	honest = client.iamat(id, location=b"+2+2").line
	assert client.held(id) == pinned

	def unpinned():
		latest = client.iamat(id, location=b"+2+2").line
		held = client.held(id)
		assert held in (pinned, latest)
		return held == latest
	until(unpinned, "the future fix gives way", pause=0.05)
	took = time.monotonic() - started
	assert honest != pinned and 9.9 <= took < 30, took


def test_a_fix_slightly_ahead_counts_as_it_says(client):
	"""Within ten seconds the client's own time is the order."""
	id = fresh()
	now = time.time_ns()
	ahead = client.iamat(id, location=b"+1+1", at=time_text(now + 5 * 10**9)).line
	client.iamat(id, location=b"+2+2", at=time_text(now + 4 * 10**9))
	assert client.held(id) == ahead
	later = client.iamat(id, location=b"+3+3", at=time_text(now + 6 * 10**9)).line
	assert client.held(id) == later


# --- WHATSAT --------------------------------------------------------------

@pytest.fixture(scope="module")
def kiwi(shared_herd):
	"""A client at UCLA, told to Alpha."""
	id = fresh("kiwi")
	with shared_herd.processes[1].client() as connection:
		connection.iamat(id, location=KIWI)
	return id


@pytest.mark.parametrize("radius", [b"0", b"00", b"0.0", b"1", b"10", b"010", b"50", b"50.0", b"50.000000000000", b"0050",
	b"0.5", b"00.5", b"49.999999999999", b"10.5", b"0" * 200 + b"10", b"10." + b"0" * 200, b"1." + b"9" * 200])
def test_radius_taken(client, kiwi, radius):
	assert client.whatsat(kiwi, radius=radius) is not None


@pytest.mark.parametrize("radius", [b"-1", b"+10", b"-0", b"10.", b".5", b".", b"51", b"50.1", b"50.000000000001",
	b"50." + b"0" * 30 + b"1", b"100", b"1e1", b"1E1", b"0x10", b"nan", b"inf", b"10km", b"10,5", b"1.2.3", b"9" * 100,
	b"4294967306", b"18446744073709551626", b"\xc2\xb2", "１".encode()])
def test_radius_refused(client, kiwi, radius):
	refused(client, b"WHATSAT %s %s 5" % (kiwi, radius))


@pytest.mark.parametrize("bound", [b"0", b"00", b"1", b"5", b"05", b"20", b"0020", b"0" * 200 + b"7"])
def test_bound_taken(client, kiwi, bound):
	assert client.whatsat(kiwi, bound=bound) is not None


@pytest.mark.parametrize("bound", [b"21", b"-1", b"+5", b"-0", b"5.0", b"5.", b".5", b"1e1", b"0x5", b"five", b"100", b"9" * 100,
	b"4294967301", b"18446744073709551621", "５".encode()])
def test_bound_refused(client, kiwi, bound):
	refused(client, b"WHATSAT %s 10 %s" % (kiwi, bound))


def test_an_unknown_client_is_an_invalid_command(client):
	id = fresh()
	refused(client, b"WHATSAT %s 10 5" % id)
	refused(client, b"  WHATSAT \t%s 10 5 " % id)
	client.iamat(id)
	assert client.whatsat(id) is not None


def haversine_m(a, b):
	lat1, lon1, lat2, lon2 = map(math.radians, a + b)
	h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
	return 2 * 6371008.8 * math.asin(min(1, math.sqrt(h)))


def places(reply):
	"""The JSON of a reply, its shape checked."""
	body = reply[1]
	assert body.endswith(b"}\n\n") and body.startswith(b"{")
	assert b"\n\n" not in body[:-2] and b"\r" not in body
	answer = json.loads(body.decode("utf-8"))
	assert isinstance(answer["html_attributions"], list) and isinstance(answer["status"], str)
	assert set(answer) <= {"html_attributions", "results", "status", "next_page_token", "error_message"}
	for place in answer["results"]:
		assert place["name"] and place["place_id"] and isinstance(place["types"], list) and place["types"]
		assert isinstance(place["vicinity"], str)
		location = place["geometry"]["location"]
		assert -90 <= location["lat"] <= 90 and -180 <= location["lng"] <= 180
	assert len({place["place_id"] for place in answer["results"]}) == len(answer["results"])
	return answer


def test_the_answer_has_the_shape_of_a_nearby_search(client, kiwi):
	reply = client.whatsat(kiwi, b"10", b"20")
	answer = places(reply)
	assert answer["status"] == "OK"
	assert 12 <= len(answer["results"]) <= 20	# the built-in places know UCLA's surroundings


@pytest.mark.parametrize("radius", [b"0", b"0.5", b"1", b"2.5", b"5", b"10", b"20", b"50"])
def test_none_is_farther_than_the_radius(client, kiwi, radius):
	results = places(client.whatsat(kiwi, radius, b"20"))["results"]
	for place in results:
		where = (place["geometry"]["location"]["lat"], place["geometry"]["location"]["lng"])
		assert haversine_m((34.068930, -118.445127), where) <= float(radius) * 1000 + 0.1


def test_never_more_than_the_bound(client, kiwi):
	everything = places(client.whatsat(kiwi, b"50", b"20"))["results"]
	assert len(everything) == 20
	for bound in range(20):
		results = places(client.whatsat(kiwi, b"50", b"%d" % bound))["results"]
		assert results == everything[:bound]


def test_where_nothing_is_near(client):
	id = fresh()
	client.iamat(id, location=b"-48.876667-123.393333")	# farther from land than anywhere else
	answer = places(client.whatsat(id, b"50", b"20"))
	assert answer["results"] == [] and answer["status"] == "ZERO_RESULTS"


@pytest.mark.parametrize("location", [b"+90+0", b"-90+0", b"+90-180", b"-90+180/", b"+0+180", b"+0-180", b"+0+0", b"+89.999999+179.999999"])
def test_the_edges_of_the_world(client, location):
	id = fresh()
	client.iamat(id, location=location)
	assert places(client.whatsat(id, b"50", b"20"))["status"] in ("OK", "ZERO_RESULTS")


def test_the_at_line_is_the_one_first_sent(client, shared):
	"""Byte for byte, whoever is asked, and however often."""
	id = fresh()
	line = client.iamat(id, location=b"-00.500-000.500/", at=b"00000000001.500").line
	for member in shared.processes[1:]:
		with member.client() as connection:
			for _ in range(3):
				assert connection.whatsat(id)[0] == line


def test_the_first_empty_line_ends_the_reply(client, kiwi):
	client.send(b"WHATSAT %s 10 20\nnext\nWHATSAT %s 1 1\n" % (kiwi, kiwi))
	first = client.until(b"\n\n")
	assert first.startswith(b"AT ") and first.count(b"\n\n") == 1
	json.loads(first.split(b"\n", 1)[1].decode())
	assert client.line() == b"? next\n"
	assert client.until(b"\n\n").startswith(b"AT ")


def test_anyone_may_ask_for_anyone(shared, kiwi):
	with shared.processes[3].client() as connection:
		assert connection.whatsat(kiwi)[0].startswith(b"AT Alpha ")
