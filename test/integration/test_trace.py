"""herdctl trace: who heard a client, how that travelled, how old it is."""

import json
import os
import signal
import time

import pytest

from harness import fresh, until
from links import Host

OK, NO, NO_HERD, USAGE = 0, 1, 3, 64
LOCATION = "+34.068930-118.445127"


@pytest.fixture
def hosts(make_herd):
	return lambda *names: [Host(make_herd(), name) for name in names]


def trace(herd, id, status=OK, options=()):
	done = herd.run_ctl("--json", *options, "trace", id)
	assert done.returncode == status and done.stderr == "", done
	return json.loads(done.stdout)


def knows(shown):
	return {entry["program"]: entry["knows"] for entry in shown["programs"]}


def tell(member, id):
	with member.client() as client:
		client.send(b"IAMAT %s %s %.9f\n" % (id.encode(), LOCATION.encode(), time.time() - 1.5))
		line = client.line()
		assert line.startswith(b"AT "), line
		return line.decode().split()


def test_on_one_host(herd):
	herd.flood()
	alpha, id = herd.member("Alpha"), fresh().decode()
	herd.member("Bravo")
	_, server, skew, _, location, when = tell(alpha, id)
	shown = trace(herd, id)
	assert (shown["id"], shown["known"], shown["server"], shown["location"], shown["time"]) == (id, True, server, location, when)
	assert shown["skew"] == skew and 1.5 <= float(skew) < 5
	assert shown["heard"] == "on this host" and shown["host"] == [] and shown["peers"] == []
	assert 0 <= shown["age"] < 5 and shown["expires_in"] + shown["age"] == pytest.approx(7 * 86400)
	assert shown["received"] > shown["sent"] and shown["expires"] > shown["received"]
	assert shown["here_since"] is None	# not linked with others, the helper keeps no list
	assert knows(shown) == {"helper": "yes", "Alpha": "yes", "Bravo": "yes"}
	assert all(entry["table"] for entry in shown["programs"])
	assert trace(herd, id, options=("--set", "fix-ttl=0"))["expires"] is None


def test_nobody_knows_it(herd):
	assert herd.run_ctl("trace", "kiwi").returncode == NO_HERD
	herd.flood()
	herd.member("Alpha")
	shown = trace(herd, "kiwi", NO)
	assert not shown["known"] and set(knows(shown).values()) == {"no"} and "server" not in shown
	assert "known  no\n" in herd.ctl("trace", "kiwi", status=NO)
	assert herd.run_ctl("trace", "ki wi").returncode == herd.run_ctl("trace", "k" * 256).returncode == USAGE


def test_over_hosts(hosts):
	"""From the one that heard it over a second to a third: each says which way."""
	hill, jaquez, smith = hosts("Hill", "Jaquez", "Smith")
	hill.start()
	jaquez.start(peers=["Hill 127.0.0.1:%d" % hill.port])
	smith.start(peers=["Jaquez 127.0.0.1:%d" % jaquez.port])
	smith.member("Bravo")
	jaquez.wait_up("Hill", "Smith")
	alpha, id = hill.member("Alpha"), fresh().decode()
	tell(alpha, id)
	until(lambda: id in smith.fixes(), "it is there")

	shown = trace(hill.herd, id)
	assert shown["heard"] == "on this host" and shown["host"] == ["Hill"] and shown["from"] == []
	until(lambda: trace(hill.herd, id)["peers"] == [{"peer": "Jaquez", "state": "has"}], "it is acknowledged")

	until(lambda: trace(jaquez.herd, id)["host"] == ["Hill"], "it knows where Alpha is")
	shown = trace(jaquez.herd, id)
	assert shown["server"] == "Alpha" and shown["heard"] == "on another host" and shown["from"] == ["Hill"]
	assert not shown.get("at_start") and shown["here_since"] >= shown["received"][:19]
	until(lambda: {peer["peer"]: peer["state"] for peer in trace(jaquez.herd, id)["peers"]} == {"Hill": "has", "Smith": "has"}, "all have it")

	until(lambda: len(trace(smith.herd, id)["host"]) == 1, "it knows where Alpha is")
	shown = trace(smith.herd, id)
	assert shown["from"] == ["Jaquez"] and len(shown["host"][0]) == 32	# no neighbour: known by its id
	assert knows(shown) == {"helper": "yes", "Bravo": "yes"}
	text = smith.herd.ctl("trace", id)
	assert "from        Jaquez\n" in text and "on another host" in text


def test_hosts_that_are_not_asked(hosts):
	hill, jaquez = hosts("Hill", "Jaquez")
	hill.start()
	jaquez.start(peers=["Hill 127.0.0.1:%d" % hill.port])
	member, id = jaquez.member("Alpha"), fresh().decode()
	tell(member, id)
	jaquez.wait_up("Hill")
	assert trace(jaquez.herd, id)["unasked"] == []
	hill.stop()
	jaquez.wait_down("Hill")
	shown = trace(jaquez.herd, id)
	assert shown["unasked"] == ["Hill"] and shown["peers"] == []
	jaquez.stop()
	jaquez.start()
	shown = trace(jaquez.herd, id)
	assert shown["at_start"] and shown["heard"] == "on this host"


def test_a_member_that_hangs(herd):
	herd.flood()
	alpha, id = herd.member("Alpha"), fresh().decode()
	bravo = herd.member("Bravo")
	tell(alpha, id)
	bravo.signal(signal.SIGSTOP)
	try:
		began = time.monotonic()
		assert knows(trace(herd, id)) == {"helper": "yes", "Alpha": "yes", "Bravo": "no answer"}
		assert time.monotonic() - began < 5
	finally:
		bravo.signal(signal.SIGCONT)


@pytest.mark.parametrize("id", [b"k", b"x" * 255, b"\xff\x01\x1b[2J", "p\u0101teke".encode()])
def test_any_id(herd, id):
	herd.flood()
	tell_raw = b"IAMAT %s %s 1621464827.959498503\n" % (id, LOCATION.encode())
	with herd.member("Alpha").client() as client:
		client.send(tell_raw)
		assert client.line().startswith(b"AT ")
	shown = trace(herd, os.fsdecode(id))
	assert set(knows(shown).values()) == {"yes"}
	assert bytes.fromhex(shown["id_hex"]) == id if "id_hex" in shown else shown["id"].encode() == id
