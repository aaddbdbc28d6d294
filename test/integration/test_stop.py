"""SIGTERM: what was read is answered, what was answered arrives, and none of it takes long."""

import re
import select
import signal
import threading
import time

import pytest

from harness import Client, Closed, Datagrams, Manager, Turn, fresh, until

WAYS = pytest.mark.parametrize("way", ["tcp", "unix"])


def connect(member, way, **options):
	return Client(member.tcp[0] if way == "tcp" else member.unix[0], **options)


def member_of(herd, settings=None, **options):
	return herd.member("Alpha", unix=[herd.control + "/Alpha.sock"], settings=settings, **options)


def answered(member):
	return member.text().count("out 'AT Alpha")


def stall(member, client, count):
	"""Sends so many commands at once; returns when the client, which reads nothing, has brought the
	member to a stand. All of them are read by then, but by no means all are answered."""
	client.iamat(b"k")
	client.send(b"WHATSAT k 50 20\n" * count)
	turn, seen = Turn(member), -1

	def stands():
		nonlocal seen
		turn.turn()
		before, seen = seen, answered(member)
		return seen == before
	until(stands, "no more replies")
	turn.close()
	assert 0 < seen < count


def term(member):
	member.expected_death = True
	member.signal(signal.SIGTERM)


def ended(member):
	assert member.wait() == 0, member.text()[-2000:]


@WAYS
def test_idle_connections_are_closed_at_once(herd, way):
	alpha = member_of(herd)
	clients = [connect(alpha, way) for _ in range(200)]
	assert clients[-1].ask(b"x") == b"? x\n"
	term(alpha)
	for client in clients:
		assert client.end() == b""	# the end of it, not a reset
		client.close()
	ended(alpha)
	assert "in time" not in alpha.text()


SLOW = {"unsent-max": "16M", "work-max": "1M", "log-level": "debug"}


@WAYS
@pytest.mark.parametrize("unsent", ["4k", "16M"])
def test_what_was_read_is_answered(herd, way, unsent):
	"""Replies that wait for a slow client, and commands that wait for those: it gets them all, in order."""
	alpha = member_of(herd, settings=dict(SLOW, **{"unsent-max": unsent}))
	with connect(alpha, way, receive_buffer=65536) as client:
		stall(alpha, client, 200)	# 1.7 MB: no more than a busy machine hands over in the second there is
		client.send(b"too late\n" * 5000)	# nobody reads this: closing must not be a reset
		term(alpha)
		alpha.wait_log("Stopping")
		replies = client.end()
		client.close()
		shape = rb"(?:AT Alpha \S+ k \S+ \S+\n\{.*?\}\n\n){%d}"
		assert re.fullmatch(shape % 200, replies, re.DOTALL), (replies.count(b"\n\n"), replies[-300:])
	ended(alpha)
	assert "in time" not in alpha.text()


def test_a_client_that_goes_on_sending_gets_whole_replies(herd):
	"""It is cut off somewhere, but what arrives are whole replies to the first so many commands."""
	alpha = member_of(herd)
	for _ in range(3):
		client = alpha.client()
		sent, stop = [0], threading.Event()

		def chatter():
			while not stop.is_set():
				try:
					client.send(b"".join(b"%d\n" % n for n in range(sent[0], sent[0] + 100)))
				except OSError:
					return
				sent[0] += 100
		thread = threading.Thread(target=chatter)
		thread.start()
		try:
			replies = client.until(b"? 5000\n")
			term(alpha)
			try:
				while True:
					client.more()
			except (Closed, OSError):
				replies += client.rest
		finally:
			stop.set()
			client.reset()
			thread.join(60)
		lines = replies.split(b"\n")
		assert lines.pop() == b""	# no half reply
		assert lines == [b"? %d" % n for n in range(len(lines))]
		ended(alpha)
		herd.processes.remove(alpha)
		alpha = member_of(herd)


def test_a_client_that_does_not_read_is_not_waited_for(herd):
	alpha = member_of(herd, settings=SLOW)
	with alpha.client(receive_buffer=4096) as client:
		stall(alpha, client, 2000)
		began = time.monotonic()
		term(alpha)
		ended(alpha)
		assert 0.9 < time.monotonic() - began < 30
	assert "1 clients have not taken their replies in time" in alpha.text()


def test_asked_twice_it_ends_at_once(herd):
	alpha = member_of(herd, settings=SLOW)
	with alpha.client(receive_buffer=4096) as client:
		stall(alpha, client, 2000)
		term(alpha)
		alpha.wait_log("Stopping with")
		term(alpha)
		ended(alpha)
	assert "in time" not in alpha.text()


def test_nobody_comes_in_any_more(herd):
	alpha = member_of(herd, settings=SLOW)
	with alpha.client(receive_buffer=4096) as client:
		stall(alpha, client, 2000)
		term(alpha)
		alpha.wait_log("Stopping")
		for where in (alpha.tcp[0], alpha.unix[0]):
			with pytest.raises(OSError):
				Client(where).close()
	ended(alpha)


def test_datagrams_are_answered(herd):
	alpha = herd.member("Alpha", udp=["127.0.0.1:0"])
	with Datagrams(alpha.udp[0]) as datagrams:
		datagrams.send(b"".join(b"%d\n" % n for n in range(5000)))
		first = datagrams.receive()
		term(alpha)
		ended(alpha)
		replies = [first]
		while select.select([datagrams.socket], [], [], 0)[0]:
			replies.append(datagrams.receive())
	# The receiver's buffer may have overflowed; the last one says that all were answered.
	assert replies[0] == b"? 0\n" and all(r.startswith(b"? ") for r in replies)


def test_a_fix_that_was_acknowledged_is_there(herd):
	"""Whoever got an AT line before the end finds the fix in the next life."""
	alpha = member_of(herd)
	acknowledged, stop = [], threading.Event()

	def tell():
		with alpha.client() as client:
			while not stop.is_set():
				id = fresh()
				try:
					client.send(b"IAMAT %s +1+1 1\n" % id)
					assert client.line().startswith(b"AT Alpha")
				except Exception:
					return
				acknowledged.append(id)
	threads = [threading.Thread(target=tell) for _ in range(4)]
	for thread in threads:
		thread.start()
	until(lambda: len(acknowledged) > 500, "fixes")
	term(alpha)
	ended(alpha)
	stop.set()
	for thread in threads:
		thread.join(60)
	with member_of(herd).client() as client:
		for id in acknowledged:
			assert client.held(id), id


def test_the_service_manager_is_told_first(herd):
	with Manager() as manager:
		alpha = member_of(herd, settings=SLOW, env=manager.env())
		with alpha.client(receive_buffer=4096) as client:
			stall(alpha, client, 2000)
			term(alpha)
			manager.wait(r"\ASTOPPING=1\Z")
			assert alpha.alive()
		ended(alpha)
