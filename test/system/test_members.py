"""More members, by herdctl and by the settings, right and wrong."""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket

import pytest

from load import Load
from machine import until

LOCATION = b"+34.068930-118.445127"
NAMES = ["Alpha", "Bravo", "Charlie", "Delta", "Echo"]


def active_members(machine):
	lines = machine.systemctl("list-units", "--plain", "--no-legend", "--state=active", "herd@*.service").splitlines()
	return sorted(re.match(r"herd@(.*)\.service", line).group(1) for line in lines)


def states(machine, units):
	return [machine.active(unit) for unit in units]


def refused(machine, door):
	try:
		machine.client(door).close()
	except (ConnectionRefusedError, FileNotFoundError):
		return True
	return False


def test_five_members(machine):
	"""Each told by herdctl add; what one is told is readable at every other, also after a reboot."""
	for n, name in enumerate(NAMES[1:], 1):
		machine.run("herdctl", "add", name, "--listen", "127.0.0.1:%d" % (12000 + n))
	assert active_members(machine) == NAMES
	doors = ["/run/herd/%s.sock" % name for name in NAMES] + [("127.0.0.1", 12000 + n) for n in range(5)]
	for n, door in enumerate(doors):
		with machine.client(door) as client:
			told = client.iamat(b"kiwi-%d" % n, LOCATION)
			assert told.server.decode() == NAMES[n % 5]
		for other in doors:
			with machine.client(other) as client:
				assert client.held(b"kiwi-%d" % n) == told.line
	with Load(machine, doors, clients=5) as load:
		load.progress(60)
	machine.reboot()
	until(lambda: active_members(machine) == NAMES, "all five are back")
	with machine.client(doors[7]) as client:
		assert client.iamat(b"kiwi", LOCATION).server == b"Charlie"


def test_five_members_die_in_turn(machine):
	"""kill -9 of each of five and of their helper, while clients go round: nothing acknowledged is lost."""
	for name in NAMES[1:]:
		machine.run("herdctl", "add", name)
	doors = ["/run/herd/%s.sock" % name for name in NAMES]
	units = ["herd@%s.service" % name for name in NAMES] + ["herd-flood.service"]
	with Load(machine, doors, clients=5) as load:
		for turn in range(5):
			for unit in units:
				with contextlib.suppress(ProcessLookupError):
					os.kill(machine.wait_pid(unit), signal.SIGKILL)
				if turn % 2:	# else they die together
					load.progress(2)
			load.progress(2)
	for unit in units:
		machine.wait_active(unit)


def test_removed_member_is_gone(machine):
	machine.run("herdctl", "add", "Bravo", "--listen", "127.0.0.1:12001")
	with machine.client(("127.0.0.1", 12001)) as client:
		told = client.iamat(b"kiwi", LOCATION)
	machine.run("herdctl", "remove", "Bravo")
	assert active_members(machine) == ["Alpha"]
	with pytest.raises(ConnectionRefusedError):
		machine.client(("127.0.0.1", 12001))
	with pytest.raises(FileNotFoundError):
		machine.client("/run/herd/Bravo.sock")
	with machine.client() as client:
		assert client.held(b"kiwi") == told.line	# what it was told stays
	machine.reboot()
	assert active_members(machine) == ["Alpha"]
	assert "no such member" in machine.run("herdctl", "remove", "Bravo").stdout


def test_a_section_is_a_member(machine):
	"""A section, daemon-reload, start."""
	machine.write("/etc/herd/herd.conf.d/bravo.conf", "[member Bravo]\nlisten = 127.0.0.1:12001, 127.0.0.2:12001\n")
	machine.systemctl("daemon-reload")
	machine.systemctl("start", "herd@Bravo")
	for where in (("127.0.0.1", 12001), ("127.0.0.2", 12001)):
		with machine.client(where) as client:
			assert client.iamat(b"kiwi", LOCATION).server == b"Bravo"


def test_datagrams(machine):
	"""`udp =` gives a member a datagram socket, which outlives it like the others."""
	machine.write("/etc/herd/herd.conf.d/bravo.conf",
		"[member Bravo]\nlisten = 127.0.0.1:12001\nudp = 127.0.0.1:12001, 127.0.0.1:12011\n")
	machine.systemctl("daemon-reload")
	machine.systemctl("start", "herd@Bravo")
	assert machine.active("herd-udp@Bravo.socket") == "active"
	for port in (12001, 12011):
		with machine.datagrams(("127.0.0.1", port)) as client:
			client.send(b"IAMAT kiwi %s 1700000000.5\n" % LOCATION)
			assert client.receive().startswith(b"AT Bravo ")
	machine.systemctl("kill", "--signal=KILL", "--kill-whom=main", "herd@Bravo.service")
	with machine.datagrams(("127.0.0.1", 12001)) as client:	# waits in the socket until the next one is up
		client.send(b"hello\n")
		assert client.receive() == b"? hello\n"


def test_herdctl_add_with_datagrams(machine):
	machine.run("herdctl", "add", "Bravo", "--listen", "127.0.0.1:12001", "--udp", "127.0.0.1:12001")
	with machine.datagrams(("127.0.0.1", 12001)) as client:
		client.send(b"hello\n")
		assert client.receive() == b"? hello\n"
	machine.run("herdctl", "remove", "Bravo")
	assert machine.active("herd-udp@Bravo.socket") == "inactive"


# --- restarting them ---------------------------------------------------------

def main_pids(machine, units):
	"""As the machine numbers them."""
	return [int(machine.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout) for unit in units]


def test_rolling_restart(machine):
	"""The helper, then one member after the other; one that does not come back stops it there."""
	for name, port in (("Bravo", 12001), ("Charlie", 12002)):
		machine.run("herdctl", "add", name, "--listen", "127.0.0.1:%d" % port)
	units = ["herd-flood.service", "herd@Alpha.service", "herd@Bravo.service", "herd@Charlie.service"]
	pids = main_pids(machine, units)
	with machine.client() as client:
		client.iamat(b"kiwi", LOCATION)
	shown = json.loads(machine.run("herdctl", "--json", "restart", "--rolling").stdout)["restarted"]
	assert [entry["unit"] for entry in shown] == units
	assert [entry["pid"] for entry in shown] == main_pids(machine, units)
	assert not {entry["pid"] for entry in shown} & set(pids)
	with machine.client(("127.0.0.1", 12002)) as client:
		assert client.held(b"kiwi")
	pids = main_pids(machine, units)
	machine.write("/etc/systemd/system/herd@Bravo.service.d/broken.conf", "[Service]\nExecStart=\nExecStart=/bin/false\nRestart=no\n")
	machine.systemctl("daemon-reload")
	done = machine.run("herdctl", "restart", "--rolling", "Alpha", "Bravo", "Charlie", status=2)
	assert "herd@Bravo" in done.stderr and "1 more were not touched" in done.stderr
	now = main_pids(machine, units)
	assert now[3] == pids[3] and now[1] != pids[1]
	done = machine.run("herdctl", "restart", "Charlie", "Bravo", status=2)
	assert "herd@Bravo.service is not active" in done.stderr
	assert main_pids(machine, units)[3] == pids[3]


def test_drain(machine):
	"""New clients of one member are refused, those who are there go on; the others serve all along. And back again."""
	machine.run("herdctl", "add", "Bravo", "--listen", "127.0.0.1:12001", "--udp", "127.0.0.1:12001")
	units = ["herd@Bravo.service", "herd@Bravo.socket", "herd-udp@Bravo.socket"]
	with Load(machine, [("127.0.0.1", 12000)], clients=2) as load:
		with machine.client(("127.0.0.1", 12001)) as client, machine.client("/run/herd/Bravo.sock") as other:
			client.iamat(b"kiwi", LOCATION)
			other.iamat(b"tui", LOCATION)
			with concurrent.futures.ThreadPoolExecutor() as pool:
				drained = pool.submit(machine.run, "herdctl", "--json", "drain", "Bravo")
				until(lambda: refused(machine, ("127.0.0.1", 12001)), "new clients are refused")
				assert refused(machine, "/run/herd/Bravo.sock")
				assert states(machine, units) == ["active", "inactive", "inactive"]
				told = client.iamat(b"kiwi", LOCATION)
				assert told.server == b"Bravo"
				client.close()
				assert other.held(b"kiwi") == told.line
				load.progress(20)
				assert not drained.done() and machine.active(units[0]) == "active"
				other.close()
				shown = json.loads(drained.result().stdout)
		assert shown["drained"] and 2 <= shown["clients"] <= 3 and shown["cut_off"] == 0
		assert states(machine, units) == ["inactive"] * 3
		with machine.client() as client:
			assert client.held(b"kiwi") == told.line
		assert refused(machine, ("127.0.0.1", 12001))	# nothing starts it by itself
		machine.systemctl("start", "herd@Bravo")
		assert states(machine, units) == ["active"] * 3
		with machine.client(("127.0.0.1", 12001)) as client:
			assert client.held(b"kiwi") == told.line
			machine.run("herdctl", "drain", "Bravo", "--timeout", "300ms", status=1)
		machine.systemctl("start", "herd@Bravo")
		load.progress(20)


def test_an_interrupted_drain(machine):
	"""It leaves the member running without sockets: a restart puts it back, and so does its death."""
	units = ["herd@Alpha.service", "herd@Alpha.socket"]
	for opened in ("restart", "death"):
		with machine.client() as client:
			client.iamat(b"kiwi", LOCATION)
			machine.run("timeout", "--signal=INT", "1", "herdctl", "drain", "Alpha", status=124)
			assert refused(machine, ("127.0.0.1", 12000)) and states(machine, units) == ["active", "inactive"]
			client.iamat(b"kiwi", LOCATION)
			if opened == "restart":
				machine.systemctl("restart", "herd@Alpha")
			else:
				os.kill(machine.wait_pid("herd@Alpha.service"), signal.SIGKILL)
		until(lambda: not refused(machine, ("127.0.0.1", 12000)), "new clients are let in")
		until(lambda: states(machine, units) == ["active"] * 2, "it is in service")
		with machine.client() as client:
			assert client.held(b"kiwi")


def test_doctor_and_the_key(machine):
	"""What it says to do is what helps."""
	def key():
		found = json.loads(machine.run("herdctl", "--json", "doctor", status=None).stdout)["findings"]
		return {entry["check"]: entry["state"] for entry in found if "google" in entry["check"]}

	machine.write("/etc/herd/herd.conf.d/places.conf", "[places]\nprovider = google, local\n")
	machine.run("herdctl", "reload")
	assert key() == {"key of google": "bad", "Alpha asks google": "bad"}
	machine.write("/etc/credstore/herd.google-key", "no-key-of-anybody\n", 0o600)
	assert key() == {"key of google": "good", "Alpha asks google": "bad"}
	machine.run("herdctl", "restart", "--rolling")
	assert key() == {"key of google": "good", "Alpha asks google": "good"}
	os.unlink(machine.path("/etc/credstore/herd.google-key"))
	machine.write("/etc/herd/google.key", "no-key-of-anybody\n", 0o644)
	machine.write("/etc/herd/herd.conf.d/places.conf", "[places]\nprovider = google, local\n[places google]\nkey-file = /etc/herd/google.key\n")
	machine.systemctl("daemon-reload")
	machine.run("herdctl", "restart", "--rolling")
	assert key() == {"key of google": "bad", "Alpha asks google": "bad"}
	machine.sh("chmod 600 /etc/herd/google.key && systemctl daemon-reload && herdctl restart --rolling")
	assert key() == {"key of google": "good", "Alpha asks google": "good"}


# --- mistakes ---------------------------------------------------------------

MISTAKES = {
	"two on one port": ("[member Bravo]\nlisten = 127.0.0.1:12000\n[member Charlie]\nlisten = 127.0.0.1:12002\n", "12000"),
	"bad address": ("[member Bravo]\nlisten = 127.0.0.1:70000\n[member Charlie]\nlisten = 127.0.0.1:12002\n", "70000"),
	"bad name": ("[member ../../etc]\nlisten = 127.0.0.1:12001\n[member Charlie]\nlisten = 127.0.0.1:12002\n", "etc"),
	"unknown setting": ("[member Bravo]\nlisn = 127.0.0.1:12001\n[member Charlie]\nlisten = 127.0.0.1:12002\n", "lisn"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_stop_one_member_only(off, what):
	"""At boot and at daemon-reload: the member with the mistake is left out, and the journal says why."""
	text, word = MISTAKES[what]
	off.write("/etc/herd/herd.conf.d/more.conf", text)
	off.boot()	# not even degraded
	until(lambda: {"Alpha", "Charlie"} <= set(active_members(off)), "Alpha and Charlie are up")
	for where, name in ((("127.0.0.1", 12000), b"Alpha"), (("127.0.0.1", 12002), b"Charlie")):
		with off.client(where) as client:
			assert client.iamat(b"kiwi", LOCATION).server == name
	pattern = r"more\.conf:\d+.*%s|%s.*more\.conf:\d+" % (word, word)
	record = off.wait_journal(pattern, "-t", "herd-generator")
	assert int(record["PRIORITY"]) <= 4, record
	seen = len(off.journal("-t", "herd-generator"))
	off.systemctl("daemon-reload")
	until(lambda: len(off.journal("-t", "herd-generator")) > seen, "the generator says it again", 20, 0.2)
	assert off.systemctl("is-system-running", status=None).strip() == "running"


@pytest.mark.parametrize("what", ["unreadable", "folder", "huge", "binary"])
def test_files_that_are_none(off, what):
	"""Whatever lies about in herd.conf.d, the machine boots."""
	path = "/etc/herd/herd.conf.d/odd.conf"
	if what == "folder":
		off.write(path + "/file", "")
	elif what == "huge":
		off.write(path, "# nothing\n" * 5_000_000)
	elif what == "binary":
		off.write(path, "".join(chr(n) for n in range(256)) * 100)
	else:
		os.makedirs(os.path.dirname(off.path(path)), exist_ok=True)
		os.symlink("odd.conf", off.path(path))	# a loop: not even root can read it
	off.boot(state=None)	# members that cannot read it are tried again and again
	off.systemctl("daemon-reload")
	off.wait_journal(r"odd\.conf", "-t", "herd-generator")
	assert off.systemctl("is-system-running", status=None).strip() in ("starting", "running")
	assert off.systemctl("list-units", "--failed", "--plain", "--no-legend").strip() == ""


# --- members that never come up ---------------------------------------------

def failing_status(machine, unit, pattern):
	"""What `systemctl status` says of a member that does not come up."""
	return until(lambda: re.search(pattern, machine.status(unit)), lambda: "%r in:\n%s" % (pattern, machine.status(unit)),
		30, 0.2)


@pytest.mark.parametrize("name", ["seven and thirty", "a" * 24, "über"])
def test_status_says_why_a_name_is_refused(machine, name):
	unit = "herd@%s.service" % machine.run("systemd-escape", name).stdout.strip()
	machine.systemctl("start", "--no-block", unit)
	failing_status(machine, unit, r'Status: ".*(?i:name).*"')
	machine.systemctl("stop", unit)


def test_status_says_which_setting_is_bad(machine):
	machine.write("/etc/herd/herd.conf.d/bad.conf", "\n[herd]\nfix-ttl = no time at all\n")
	machine.systemctl("restart", "--no-block", "herd@Alpha.service")
	failing_status(machine, "herd@Alpha.service", r'Status: ".*bad\.conf:3: .*fix-ttl.*"')


def test_status_says_which_file_cannot_be_read(machine):
	"""Root can read it, and so the generator did, but not the member."""
	machine.write("/etc/herd/herd.conf.d/secret.conf", "[member Bravo]\nlisten = 127.0.0.1:12001\n", 0o600)
	machine.systemctl("daemon-reload")
	machine.systemctl("start", "--no-block", "herd@Bravo.service")
	failing_status(machine, "herd@Bravo.service", r'Status: ".*secret\.conf.*Permission denied.*"')
	with machine.client() as client:	# which runs
		client.iamat(b"kiwi", LOCATION)
	os.chmod(machine.path("/etc/herd/herd.conf.d/secret.conf"), 0o644)
	with machine.client(("127.0.0.1", 12001)) as client:
		assert client.iamat(b"kiwi", LOCATION).server == b"Bravo"


def test_status_says_that_a_port_is_taken(machine):
	"""The socket unit fails and says why; the member serves what there is."""
	machine.write("/etc/herd/herd.conf.d/bravo.conf", "[member Bravo]\nlisten = 127.0.0.1:12001\n")
	machine.systemctl("daemon-reload")
	with machine.inside_network():
		taken = socket.create_server(("127.0.0.1", 12001))
	with taken:
		machine.systemctl("start", "herd@Bravo.socket", status=1)
		assert re.search(r"Address already in use", machine.status("herd@Bravo.socket"))
	machine.systemctl("start", "herd@Bravo.service")
	with machine.client(("127.0.0.1", 12001)) as client:
		assert client.iamat(b"kiwi", LOCATION).server == b"Bravo"


def test_second_process_of_a_name_says_so(machine):
	"""A member started by hand under the name of a unit is refused."""
	done = machine.run("runuser", "-u", "herd", "--", "herd-member", "--name", "Alpha", "--listen", "127.0.0.1:0", status=None, limit=20)
	assert done.returncode not in (0, 124) and "runs already" in done.stderr, done
