"""herd-generator, herdctl add and herdctl remove, as an operator meets them on a real machine."""

import json
import re

import pytest

from machine import until

ALPHA = "[member Alpha]\nlisten = 127.0.0.1:12000\n"
LOCATION = b"+34.068930-118.445127"
OK, NO, FAILED, CONFIG = 0, 1, 2, 78


def ctl(machine, *words, status=OK):
	return machine.run("herdctl", *words, status=status)


def listening(machine, *kinds):
	"""{address: unit} of all sockets of the herd."""
	found = {}
	for line in machine.systemctl("list-sockets", "--no-legend", "--no-pager", "--all").splitlines():
		words = line.split()
		if words[1].startswith("herd"):
			found[words[0]] = words[1]
	return found


def left_out(machine, name):
	"""What the journal has under the member's own unit."""
	records = machine.journal("--unit=herd@%s.service" % name, "MESSAGE_ID=cfe5b476f1e8466dabdeca0b809d9906")
	return [record["MESSAGE"] for record in records]


def test_a_section_is_enough(machine):
	"""A second member is a section, a daemon-reload and a start; it is there after a reboot."""
	machine.write("/etc/herd/herd.conf.d/20-bravo.conf",
		"[member Bravo]\nlisten = 0.0.0.0:12001, [::1]:12001\nudp = 127.0.0.1:12001\nunix = /run/bravo-%n.sock\n")
	machine.systemctl("daemon-reload")
	machine.systemctl("start", "herd@Bravo.service")
	for again in range(2):
		machine.wait_active("herd@Bravo.service")
		with machine.client(("127.0.0.1", 12001)) as client:
			told = client.iamat(b"kiwi", LOCATION)
		for where in (("::1", 12001), "/run/bravo-%n.sock", "/run/herd/Bravo.sock", ("127.0.0.1", 12000)):
			with machine.client(where) as client:
				assert client.held(b"kiwi") == told.line, where
		with machine.datagrams(("127.0.0.1", 12001)) as client:
			client.send(b"WHATSAT kiwi 1 0\n")
			assert client.receive().startswith(told.line)
		assert int(machine.show("herd@Bravo.service", "MemoryMax")) < 8 << 30
		assert machine.show("herd@Bravo.service", "NeedDaemonReload") == "no"
		if not again:
			machine.reboot()


def test_one_mistake_one_member(off):
	"""Every mistake there is, at boot: who has none comes up, who has one says why, and the boot is no worse for it."""
	off.write("/etc/herd/herd.conf", ALPHA + """
[member SamePort]
listen = 127.0.0.1:12000
[member Wildcard]
listen = 0.0.0.0:12000
[member NoAddress]
listen = localhost:12001
[member Last]
listen = 127.0.0.1:12009
""")
	off.write("/etc/herd/herd.conf.d/member-Garbage.conf", "\x01\x02\n")
	off.write("/etc/herd/herd.conf.d/member-Closed.conf", "[member Closed]\nlisten = 127.0.0.1:12005\n", mode=0o600)
	machine = off.boot(state=("running", "degraded"))
	for name, port in (("Alpha", 12000), ("Last", 12009)):
		machine.wait_active("herd@%s.service" % name)
		with machine.client(("127.0.0.1", port)) as client:
			client.iamat(b"kiwi", LOCATION)
	for name, says in (("SamePort", "taken by member 'Alpha'"), ("Wildcard", "taken by member 'Alpha'"),
			("NoAddress", "is no address"), ("Garbage", "member-Garbage.conf:1:")):
		assert machine.active("herd@%s.service" % name) == "inactive"
		(said,) = set(left_out(machine, name))
		assert "Member '%s' is left out" % name in said and says in said and "/etc/herd/herd.conf" in said
		shown = machine.status("herd@%s.service" % name)
		assert says in shown and "left out" in shown, shown
	# There was no journal when the generator ran; a service told it later, and has no other business.
	assert machine.show("herd-generator.service", "Result") == "success"
	explained = machine.run("journalctl", "-x", "--no-pager", "--unit=herd@SamePort.service").stdout
	assert "Subject: Member SamePort was left out" in explained and "herd@SamePort" in explained
	# Root reads what the members cannot, so this one has its socket, and says itself what is wrong.
	record = machine.wait_journal("member-Closed.conf: cannot be read: Permission denied", "--unit=herd@Closed.service")
	assert record["PRIORITY"] == "3"


def test_a_mistake_does_not_touch_the_others_of_a_running_herd(machine):
	with machine.client() as client:
		pid = machine.main_pid("herd@Alpha.service")
		machine.write("/etc/herd/herd.conf.d/10.conf", "[member Bravo]\nlisten = 127.0.0.1:12000\n[member B/C]\n")
		machine.systemctl("daemon-reload")
		assert left_out(machine, "Bravo")	# there is a journal now
		assert machine.show("herd-generator.service", "LoadState") == "not-found"
		client.iamat(b"kiwi", LOCATION)
		assert machine.main_pid("herd@Alpha.service") == pid
		assert listening(machine)["127.0.0.1:12000"] == "herd@Alpha.socket"
		machine.systemctl("restart", "herd.target")
		machine.wait_active("herd@Alpha.service")
		assert machine.active("herd@Bravo.service") == "inactive"


def test_a_running_member_whose_section_goes_bad(machine):
	"""It serves on; once it is right again its status says what brings the address back."""
	name = "/etc/herd/herd.conf.d/10.conf"
	machine.write(name, "[member Bravo]\nlisten = 127.0.0.1:12001\n")
	machine.systemctl("daemon-reload")
	machine.systemctl("start", "herd@Bravo.service")
	machine.write(name, "[member Bravo]\nlisten = 127.0.0.1:12001, nowhere\n")
	machine.systemctl("daemon-reload")
	assert "is no address" in left_out(machine, "Bravo")[-1]
	with machine.client(("127.0.0.1", 12001)) as client:
		client.iamat(b"kiwi", LOCATION)
	machine.write(name, "[member Bravo]\nlisten = 127.0.0.1:12001\n")
	machine.systemctl("daemon-reload")
	machine.systemctl("restart", "herd@Bravo.service")
	until(lambda: "systemctl restart herd@Bravo.socket" in machine.show("herd@Bravo.service", "StatusText"), "its status says so",
		limit=15)
	machine.systemctl("restart", "herd@Bravo.socket")
	machine.wait_active("herd@Bravo.socket")
	with machine.client(("127.0.0.1", 12001)) as client:
		client.iamat(b"kiwi", LOCATION)


def test_add_and_remove(machine):
	got = json.loads(ctl(machine, "--json", "add", "Bravo").stdout)
	assert got == {"member": "Bravo", "changed": True, "settings": "/etc/herd/herd.conf.d/member-Bravo.conf:2",
		"listen": ["127.0.0.1:12001"], "udp": [], "started": True}
	assert machine.active("herd@Bravo.service") == "active"
	with machine.client(("127.0.0.1", 12001)) as client:
		client.iamat(b"kiwi", LOCATION)
	ctl(machine, "add", "Charlie", "--listen", "0.0.0.0:12010", "--udp", "0.0.0.0:12010")
	assert set(listening(machine)) >= {"127.0.0.1:12001", "0.0.0.0:12010", "/run/herd/Bravo.sock", "/run/herd/Charlie.sock"}
	assert json.loads(ctl(machine, "--json", "add", "Bravo").stdout)["changed"] is False
	done = ctl(machine, "add", "Delta", "--listen", "127.0.0.1:12010", status=NO)
	assert "taken by member 'Charlie'" in done.stderr
	machine.reboot()
	for name in ("Alpha", "Bravo", "Charlie"):
		machine.wait_active("herd@%s.service" % name)
	for name in ("Bravo", "Charlie"):
		ctl(machine, "remove", name)
		assert machine.active("herd@%s.service" % name) == "inactive"
		assert machine.active("herd@%s.socket" % name) == "inactive"
	assert sorted(listening(machine)) == ["/run/herd/Alpha.sock", "127.0.0.1:12000"]
	assert machine.sh("ls /etc/herd/herd.conf.d /run/systemd/generator/herd.target.wants").split() == [
		"/etc/herd/herd.conf.d:", "/run/systemd/generator/herd.target.wants:", "herd@Alpha.service", "herd@Alpha.socket"]
	assert json.loads(ctl(machine, "--json", "remove", "Bravo").stdout)["changed"] is False
	assert "/etc/herd/herd.conf:" in ctl(machine, "remove", "Alpha", status=NO).stderr
	assert machine.active("herd@Alpha.service") == "active"


def test_a_member_that_does_not_start_is_taken_back(machine):
	"""An address that somebody who is no member has: nobody but the kernel knows."""
	machine.sh("systemd-run --quiet --unit=other --property=Type=exec systemd-socket-activate -l 127.0.0.1:12001 /bin/true")
	until(lambda: "127.0.0.1:12001" in machine.sh("ss -ltnH 2>/dev/null || cat /proc/net/tcp") or
		":2EE1 " in machine.sh("cat /proc/net/tcp"), "the other one listens")
	done = ctl(machine, "add", "Bravo", "--listen", "127.0.0.1:12001", status=FAILED)
	assert "nothing was changed" in done.stderr
	assert machine.sh("ls /etc/herd/herd.conf.d") == ""
	for unit in ("herd@Bravo.service", "herd@Bravo.socket"):
		assert machine.active(unit) in ("inactive", "failed")
	got = json.loads(ctl(machine, "--json", "add", "Bravo").stdout)	# and a port of its own is found past it
	assert got["listen"] == ["127.0.0.1:12002"]
	assert machine.active("herd@Bravo.service") == "active"


def test_without_rights(machine):
	done = machine.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "herdctl", "add", "Bravo", status=FAILED)
	assert re.search("needs the rights of root", done.stderr)
	done = machine.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "herdctl", "remove", "Bravo", status=FAILED)
	assert "nothing was changed" in done.stderr
