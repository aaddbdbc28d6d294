"""Snapshots: what herd-flood keeps of the table on the disk, and brings back when the host was down.

A reboot is played by stopping or killing everything and removing the shared memory.
"""

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from harness import LIMIT, program, until

FIXES = 500


class Folder:
	"""A folder of snapshots, and the helpers that use it."""

	def __init__(self, herd):
		self.herd = herd
		self.path = os.path.join(herd.folder, "state")
		os.mkdir(self.path)
		self.settings = {"flood.snapshot-dir": self.path, "flood.snapshot-interval": "1h", "herd.table-clients": "5000",
			"herd.log-level": "debug"}

	def name(self, suffix=""):
		return os.path.join(self.path, self.herd.shm[1:] + ".snapshot" + suffix)

	def files(self):
		return sorted(name[len(self.herd.shm[1:]) + len(".snapshot"):] for name in os.listdir(self.path))

	def helper(self, ready=True, settings=None, **process):
		flood = self.herd.flood(dict(self.settings, **(settings or {})), ready=False, **process)
		if ready:
			flood.wait_log("Helper is ready")
		return flood

	def fill(self, *words):
		command = [program("test/tools/table-fill"), "--shm", self.herd.shm, "--clients", "5000"] + list(words)
		done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
			timeout=LIMIT, check=False)
		assert (done.returncode, done.stdout, done.stderr) == (0, b"ready\n", b"")

	def fixes(self):
		"""What the table holds: {id: AT line}."""
		found = {}
		for line in self.herd.run_ctl("--json", "fixes").stdout.splitlines():
			fix = json.loads(line)
			found[fix["id"]] = "AT %(server)s %(skew)s %(id)s %(location)s %(time)s" % fix
		return found

	def reboot(self):
		os.unlink(self.herd.segment)

	def number(self):
		"""Of the last one; 0: there is none, or it is just being renamed."""
		try:
			with open(self.name(), "rb") as file:
				return int(file.readline().split()[2])
		except FileNotFoundError:
			return 0

	def written(self, flood):
		"""How many it has said it wrote."""
		return len(re.findall("Wrote a snapshot", flood.text()))


@pytest.fixture
def folder(herd):
	return Folder(herd)


def stopped_with(folder, *words):
	"""A folder with the snapshot of a helper that came, saw these fixes, and went."""
	flood = folder.helper()
	folder.fill(*words)
	flood.stop()
	return flood


# --- there and back -----------------------------------------------------------

def test_reboot(folder):
	flood = folder.helper()
	assert re.search("There is no snapshot of the table '%s' in '%s'" % (folder.herd.shm, folder.path), flood.text())
	folder.fill("--count", str(FIXES))
	before = folder.fixes()
	flood.stop()
	assert "Wrote a snapshot of the table '%s': %d fixes" % (folder.herd.shm, FIXES) in flood.text()
	folder.reboot()
	flood = folder.helper()
	assert re.search(r"Loaded %d of %d fixes from '%s', written \d+ s ago \(0 expired, 0 held already\)"
		% (FIXES, FIXES, folder.name()), flood.text())
	assert folder.fixes() == before
	# Every byte of what a client would be told is the same, at a member too.
	alpha = folder.herd.member("Alpha")
	with alpha.client() as client:
		for name, line in list(before.items())[::50]:
			assert client.held(name.encode()) == line.encode() + b"\n"
	assert folder.files() == [""]
	assert os.stat(folder.name()).st_mode & 0o7777 == 0o600


def test_it_is_loaded_before_it_is_ready(folder):
	stopped_with(folder, "--count", str(FIXES))
	folder.reboot()
	text = folder.helper().text()
	assert 0 <= text.index("Loaded %d of" % FIXES) < text.index("Helper is ready")


def test_restart_over_a_living_table(folder):
	"""Nothing that is newer in the table is lost to what was written before."""
	stopped_with(folder, "--count", str(FIXES))
	folder.fill("--count", "100")	# again, later
	folder.fill("--count", "50", "--prefix", "late-")
	before = folder.fixes()
	flood = folder.helper()
	assert "Loaded 0 of %d fixes" % FIXES in flood.text()
	assert folder.fixes() == before
	flood.stop()
	folder.reboot()
	folder.helper()
	assert folder.fixes() == before


def many(folder):
	"""A snapshot that takes a while to load, the herd being down."""
	folder.settings["herd.table-clients"] = "60000"
	flood = folder.helper()
	folder.fill("--count", "50000")
	flood.stop()
	folder.reboot()


def test_beside_members(folder):
	"""Members do not wait for the helper, so it does not let anybody wait for what it loads beside them."""
	many(folder)
	alpha = folder.herd.member("Alpha", settings=folder.settings)
	flood = folder.helper()
	with alpha.client() as client:
		client.iamat(b"somebody")
		flood.wait_log("Loaded 50000 of 50000 fixes")
		assert client.held(b"client-49999")
	text = flood.text()
	assert text.index("Helper is ready") < text.index("Loaded 50000")
	flood.wait_log("Wrote a snapshot of the table '.*': 50001 fixes")	# at once: what came meanwhile is not on the disk


def test_stopped_while_loading_beside_members(folder):
	"""What came while it was loaded is in the last snapshot, and so is all that was loaded."""
	many(folder)
	alpha = folder.herd.member("Alpha", settings=folder.settings)
	flood = folder.helper()
	with alpha.client() as client:
		client.iamat(b"somebody")
	flood.stop()
	assert "Loaded 50000 of 50000" in flood.text()
	alpha.stop()
	folder.reboot()
	flood = folder.helper()
	assert "Loaded 50001 of 50001" in flood.text()


def test_every_interval(folder):
	flood = folder.helper(settings={"flood.snapshot-interval": "200ms"})
	for n in range(5):
		folder.fill("--count", "10", "--prefix", "round-%d-" % n)
		want = folder.number()
		until(lambda: folder.number() > want, "another snapshot")
	until(lambda: "has not changed since its last snapshot" in flood.text(), "a round without changes")
	flood.kill()	# what was there a moment ago is not lost
	folder.reboot()
	folder.helper()
	assert len(folder.fixes()) == 50
	assert folder.files() == ["", ".1"]


def test_nothing_changed(folder):
	"""Then nothing is written, not even on stop."""
	flood = folder.helper(settings={"flood.snapshot-interval": "100ms"})
	folder.fill("--count", "100")
	until(lambda: "has not changed since its last" in flood.text(), "it has seen that nothing changes")
	before = os.stat(folder.name())
	count = folder.written(flood)
	flood.stop()
	assert folder.written(flood) == count
	flood = folder.helper()	# the table lived on: what was loaded is what is there
	flood.stop()
	after = os.stat(folder.name())
	assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_expired_ones_are_left_out(folder):
	flood = folder.helper(settings={"herd.fix-ttl": "0"})
	folder.fill("--count", "300", "--age", "7200", "--prefix", "old-")
	folder.fill("--count", "200")
	flood.stop()
	folder.reboot()
	flood = folder.helper(settings={"herd.fix-ttl": "1h"})
	assert "Loaded 200 of 500 fixes" in flood.text() and "(300 expired, 0 held already)" in flood.text()
	assert len(folder.fixes()) == 200


def test_off(folder):
	stopped_with(folder, "--count", "100")
	before = os.stat(folder.name())
	folder.reboot()
	flood = folder.helper(settings={"flood.snapshot-interval": "0"})
	assert "snapshot" not in flood.text()
	assert folder.fixes() == {}
	folder.fill("--count", "10")
	flood.stop()
	assert os.stat(folder.name()) == before


def test_no_folder_told(herd):
	"""By hand, without a service manager: no snapshots, and no word about them."""
	flood = herd.flood()
	flood.stop()
	assert "snapshot" not in flood.text()


def test_state_directory(folder):
	"""What a service manager made for us is used."""
	settings = dict(folder.settings, **{"flood.snapshot-dir": ""})
	folder.settings = settings
	env = {"STATE_DIRECTORY": folder.path + ":/nowhere/else"}
	flood = folder.helper(env=env)
	folder.fill("--count", "10")
	flood.stop()
	assert folder.files() == [""]


def test_switched_on_and_off(folder):
	herd = folder.herd
	herd.settings.update({k: v for k, v in folder.settings.items() if "interval" not in k})
	herd.configure("[flood]\nsnapshot-interval = 0\n")
	flood = herd.flood()
	folder.fill("--count", "10")
	herd.configure("[flood]\nsnapshot-interval = 100ms\n")
	flood.signal(signal.SIGHUP)
	until(lambda: folder.files() == [""], "a snapshot")
	herd.configure("[flood]\nsnapshot-interval = 0\n")
	flood.signal(signal.SIGHUP)
	flood.wait_log("Settings reloaded", count=2)
	before = os.stat(folder.name())
	folder.fill("--count", "20")
	flood.stop()
	assert os.stat(folder.name()) == before


def test_two_herds_in_one_folder(make_herd):
	herds = [make_herd(), make_herd()]
	folders = [Folder(herd) for herd in herds]
	folders[1].path = folders[1].settings["flood.snapshot-dir"] = folders[0].path
	floods = [folder.helper(settings={"flood.snapshot-interval": "100ms"}) for folder in folders]
	for round in range(5):
		for count, folder in zip((30, 60), folders):
			folder.fill("--count", str(count))
	for flood in floods:
		flood.stop()
	for folder in folders:
		folder.reboot()
	for count, folder in zip((30, 60), folders):
		flood = folder.helper()
		assert "Loaded %d of %d fixes" % (count, count) in flood.text()
		assert len(folder.fixes()) == count
		assert "Refused" not in flood.text()


def test_second_signal_does_not_wait(folder):
	"""Whoever asks twice does not want the last one."""
	flood = folder.helper()
	folder.fill("--count", "100")
	flood.signal(signal.SIGSTOP)
	flood.signal(signal.SIGTERM)
	flood.signal(signal.SIGINT)
	flood.signal(signal.SIGCONT)
	assert flood.wait() == 0
	assert [name for name in folder.files() if ".tmp" in name] == []


def test_stopped_while_loading(folder):
	"""Half a table must not become the last snapshot."""
	stopped_with(folder, "--count", "4000")
	folder.reboot()
	before = os.stat(folder.name())
	flood = folder.helper(ready=False)
	flood.wait_log("Created the table")
	flood.signal(signal.SIGTERM)
	assert flood.wait() == 0
	if "Helper is ready" not in flood.text():	# else it was faster
		assert os.stat(folder.name()) == before
	folder.helper()
	assert len(folder.fixes()) == 4000


def test_the_table_moves(folder):
	"""Removed while snapshots are written: the new one is written, with what was in the old one."""
	flood = folder.helper(settings={"flood.snapshot-interval": "100ms"})
	folder.fill("--count", "200")
	for n in range(3):
		os.unlink(folder.herd.segment)
		flood.wait_log("was removed or replaced", count=n + 1)
		number = folder.number()
		folder.fill("--count", "1", "--prefix", "after-%d-" % n)
		until(lambda: folder.number() > number, "another snapshot")
	flood.stop()
	folder.reboot()
	folder.helper()
	assert len(folder.fixes()) == 203


def test_status(folder):
	"""What the control socket tells of it."""
	def status():
		with socket.socket(socket.AF_UNIX) as connection:
			connection.settimeout(LIMIT)
			connection.connect(folder.herd.control + folder.herd.shm + ":flood")
			connection.sendall(b"status\n")
			with connection.makefile() as reply:
				return json.loads(reply.read())

	flood = folder.helper(settings={"flood.snapshot-interval": "100ms"})
	folder.fill("--count", "100")
	said = until(lambda: [s for s in [status()] if s["snapshot"].get("fixes") == 100], "a snapshot of all")[0]
	told = said["snapshot"]
	assert told["bytes"] == os.path.getsize(folder.name()) and told["number"] >= 1 and told["written"] >= 1
	assert time.time() - 60 < told["time"] <= told["current"] <= time.time() and 0 <= told["age"] < 60
	assert told["took"] > 0 and told["loaded"] == 0 and told["failed"] == 0 and "error" not in told
	assert re.search(r"snapshot of 100 at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", said["status"])
	os.rename(folder.path, folder.path + "-away")
	flood.wait_log("trying again: cannot open the folder")
	said = status()
	assert said["snapshot"]["error"] == "cannot open the folder: No such file or directory"
	assert said["snapshot"]["failed"] >= 1 and said["snapshot"]["fixes"] == 100
	assert said["degraded"] == ["no new snapshot, trying again: cannot open the folder: No such file or directory"]
	flood.stop()
	os.rename(folder.path + "-away", folder.path)
	folder.reboot()
	folder.helper(settings={"flood.snapshot-interval": "1h"})
	told = status()["snapshot"]
	assert (told["fixes"], told["loaded"], told["took"]) == (100, 100, 0)


# --- what is no good ------------------------------------------------------------

def cut_short(path):
	os.truncate(path, os.path.getsize(path) - 100)


def flip(path):
	with open(path, "r+b") as file:
		file.seek(os.path.getsize(path) // 2)
		byte = file.read(1)
		file.seek(-1, os.SEEK_CUR)
		file.write(bytes([byte[0] ^ 1]))


def empty(path):
	os.truncate(path, 0)


def garbage(path):
	with open(path, "wb") as file:
		file.write(os.urandom(100000))


def zeros(path):
	size = os.path.getsize(path)
	os.truncate(path, 0)
	os.truncate(path, size)


def long_lines(path):
	with open(path, "r+b") as file:
		lines = file.readlines()
		file.seek(0)
		file.writelines([lines[0], b"x" * 100000 + b"\n"] + lines[2:])


def wrong_sum(path):
	with open(path, "r+b") as file:
		file.seek(-3, os.SEEK_END)
		last = file.read(1)
		file.seek(-1, os.SEEK_CUR)
		file.write(b"0" if last != b"0" else b"1")


def other_version(path):
	with open(path, "r+b") as file:
		file.write(b"HERD-SNAPSHOT 2 ")


def other_table(path):
	with open(path, "rb") as file:
		lines = file.readlines()
	lines[0] = lines[0].replace(b"/herd-test", b"/herd-text")
	with open(path, "wb") as file:
		file.writelines(lines)


def directory(path):
	os.unlink(path)
	os.mkdir(path)


def link(path):
	os.rename(path, path + "-elsewhere")
	os.symlink(path + "-elsewhere", path)


def fifo(path):
	os.unlink(path)
	os.mkfifo(path)


def unix_socket(path):
	os.unlink(path)
	with socket.socket(socket.AF_UNIX) as s:
		folder = os.open(os.path.dirname(path), os.O_RDONLY)
		s.bind("/proc/self/fd/%d/%s" % (folder, os.path.basename(path)))	# shorter than the real path
		os.close(folder)


def huge(path):
	os.truncate(path, 1 << 40)


def writable(path):
	os.chmod(path, 0o666)


BAD = {
	cut_short: "it has no end, as if cut short", flip: None, empty: "it is no snapshot", garbage: "it is no snapshot",
	zeros: "it is no snapshot", long_lines: None, wrong_sum: "its checksum is wrong",
	other_version: "it has format 2, made by another version", other_table: "it is of the table '/herd-text",
	directory: "it is no plain file", link: "it is a symbolic link", fifo: "it is no plain file", unix_socket: None,
	huge: "it has no end, as if cut short", writable: "others may write it",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda f: f.__name__)
def test_bad_one_is_refused(folder, spoil):
	"""It says why, keeps it, takes the one before, and is in nobody's way afterwards."""
	flood = folder.helper()
	folder.fill("--count", "100")
	flood.stop()
	flood = folder.helper()
	folder.fill("--count", "200")
	flood.stop()
	folder.reboot()
	spoil(folder.name())
	flood = folder.helper()
	found = re.search(r"Refused the snapshot '%s': (.*); kept as '(.*)'" % re.escape(folder.name()), flood.text())
	assert found, flood.text()
	assert BAD[spoil] is None or found.group(1).startswith(BAD[spoil])
	assert found.group(2) == os.path.basename(folder.name(".bad")) and os.path.lexists(folder.name(".bad"))
	assert "Loaded 100 of 100 fixes from '%s'" % folder.name(".1") in flood.text()
	assert len(folder.fixes()) == 100
	folder.fill("--count", "300")
	flood.stop()
	folder.reboot()
	flood = folder.helper()
	assert "Loaded 300 of 300" in flood.text() and "Refused" not in flood.text()


def test_both_bad(folder):
	stopped_with(folder, "--count", "100")
	stopped_with(folder, "--count", "200")
	for suffix in ("", ".1"):
		flip(folder.name(suffix))
	folder.reboot()
	flood = folder.helper()
	assert flood.text().count("Refused the snapshot") == 2
	assert "There is no snapshot" in flood.text()
	assert folder.fixes() == {}


def test_bad_ones_kept_are_few(folder):
	for n in range(6):
		with open(folder.name(), "w", encoding="ascii") as file:
			file.write("bad %d\n" % n)
		flood = folder.helper()
		assert "Refused" in flood.text()
		flood.kill()
	assert folder.files() == [".bad", ".bad.1", ".bad.2"]
	for suffix, n in ((".bad", 5), (".bad.1", 4), (".bad.2", 3)):
		with open(folder.name(suffix), encoding="ascii") as file:
			assert file.read() == "bad %d\n" % n


def test_older_one_is_refused(folder):
	stopped_with(folder, "--count", "100")
	with open(folder.name(), "rb") as file:
		old = file.read()
	stopped_with(folder, "--count", "200")
	stopped_with(folder, "--count", "300")
	with open(folder.name(), "wb") as file:
		file.write(old)
	folder.reboot()
	flood = folder.helper()
	assert "it is older than the one before (number 1, and that has 2)" in flood.text()
	assert "Loaded 200 of 200" in flood.text()


@pytest.mark.parametrize("step", [-86400, 86400], ids=["back", "ahead"])
def test_the_clock_does_not_decide(folder, step):
	"""A clock that was set between two snapshots makes neither of them the older one."""
	stopped_with(folder, "--count", "100")
	stopped_with(folder, "--count", "200")
	with open(folder.name(), "rb") as file:
		lines = file.readlines()
	words = lines[0].split()
	when = float(words[3]) + step
	# Made by the rules of the manual, as another program would.
	lines[0] = b" ".join(words[:3] + [b"%d.%09d" % (when, 0)] + words[4:]) + b"\n"
	lines[-1] = b"END %d %016x\n" % (len(lines) - 2, checksum(lines[:-1] + [b"END %d " % (len(lines) - 2)]))
	with open(folder.name(), "wb") as file:
		file.writelines(lines)
	folder.reboot()
	flood = folder.helper()
	assert "Refused" not in flood.text()
	assert "Loaded 200 of 200" in flood.text()


def checksum(lines):
	h = 0
	for n, line in enumerate(lines):
		h = siphash13(h, n, line)
	return h


def siphash13(k0, k1, data):
	mask = (1 << 64) - 1

	def rotate(x, b):
		return (x << b | x >> (64 - b)) & mask

	v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573]

	def turn():
		v[0] = v[0] + v[1] & mask
		v[1] = rotate(v[1], 13) ^ v[0]
		v[0] = rotate(v[0], 32)
		v[2] = v[2] + v[3] & mask
		v[3] = rotate(v[3], 16) ^ v[2]
		v[0] = v[0] + v[3] & mask
		v[3] = rotate(v[3], 21) ^ v[0]
		v[2] = v[2] + v[1] & mask
		v[1] = rotate(v[1], 17) ^ v[2]
		v[2] = rotate(v[2], 32)

	padded = data + b"\0" * (7 - len(data) % 8) + bytes([len(data) & 255])
	for at in range(0, len(padded), 8):
		word = int.from_bytes(padded[at:at + 8], "little")
		v[3] ^= word
		turn()
		v[0] ^= word
	v[2] ^= 255
	for _ in range(3):
		turn()
	return v[0] ^ v[1] ^ v[2] ^ v[3]


# --- when it cannot be written -----------------------------------------------------

class Disk:
	"""The folder's file system, made full and read-only: a small one of our own, or where nobody may mount one,
	limits of the process and of the folder that have the same effect."""

	libc = ctypes.CDLL(None, use_errno=True)
	MS_RDONLY, MS_REMOUNT, MNT_DETACH = 1, 32, 2
	SMALL = 128 * 1024

	def __init__(self, folder):
		self.path = folder.path
		self.mounted = self.mount(0, b"size=%d" % self.SMALL)
		self.full = "No space left on device" if self.mounted else "File too large"
		self.read_only = "Read-only file system" if self.mounted else "Permission denied"

	def mount(self, flags, options):
		return self.libc.mount(b"herd-test", self.path.encode(), b"tmpfs", flags, options) == 0

	def umount(self):
		if self.mounted:
			self.libc.umount2(self.path.encode(), self.MNT_DETACH)

	def limit(self, flood, size):
		subprocess.run(["/usr/bin/prlimit", "--pid", str(flood.pid), "--fsize=%s:" % size], check=True, timeout=LIMIT)

	def make_small(self, flood):
		if not self.mounted:
			self.limit(flood, self.SMALL)

	def make_large(self, flood):
		if self.mounted:
			assert self.mount(self.MS_REMOUNT, b"size=4m")
		else:
			self.limit(flood, "unlimited")

	def make_read_only(self):
		if self.mounted:
			assert self.mount(self.MS_REMOUNT | self.MS_RDONLY, b"")
		elif os.geteuid() == 0:
			pytest.skip("root may write everywhere, and mount nothing here")
		else:
			os.chmod(self.path, 0o500)

	def make_writable(self):
		if self.mounted:
			assert self.mount(self.MS_REMOUNT, b"")
		else:
			os.chmod(self.path, 0o700)


@pytest.fixture
def disk(folder):
	disk = Disk(folder)
	yield disk
	disk.umount()


def fails_and_recovers(folder, flood, why, mend):
	"""It says so once, keeps what was good, leaves nothing half done, and recovers."""
	flood.wait_log(r"No snapshot of the table '%s' in '%s', trying again: .*%s" % (folder.herd.shm, folder.path, why))
	assert [name for name in folder.files() if name not in ("", ".1") and ".tmp." not in name] == []
	mend()
	flood.wait_log("Snapshots of the table '%s' are written again" % folder.herd.shm)
	assert flood.text().count("trying again: ") == 1	# however often it was tried
	flood.check()


def test_disk_full(folder, disk):
	flood = folder.helper(settings={"flood.snapshot-interval": "100ms"})
	folder.fill("--count", "100")
	until(lambda: os.path.exists(folder.name()), "the first one")
	disk.make_small(flood)
	folder.fill("--count", "4000")	# 300 kB
	fails_and_recovers(folder, flood, disk.full, lambda: disk.make_large(flood))
	flood.stop()
	assert folder.files() == ["", ".1"]
	folder.reboot()
	folder.helper()
	assert len(folder.fixes()) == 4000


def test_disk_full_until_the_end(folder, disk):
	"""Also on stop: the last good one is what is left."""
	stopped_with(folder, "--count", "100")
	flood = folder.helper()
	disk.make_small(flood)
	folder.fill("--count", "4000")
	flood.stop()
	assert disk.full in flood.text()
	assert folder.files() == [""]
	folder.reboot()
	assert "Loaded 100 of 100" in folder.helper().text()


def test_read_only(folder, disk):
	flood = folder.helper(settings={"flood.snapshot-interval": "100ms"})
	folder.fill("--count", "100")
	until(lambda: os.path.exists(folder.name()), "the first one")
	disk.make_read_only()
	folder.fill("--count", "200")
	fails_and_recovers(folder, flood, disk.read_only, disk.make_writable)


def test_folder_missing(folder):
	"""At the start, and later: what is there when it comes back is loaded before it is written over."""
	stopped_with(folder, "--count", "100")
	folder.reboot()
	os.rename(folder.path, folder.path + "-away")
	flood = folder.helper(settings={"flood.snapshot-interval": "100ms"})
	flood.wait_log("trying again: cannot open the folder: No such file or directory")
	assert folder.fixes() == {}
	folder.fill("--count", "50", "--prefix", "other-")
	os.rename(folder.path + "-away", folder.path)
	flood.wait_log("Loaded 100 of 100 fixes")
	flood.wait_log("are written again")
	assert len(folder.fixes()) == 150
	os.rename(folder.path, folder.path + "-away")
	folder.fill("--count", "60", "--prefix", "other-")
	flood.wait_log("trying again: cannot open the folder: No such file or directory", count=2)
	os.rename(folder.path + "-away", folder.path)
	flood.wait_log("are written again", count=2)
	flood.stop()
	folder.reboot()
	folder.helper()
	assert len(folder.fixes()) == 160


def test_folder_is_a_file(folder):
	os.rmdir(folder.path)
	with open(folder.path, "wb"):
		pass
	flood = folder.helper(settings={"flood.snapshot-interval": "100ms"})
	flood.wait_log("trying again: cannot open the folder: Not a directory")
	flood.stop()


def test_half_files_of_the_dead(folder):
	"""A helper that is killed while it writes leaves a file that the next one removes."""
	for suffix in (".tmp.1", ".tmp.99999"):
		with open(folder.name(suffix), "wb") as file:
			file.write(b"HERD-SNAPSHOT 1 ")
	flood = folder.helper()
	assert "Removed 2 snapshots of the table '%s' that were left half written" % folder.herd.shm in flood.text()
	assert folder.files() == []


def test_killed_at_any_time(folder):
	"""kill -9 while snapshots are written one after the other: there is always one to load, and never an older one."""
	least = 0
	for n in range(20):
		flood = folder.helper(settings={"flood.snapshot-interval": "100ms"})
		assert "Refused" not in flood.text()
		if n:
			loaded = re.search(r"Loaded (\d+) of (\d+) fixes", flood.text())
			assert loaded and loaded.group(1) == loaded.group(2), flood.text()
			assert int(loaded.group(2)) >= least
		folder.fill("--count", str(100 * (n + 1)))
		until(lambda: folder.written(flood) > 0, "a snapshot")
		least = max(int(c) for c in re.findall(r"': (\d+) fixes", flood.text()))
		folder.fill("--count", "4000", "--prefix", "more-%d-" % (n % 3))
		time.sleep(0.01 * (n % 7))
		flood.kill()
		folder.reboot()
	assert len(folder.files()) <= 3
