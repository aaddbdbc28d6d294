"""Lines out of a stream: split anywhere, pipelined, too long, without an end."""

import itertools
import threading

import pytest

from harness import At, Closed, Turn, fresh, now_text

KIWI = b"+34.068930-118.445127"
LINE_MAX = 4096


@pytest.fixture(params=["tcp", "unix"])
def stream(request, alpha):
	"""A connection of either kind to Alpha."""
	where = alpha.tcp[0] if request.param == "tcp" else alpha.unix[0]
	from harness import Client
	with Client(where) as connection:
		yield connection


@pytest.fixture
def turn(alpha):
	turn = Turn(alpha)
	yield turn.turn
	turn.close()


# --- split ----------------------------------------------------------------

def message_kinds():
	"""(name, bytes, how its reply ends, how it begins)"""
	id = fresh("split")
	at = now_text()
	iamat = b"IAMAT %s %s %s" % (id, KIWI, at)
	return [
		("iamat", iamat + b"\n", b"\n", b"AT Alpha "),
		("iamat-crlf", b" \t" + iamat + b" \r\n", b"\n", b"AT Alpha "),
		("whatsat", b"WHATSAT %s 10 5\r\n" % id, b"\n\n", b"AT Alpha "),
		("unknown", b"WHATSAT %s-nobody 10 5\n" % id, b"\n", b"? WHATSAT "),
		("invalid", b" what \r is \0 this\xff\r\r\n", b"\n", b"?  what \r is \0 this\xff\r\n"),
		("blank", b"\r\n", b"\n", b"? \n"),
		("two", b"x\n\r\n", b"? \n", b"? x\n? \n"),
	]


@pytest.mark.parametrize("kind", range(7), ids=[k[0] for k in message_kinds()])
def test_split_at_every_byte(stream, turn, kind):
	"""In two, at every place; the member has read the first part before the second is sent."""
	kinds = message_kinds()
	if kinds[kind][0] == "whatsat":
		stream.send(kinds[0][1])
		stream.line()
	name, data, mark, begin = kinds[kind]
	for at in range(1, len(data)):
		stream.send(data[:at])
		turn()
		stream.send(data[at:])
		assert stream.until(mark).startswith(begin), (name, at)
	assert stream.exactly(b"") == b""


def test_one_byte_at_a_time(stream, turn):
	for name, data, mark, begin in message_kinds():
		for byte in data:
			stream.send(bytes([byte]))
			turn()
		assert stream.until(mark).startswith(begin), name
	assert stream.exactly(b"") == b""


def test_no_reply_before_the_line_ends(stream, turn):
	"""No banner, no prompt, no reply to half a command."""
	turn()
	stream.socket.setblocking(False)
	for part in (b"", b"IAMAT", b" x ", KIWI, b" 1", b"\r"):
		stream.send(part)
		turn()
		with pytest.raises(BlockingIOError):
			stream.socket.recv(1)
	stream.socket.settimeout(60)
	stream.send(b"\n")
	assert At(stream.line()).time == b"1"


# --- pipelined ------------------------------------------------------------

def mixed(count, id):
	"""So many commands of all kinds; with each, whether a given reply is right."""
	def at_line(location, at):
		return lambda reply: (At(reply).client, At(reply).location, At(reply).time) == (id, location, at)

	def invalid(line):
		return lambda reply: reply == b"? " + line + b"\n"

	def answer(reply):
		return reply.startswith(b"AT ") and reply.endswith(b"}\n\n")

	for n in range(count):
		location, at = b"+%d-%d" % (n % 90, n % 180), b"%d.%09d" % (n + 1, n)
		line = b"nonsense %d" % n
		yield [(b"IAMAT %s %s %s\n" % (id, location, at), at_line(location, at)),
			(b"WHATSAT %s 50 %d\n" % (id, n % 21), answer),
			(line + b"\r\n", invalid(line)),
			(b"\n", invalid(b"")),
			(b"IAMAT\t%s  %s\v%s \n" % (id, location, at), at_line(location, at)),
			(b"WHATSAT %s-nobody 1 1\n" % id, invalid(b"WHATSAT %s-nobody 1 1" % id)),
			][n % 6 if n else 0]


def reply_to(connection, command):
	if not command.startswith(b"WHATSAT") or b"nobody" in command:
		return connection.line()
	return connection.until(b"\n\n")


@pytest.mark.parametrize("chunk", [1 << 20, 1 << 14, 1460, 97])
def test_thousands_pipelined_in_order(stream, chunk):
	commands = list(mixed(6000, fresh("pipe")))
	data = b"".join(c for c, right in commands)

	def send():
		for at in range(0, len(data), chunk):
			stream.send(data[at:at + chunk])
	sender = threading.Thread(target=send)
	sender.start()
	try:
		for n, (command, right) in enumerate(commands):
			reply = reply_to(stream, command)
			assert right(reply), (n, command, reply)
	finally:
		sender.join()
	assert stream.exactly(b"") == b""


def test_replies_speak_of_the_moment_of_their_command(stream):
	"""Pipelined behind each other, each WHATSAT sees the IAMAT just before it."""
	id = fresh()
	stream.send(b"".join(b"IAMAT %s +1+1 %d\nWHATSAT %s 50 20\n" % (id, n, id) for n in range(1, 500)))
	for n in range(1, 500):
		told = stream.line()
		assert told.endswith(b" %d\n" % n)
		assert stream.until(b"\n\n").startswith(told)


def test_lookups_of_many_connections_do_not_mix(alpha):
	ids = [fresh("mix") for _ in range(20)]
	connections = [alpha.client() for _ in ids]
	try:
		for n, (connection, id) in enumerate(zip(connections, ids)):
			connection.iamat(id, location=b"+%d+%d" % (n, n))
		for connection, id in zip(connections, ids):
			connection.send(b"WHATSAT %s 50 20\n" % id * 200)
		for n, (connection, id) in enumerate(zip(connections, ids)):
			for _ in range(200):
				assert b" %s +%d+%d " % (id, n, n) in connection.until(b"\n\n")
			assert connection.exactly(b"") == b""
	finally:
		for connection in connections:
			connection.close()


# --- the end of a connection ----------------------------------------------

@pytest.mark.parametrize("last", [b"", b"\n", b"\r\n"], ids=["bare", "lf", "crlf"])
def test_half_close_answers_everything_first(stream, last):
	id = fresh()
	stream.send(b"IAMAT %s %s 1\nWHATSAT %s 10 5\nwhat\nIAMAT %s %s 2" % (id, KIWI, id, id, KIWI) + last)
	stream.half_close()
	assert At(stream.line()).time == b"1"
	assert stream.until(b"\n\n").startswith(b"AT ")
	assert stream.line() == b"? what\n"
	assert At(stream.line()).time == b"2"
	assert stream.end() == b""


@pytest.mark.parametrize("data, replies", [
	(b"", b""), (b"\n", b"? \n"), (b"x", b"? x\n"), (b"x\n", b"? x\n"), (b"x\ny", b"? x\n? y\n"), (b" ", b"?  \n"),
	(b"x\n\n", b"? x\n? \n"), (b"WHATSAT nobody-at-all 1 1", b"? WHATSAT nobody-at-all 1 1\n"),
], ids=repr)
def test_what_stands_before_a_half_close(stream, data, replies):
	stream.send(data)
	stream.half_close()
	assert stream.end() == replies


def test_half_close_with_thousands_pending(stream):
	commands = list(mixed(3000, fresh("half")))
	data = b"".join(c for c, right in commands)

	def send():
		stream.send(data[:-1])	# without the last LF
		stream.half_close()
	sender = threading.Thread(target=send)
	sender.start()
	try:
		for command, right in commands:
			assert right(reply_to(stream, command)), command
	finally:
		sender.join()
	assert stream.end() == b""


def test_half_close_in_the_middle_of_a_whatsat(stream, turn):
	id = fresh()
	stream.iamat(id)
	stream.send(b"WHATSAT %s 10" % id)
	turn()
	stream.send(b" 5")
	turn()
	stream.half_close()
	reply = stream.end()
	assert reply.startswith(b"AT Alpha ") and reply.endswith(b"}\n\n") and reply.count(b"\n\n") == 1


def test_a_reset_harms_nobody(alpha, client):
	for n in range(50):
		connection = alpha.client()
		connection.send(b"IAMAT reset-%d +1+1 1\nWHATSAT reset-%d 50 20\n" % (n, n) * 50 + b"half a li")
		connection.reset()
	assert client.exactly(b"x\n") == b"? x\n"


def test_a_client_that_closes_at_once_is_heard(alpha, client):
	"""A fix is taken although nobody waits for the reply."""
	id = fresh()
	with alpha.client() as connection:
		connection.send(b"IAMAT %s %s 5\n" % (id, KIWI))
		connection.half_close()
		connection.end()
	assert client.held(id) is not None


# --- length ---------------------------------------------------------------

def padded(line, length):
	return line + b" " * (length - len(line))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("length", [LINE_MAX - 2, LINE_MAX - 1, LINE_MAX])
def test_lines_up_to_line_max(stream, length, end):
	"""The line end is not part of the length."""
	junk = (b"0123456789" * 500)[:length]
	assert stream.exactly(junk + end) == b"? " + junk + b"\n"
	id = fresh()
	reply = stream.exactly(padded(b"IAMAT %s %s 1" % (id, KIWI), length) + end)
	assert At(reply).client == id
	stream.send(padded(b"WHATSAT %s 10 5" % id, length) + end)
	assert stream.until(b"\n\n").startswith(reply)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("length", [LINE_MAX + 1, LINE_MAX + 2, LINE_MAX + 3, 2 * LINE_MAX - 1, 2 * LINE_MAX, 2 * LINE_MAX + 1,
	10000, 65535, 65536, 100000, 1000003])
def test_longer_lines_are_cut_and_skipped(stream, length, end):
	junk = (b"0123456789abc" * (length // 13 + 1))[:length]
	cut = b"? " + junk[:LINE_MAX] + b"\n"
	assert stream.exactly(junk + end) == cut
	assert stream.exactly(b"x\n" + junk + end + b"y\n" + junk + end) == b"? x\n" + cut + b"? y\n" + cut


@pytest.mark.parametrize("length", [LINE_MAX + 1, 5000, 70000])
def test_a_command_in_a_line_too_long_is_not_taken(stream, length):
	id = fresh()
	line = padded(b"IAMAT %s %s 1" % (id, KIWI), length)
	assert stream.exactly(line + b"\n") == b"? " + line[:LINE_MAX] + b"\n"
	assert stream.held(id) is None
	# What follows the cut is not a line of its own.
	line = b"x" * LINE_MAX + b"IAMAT %s %s 1" % (id, KIWI)
	assert stream.exactly(line + b"\n") == b"? " + line[:LINE_MAX] + b"\n"
	assert stream.held(id) is None


def test_carriage_returns_at_the_limit(stream):
	full = b"x" * (LINE_MAX - 1)
	assert stream.exactly(full + b"\r\n") == b"? " + full + b"\n"
	assert stream.exactly(full + b"\r\r\n") == b"? " + full + b"\r\n"
	assert stream.exactly(full + b"y\r\n") == b"? " + full + b"y\n"
	assert stream.exactly(full + b"\ry\n") == b"? " + full + b"\r\n"
	assert stream.exactly(full + b"y\r\r\n") == b"? " + full + b"y\n"
	assert stream.exactly(full + b"yz\r\n") == b"? " + full + b"y\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_split_around_the_limit(stream, turn, end):
	for length in (LINE_MAX, LINE_MAX + 1):
		line = b"z" * length
		for at in range(LINE_MAX - 2, length + len(end)):
			stream.send((line + end)[:at])
			turn()
			stream.send((line + end)[at:])
			assert stream.line() == b"? " + line[:LINE_MAX] + b"\n", (length, at)
	assert stream.exactly(b"") == b""


@pytest.mark.parametrize("length", [LINE_MAX, LINE_MAX + 1, 100000])
def test_half_close_in_a_long_line(stream, length):
	stream.send(b"w" * length)
	stream.half_close()
	assert stream.end() == b"? " + b"w" * min(length, LINE_MAX) + b"\n"


def test_the_longest_line_max(herd):
	"""Every line comes back whole, also one that is longer than all that is sent at once."""
	member = herd.member("Alpha", settings={"line-max": "1M"})
	with member.client() as connection:
		for length in (65534, 65535, 65536, 131072, 262144, 500000, 1 << 20):
			line = b"m" * length
			assert connection.exactly(b"a\n" * 30000 + line + b"\r\nb\n") == b"? a\n" * 30000 + b"? " + line + b"\n? b\n"
		assert connection.exactly(b"m" * ((1 << 20) + 1) + b"\n") == b"? " + b"m" * (1 << 20) + b"\n"


def test_a_giant_line_is_not_kept(alpha, stream):
	"""64 MB without LF: skipped, not buffered; and life goes on."""
	before = alpha.rss_kb()
	piece = b"g" * (1 << 20)
	for _ in range(64):
		stream.send(piece)
	grown = alpha.rss_kb() - before
	assert grown < 4096, grown
	assert stream.exactly(b"\nx\n") == b"? " + piece[:LINE_MAX] + b"\n? x\n"


def test_every_pair_of_kinds(stream):
	"""What one command leaves behind must not reach the next."""
	id = fresh()
	stream.iamat(id)
	kinds = [b"IAMAT %s %s 1\n" % (id, KIWI), b"WHATSAT %s 10 3\n" % id, b"\n", b"bad\r\n", b"x" * 5000 + b"\n",
		b"WHATSAT nobody-here 1 1\r\n"]
	marks = [b"\n", b"\n\n", b"\n", b"\n", b"\n", b"\n"]
	begins = [b"AT ", b"AT ", b"? \n", b"? bad\n", b"? " + b"x" * LINE_MAX + b"\n", b"? WHATSAT nobody-here 1 1\n"]
	for first, second in itertools.product(range(len(kinds)), repeat=2):
		stream.send(kinds[first] + kinds[second])
		assert stream.until(marks[first]).startswith(begins[first]), (first, second)
		assert stream.until(marks[second]).startswith(begins[second]), (first, second)


def test_a_closed_connection_stays_closed(alpha):
	connection = alpha.client()
	connection.half_close()
	with pytest.raises(Closed):
		connection.line()
	connection.close()
