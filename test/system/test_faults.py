"""Processes that die, stop or cannot start, while clients are served."""

import contextlib
import os
import re
import signal
import time

import pytest

from harness import At
from load import Load
from machine import until

DOORS = ["/run/herd/Alpha.sock", ("127.0.0.1", 12000)]
MEMBER, HELPER = "herd@Alpha.service", "herd-flood.service"
LOCATION = b"+34.068930-118.445127"
KILLS = 6	# each while it serves; a member that dies again and again holds back for up to 5 s
KILLS_FAST = int(os.environ.get("HERD_SYSTEM_KILLS") or 24)	# wherever it has got to
RESTARTS = 4
CRASHES = {"program": 40, "settings": 8}
CRASHES_A_SECOND = 10	# at most: systemd waits for 100 ms, and the program itself for longer and longer


def restarts(machine, unit):
	return int(machine.show(unit, "NRestarts"))


def kill(machine, unit, other_than=0):
	"""kill -9 of the unit's next process, which may be systemd's own on the way to it."""
	pid = machine.wait_pid(unit, other_than)
	with contextlib.suppress(ProcessLookupError):
		os.kill(pid, signal.SIGKILL)
	return pid


def sockets_hold(machine):
	for unit in machine.systemctl("list-units", "--plain", "--no-legend", "--all", "herd@*.socket").splitlines():
		assert unit.split()[2] == "active", unit


def test_the_record_notices_a_lost_fix(machine):
	"""What the other tests rely on: one fix that is gone fails them, and so does one client refused."""
	with Load(machine, DOORS) as load:
		load.progress()
	machine.systemctl("stop", "herd.target")
	machine.wait_active(HELPER, "inactive")
	machine.sh("rm -f /dev/shm/herd /var/lib/herd/*.snapshot*")
	machine.systemctl("start", "herd.target")
	with pytest.raises(AssertionError, match="acknowledged fix is gone"):
		load.check()
	load = Load(machine, DOORS[1:])
	with pytest.raises(AssertionError, match="refused"):
		with load:
			machine.systemctl("stop", "herd.target")
			load.progress()


@pytest.mark.parametrize("unit", [MEMBER, HELPER])
def test_kill(machine, unit):
	"""kill -9 again and again: no acknowledged fix is lost, no client is refused."""
	with Load(machine, DOORS, reply_s=30 + KILLS_FAST / 2) as load:
		pid = 0
		for turn in range(KILLS + KILLS_FAST):
			pid = kill(machine, unit, pid)
			if turn < KILLS:
				load.progress(1)
			else:
				time.sleep(turn % 7 * 0.03)
		load.progress()
	assert restarts(machine, unit) >= KILLS
	if unit == HELPER:
		assert load.broken() == 0	# no client noticed
	sockets_hold(machine)


def test_kill_member_and_helper_in_turn(machine):
	with Load(machine, DOORS) as load:
		for turn in range(KILLS):
			for unit in (MEMBER, HELPER)[::1 if turn % 2 else -1]:
				kill(machine, unit)
			load.progress(1)
		machine.wait_active(HELPER)
		load.progress()


@pytest.mark.parametrize("unit", [MEMBER, HELPER])
def test_stopped_process_is_replaced(machine, unit):
	"""SIGSTOP: the watchdog ends it, systemd starts another, clients wait that long and no longer."""
	with Load(machine, DOORS) as load:
		pid = machine.wait_pid(unit)
		os.kill(pid, signal.SIGSTOP)
		machine.wait_pid(unit, pid)
		load.progress()
	machine.wait_journal("Watchdog timeout", "-u", unit)
	machine.wait_active(unit)
	sockets_hold(machine)


def test_stopped_table_holder_does_not_stop_the_others(machine):
	"""While one member is stopped, the other one serves."""
	machine.run("herdctl", "add", "Bravo")
	doors = ["/run/herd/Bravo.sock"]
	pid = machine.wait_pid(MEMBER)
	os.kill(pid, signal.SIGSTOP)
	with Load(machine, doors) as load:
		load.progress()
		machine.wait_pid(MEMBER, pid)
	assert max(c.worst_s for c in load.clients) < 5, [c.worst_s for c in load.clients]


def test_restart(machine):
	"""Planned restarts of everything, and of systemd itself: nothing is lost, nobody is refused."""
	with Load(machine, DOORS) as load:
		for _ in range(RESTARTS):
			for words in (["restart", MEMBER], ["restart", HELPER], ["daemon-reload"], ["daemon-reexec"],
					["restart", MEMBER, HELPER]):
				machine.systemctl(*words)
				load.progress(2)
		assert load.broken() <= 2 * RESTARTS * len(load.clients)
	sockets_hold(machine)


def test_no_room_for_the_table(off):
	"""A /dev/shm that is too small: clients are served, the status says what is missing, and it mends itself."""
	off.write("/etc/systemd/system/small.service", "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n"
		"[Service]\nType=oneshot\nExecStart=mount -o remount,size=1m /dev/shm\n[Install]\nWantedBy=sysinit.target\n")
	off.write("/etc/systemd/system/sysinit.target.d/small.conf", "[Unit]\nWants=small.service\n")
	off.boot()
	with Load(off, DOORS) as load:
		until(lambda: re.search(r'Status: ".*Degraded: .*table', off.status(MEMBER)), lambda: off.status(MEMBER), 20, 0.2)
		load.progress()
		off.sh("mount -o remount,size=64m /dev/shm")
		until(lambda: "Degraded" not in off.status(MEMBER, HELPER), lambda: off.status(MEMBER, HELPER), 20, 0.2)
		load.progress()
	assert os.path.exists(off.path("/dev/shm/herd"))


def test_helper_comes_and_goes_with_the_members(machine):
	"""Stopped by hand it comes back; it goes with the last member."""
	pid = machine.wait_pid(HELPER)
	machine.systemctl("stop", HELPER)
	machine.wait_pid(HELPER, pid)
	machine.wait_active(HELPER)
	pid = machine.wait_pid(HELPER)
	machine.systemctl("restart", MEMBER)
	assert machine.wait_pid(HELPER) == pid	# a restart of the only member leaves it alone
	machine.systemctl("stop", MEMBER, "herd@Alpha.socket")
	machine.wait_active(HELPER, "inactive")


@pytest.mark.parametrize("how", ["program", "settings"])
def test_crash_loop_with_clients_waiting(machine, how):
	"""The socket survives any number of failed starts; who waited is served once it is mended."""
	if how == "program":
		path, text = "/etc/systemd/system/herd@Alpha.service.d/broken.conf", "[Service]\nExecStart=\nExecStart=/bin/false\n"
	else:
		path, text = "/etc/herd/herd.conf.d/broken.conf", "[herd]\nfix-ttl = no time at all\n"
	machine.systemctl("stop", MEMBER)
	machine.write(path, text)
	machine.systemctl("daemon-reload")
	clients = [machine.client(door, limit=90) for door in DOORS * 5]
	try:
		for n, client in enumerate(clients):
			client.send(b"IAMAT waiting-%d %s 1700000000.5\n" % (n, LOCATION))
		began, wanted = restarts(machine, MEMBER), restarts(machine, MEMBER) + CRASHES[how]
		since = time.monotonic()
		until(lambda: restarts(machine, MEMBER) >= wanted, "%d failed starts" % CRASHES[how], 90, 0.1)
		rate = (restarts(machine, MEMBER) - began) / (time.monotonic() - since)
		assert rate < CRASHES_A_SECOND, rate
		sockets_hold(machine)
		late = machine.client(DOORS[1], limit=90)	# still not refused
		clients.append(late)
		late.send(b"IAMAT waiting-%d %s 1700000000.5\n" % (len(clients) - 1, LOCATION))
		os.unlink(machine.path(path))
		machine.systemctl("daemon-reload")
		for n, client in enumerate(clients):
			reply = At(client.line())
			assert reply.client == b"waiting-%d" % n
	finally:
		for client in clients:
			client.close()
	machine.wait_active(MEMBER)
	sockets_hold(machine)
