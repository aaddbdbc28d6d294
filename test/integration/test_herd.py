"""Many members and a helper on one host: what is told to one is known to all, whoever dies."""

import os
import random
import signal
import threading
import time

import pytest

from harness import At, Client, fresh, now_text, time_ns, until

NAMES = ["Alpha", "Bravo", "Charlie", "Delta", "Echo"]


def test_told_to_one_readable_at_all_at_once(shared):
	"""The moment the reply is there, without waiting."""
	connections = [member.client() for member in shared.processes[1:]]
	try:
		id = fresh()
		for n in range(500):
			writer = connections[n % 3]
			line = writer.iamat(id, location=b"+1+%d" % (n % 100)).line
			for reader in connections:
				assert reader.held(id) == line
	finally:
		for connection in connections:
			connection.close()


def test_five_members_started_at_once(herd):
	"""Nobody there before them: one of them makes the table, all of them use it."""
	members = [herd.member(name, ready=False) for name in NAMES]
	for member in members:
		member.ready()
	ids = [fresh() for _ in members]
	lines = []
	for member, id in zip(members, ids):
		with member.client() as connection:
			lines.append(connection.iamat(id).line)
	for member in members:
		with member.client() as connection:
			assert [connection.held(id) for id in ids] == lines


@pytest.mark.parametrize("order", ["helper first", "helper last", "all at once"])
def test_any_order_of_starting(herd, order):
	id = fresh()
	if order == "helper first":
		herd.flood()
	first = herd.member("Alpha", ready=order != "all at once")
	if order == "all at once":
		herd.flood(ready=False)
	second = herd.member("Bravo", ready=order != "all at once")
	first.ready()
	second.ready()
	with first.client() as connection:
		line = connection.iamat(id).line
	if order == "helper last":
		herd.flood()
	with second.client() as connection:
		assert connection.held(id) == line
	third = herd.member("Charlie")
	with third.client() as connection:
		assert connection.held(id) == line


def test_the_table_outlives_everyone(herd):
	"""Every process gone, cleanly or not: the fixes are still there for the next."""
	id = fresh()
	flood = herd.flood()
	alpha = herd.member("Alpha")
	with alpha.client() as connection:
		line = connection.iamat(id).line
	alpha.kill()
	flood.kill()
	bravo = herd.member("Bravo")
	with bravo.client() as connection:
		assert connection.held(id) == line
	bravo.stop()
	alpha = herd.member("Alpha")
	with alpha.client() as connection:
		assert connection.held(id) == line


def test_a_name_is_taken_once(herd):
	alpha = herd.member("Alpha")
	second = herd.member("Alpha", ready=False)
	assert second.wait() not in (0, None)
	assert "Alpha" in second.text()
	alpha.check()
	alpha.kill()	# a dead member's name is free again, at once
	herd.member("Alpha")


def test_members_know_their_names(herd):
	with herd.member("a").client() as connection:
		assert connection.iamat(fresh()).server == b"a"
	name = "Abc-9_z.Z23456789012345"
	assert len(name) == 23
	with herd.member(name).client() as connection:
		assert connection.iamat(fresh()).server == name.encode()


@pytest.mark.parametrize("name", ["", "x" * 24, "two words", "a/b", "a:b", "ä", "a\nb", "+"])
def test_bad_names_are_refused(herd, name):
	member = herd.member(name, ready=False)
	assert member.wait() > 0
	assert member.text().strip()


# --- kill -9 --------------------------------------------------------------

class Writer(threading.Thread):
	"""Tells fixes to a member, one after the other, until the member is gone; remembers what was acknowledged."""

	def __init__(self, where, ids):
		super().__init__()
		self.client = Client(where)
		self.ids = ids
		self.acknowledged = {}
		self.count = 0
		self.wrong = None
		self.stopping = threading.Event()

	def run(self):
		try:
			while not self.stopping.is_set():
				batch = []
				for _ in range(16):
					id = random.choice(self.ids)
					batch.append((id, now_text()))
				self.client.send(b"".join(b"IAMAT %s +1+1 %s\n" % (id, at) for id, at in batch))
				for id, at in batch:
					reply = At(self.client.line())
					if (reply.client, reply.time) != (id, at):
						self.wrong = (id, at, reply.line)
						return
					self.acknowledged[id] = max(self.acknowledged.get(id, 0), time_ns(at))
					self.count += 1
		except Exception:	# the member died: what was acknowledged stands
			pass
		finally:
			self.client.close()


def check_nothing_lost(where, writers):
	"""Every acknowledged fix, or a newer one, is readable there."""
	with Client(where) as connection:
		for writer in writers:
			assert writer.wrong is None, writer.wrong
			for id, ns in writer.acknowledged.items():
				held = connection.held(id)
				assert held is not None, id
				assert time_ns(At(held).time) >= ns, (held, ns)


def test_kill_9_of_members_loses_nothing_acknowledged(herd):
	herd.flood()
	survivor = herd.member("Survivor")
	random.seed(os.getpid())
	ids = [fresh() for _ in range(200)]
	told = 0
	for round in range(15):
		victims = [herd.member(name) for name in ("Alpha", "Bravo")]
		writers = [Writer(victim.tcp[0], ids) for victim in victims]
		for writer in writers:
			writer.start()
		enough = random.randrange(50, 2000)
		until(lambda: sum(w.count for w in writers) >= enough, "some fixes told")
		for victim in victims:
			victim.kill()
		for writer in writers:
			writer.join(60)
			assert not writer.is_alive()
			told += writer.count
		check_nothing_lost(survivor.tcp[0], writers)
	assert told > 15 * 50


def test_kill_9_of_the_helper_is_not_noticed(herd):
	"""Members write the table themselves; the next helper adopts it."""
	members = [herd.member(name) for name in ("Alpha", "Bravo")]
	ids = [fresh() for _ in range(200)]
	writers = [Writer(member.tcp[0], ids) for member in members]
	for writer in writers:
		writer.start()
	for round in range(10):
		flood = herd.flood()
		before = sum(w.count for w in writers)
		until(lambda: sum(w.count for w in writers) > before + 500, "writing goes on beside the helper")
		flood.kill()
		before = sum(w.count for w in writers)
		until(lambda: sum(w.count for w in writers) > before + 500, "writing goes on without the helper")
	for writer in writers:
		writer.stopping.set()
		writer.join(60)
	for member in members:
		check_nothing_lost(member.tcp[0], writers)


def test_a_stopped_member_holds_up_nobody(herd):
	"""SIGSTOP in the middle of writing: the others answer, and read what it acknowledged."""
	herd.flood()
	alpha, bravo = herd.member("Alpha"), herd.member("Bravo")
	ids = [fresh() for _ in range(50)]
	for round in range(10):
		writer = Writer(alpha.tcp[0], ids)
		writer.start()
		until(lambda: writer.count > 200, "fixes told")
		alpha.signal(signal.SIGSTOP)
		with bravo.client() as connection:
			started = time.monotonic()
			for id in ids:	# readers take no lock
				assert connection.held(id) is not None or id not in writer.acknowledged
			for _ in range(20):
				connection.iamat(fresh())
			assert time.monotonic() - started < 10
		alpha.signal(signal.SIGCONT)
		writer.stopping.set()
		writer.join(60)
		check_nothing_lost(bravo.tcp[0], [writer])


# --- expiry ---------------------------------------------------------------

@pytest.mark.parametrize("helper", [True, False], ids=["with helper", "without helper"])
def test_fixes_expire(herd, helper):
	herd.settings.update({"fix-ttl": "2s", "flood.sweep-interval": "100ms"})
	if helper:
		herd.flood()
	alpha, bravo = herd.member("Alpha"), herd.member("Bravo")
	id = fresh()
	with alpha.client() as one, bravo.client() as two:
		# The age is counted from the receipt: the client's own time does not matter.
		reply = one.iamat(id, at=b"99999999999")
		assert two.held(id) == reply.line
		until(lambda: one.held(id) is None, "the fix expires")
		gone_ns = time.time_ns()
		assert gone_ns >= reply.receipt_ns + 2 * 10**9
		assert gone_ns < reply.receipt_ns + 30 * 10**9
		assert two.held(id) is None
		again = one.iamat(id, at=b"5").line	# older than the expired one, which is forgotten
		assert two.held(id) == again


def test_an_old_time_does_not_expire_a_fresh_fix(herd):
	herd.settings["fix-ttl"] = "1h"
	with herd.member("Alpha").client() as connection:
		id = fresh()
		line = connection.iamat(id, at=b"0").line
		assert connection.held(id) == line


def test_ttl_zero_keeps_for_ever(herd):
	herd.settings.update({"fix-ttl": "0", "flood.sweep-interval": "20ms"})
	herd.flood()
	with herd.member("Alpha").client() as connection:
		id = fresh()
		line = connection.iamat(id, at=b"0").line
		for _ in range(200):
			assert connection.held(id) == line


def test_refreshing_keeps_a_fix(herd):
	herd.settings.update({"fix-ttl": "2s", "flood.sweep-interval": "50ms"})
	herd.flood()
	with herd.member("Alpha").client() as connection:
		id, other = fresh(), fresh()
		connection.iamat(other)

		def other_gone():
			line = connection.iamat(id).line
			assert connection.held(id) == line
			return connection.held(other) is None
		until(other_gone, "the unrefreshed one expires", pause=0.05)


# --- stopping -------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_signals_stop_cleanly(herd, number):
	flood, alpha = herd.flood(), herd.member("Alpha")
	connections = [alpha.client() for _ in range(20)]
	for connection in connections:
		connection.send(b"half a li")
	for process in (alpha, flood):
		process.signal(number)
		assert process.wait() == 0
	for connection in connections:
		connection.close()


def test_pending_commands_are_answered_or_refused_at_stop(herd):
	"""Whatever was answered before the end is whole; the connection then ends."""
	alpha = herd.member("Alpha")
	connection = alpha.client()
	connection.send(b"".join(b"line %d\n" % n for n in range(2000)))
	assert connection.line() == b"? line 0\n"
	alpha.signal(signal.SIGTERM)
	try:
		rest = connection.end()
	except ConnectionResetError:
		rest = b""
	lines = rest.split(b"\n")
	for n, line in enumerate(lines[:-1], 1):
		assert line == b"? line %d" % n
	assert alpha.wait() == 0
	connection.close()


def test_helper_says_what_it_does(herd):
	flood = herd.flood()
	assert flood.text().strip()
	flood.stop()
	assert os.path.exists(herd.segment)	# what it kept is for those who come after it
