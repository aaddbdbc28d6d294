"""The shared memory is untrusted, and may vanish: members go on answering, and come back."""

import os
import stat
import subprocess
import time

import pytest

from harness import At, fresh, until


def answers(member):
	"""It takes a fix and gives it back."""
	with member.client() as connection:
		id = fresh()
		line = connection.iamat(id).line
		assert connection.held(id) == line
		assert connection.ask(b"x") == b"? x\n"


def share(*members):
	"""True when each reads at once what any other was told."""
	connections = [member.client() for member in members]
	try:
		for writer in connections:
			id = fresh()
			line = writer.iamat(id).line
			if any(reader.held(id) != line for reader in connections):
				return False
		return True
	finally:
		for connection in connections:
			connection.close()


def keep_answering(condition, what, *members):
	"""Waits for a condition; meanwhile every member answers."""
	def turn():
		for member in members:
			answers(member)
		return condition()
	until(turn, what, limit=20, pause=0.02)


def test_the_segment_is_a_plain_private_file(herd):
	herd.member("Alpha")
	made = os.lstat(herd.segment)
	assert stat.S_ISREG(made.st_mode) and stat.S_IMODE(made.st_mode) == 0o600
	assert made.st_uid == os.getuid() and made.st_nlink == 1
	assert made.st_blocks * 512 >= made.st_size	# allocated: no surprise when memory runs out


@pytest.mark.parametrize("helper", [True, False], ids=["with helper", "without helper"])
def test_removed_under_running_members(herd, helper):
	if helper:
		herd.flood()
	alpha, bravo = herd.member("Alpha"), herd.member("Bravo")
	before = os.stat(herd.segment).st_ino
	id = fresh()
	with alpha.client() as one, bravo.client() as two:
		line = one.iamat(id).line
		os.unlink(herd.segment)
		assert one.held(id) == two.held(id) == line
		keep_answering(lambda: os.path.exists(herd.segment) and os.stat(herd.segment).st_ino != before,
			"a new segment", alpha, bravo)
		keep_answering(lambda: share(alpha, bravo), "sharing again", alpha, bravo)
		assert one.held(id) == two.held(id) == line	# carried over
	charlie = herd.member("Charlie")
	assert share(alpha, bravo, charlie)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, "half", "almost"])
def test_cut_short_under_running_members(herd, size):
	flood = herd.flood()
	alpha, bravo = herd.member("Alpha"), herd.member("Bravo")
	assert share(alpha, bravo)
	whole = os.path.getsize(herd.segment)
	os.truncate(herd.segment, {"half": whole // 2, "almost": whole - 1}.get(size, size))
	for _ in range(20):
		answers(alpha)
		answers(bravo)
	keep_answering(lambda: os.path.exists(herd.segment) and os.path.getsize(herd.segment) == whole,
		"a whole segment", alpha, bravo)
	keep_answering(lambda: share(alpha, bravo), "sharing again", alpha, bravo)
	flood.check()
	assert share(alpha, bravo, herd.member("Charlie"))


@pytest.mark.parametrize("where", ["header", "body", "everything"])
@pytest.mark.parametrize("byte", [b"\0", b"\xff", None], ids=["zeros", "ones", "random"])
def test_overwritten_under_running_members(herd, where, byte):
	"""Wild bytes are never believed: no crash, no wrong fix, every command answered."""
	herd.settings["table-clients"] = "2000"
	herd.flood()
	alpha, bravo = herd.member("Alpha"), herd.member("Bravo")
	ids = [fresh() for _ in range(500)]
	lines = {}
	with alpha.client() as connection:
		for id in ids:
			lines[id] = connection.iamat(id).line
	size = os.path.getsize(herd.segment)
	start, end = {"header": (0, 4096), "body": (4096, size), "everything": (0, size)}[where]
	with open(herd.segment, "r+b") as file:
		file.seek(start)
		file.write(byte * (end - start) if byte else os.urandom(end - start))
	started = time.monotonic()

	def turn():
		for member in (alpha, bravo):
			with member.client() as connection:
				for id in ids[::50]:	# a fix that was there, or none: never another one
					assert connection.held(id) in (None, lines[id])
				line = connection.iamat(fresh()).line
				assert connection.held(At(line).client) in (None, line)
		return share(alpha, bravo)
	until(turn, "sharing again", limit=20, pause=0.02)
	assert time.monotonic() - started < 10
	charlie = herd.member("Charlie")
	answers(charlie)
	until(lambda: share(alpha, bravo, charlie), "sharing with the newcomer", limit=20)


def foreign(herd, kind):
	"""Puts something at the segment's place that is no table of ours; what undoes it."""
	if kind == "link":
		target = os.path.join(herd.folder, "target")
		open(target, "wb").close()
		os.symlink(target, herd.segment)
	elif kind == "directory":
		os.mkdir(herd.segment)
		return lambda: os.rmdir(herd.segment)
	else:
		content = {"empty": b"", "text": b"not a table\n" * 1000, "zeros": b"\0" * 100000}.get(kind, os.urandom(100000))
		with open(herd.segment, "wb") as file:
			file.write(content)
		os.chmod(herd.segment, 0o644 if kind == "mode" else 0o600)
		if kind == "links":
			os.link(herd.segment, herd.segment + "-link")
			return lambda: (os.unlink(herd.segment), os.unlink(herd.segment + "-link"))
	return lambda: os.unlink(herd.segment)


@pytest.mark.parametrize("kind", ["empty", "text", "zeros", "random", "mode", "link", "links", "directory"])
def test_something_else_in_its_place(herd, kind):
	"""Members say so and answer on their own; when the place is free they share again."""
	undo = foreign(herd, kind)
	before = os.lstat(herd.segment)
	try:
		alpha, bravo = herd.member("Alpha"), herd.member("Bravo")
		for _ in range(5):
			answers(alpha)
			answers(bravo)
		after = os.lstat(herd.segment)
		replaced = after.st_ino != before.st_ino or after.st_size != before.st_size
		# No more than this is left by a creator that died in its first instructions: it may be built up.
		assert not replaced or kind in ("empty", "zeros"), kind
		if not replaced:
			assert herd.shm.strip("/") in alpha.text()	# it says what is wrong
	finally:
		if os.path.lexists(herd.segment):
			undo()
	keep_answering(lambda: os.path.exists(herd.segment) and share(alpha, bravo), "sharing", alpha, bravo)


def another_users_segment_is_not_touched(herd):
	with open(herd.segment, "wb") as file:
		file.write(b"\0" * 100000)
	os.chmod(herd.segment, 0o600)
	os.chown(herd.segment, 12345, 12345)
	alpha = herd.member("Alpha")
	answers(alpha)
	with open(herd.segment, "rb") as file:
		assert file.read() == b"\0" * 100000
	os.unlink(herd.segment)
	bravo = herd.member("Bravo")
	keep_answering(lambda: share(alpha, bravo), "sharing", alpha, bravo)


if os.getuid() == 0:	# nobody else can make a file of another user
	test_another_users_segment_is_not_touched = another_users_segment_is_not_touched


# A shared memory file system of one megabyte, for one member and its children alone.
SMALL = ["sh", "-c", 'mount -t tmpfs -o size=1m none /dev/shm && exec "$@"', "sh"]


def small_shm():
	"""How a process may be given one here; None: this machine does not let us."""
	for unshare in (["unshare", "-m"], ["unshare", "-r", "-m"]):
		probe = subprocess.run(unshare + SMALL + ["true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
			stderr=subprocess.DEVNULL, check=False)
		if probe.returncode == 0:
			return unshare + SMALL
	return None


def no_room_for_the_segment(herd):
	"""A member that cannot have the shared table says so and serves with one of its own."""
	alpha = herd.member("Alpha", argv=small_shm())
	for _ in range(5):
		answers(alpha)
	assert "No space" in alpha.text() or "full" in alpha.text()
	assert not os.path.exists(herd.segment)


if small_shm():
	test_no_room_for_the_segment = no_room_for_the_segment


def test_wrong_mode_under_running_members(herd):
	"""Those who have it mapped go on; who comes later stays apart until it is right again."""
	alpha, bravo = herd.member("Alpha"), herd.member("Bravo")
	os.chmod(herd.segment, 0o666)
	for _ in range(5):
		answers(alpha)
		answers(bravo)
	charlie = herd.member("Charlie")
	answers(charlie)
	os.chmod(herd.segment, 0o600)
	keep_answering(lambda: share(alpha, bravo, charlie), "sharing", alpha, bravo, charlie)


def test_fixes_told_to_members_apart_come_together(herd):
	"""What a member took while the segment was out of reach is not lost when it comes back."""
	undo = foreign(herd, "text")
	alpha, bravo = herd.member("Alpha"), herd.member("Bravo")
	ids = [fresh() for _ in range(50)]
	with alpha.client() as one, bravo.client() as two:
		lines = [one.iamat(id).line for id in ids]
		undo()
		keep_answering(lambda: share(alpha, bravo), "sharing", alpha, bravo)
		until(lambda: [two.held(id) for id in ids] == lines, "the fixes told apart")


def test_recovery_is_quick(herd):
	"""Within seconds, answering all the time."""
	alpha, bravo = herd.member("Alpha"), herd.member("Bravo")
	os.unlink(herd.segment)
	started = time.monotonic()
	keep_answering(lambda: os.path.exists(herd.segment) and share(alpha, bravo), "sharing again", alpha, bravo)
	assert time.monotonic() - started < 10
