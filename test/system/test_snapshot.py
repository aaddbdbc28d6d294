"""The table over a reboot."""

import os
import re
import time

import pytest

from load import Load
from machine import until

MEMBER, HELPER = "herd@Alpha.service", "herd-flood.service"
SNAPSHOT = "/var/lib/herd/herd.snapshot"
DOORS = ["/run/herd/Alpha.sock", ("127.0.0.1", 12000)]
WINDOW_S = 3	# for an interval of 1 s, on a busy machine
INTERVAL = "[flood]\nsnapshot-interval = %s\n"


def tell(machine, names=range(300)):
	with machine.client() as client:
		return {b"kiwi-%s" % str(n).encode(): client.iamat(b"kiwi-%s" % str(n).encode()).line for n in names}


def check(machine, told):
	with machine.client() as client:
		held = {name: client.held(name) for name in told}
	lost = {name: line for name, line in told.items() if held[name] != line}
	assert not lost, (len(lost), len(told), [(line, held[name]) for name, line in lost.items()][:3])


def read(machine, name=SNAPSHOT):
	try:
		with open(machine.path(name), "rb") as file:
			return file.read()
	except FileNotFoundError:
		return b""


def wait_written(machine, told):
	"""Until the snapshot has all of them."""
	until(lambda: all(name + b" " in read(machine) for name in told), "a snapshot of all", 30, 0.1)


@pytest.fixture
def often(off):
	"""A machine that writes a snapshot each second."""
	off.write("/etc/herd/herd.conf.d/test.conf", INTERVAL % "1s")
	return off.boot()


def test_reboot(machine):
	"""An orderly one loses nothing."""
	told = tell(machine)
	machine.reboot()
	check(machine, told)
	assert oct(os.stat(machine.path(SNAPSHOT)).st_mode & 0o777) == oct(0o600)


def test_reboot_under_load(machine):
	with Load(machine, DOORS) as load:
		load.progress(30)
	machine.reboot()
	load.check()


def test_power_cut(often):
	"""What was told before the last snapshot is back; that is at most the interval ago."""
	told = tell(often)
	wait_written(often, told)
	often.power_cut()
	often.boot()
	check(often, told)


def test_power_cuts_under_load(often):
	"""At any moment: what was told more than the interval, and the time to write it, before is back."""
	for _ in range(3):
		load = Load(often, DOORS)
		with load:
			told, since = load.told(), time.monotonic()
			until(lambda load=load, since=since: time.monotonic() - since > WINDOW_S or load.wrong(), "the window is over")
			load.progress()
			load.enough.set()
		often.power_cut()
		often.boot()
		load.check(told)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "older format"])
def test_damaged_snapshot(often, damage):
	"""It is refused and kept aside, with a clear message; the one before it is used."""
	machine = often
	told = tell(machine)
	wait_written(machine, told)
	wait_written(machine, tell(machine, ["later"]))	# now the previous one has all but this
	machine.power_off()
	path = machine.path(SNAPSHOT)
	assert os.path.exists(path + ".1")
	data = read(machine)
	damaged = {"cut": data[:-100], "flipped": data[:500] + bytes([data[500] ^ 1]) + data[501:], "empty": b"",
		"older format": re.sub(rb"\A([^\n]*?)(\d+)", rb"\g<1>0", data, count=1)}[damage]
	assert damaged != data
	with open(path, "wb") as file:
		file.write(damaged)
	machine.boot()
	check(machine, told)
	machine.wait_journal(r"(?i)snapshot.*%s" % re.escape(os.path.basename(SNAPSHOT)), "-u", HELPER, "-p", "warning")
	assert [n for n in os.listdir(machine.path("/var/lib/herd")) if ".bad" in n]


def test_disk_full(off):
	"""Nobody notices but the journal; when there is room again the next snapshot is written."""
	off.write("/etc/herd/herd.conf.d/test.conf", INTERVAL % "1s")
	off.write("/etc/systemd/system/var-lib-herd.mount",
		"[Mount]\nWhat=tmpfs\nWhere=/var/lib/herd\nType=tmpfs\nOptions=size=128k,mode=0750\n"
		"[Install]\nWantedBy=local-fs.target\n")
	os.makedirs(off.path("/etc/systemd/system/local-fs.target.wants"), exist_ok=True)
	os.symlink("/etc/systemd/system/var-lib-herd.mount",
		off.path("/etc/systemd/system/local-fs.target.wants/var-lib-herd.mount"))
	off.boot()
	assert off.sh("stat -f -c %T /var/lib/herd").strip() == "tmpfs"
	with Load(off, DOORS) as load:
		tell(off, range(3000))	# more than fits
		off.wait_journal("No space left on device", "-u", HELPER)
		status = until(lambda: re.search(r'Status: ".*(?i:snapshot).*"', off.status(HELPER)), "the status says so", 30, 0.2)
		assert status
		load.progress()
	off.sh("mount -o remount,size=64m /var/lib/herd")
	wait_written(off, {b"kiwi-2999"})
	until(lambda: not re.search(r'Status: ".*Degraded.*(?i:snapshot)', off.status(HELPER)), "the status is good again", 30, 0.2)
	left = [n for n in os.listdir(off.path("/var/lib/herd")) if not re.fullmatch(r"herd\.snapshot(\.1)?|members", n)]
	assert not left, left	# no half-written files
