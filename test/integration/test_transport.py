"""Where clients come in: TCP, unix stream, UDP, and sockets a service manager passes."""

import os
import socket
import stat

import pytest

from harness import At, Client, Datagrams, fresh, now_text, passed, until

KIWI = b"+34.068930-118.445127"


@pytest.fixture
def udp(alpha):
	with Datagrams(alpha.udp[0]) as connection:
		yield connection


# --- UDP ------------------------------------------------------------------

def test_one_line_per_datagram(udp, client):
	id = fresh()
	udp.send(b"IAMAT %s %s %s\n" % (id, KIWI, now_text()))
	line = udp.receive()
	assert At(line).client == id and client.held(id) == line
	udp.send(b"WHATSAT %s 10 5\n" % id)
	answer = udp.receive()
	assert answer.startswith(line + b"{") and answer.endswith(b"}\n\n") and answer.count(b"\n\n") == 1
	udp.send(b"what\r\n")
	assert udp.receive() == b"? what\n"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"], ids=["bare", "lf", "crlf"])
def test_the_last_line_of_a_datagram_needs_no_end(udp, end):
	udp.send(b"one\ntwo" + end)
	assert [udp.receive(), udp.receive()] == [b"? one\n", b"? two\n"]
	id = fresh()
	udp.send(b"IAMAT %s %s 1" % (id, KIWI) + end)
	assert At(udp.receive()).client == id


def test_many_lines_per_datagram_many_replies_in_order(udp):
	id = fresh()
	udp.send(b"\n".join([b"a", b"", b"IAMAT %s %s 1" % (id, KIWI), b"WHATSAT %s 10 3" % id, b"b\r", b"WHATSAT x-%s 1 1" % id]))
	replies = [udp.receive() for _ in range(6)]
	assert replies[0] == b"? a\n" and replies[1] == b"? \n"
	assert At(replies[2]).client == id
	assert replies[3].startswith(replies[2]) and replies[3].endswith(b"}\n\n")
	assert replies[4] == b"? b\n" and replies[5] == b"? WHATSAT x-%s 1 1\n" % id


def test_a_datagram_is_whole(udp):
	"""What one leaves open does not run into the next."""
	udp.send(b"IAMAT half")
	assert udp.receive() == b"? IAMAT half\n"
	udp.send(b" +1+1 1\n")
	assert udp.receive() == b"?  +1+1 1\n"


def test_long_lines_in_datagrams(udp):
	for length in (4095, 4096, 4097, 5000, 60000):
		udp.send(b"u" * length)
		assert udp.receive() == b"? " + b"u" * min(length, 4096) + b"\n"
	udp.send(b"u" * 5000 + b"\nnext\n")
	assert udp.receive() == b"? " + b"u" * 4096 + b"\n"
	assert udp.receive() == b"? next\n"


def test_an_empty_datagram_is_harmless(udp):
	udp.send(b"")
	udp.send(b"next")
	replies = [udp.receive()]
	if replies[0] == b"? \n":	# it may count as a blank line
		replies.append(udp.receive())
	assert replies[-1] == b"? next\n"


def test_bursts_from_many_senders(alpha):
	senders = [Datagrams(alpha.udp[0]) for _ in range(30)]
	try:
		for round in range(5):
			for n, sender in enumerate(senders):
				sender.send(b"from %d round %d" % (n, round))
			for n, sender in enumerate(senders):
				assert sender.receive() == b"? from %d round %d\n" % (n, round)
	finally:
		for sender in senders:
			sender.socket.close()


def test_a_sender_that_is_gone_stops_nothing(alpha, udp):
	"""The kernel tells us on the next call that a reply reached nobody."""
	for _ in range(20):
		with Datagrams(alpha.udp[0]) as sender:
			sender.send(b"x\n" * 20)
	udp.send(b"still")
	assert udp.receive() == b"? still\n"


# --- addresses ------------------------------------------------------------

def test_several_addresses_of_each_kind(herd, tmp_path):
	paths = [str(tmp_path / "one.sock"), str(tmp_path / "two.sock")]
	member = herd.member("Alpha", listen=["127.0.0.1:0", "127.0.0.2:0"], udp=["127.0.0.1:0", "127.0.0.3:0"], unix=paths)
	assert len(member.tcp) == 2 and len(member.udp) == 2 and member.unix == paths
	id = fresh()
	lines = set()
	for n, where in enumerate(member.tcp + member.unix):
		with Client(where) as connection:
			lines.add(connection.iamat(id, at=b"%d" % n).line)
			assert connection.held(id) in lines
	for where in member.udp:
		with Datagrams(where) as connection:
			connection.send(b"WHATSAT %s 10 0" % id)
			assert connection.receive().split(b"{")[0] in lines


def has_ipv6():
	try:
		with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
			probe.bind(("::1", 0))
			return True
	except OSError:
		return False


def test_ipv6(herd):
	if not has_ipv6():	# the machine has none: then a member must say so and stop
		member = herd.member("Alpha", listen=["[::1]:0"], ready=False)
		assert member.wait() not in (0, None) and "::1" in member.text()
		return
	member = herd.member("Alpha", listen=["[::1]:0"], udp=["[::1]:0"])
	with Client(member.tcp[0]) as connection:
		assert connection.ask(b"six") == b"? six\n"
	with Datagrams(member.udp[0]) as connection:
		connection.send(b"six")
		assert connection.receive() == b"? six\n"


def test_a_taken_port_is_said_clearly(herd):
	first = herd.member("Alpha")
	port = "127.0.0.1:%d" % first.tcp[0][1]
	second = herd.member("Bravo", listen=[port], ready=False)
	assert second.wait() not in (0, None)
	assert port in second.text() and "in use" in second.text()
	first.check()


def test_a_unix_socket_left_by_a_killed_member_is_taken_over(herd, tmp_path):
	path = str(tmp_path / "herd.sock")
	first = herd.member("Alpha", listen=(), unix=[path])
	first.kill()
	assert stat.S_ISSOCK(os.stat(path).st_mode)
	second = herd.member("Alpha", listen=(), unix=[path])
	with second.client() as connection:
		assert connection.ask(b"new") == b"? new\n"


@pytest.mark.parametrize("kind", ["live", "file"])
def test_a_path_that_is_somebody_elses_is_left_alone(herd, tmp_path, kind):
	path = str(tmp_path / "taken")
	if kind == "live":
		first = herd.member("Alpha", listen=(), unix=[path])
	else:
		with open(path, "w", encoding="ascii") as file:
			file.write("precious\n")
	second = herd.member("Bravo", listen=(), unix=[path], ready=False)
	assert second.wait() not in (0, None) and path in second.text()
	if kind == "live":
		with first.client() as connection:
			assert connection.ask(b"here") == b"? here\n"
	else:
		with open(path, encoding="ascii") as file:
			assert file.read() == "precious\n"


# --- sockets passed by a service manager ----------------------------------

def listening(family, where, kind=socket.SOCK_STREAM):
	sock = socket.socket(family, kind)
	sock.bind(where)
	if kind == socket.SOCK_STREAM:
		sock.listen(100)
	return sock


def test_passed_sockets_are_served(herd, tmp_path):
	path = str(tmp_path / "passed.sock")
	tcp = listening(socket.AF_INET, ("127.0.0.1", 0))
	unix = listening(socket.AF_UNIX, path)
	udp = listening(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM)
	early = Client(tcp.getsockname())	# waits in the queue before the member exists
	early.send(b"early\n")
	member = passed(herd, "Alpha", [("line", tcp), ("udp", udp), ("line", unix)])
	assert early.line() == b"? early\n"
	early.close()
	member.wait_log("Member 'Alpha' is ready")
	id = fresh()
	with Client(tcp.getsockname()) as connection:
		line = connection.iamat(id).line
	with Client(path) as connection:
		assert connection.held(id) == line
	with Datagrams(udp.getsockname()) as connection:
		connection.send(b"WHATSAT %s 10 0\n" % id)
		assert connection.receive().startswith(line)
	member.stop()
	assert os.path.exists(path)	# the manager's, not ours
	for sock in (tcp, unix, udp):
		sock.close()


def test_clients_wait_in_the_passed_queue_while_a_member_restarts(herd):
	tcp = listening(socket.AF_INET, ("127.0.0.1", 0))
	id = fresh()
	member = passed(herd, "Alpha", [("line", tcp)])
	with Client(tcp.getsockname()) as connection:
		line = connection.iamat(id).line
	for end in ("stop", "kill") * 2:
		getattr(member, end)()
		connection = Client(tcp.getsockname())
		connection.send(b"WHATSAT %s 10 0\n" % id)
		member = passed(herd, "Alpha", [("line", tcp)])
		assert connection.line() == line
		connection.close()
	tcp.close()


def test_passed_sockets_meant_for_another_process_are_not_taken(herd):
	"""LISTEN_PID says for whom they are."""
	tcp = listening(socket.AF_INET, ("127.0.0.1", 0))
	member = herd.member("Alpha", env={"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "line"})
	with member.client() as connection:
		assert connection.ask(b"own") == b"? own\n"
	tcp.close()


def test_a_passed_socket_of_the_wrong_kind_is_refused_or_ignored(herd):
	"""A datagram socket called line must not take the member down silently."""
	tcp = listening(socket.AF_INET, ("127.0.0.1", 0))
	udp = listening(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM)
	member = passed(herd, "Alpha", [("line", udp), ("line", tcp)])
	member.expected_death = True
	until(lambda: "is ready" in member.text() or not member.alive(), "ready, or refused")
	if member.alive():
		with Client(tcp.getsockname()) as connection:
			assert connection.ask(b"here") == b"? here\n"
	else:
		assert member.popen.returncode > 0 and "line" in member.text()
	for sock in (tcp, udp):
		sock.close()
