"""The harness itself: faults are in effect when they are said to be, and the checker of histories finds what is wrong."""

import contextlib
import os
import socket
import subprocess
import sys
import time

import pytest

import history
import hosts as herd_hosts
import net

MINUTE_S = 60


@pytest.fixture
def network():
	made = net.Network(4, 2)
	yield made
	made.close()


# --- faults -----------------------------------------------------------------

def test_hosts_are_apart(network):
	"""Each has its own ports; what listens in one is not in the other."""
	with network.ports[0].space.socket(socket.SOCK_STREAM) as one, network.ports[1].space.socket(socket.SOCK_STREAM) as two:
		for listener in (one, two):
			listener.bind(("0.0.0.0", net.PORT))
			listener.listen()


def test_loss(network):
	network.ports[0].lose(30, sides=[1])
	assert network.ports[1].probe_loss(network.ports[0]) == 0	# the same side
	assert 0.18 < network.ports[3].probe_loss(network.ports[0]) < 0.42
	assert network.ports[0].probe_loss(network.ports[3]) == 0	# only one way


def test_rate(network):
	network.ports[0].limit(512)
	assert network.ports[1].probe_rate(network.ports[2], 1 << 20) > 10000


def test_partition(network):
	network.cut()
	assert network.ports[0].reaches(network.ports[1], 5)
	assert network.ports[2].reaches(network.ports[3], 5)
	network.heal()
	network.ports[1].unplug()
	assert network.ports[0].reaches(network.ports[2], 5)
	network.ports[1].plug()


def test_half_open(network):
	"""A connection that goes mute is not told so."""
	one, two = network.ports[:2]
	with one.space.socket(socket.SOCK_STREAM) as listener, two.space.socket(socket.SOCK_STREAM) as source:
		listener.bind((one.address, 0))
		listener.listen()
		source.connect(listener.getsockname())
		sink, _ = listener.accept()
		with sink:
			one.mute(two)
			source.sendall(b"x")
			sink.settimeout(0.3)
			with pytest.raises(socket.timeout):
				sink.recv(1)
			assert one.muted() > 0
			one.unmute(two)
			sink.settimeout(MINUTE_S)
			assert sink.recv(1) == b"x"


@pytest.mark.parametrize("fault", ["unplug", "cut", "mute", "loss", "rate"])
def test_a_fault_that_is_not_there_is_noticed(network, fault, monkeypatch):
	"""Whatever the tools say: without an effect there is no test."""
	def nothing(self, *args, **kwargs):
		return ""

	for name in ("ip", "nft", "run"):
		monkeypatch.setattr(net.Namespace, name, nothing)
	monkeypatch.setattr(net, "counter", lambda *args: 1)
	port = network.ports[0]
	with pytest.raises(net.Impossible):
		{"unplug": port.unplug, "cut": network.cut, "mute": lambda: port.mute(network.ports[1]), "loss": lambda: port.lose(30),
			"rate": lambda: port.limit(512)}[fault]()


def test_nothing_is_left_of_a_network():
	"""Also when whoever made it was killed."""
	script = "import sys, time\nsys.path.insert(0, %r)\nimport net\nn = net.Network(2)\nprint(n.ports[0].name, flush=True)\n" \
		"time.sleep(600)\n" % os.path.dirname(net.__file__)
	before = sum_of_links()
	with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as killed:
		assert killed.stdout.readline()
		killed.kill()
	assert sum_of_links() == before


def sum_of_links():
	return len(os.listdir("/sys/class/net")) + len(os.listdir("/run/netns") if os.path.isdir("/run/netns") else [])


def test_relay_delays(make_hosts):
	hosts = make_hosts(2)
	one, two = hosts.hosts
	with two.port.space.socket(socket.SOCK_STREAM) as listener:
		listener.bind((two.port.address, 7))
		listener.listen()
		herd_hosts.relay(one, "%s:8" % one.port.address, "%s:7" % two.port.address, 80)
		with one.port.space.socket(socket.SOCK_STREAM) as source:
			source.connect((one.port.address, 8))
			far, _ = listener.accept()
			with far:
				for _ in range(3):
					started = time.monotonic()
					source.sendall(b"ping")
					assert far.recv(4) == b"ping"
					assert 0.08 <= time.monotonic() - started
					far.sendall(b"pong")
					assert source.recv(4) == b"pong"
					assert 0.16 <= time.monotonic() - started < 10


# --- histories ----------------------------------------------------------------

def made_up(folder, text):
	path = os.path.join(str(folder), "record")
	with open(path, "w", encoding="ascii") as file:
		file.write(text)
	return history.History(path, ["One", "Two"], {"One": ["A"], "Two": ["B"]})


RECORD = """M 0
M 1
T 0 0 c0 100.5 +01.000000-001.000000
A 0 0 A
R 0 c0 100.5 +01.000000-001.000000 A
N 1 c0
T 1 1 c0 101 +01.000001-001.000001
R 1 c0 100.5 +01.000000-001.000000 A
A 1 1 B
R 0 c0 101 +01.000001-001.000001 B
T 2 0 c1 102.25 +01.000002-001.000002
L 2 0
R 1 c0 101 +01.000001-001.000001 B
T 3 0 c0 103 +01.000003-001.000003
A 3 0 A
R 0 c0 103 +01.000003-001.000003 A
"""
FINAL = b"AT A +0.000000001 c0 +01.000003-001.000003 103\n"


def test_a_right_history_is_right(tmp_path):
	"""Also one in which a fix that nobody acknowledged is there, or is not."""
	right = made_up(tmp_path, RECORD)
	lost = b"AT A +0.000000001 c1 +01.000002-001.000002 102.25\n"
	assert right.check({"One": [FINAL], "Two": [FINAL]}) == []
	assert right.check({"One": [FINAL, lost], "Two": [FINAL]}) == []
	assert right.counts() == {"T": 4, "A": 3, "L": 1, "R": 5, "N": 1, "M": 2}


def test_a_doctored_history_is_found(tmp_path):
	right = made_up(tmp_path, RECORD)
	for seed in range(20):
		for what, broken, finals in history.doctored(right, {"One": [FINAL], "Two": [FINAL]}, seed):
			assert broken.check(finals), what
	assert history.must_notice_doctoring(right, {"One": [FINAL], "Two": [FINAL]}) == 11


def test_an_exempted_loss_is_not_found(tmp_path):
	"""What a test may lose it has to say, and only that."""
	right = made_up(tmp_path, RECORD)
	older = b"AT B +0.000000001 c0 +01.000001-001.000001 101\n"
	assert len(right.check({"One": [FINAL], "Two": [older]})) == 1
	assert right.check({"One": [FINAL], "Two": [older]}, lambda fix: fix.number == "3") == []
	assert len(right.check({"One": [FINAL], "Two": []}, lambda fix: fix.number == "3")) == 2


def test_a_host_without_links(make_hosts):
	"""The generator's record of one host after the other, checked; what one host was told the other does not have."""
	hosts = make_hosts(2)
	for host in hosts:
		host.start(members=2)
	one = hosts[0]
	load = hosts.load(to=[one], rate=2000, seconds=2, clients=100, sample=0, reads=1000, record=True)
	with contextlib.suppress(IndexError):
		assert load.progress()["told"] >= 0
	result = load.finish()
	assert result["acked"] == result["told"] > 2000 and result["lost"] == result["refused"] == 0, result
	record = history.History(load.record, ["host-001", "host-002"], {one.name: list(one.members)})
	finals = {one.name: hosts.lines(one)}
	assert record.check(finals) == []
	assert history.must_notice_doctoring(record, finals) >= 10
	lost = record.check(dict(finals, **{"host-002": hosts.lines(hosts[1])}))
	assert lost and all(wrong.startswith("P2") for wrong in lost), lost[:3]


def test_history_of_members_killed(make_hosts):
	"""kill -9 of members under load: what was acknowledged stays, and stays readable."""
	hosts = make_hosts(1)
	host = hosts[0].start(members=3)
	doors = {host.name: host.doors()}
	load = hosts.load(doors=doors, rate=1000, seconds=4, clients=50, sample=0, reads=1000, record=True)
	names = list(host.members)
	end = time.monotonic() + 3.5
	kills = 0
	while time.monotonic() < end:
		name = names[kills % len(names)]
		host.members[name].kill()
		host.start_member(name)
		kills += 1
	result = load.finish()
	assert kills >= 3 and result["acked"] > 500, (kills, result)
	record = history.History(load.record, [host.name], {host.name: names})
	finals = {host.name: hosts.lines(host)}
	assert record.check(finals) == []
	assert history.must_notice_doctoring(record, finals) >= 10
