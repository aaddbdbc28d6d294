"""Clients that mean harm, and machines that run short: the others do not notice."""

import json
import os
import random
import resource
import select
import signal
import socket
import statistics
import threading
import time

import pytest

import harness
from harness import At, Client, Datagrams, Turn, fresh, now_text, until

KIWI = b"+34.068930-118.445127"


def latencies(connection, count):
	"""How long each of so many commands took, in seconds."""
	times = []
	for _ in range(count):
		started = time.perf_counter()
		connection.iamat(b"latency")
		times.append(time.perf_counter() - started)
	return times


class Background:
	"""Runs a function over and over in a thread while the test goes on."""

	def __init__(self, function):
		self.function = function
		self.stopping = threading.Event()
		self.turns = 0
		self.error = None
		self.thread = threading.Thread(target=self.run)

	def run(self):
		try:
			while not self.stopping.is_set():
				self.function()
				self.turns += 1
		except Exception as error:
			self.error = error

	def __enter__(self):
		self.thread.start()
		return self

	def __exit__(self, *exception):
		self.stopping.set()
		self.thread.join(60)
		assert not self.thread.is_alive()


# --- garbage --------------------------------------------------------------

def test_a_blaster_takes_no_more_than_its_share(herd):
	"""One client sends garbage as fast as it can, and reads what comes back; a normal one goes on."""
	member = herd.member("Alpha")
	garbage = b"".join(b"%d garbage\n" % n for n in range(4000)) + b"\n" * 2000 + b"z" * 70000 + b"\n"
	with member.client() as normal, member.client(limit=1) as blaster:
		idle = statistics.median(latencies(normal, 500))

		def blast():
			blaster.socket.setblocking(False)
			ready = select.select([blaster.socket], [blaster.socket], [], 0.1)
			if ready[0]:
				assert blaster.socket.recv(1 << 20)
			if ready[1]:
				blaster.socket.send(garbage[random.randrange(len(garbage) - 1):])
		with Background(blast) as background:
			until(lambda: background.turns > 100 or background.error, "the blaster is at work")
			busy = latencies(normal, 500)
		assert background.error is None, background.error
	busy.sort()
	# Two processes and this one on as few as two cores: scheduling alone costs milliseconds.
	assert busy[len(busy) // 2] < 20 * idle + 0.02, (idle, busy[len(busy) // 2])
	assert busy[len(busy) * 95 // 100] < 0.5, busy[-20:]


def test_many_blasters_and_one_normal_client(herd):
	member = herd.member("Alpha")
	connections = [member.client(limit=1) for _ in range(20)]
	block = b"IAMAT noise +1+1 1\nWHATSAT noise 50 20\nno\n" * 100

	def blast():
		sockets = [c.socket for c in connections]
		readable, writable, _ = select.select(sockets, sockets, [], 0.1)
		for sock in readable:
			assert sock.recv(1 << 20)
		for sock in writable:
			sock.send(block)
	try:
		for connection in connections:
			connection.socket.setblocking(False)
		with member.client() as normal, Background(blast) as background:
			until(lambda: background.turns > 20 or background.error, "the blasters are at work")
			worst = max(latencies(normal, 100))
		assert background.error is None, background.error
		assert worst < 10, worst
	finally:
		for connection in connections:
			connection.close()


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes(alpha, seed):
	"""Every line gets one reply, and that is the line."""
	random.seed(seed)
	sets = [bytes(b for b in range(256) if b != 10), b"IAMATWHS +-./0123456789\r\t\0", b"\r ", b"IAMAT x +1+1 1"]
	lines = []
	for _ in range(3000):
		alphabet = random.choice(sets)
		lines.append(bytes(random.choice(alphabet) for _ in range(random.choice([0, 1, 2, 5, 30, 200]))))
	lines = [l for l in lines if b"IAMAT" not in l and b"WHATSAT" not in l]
	with alpha.client() as connection:
		sender = threading.Thread(target=connection.send, args=(b"\n".join(lines) + b"\n",))
		sender.start()
		for line in lines:
			expected = line[:-1] if line.endswith(b"\r") else line
			assert connection.line() == b"? " + expected + b"\n"
		sender.join()
		assert connection.exactly(b"") == b""


def test_random_datagrams(alpha):
	random.seed(7)
	with Datagrams(alpha.udp[0]) as connection:
		for n in range(500):
			data = os.urandom(random.randrange(1, 1400))
			connection.send(data)
			lines = data.split(b"\n")	# a CR belongs to the line end only where there is an LF
			lines = [line.removesuffix(b"\r") for line in lines[:-1]] + [lines[-1]][:len(lines[-1])]
			for line in lines:
				assert connection.receive() == b"? " + line + b"\n"


# --- those who do not read ------------------------------------------------

@pytest.mark.parametrize("command", [b"x\n", b"IAMAT lazy +34.068930-118.445127 1\n", b"WHATSAT lazy 50 20\n",
	b"y" * 4000 + b"\n"], ids=["invalid", "iamat", "whatsat", "long"])
def test_a_reader_that_never_reads(herd, command):
	"""Its output is bounded, then its input waits, then it is dropped; others do not notice."""
	member = herd.member("Alpha", settings={"send-timeout": "1s"})
	with member.client() as normal, member.client(receive_buffer=4096) as lazy:
		normal.iamat(b"lazy", location=KIWI)
		before = member.rss_kb()
		lazy.socket.setblocking(False)
		block = command * (100000 // len(command) + 1)
		sent, dropped, most, deadline = 0, False, 0, time.monotonic() + 60
		while not dropped:
			assert time.monotonic() < deadline, "never dropped; took %d bytes" % sent
			try:
				sent += lazy.socket.send(block)
			except BlockingIOError:
				time.sleep(0.01)
			except (ConnectionResetError, BrokenPipeError):
				dropped = True
			assert normal.ask(b"hello") == b"? hello\n"
			most = max(most, member.rss_kb() - before)
	assert most < (30000 if harness.SANITIZED else 2000), most


def test_many_readers_that_never_read(herd):
	"""Memory is bounded per connection."""
	member = herd.member("Alpha", settings={"send-timeout": "1min"})
	with member.client() as normal:
		normal.iamat(b"lazy", location=KIWI)
		before = member.rss_kb()
		lazy = [member.client(receive_buffer=4096) for _ in range(50)]
		for connection in lazy:
			connection.socket.setblocking(False)
		stuck = [0] * len(lazy)
		deadline = time.monotonic() + 60
		while min(stuck) < 20 and time.monotonic() < deadline:
			for n, connection in enumerate(lazy):
				try:
					connection.socket.send(b"WHATSAT lazy 50 20\n" * 1000)
					stuck[n] = 0
				except BlockingIOError:
					stuck[n] += 1
			assert normal.ask(b"hello") == b"? hello\n"
		assert min(stuck) >= 20, "input never stops"
		grown = (member.rss_kb() - before) / len(lazy)
		for connection in lazy:
			connection.close()
	assert grown < (2000 if harness.SANITIZED else 200), grown	# unsent-max is 64k


def test_a_slow_reader_is_not_dropped(herd):
	"""It reads little, but it reads: it gets everything."""
	member = herd.member("Alpha", settings={"send-timeout": "2s"})
	with member.client(receive_buffer=4096) as slow:
		slow.iamat(b"slow", location=KIWI)
		count = 300
		sender = threading.Thread(target=slow.send, args=(b"WHATSAT slow 50 20\n" * count + b"end\n",))
		sender.start()
		started = time.monotonic()
		got = b""
		while not got.endswith(b"? end\n"):
			some = slow.socket.recv(20000)
			assert some, "dropped after %d bytes" % len(got)
			got += some
			if time.monotonic() - started < 6:
				time.sleep(0.05)	# being slow is the point here; nothing is concluded from it
		sender.join()
	assert got.count(b"\n\n") == count


def test_a_very_slow_reader_is_not_dropped(herd):
	"""Also when it takes longer than send-timeout until the kernel has room for more."""
	member = herd.member("Alpha", settings={"send-timeout": "1s"})
	with member.client(receive_buffer=4096) as slow:
		slow.iamat(b"slow", location=KIWI)
		slow.socket.settimeout(0.01)
		started, got, next = time.monotonic(), 0, b""
		while time.monotonic() - started < 5:
			try:
				next = next or b"WHATSAT slow 50 20\n" * 100
				next = next[slow.socket.send(next):]
			except TimeoutError:
				pass
			try:
				got += len(slow.socket.recv(2000))
			except TimeoutError:
				pass
			time.sleep(0.05)	# being slow is the point here
		slow.socket.settimeout(harness.LIMIT)
		assert slow.socket.recv(100) and got < 500000, got


# --- those who do not finish ----------------------------------------------

def test_slowloris(herd):
	"""A line has a deadline, however slowly it goes on; a connection without a line has none."""
	member = herd.member("Alpha", settings={"line-timeout": "1s"})
	with member.client() as idle, member.client() as stuck, member.client() as drip, member.client() as normal:
		assert idle.ask(b"x") == b"? x\n"
		stuck.send(b"IAMAT stu")
		drip.socket.setblocking(False)
		started = time.monotonic()

		def dropped():
			assert normal.ask(b"hello") == b"? hello\n"
			try:
				drip.socket.send(b"d")
				return drip.socket.recv(100) == b""
			except BlockingIOError:
				return False
			except (ConnectionResetError, BrokenPipeError):
				return True
		until(dropped, "the dripping one is dropped", pause=0.05)
		assert time.monotonic() - started >= 0.9
		assert stuck.end() == b""
		assert idle.ask(b"still") == b"? still\n"
		assert normal.ask(b"still") == b"? still\n"


def test_slowloris_in_a_line_too_long(herd):
	member = herd.member("Alpha", settings={"line-timeout": "500ms"})
	with member.client() as giant:
		giant.send(b"g" * 10000)
		giant.socket.settimeout(60)
		try:
			assert giant.end() in (b"", b"? " + b"g" * 4096 + b"\n")
		except ConnectionResetError:
			pass


def test_a_thousand_slowloris(herd):
	member = herd.member("Alpha", settings={"line-timeout": "3s"})
	with member.client() as normal:
		idle = statistics.median(latencies(normal, 300))
		slow = [member.client() for _ in range(1000)]
		for connection in slow:
			connection.send(b"I")
		busy = statistics.median(latencies(normal, 300))
		assert busy < 5 * idle + 0.01, (idle, busy)
		for connection in slow:
			try:
				assert connection.end() == b""
			except ConnectionResetError:
				pass
			connection.close()
		assert normal.ask(b"x") == b"? x\n"


# --- descriptors ----------------------------------------------------------

def test_out_of_descriptors(herd):
	"""No spin, the old ones are served, and it recovers as soon as there is room."""
	member = herd.member("Alpha")
	old = member.client()
	assert old.ask(b"x") == b"? x\n"
	resource.prlimit(member.pid, resource.RLIMIT_NOFILE, (40, 40))	# now: it asked for enough when it started
	crowd = []
	for _ in range(200):
		try:
			crowd.append(Client(member.tcp[0], limit=20))
			crowd[-1].send(b"crowd\n")
		except OSError:
			break
	assert len(crowd) > 60
	# A window of wall time that old clients fill with commands, few enough to cost nothing.
	started, cpu, asked = time.monotonic(), member.run_s(), 0
	while time.monotonic() - started < 3:
		assert old.ask(b"hello") == b"? hello\n"
		asked += 1
		time.sleep(0.02)
	window, used = time.monotonic() - started, member.run_s() - cpu
	assert asked > 20
	assert member.descriptors() <= 40
	unanswered = [c for c in crowd if not select.select([c.socket], [], [], 0)[0]]
	assert len(unanswered) > 20	# they wait to be accepted, or were never greeted
	assert used < (0.2 if harness.SANITIZED else 0.05) * window, (used, window)
	for connection in crowd:
		connection.close()
	started = time.monotonic()
	with member.client() as new:
		assert new.ask(b"new") == b"? new\n"
	assert time.monotonic() - started < 5
	assert old.ask(b"old") == b"? old\n"
	old.close()


def test_descriptors_for_more_than_clients(herd):
	"""Clients cannot take the last ones: settings can be read again, and the table found again."""
	herd.configure("[herd]\nline-max = 1000\n")
	member = herd.member("Alpha", argv=["prlimit", "--nofile=64:64"])
	member.wait_log("Only 64 descriptors are allowed.*connections-max = 10000 there will be 48")
	crowd = [member.client() for _ in range(100)]
	for connection in crowd[:48]:
		assert connection.ask(b"x") == b"? x\n"
	member.wait_log("Cannot accept on .*; new clients wait")
	assert member.descriptors() < 64
	herd.configure("[herd]\nline-max = 700\n")
	member.signal(signal.SIGHUP)
	until(lambda: len(crowd[0].ask(b"x" * 2000)) == 703, "the new setting is in effect")
	os.unlink(herd.segment)
	member.wait_log("moved to another one with its fixes")
	for connection in crowd[:60]:
		connection.close()
	for connection in crowd[60:]:	# no more than fit, and none is lost
		assert connection.ask(b"y") == b"? y\n"
		connection.close()


def test_connections_max_raised_by_a_reload(herd):
	"""The descriptors for it are allowed then."""
	soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
	herd.configure("[herd]\nconnections-max = 10\n")
	resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
	try:
		member = herd.member("Alpha")
	finally:
		resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
	herd.configure("[herd]\nconnections-max = 1000\n")
	member.signal(signal.SIGHUP)
	until(lambda: resource.prlimit(member.pid, resource.RLIMIT_NOFILE)[0] > 1000, "they are allowed")


def test_connections_max(herd):
	member = herd.member("Alpha", settings={"connections-max": "10"})
	connections = [member.client() for _ in range(10)]
	for connection in connections:
		assert connection.ask(b"x") == b"? x\n"
	refused = 0
	for _ in range(20):
		with Client(member.tcp[0]) as connection:
			try:
				connection.send(b"more\n")
				assert connection.end() != b"? more\n"
			except (ConnectionResetError, BrokenPipeError):
				pass
			refused += 1
	assert refused == 20
	for connection in connections:
		assert connection.ask(b"y") == b"? y\n"
	connections.pop().close()

	def room():
		with Client(member.tcp[0]) as connection:
			try:
				return connection.ask(b"room") == b"? room\n"
			except (harness.Closed, ConnectionResetError, BrokenPipeError):
				return False
	until(room, "there is room again")
	for connection in connections:
		connection.close()


def count(herd, name):
	"""A counter of the herd."""
	return json.loads(herd.run_ctl("--json", "status").stdout)["counters"][name]


def served(where, source=None):
	"""A new connection, if the member takes it."""
	connection = Client(where, source=source)
	try:
		if connection.ask(b"room") == b"? room\n":
			return connection
	except (harness.Closed, ConnectionResetError, BrokenPipeError):
		pass
	connection.close()
	return None


def test_connections_per_address(herd):
	"""Each address has its own; a reload changes the limit; who is there may stay."""
	herd.configure("[herd]\nconnections-per-address = 3\n")
	member = herd.member("Alpha", listen=["127.0.0.1:0", "[::1]:0"], unix=[os.path.join(herd.folder, "a.sock")])
	four, six = member.tcp
	crowd = [served(four) for _ in range(3)]
	assert all(crowd)
	assert not served(four) and not served(four, source="127.0.0.1")
	assert count(herd, "refused") == 2
	member.wait_log(r"Refused 127\.0\.0\.1:\d+ on tcp \S+: connections-per-address = 3 are open")
	others = [served(four, source="127.0.0.2") for _ in range(3)]
	assert all(others) and not served(four, source="127.0.0.2")
	others += [served(six) for _ in range(3)]
	assert all(others) and not served(six)
	others += [served(member.unix[0]) for _ in range(10)]	# nobody can tell those apart
	assert all(others)

	crowd.pop().close()
	crowd.append(until(lambda: served(four), "there is room again"))
	herd.configure("[herd]\nconnections-per-address = 0\n")
	member.signal(signal.SIGHUP)
	crowd.append(until(lambda: served(four), "the limit is gone"))
	herd.configure("[herd]\nconnections-per-address = 2\n")
	member.signal(signal.SIGHUP)
	member.wait_log(r"connections-per-address.* 2\b")
	for connection in crowd + others:
		assert connection.ask(b"still") == b"? still\n"
	crowd.pop().close()
	crowd.pop().close()
	assert not served(four)	# two are left
	crowd.pop().close()
	crowd.append(until(lambda: served(four), "there is room again"))
	for connection in crowd + others:
		connection.close()


def test_idle_timeout(herd):
	"""Who says nothing is dropped; who says anything, or waits for a reply, is not."""
	member = herd.member("Alpha", settings={"idle-timeout": "1500ms", "line-timeout": "1d"})
	with member.client() as idle, member.client() as silent, member.client() as half, member.client() as drip, \
			member.client() as busy, member.client(receive_buffer=4096) as slow:
		started = time.monotonic()
		assert idle.ask(b"x") == b"? x\n"
		half.send(b"half a li")
		slow.iamat(b"slow", location=KIWI)
		slow.send(b"WHATSAT slow 50 20\n" * 300)
		left = {idle: b"", silent: b"", half: b""}

		def all_dropped():
			assert busy.ask(b"busy") == b"? busy\n"
			drip.send(b"d")
			assert slow.socket.recv(2000)	# it sends nothing, but its replies move
			for connection in list(left):
				if select.select([connection.socket], [], [], 0)[0]:
					assert connection.end() == left.pop(connection)
					assert time.monotonic() - started >= 1.4
			return not left
		until(all_dropped, "the idle ones are dropped", pause=0.05)
		drip.send(b"\n")
		assert drip.line().startswith(b"? ddd")
		assert slow.ask(b"end")
	member.wait_log("Dropped the connection of .*idle-timeout")


def test_idle_connections_take_no_time(herd):
	"""Ten thousand of them: less than 1 % of a core."""
	soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
	many = min(10000, hard - 500)
	resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
	try:
		member = herd.member("Alpha", settings={"connections-max": "20000"})
		crowd = [member.client() for _ in range(many)]
		for connection in crowd:
			assert connection.ask(b"x") == b"? x\n"
		shares = []
		for _ in range(3):	# the least of three windows: what else runs here can only add to it
			run, started = member.run_s(), time.monotonic()
			time.sleep(2)
			shares.append((member.run_s() - run) / (time.monotonic() - started) / many * 10000)
		for connection in crowd:
			connection.close()
	finally:
		resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
	assert min(shares) < (0.1 if harness.SANITIZED else 0.01), shares


def test_a_stopped_member_does_not_blame_its_clients(herd):
	"""What arrives while it is stopped is read before deadlines count."""
	member = herd.member("Alpha", settings={"line-timeout": "2s", "idle-timeout": "2s"})
	with member.client() as half, member.client() as idle:
		assert half.ask(b"x") == idle.ask(b"x") == b"? x\n"
		member.signal(signal.SIGSTOP)
		half.send(b"half ")
		idle.send(b"idle\n")
		time.sleep(3)	# how long it is stopped is the point
		member.signal(signal.SIGCONT)
		assert idle.line() == b"? idle\n"
		idle.send(b"idle\n")
		half.send(b"a line\n")
		assert idle.line() == b"? idle\n"
		assert half.line() == b"? half a line\n"


def test_nothing_leaks(herd):
	"""2,000 connections of every fate and 100,000 commands: descriptors and memory are what they were."""
	member = herd.member("Alpha", unix=[os.path.join(herd.folder, "a.sock")], udp=["127.0.0.1:0"])
	ids = [b"leak-%d" % n for n in range(100)]

	def connect(count):
		for n in range(count):
			connection = Client(member.unix[0] if n % 5 == 0 else member.tcp[0])
			connection.send([b"", b"x\n", b"IAMAT leak-1 +1+1 1\nWHATSAT leak-1 10 5\n", b"half", b"y" * 5000,
				b"WHATSAT leak-1 50 20\n" * 20][n % 6])
			if n % 3 == 0 and n % 5:
				connection.reset()
			else:
				if n % 3 == 1:
					connection.half_close()
					connection.end()
				connection.close()

	def command(count):
		with member.client() as connection:
			for start in range(0, count, 500):
				connection.send(b"".join([b"IAMAT %s +34.068930-118.445127 %d\n" % (ids[n % 100], n + 1),
					b"nonsense %d\n" % n, b"IAMAT %s +1+1 1\n" % ids[n % 100], b"WHATSAT %s 10 2\n" % ids[(n - 3) % 100],
					b"\n"][n % 5] for n in range(start, start + 500)))
				for n in range(start, start + 500):
					if n % 5 == 3:
						connection.until(b"\n\n")
					else:
						connection.line()

	def settled():
		"""Descriptors with no connection open."""
		last = [-1]

		def steady():
			with member.client() as connection:
				connection.ask(b"x")
				now = member.descriptors() - 1
			same, last[0] = now == last[0], now
			return same
		until(steady, "descriptors settle", pause=0.05)
		return last[0]

	connect(300)
	command(20000)
	files, memory = settled(), member.rss_kb()
	connect(2000)
	command(100000)
	assert until(lambda: settled() == files, "descriptors are given back", limit=30)
	grown = member.rss_kb() - memory
	assert grown < (60000 if harness.SANITIZED else 1000), grown


# --- memory ---------------------------------------------------------------

def out_of_memory(herd):
	"""Connections that there is no memory for are refused or dropped; the others are served on."""
	member = herd.member("Alpha")
	old = member.client()
	old.iamat(b"lazy", location=KIWI)
	with open("/proc/%d/statm" % member.pid, encoding="ascii") as file:
		now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
	resource.prlimit(member.pid, resource.RLIMIT_AS, (now + (1 << 20), resource.RLIM_INFINITY))
	crowd = []
	for n in range(300):
		assert old.ask(b"hello") == b"? hello\n"
		try:
			connection = member.client(limit=20, receive_buffer=4096)
			connection.socket.setblocking(False)
			crowd.append(connection)
			connection.socket.send(b"WHATSAT lazy 50 20\n" * 500)
		except OSError:
			pass
	for n in range(200):
		assert old.ask(b"still %d" % n) == b"? still %d\n" % n
	for connection in crowd:
		connection.close()
	resource.prlimit(member.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
	with member.client() as new:
		line = new.iamat(fresh()).line
		assert new.held(At(line).client) == line
	old.close()


if not harness.SANITIZED:	# a sanitizer needs more address space than any limit leaves
	test_out_of_memory = out_of_memory


def test_unsent_max_smaller_than_one_reply(herd):
	"""A reply longer than the bound is still sent whole."""
	member = herd.member("Alpha", settings={"unsent-max": "4k", "work-max": "1k"})
	with member.client() as connection:
		line = connection.iamat(b"big", location=KIWI).line
		connection.send(b"WHATSAT big 50 20\n" * 50)
		for _ in range(50):
			reply = connection.until(b"\n\n")
			assert reply.startswith(line) and len(reply) > 4096
		assert connection.exactly(b"") == b""


@pytest.mark.parametrize("most", ["1", "2", "64"])
def test_lookups_in_flight(herd, most):
	"""However few a connection may keep in flight, all are answered, in order."""
	member = herd.member("Alpha", settings={"places-pending-max": most})
	with member.client() as connection:
		for n in range(20):
			connection.iamat(b"look-%d" % n)
		connection.send(b"".join(b"WHATSAT look-%d 50 20\nx%d\n" % (n % 20, n) for n in range(400)))
		for n in range(400):
			assert b" look-%d " % (n % 20) in connection.until(b"\n\n")
			assert connection.line() == b"? x%d\n" % n


# --- the table ------------------------------------------------------------

def test_a_full_table_still_answers(herd):
	"""New clients push out the oldest; every command is answered with what it said."""
	herd.settings["table-clients"] = "64"
	herd.flood()
	alpha, bravo = herd.member("Alpha"), herd.member("Bravo")
	with alpha.client() as one, bravo.client() as two:
		for n in range(3000):
			id = b"full-%d" % n
			line = one.iamat(id, at=now_text()).line
			assert one.held(id) == line	# the newcomer is stored
			assert two.held(id) == line
		held = sum(1 for n in range(3000) if two.held(b"full-%d" % n) is not None)
		assert 32 <= held <= 200, held
		for n in range(500):	# long ids have a table of their own
			id = b"long-%d-" % n + b"l" * 200
			assert one.iamat(id).line == two.held(id)
	status = herd.run_ctl("--json", "status")	# 1: it says that the table is full
	assert json.loads(status.stdout)["table"]["evicted"] >= 2000, status


def test_new_ids_do_not_push_out_the_living_for_long(herd):
	"""A flood of new ids: who reports again is held again."""
	herd.settings["table-clients"] = "64"
	alpha = herd.member("Alpha")
	with alpha.client() as connection:
		for n in range(2000):
			connection.iamat(b"noise-%d" % n)
			if n % 10 == 0:
				line = connection.iamat(b"alive").line
				assert connection.held(b"alive") == line


# --- hostile values -------------------------------------------------------

@pytest.mark.parametrize("at", [b"0", b"-1", b"1e308", b"NaN", b"inf", b"253402300799", b"9" * 400, b"99999999999.999999999"])
def test_hostile_times_do_not_lock_a_client_out(client, at):
	"""Refused, or capped."""
	id = fresh()
	client.exactly(b"IAMAT %s %s %s\n" % (id, KIWI, at))

	def heard():
		line = client.iamat(id).line
		return client.held(id) == line
	until(heard, "the victim is heard", limit=30, pause=0.05)


def test_backlog_of_connections(alpha):
	"""A burst of connections, all of them served."""
	connections = [socket.socket() for _ in range(500)]
	try:
		for connection in connections:
			connection.setblocking(False)
			connection.connect_ex(alpha.tcp[0])
		for connection in connections:
			connection.settimeout(60)
			connection.sendall(b"burst\n")
		for connection in connections:
			assert connection.recv(100) == b"? burst\n"
	finally:
		for connection in connections:
			connection.close()


def test_idle_connections_cost_little(herd):
	member = herd.member("Alpha")
	with member.client() as normal:
		normal.ask(b"x")
		before = member.rss_kb()
		idle = [member.client() for _ in range(2000)]
		for connection in idle:
			assert connection.ask(b"hello") == b"? hello\n"
		turn = Turn(member)
		turn.turn()
		each = (member.rss_kb() - before) / len(idle)
		turn.close()
		for connection in idle:
			connection.close()
		assert each < (40 if harness.SANITIZED else 4), each	# KiB


def test_a_login_shells_limit_is_raised(herd):
	"""1,024 descriptors are what a shell allows at first; connections-max counts."""
	soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
	resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
	try:
		alpha = herd.member("Alpha", settings={"connections-max": "3000"})
	finally:
		resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
	with open("/proc/%d/limits" % alpha.pid) as limits:
		line = next(line for line in limits if line.startswith("Max open files"))
	assert int(line.split()[3]) >= min(3000, hard)
