"""What a member and the host's helper have to say to each other: waking it, and ack-after.
The helper is a test tool that does as it is told; hosts that really have peers are test/flood's."""

import json
import os
import select
import signal
import subprocess
import time

import pytest

from harness import LIMIT, Client, Closed, Datagrams, fresh, now_text, program, until

SOON = 30	# an ack-timeout that no test waits for


class Taker:
	"""test/tools/table-take."""

	def __init__(self, herd):
		self.popen = subprocess.Popen([program("test/tools/table-take"), herd.shm, herd.control],
			stdin=subprocess.PIPE, stdout=subprocess.PIPE)
		assert self.read() == b"ready\n"

	def read(self):
		assert select.select([self.popen.stdout], [], [], LIMIT)[0]
		return self.popen.stdout.readline()

	def tell(self, line):
		self.popen.stdin.write(line + b"\n")
		self.popen.stdin.flush()
		self.changes, self.round, self.wakes, self.asleep = (int(n) for n in self.read().split())
		return self

	def until_asleep(self):
		until(lambda: self.tell(b"count").asleep, "the helper sleeps")
		return self

	def end(self):
		self.popen.stdin.close()
		assert self.popen.wait(LIMIT) == 0
		self.popen.stdout.close()

	def kill(self):
		self.popen.kill()
		self.popen.wait(LIMIT)
		self.popen.stdin.close()
		self.popen.stdout.close()


@pytest.fixture
def takers(herd):
	"""Starts takers of this herd; ends those that still run."""
	made = []

	def make():
		made.append(Taker(herd))
		return made[-1]

	yield make
	for taker in made:
		if taker.popen.poll() is None:
			taker.end()


@pytest.fixture
def taker(takers):
	return takers()


def waiting(herd, after=1, timeout="%ds" % SOON, **settings):
	herd.settings.update({"ack-after": str(after), "ack-timeout": timeout}, **settings)


def iamat(client, location=b"+1+1"):
	return b"IAMAT %s %s %s\n" % (client, location, now_text())


def counters(herd):
	return json.loads(herd.run_ctl("--json", "status").stdout)["counters"]


def degraded(herd, name="Alpha"):
	programs = json.loads(herd.run_ctl("--json", "status").stdout)["programs"]
	return [text for p in programs if p["name"] == name for text in p.get("degraded", [])]


def silent(client, wait_s=0.05):
	return not select.select([client.socket], [], [], wait_s)[0] and not client.rest


# --- waking -------------------------------------------------------------------------

def test_one_wake_for_one_sleep(herd, taker):
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		for _ in range(5):
			wakes = taker.until_asleep().wakes
			changes = taker.changes
			client.iamat(fresh())
			until(lambda: taker.tell(b"count").changes == changes + 1, "the change is taken")
			assert taker.wakes == wakes + 1


def test_awake_it_is_not_woken(herd, taker):
	alpha = herd.member("Alpha")
	wakes = taker.until_asleep().wakes
	with alpha.client() as client:
		for _ in range(20):
			client.send(b"".join(iamat(fresh()) for _ in range(100)))
			for _ in range(100):
				assert client.line().startswith(b"AT Alpha ")
	until(lambda: taker.tell(b"count").changes >= 2000, "all changes are taken")
	# It has slept now and then on a machine this busy, but far less often than it was told something.
	assert taker.wakes - wakes < 1000


def test_who_only_asks_wakes_nobody(herd, taker):
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		known = fresh()
		client.iamat(known)
		until(lambda: taker.tell(b"count").changes, "it is taken")	# the reply comes before the wake-up
		wakes = taker.until_asleep().wakes
		for _ in range(100):
			assert client.held(known)
			assert client.ask(b"what") == b"? what\n"
		assert taker.tell(b"count").wakes == wakes and taker.asleep


def test_a_new_helper_is_woken_at_the_same_place(herd, takers):
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		first = takers().until_asleep()
		client.iamat(fresh())
		until(lambda: first.tell(b"count").wakes == 1, "it is woken")
		first.until_asleep()
		first.kill()
		client.iamat(fresh())	# told to wake a dead one: nobody minds
		client.iamat(fresh())
		second = takers()
		assert second.until_asleep().changes >= 3	# what is there
		client.iamat(fresh())
		until(lambda: second.tell(b"count").wakes == 1, "the new one is woken")


# --- waiting -------------------------------------------------------------------------

def test_a_reply_waits_until_it_is_confirmed(herd, taker):
	waiting(herd)
	alpha, bravo = herd.member("Alpha"), herd.member("Bravo", settings={"ack-after": "0"})
	with alpha.client() as client, bravo.client() as reader:
		client.iamat(fresh())
		taker.tell(b"hold")
		known = fresh()
		client.send(iamat(known))
		until(lambda: reader.held(known), "the fix is readable before it is confirmed")
		assert silent(client)
		reader.iamat(fresh())	# who does not wait is not kept waiting
		taker.tell(b"go")
		assert client.line().startswith(b"AT Alpha ")
	assert counters(herd)["unconfirmed"] == 0
	assert degraded(herd) == []


def test_confirmed_at_once(herd, taker):
	"""Woken for it, not found by a timer: a hundred in a row take no hundred looks."""
	waiting(herd)
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		client.iamat(fresh())
		began = time.monotonic()
		for _ in range(100):
			client.iamat(fresh())
		assert time.monotonic() - began < 100 * 0.005 + 1
		# The same fix again is in the table already, and waits for a round all the same.
		line = iamat(fresh())
		client.send(line + line)
		for _ in range(2):
			assert client.line().startswith(b"AT Alpha ")
	assert counters(herd)["unconfirmed"] == 0


def test_order_is_kept(herd, taker):
	waiting(herd)
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		taker.tell(b"hold")
		a, b = fresh(), fresh()
		client.send(b"first\n" + iamat(a) + b"second\n" + b"WHATSAT %s 1 0\n" % a + iamat(b) + b"third\n")
		assert client.line() == b"? first\n"
		assert silent(client)
		taker.tell(b"go")
		assert client.line().split()[3] == a
		assert client.line() == b"? second\n"
		assert client.until(b"\n\n").split()[3] == a
		assert client.line().split()[3] == b
		assert client.line() == b"? third\n"


def test_many_on_one_connection(herd, taker):
	"""More than may wait at once: the rest waits unread."""
	waiting(herd)
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		taker.tell(b"hold")
		ids = [fresh() for _ in range(1000)]
		client.send(b"".join(iamat(i) for i in ids))
		assert silent(client)
		assert counters(herd)["stored"] < 1000
		taker.tell(b"go")
		for i in ids:
			assert client.line().split()[3] == i
	assert counters(herd)["unconfirmed"] == 0


def test_udp_and_unix(herd, taker):
	waiting(herd)
	path = os.path.join(herd.control, "lines")
	alpha = herd.member("Alpha", udp=["127.0.0.1:0"], unix=[path])
	taker.tell(b"hold")
	ids = [fresh() for _ in range(150)]	# more than places-pending-max, fewer than a receive buffer holds
	with Client(path) as client, Datagrams(alpha.udp[0]) as datagrams:
		client.send(iamat(fresh()))
		for n in range(0, len(ids), 10):
			datagrams.send(b"".join(iamat(i) for i in ids[n:n + 10]))
		assert silent(client)
		until(lambda: counters(herd)["stored"] == 151, "all are stored")
		assert not select.select([datagrams.socket], [], [], 0)[0]
		taker.tell(b"go")
		assert client.line().startswith(b"AT Alpha ")
		assert {datagrams.receive().split()[3] for _ in ids} == set(ids)
	assert counters(herd)["unconfirmed"] == 0


# --- not waiting for ever ----------------------------------------------------------------

def test_timeout(herd, taker):
	waiting(herd, timeout="200ms")
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		taker.tell(b"hold")
		began = time.monotonic()
		client.iamat(fresh())
		assert 0.2 <= time.monotonic() - began < 5
		until(lambda: counters(herd)["unconfirmed"] == 1, "it is counted")
		alpha.wait_log("No 1 peers applied a fix within ack-timeout")
		assert ["fewer than 1 peers" in text for text in degraded(herd)] == [True]
		taker.tell(b"go")
		client.iamat(fresh())
		until(lambda: degraded(herd) == [], "it is well again")
	assert counters(herd)["unconfirmed"] == 1


def test_without_a_helper(herd):
	waiting(herd, timeout="100ms")
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		began = time.monotonic()
		client.send(b"".join(iamat(fresh()) for _ in range(10)))
		for _ in range(10):
			assert client.line().startswith(b"AT Alpha ")
		assert 0.1 <= time.monotonic() - began < 5	# beside each other, not one after the other
	until(lambda: counters(herd)["unconfirmed"] == 10, "all are counted")
	assert len(degraded(herd)) == 2	# no helper, and what follows from it
	assert alpha.text().count("within ack-timeout") == 1


def test_a_helper_that_comes_back_confirms(herd, takers):
	waiting(herd)
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		first = takers()
		client.iamat(fresh())
		first.tell(b"hold")
		client.send(iamat(fresh()))
		assert silent(client)
		first.kill()
		takers()
		assert client.line().startswith(b"AT Alpha ")
	assert counters(herd)["unconfirmed"] == 0


def test_a_table_that_is_replaced(herd, takers):
	"""Its rounds begin anew: what waited for one of the old table's waits for one of the new one's."""
	waiting(herd)
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		first = takers()
		for _ in range(50):
			client.iamat(fresh())
		first.tell(b"hold")
		client.send(iamat(fresh()))
		assert silent(client)
		os.unlink(herd.segment)
		first.kill()
		alpha.wait_log("moved to another one with its fixes")
		assert silent(client)
		takers()
		assert client.line().startswith(b"AT Alpha ")
	assert counters(herd)["unconfirmed"] == 0


def test_reload(herd, taker):
	herd.configure("[herd]\nack-after = 1\nack-timeout = %d\n" % SOON)
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		taker.tell(b"hold")
		client.send(iamat(fresh()))
		assert silent(client)
		herd.configure("[herd]\nack-after = 0\n")
		herd.ctl("reload", "Alpha")
		assert client.line().startswith(b"AT Alpha ")	# what waited waits no longer
		client.iamat(fresh())
		herd.configure("[herd]\nack-after = 2\nack-timeout = %d\n" % SOON)
		herd.ctl("reload", "Alpha")
		client.send(iamat(fresh()))
		assert silent(client)
		taker.tell(b"go")
		assert client.line().startswith(b"AT Alpha ")


# --- ends --------------------------------------------------------------------------------

def test_half_close(herd, taker):
	waiting(herd)
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		taker.tell(b"hold")
		client.send(iamat(fresh()) + b"more\n" + iamat(fresh()))
		client.half_close()
		assert silent(client)
		taker.tell(b"go")
		assert client.end().count(b"\n") == 3


def test_clients_that_go(herd, taker):
	"""Reset or closed: nothing stays behind of what waited."""
	waiting(herd)
	alpha = herd.member("Alpha")
	taker.tell(b"hold")
	for n in range(20):
		client = alpha.client()
		client.send(iamat(fresh()) * 3)
		until(lambda n=n: counters(herd)["iamat"] == 3 * n + 3, "its fixes are there")
		if n % 2:
			client.reset()
		else:
			client.close()
	until(lambda: counters(herd)["connections"] == 10, "those that were reset are gone")
	with alpha.client() as client:
		client.send(iamat(fresh()))
		assert silent(client)
		taker.tell(b"go")
		assert client.line().startswith(b"AT Alpha ")
		until(lambda: counters(herd)["connections"] == 1, "all are gone")	# for all one knew they could still read
	assert counters(herd)["unconfirmed"] == 0


def test_stop(herd, taker):
	"""Who is told to stop waits for peers, too, but no longer than they are given."""
	waiting(herd, timeout="500ms")
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		taker.tell(b"hold")
		client.send(iamat(fresh()))
		assert silent(client)
		alpha.signal(signal.SIGTERM)
		assert client.line().startswith(b"AT Alpha ")
		assert alpha.wait() == 0
		with pytest.raises(Closed):
			client.line()
	assert os.listdir(herd.control) == ["%s:wake" % herd.shm[1:]]	# the member's own sockets are gone


def test_without_a_folder(herd, takers):
	"""No socket can be made: nobody is woken, and the timers find what there is."""
	waiting(herd)
	herd.settings["control-dir"] = os.path.join(herd.control, "none")
	alpha = herd.member("Alpha")
	takers()
	with alpha.client() as client:
		for _ in range(3):
			client.iamat(fresh())


def test_no_socket_without_ack_after(herd, taker):
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		client.iamat(fresh())
	assert not [name for name in os.listdir(herd.control) if ":wake:" in name]
