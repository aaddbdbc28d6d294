"""herd-flood as the keeper of the table: makes it, adopts it, cleans it, follows it, alone."""

import json
import os
import re
import select
import signal
import subprocess

import pytest

from harness import LIMIT, program, until

READY = r"^herd-flood: Helper is ready$"


@pytest.fixture
def fill(herd):
	"""Writes fixes like a member would; returns when they are in the table."""
	def run(*words):
		command = [os.path.join(os.path.dirname(program("herd-flood")), "test", "tools", "table-fill")]
		done = subprocess.run(command + ["--shm", herd.shm] + list(words), stdin=subprocess.DEVNULL,
			stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
		assert (done.returncode, done.stdout, done.stderr) == (0, b"ready\n", b"")
	return run


def helper(herd, **settings):
	"""A helper that has said it is ready."""
	flood = herd.flood({key.replace("__", ".").replace("_", "-"): value for key, value in settings.items()}, ready=False)
	flood.wait_log(READY)
	return flood


def refused(herd, *words):
	"""A helper that ends by itself: its exit status and what it said."""
	done = subprocess.run([program("herd-flood")] + herd.options() + list(words), stdin=subprocess.DEVNULL,
		stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False, universal_newlines=True)
	assert done.stdout == ""
	return done.returncode, done.stderr


def removed(flood):
	"""How many fixes it has said it removed because of their age."""
	return sum(int(n) for n in re.findall(r"Removed (\d+) fixes because of their age", flood.text()))


# --- coming and going -------------------------------------------------------

def test_makes_the_table_and_leaves_it(herd):
	flood = helper(herd, table_clients="1000")
	assert re.search(r"^herd-flood: Created the table '%s' for 1000 clients, \d+ kB$" % herd.shm, flood.text(), re.M)
	flood.stop()
	assert "Stopping" in flood.text()
	assert os.path.exists(herd.segment)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_stops_on_signals(herd, number):
	flood = helper(herd)
	flood.signal(number)
	assert flood.wait() == 0


def test_adopts_the_table_of_another(herd, fill):
	fill("--clients", "3000", "--long-clients", "100", "--count", "777")
	flood = helper(herd, table_clients="5000")
	assert "Adopted the table '%s' with 777 of 3000 clients" % herd.shm in flood.text()
	assert "was made for 3000 clients" in flood.text()	# and not for what the settings say now
	flood.stop()
	flood = helper(herd, table_clients="3000", table_long_clients="100")
	assert "with 777 of 3000 clients" in flood.text()
	assert "was made for" not in flood.text()


def test_dies_and_comes_back(herd, fill):
	for n in range(10):
		flood = helper(herd)
		fill("--count", "50", "--prefix", "round-%d-" % n)
		if n % 2:
			flood.kill()
		else:
			flood.stop()
		fill("--count", "50", "--prefix", "alone-%d-" % n)
	assert "with 1000 of" in helper(herd).text()	# nothing was lost


def test_only_one_per_table(herd, make_herd):
	flood = helper(herd)
	status, said = refused(herd)
	assert status == 1
	assert "Another helper keeps the table '%s' already (process %d)" % (herd.shm, flood.pid) in said
	assert "Helper is ready" not in said
	flood.check()
	helper(make_herd())	# another table is another matter
	flood.kill()
	helper(herd)	# and the dead keep nothing


# --- looking after the table ------------------------------------------------

@pytest.mark.parametrize("interval", ["10ms", "200ms"])
def test_removes_what_expired(herd, fill, interval):
	flood = helper(herd, fix_ttl="1h", log_level="debug", flood__sweep_interval=interval)
	fill("--count", "300", "--age", "7200", "--prefix", "old-")
	fill("--count", "200", "--age", "60", "--prefix", "young-")
	until(lambda: removed(flood) >= 300, "the old fixes are removed")
	flood.stop()
	assert removed(flood) == 300
	assert "with 200 of" in helper(herd).text()


def test_walks_through_a_large_table(herd, fill):
	"""More slots than one turn looks at, in both classes."""
	fill("--clients", "30000", "--long-clients", "20000", "--count", "20000", "--age", "7200")
	fill("--count", "5000", "--age", "7200", "--prefix", "long" + "-" * 60)
	flood = helper(herd, fix_ttl="1h", log_level="debug", flood__sweep_interval="10ms")
	until(lambda: removed(flood) >= 25000, "all of them are removed")
	assert removed(flood) == 25000


def test_ttl_zero_removes_nothing(herd, fill):
	flood = helper(herd, fix_ttl="0", log_level="debug", flood__sweep_interval="10ms", table_clients="1000")
	fill("--count", "100", "--age", "900000000")
	herd.configure("[herd]\nfix-ttl = 1h\n")
	fill("--count", "1", "--age", "100", "--prefix", "x")	# the sweep has been round many times by now
	flood.stop()
	assert removed(flood) == 0
	assert "with 101 of" in helper(herd, fix_ttl="0").text()


def test_frees_what_is_damaged(herd, fill):
	flood = helper(herd, table_clients="20000", flood__sweep_interval="20ms")
	fill("--count", "10000")
	size = os.path.getsize(herd.segment)
	with open(herd.segment, "r+b") as file:	# the second half is slots, and nothing else
		file.seek(size // 2)
		file.write(b"\x55" * (size - size // 2))
	flood.wait_log(r"Cleaned up the table: took 0 locks from the dead, freed \d+ damaged fixes")
	fill("--count", "10000")	# there is room for all of them again

	def clients():
		return json.loads(herd.run_ctl("--json", "status").stdout)["table"]["clients"]
	until(lambda: clients() == 10000, "the damaged ones are gone")
	flood.stop()
	assert "with 10000 of" in helper(herd).text()


def test_says_when_the_table_is_full(herd, fill):
	flood = helper(herd, table_clients="100", flood__sweep_interval="20ms")
	fill("--count", "2000")
	found = flood.wait_log(r"The table '%s' is full: (\d+) of the oldest fixes gave way" % herd.shm)
	assert 0 < int(found.group(1)) < 2000	# as many as had gone when it looked
	fill("--count", "2000", "--prefix", "more-")
	fill("--count", "2000", "--prefix", "again-")
	flood.stop()
	assert len(re.findall("is full", flood.text())) == 1	# not once per client, nor once per second


# --- following it -----------------------------------------------------------

def test_makes_it_anew_when_it_is_removed(herd, fill):
	flood = helper(herd)
	fill("--count", "123")
	for n in range(3):
		before = os.stat(herd.segment).st_ino
		os.unlink(herd.segment)
		flood.wait_log(r"The table '%s' was removed or replaced: moved to the new one" % herd.shm, count=n + 1)
		assert os.stat(herd.segment).st_ino != before
	flood.stop()
	assert "with 123 of" in helper(herd).text()


@pytest.mark.parametrize("size", [0, 100, 4096, 100000])
def test_survives_a_table_cut_short(herd, fill, size):
	flood = helper(herd, flood__sweep_interval="10ms")
	fill("--count", "100")
	whole = os.path.getsize(herd.segment)
	os.truncate(herd.segment, size)
	flood.wait_log("removed or replaced")
	assert os.path.getsize(herd.segment) == whole
	fill("--count", "100", "--prefix", "after-")
	flood.check()


@pytest.mark.parametrize("helpers", ["alone", "replaced"])
def test_something_else_takes_its_place(herd, fill, helpers):
	"""It says so once, keeps what it has, and comes back with it."""
	flood = helper(herd)
	fill("--count", "50")
	os.unlink(herd.segment)
	os.mkdir(herd.segment)
	try:
		flood.wait_log(r"The table '%s' cannot be used, trying again every second" % herd.shm)
	finally:
		os.rmdir(herd.segment)
	if helpers == "replaced":	# somebody else was faster: one of the two has to go
		other = herd.flood(ready=False)
		until(lambda: re.search("is ready|keeps the table", other.text()), "the other has decided")
		until(lambda: not flood.alive() or not other.alive() or "is back" in flood.text(), "one of them goes")
		loser = other if flood.alive() and "is back" in flood.text() else flood
		assert loser.wait() == 1
		loser.expected_death = True
		assert "Another helper keeps the table" in loser.text()
		return
	flood.wait_log(r"The table '%s' is back, with the fixes known here" % herd.shm)
	assert len(re.findall("cannot be used", flood.text())) == 1
	flood.stop()
	assert "with 50 of" in helper(herd).text()


@pytest.mark.parametrize("kind", ["text", "mode", "directory", "link"])
def test_refuses_what_is_no_table(herd, kind):
	if kind == "directory":
		os.mkdir(herd.segment)
	elif kind == "link":
		os.symlink(herd.config, herd.segment)
	else:
		with open(herd.segment, "wb") as file:
			file.write(b"no table\n" * 1000)
		os.chmod(herd.segment, 0o666 if kind == "mode" else 0o600)
	before = os.lstat(herd.segment)
	try:
		status, said = refused(herd)
		assert status == 1 and "Cannot open the table '%s': " % herd.shm in said
		after = os.lstat(herd.segment)
		assert (before.st_ino, before.st_size, before.st_mtime) == (after.st_ino, after.st_size, after.st_mtime)
	finally:
		if kind == "directory":
			os.rmdir(herd.segment)


# --- settings -----------------------------------------------------------------

def test_sighup(herd, fill):
	herd.configure("[herd]\nlog-level = debug\n[flood]\nsweep-interval = 10ms\n")
	flood = helper(herd)
	fill("--count", "40", "--age", "1000")
	herd.configure("[herd]\nlog-level = debug\nfix-ttl = 10min\ntable-clients = 70000\n[flood]\nsweep-interval = 20ms\n")
	flood.signal(signal.SIGHUP)
	flood.wait_log(r"^herd-flood: Settings reloaded$")
	text = flood.text()
	assert "Setting 'fix-ttl' is now 10min (%s:3)" % herd.config in text
	assert "Setting 'sweep-interval' is now 20ms (%s:6)" % herd.config in text
	assert "Setting 'table-clients' has changed: it takes effect with a restart" in text
	assert "log-level" not in text	# the same as before
	until(lambda: removed(flood) == 40, "the new ttl is in effect")


def test_sighup_with_bad_settings(herd, fill):
	herd.configure("[herd]\nfix-ttl = 1h\nlog-level = debug\n[flood]\nsweep-interval = 10ms\n")
	flood = helper(herd)
	herd.configure("[herd]\nfix-ttl = 1s\nlog-level = debug\nnonsense = 1\n[flood]\nsweep-interval = often\n")
	flood.signal(signal.SIGHUP)
	flood.wait_log(r"The new settings are bad: ignoring them, the old ones stay")
	assert "%s:4: setting 'nonsense': unknown in [herd]" % herd.config in flood.text()
	assert "%s:6: setting 'sweep-interval': 'often' cannot be read (expected a duration" % herd.config in flood.text()
	fill("--count", "10", "--age", "60", "--prefix", "young-")
	fill("--count", "10", "--age", "7200", "--prefix", "old-")
	until(lambda: removed(flood) >= 10, "the sweep goes on")
	os.unlink(herd.config)
	flood.signal(signal.SIGHUP)
	flood.wait_log("the old ones stay", count=2)
	flood.stop()
	assert removed(flood) == 10


def test_drop_ins_in_order_of_their_names(herd):
	herd.configure("[herd]\ntable-clients = 100\n")
	os.mkdir(herd.config + ".d")
	for name, count in (("b.conf", 300), ("a.conf", 200), ("B.conf", 400), ("c.txt", 500), (".d.conf", 600)):
		with open(os.path.join(herd.config + ".d", name), "w", encoding="ascii") as file:
			file.write("[herd]\ntable-clients = %d\n" % count)
	assert "for 300 clients" in helper(herd).text()


def test_a_bad_drop_in_is_named(herd):
	os.mkdir(herd.config + ".d")
	with open(herd.config + ".d/50-x.conf", "w", encoding="ascii") as file:
		file.write("[flood]\n\nsweep-interval = 0\n")
	status, said = refused(herd, "--check-config")
	assert status == 78
	assert said == ("herd-flood: %s.d/50-x.conf:3: setting 'sweep-interval': 0 is out of range "
		"(expected a duration from 10ms to 1h, such as 500ms, 30s, 5min, 2h or 7d)\n" % herd.config)
	assert not os.path.exists(herd.segment)


def test_a_stuck_reader_of_its_log_stops_nobody(herd):
	"""stderr is a pipe that nobody reads: the work goes on, and it can be stopped."""
	reader, writer = os.pipe()
	try:
		command = [program("herd-flood")] + herd.options()
		flood = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=writer, cwd=herd.folder)
		try:
			until(lambda: os.path.exists(herd.segment), "the table")
			herd.configure("nonsense\n" * 90)

			def full():
				flood.send_signal(signal.SIGHUP)
				return not select.select([], [writer], [], 0)[1]
			until(full, "the pipe is full of complaints")
			before = os.stat(herd.segment).st_ino
			os.unlink(herd.segment)
			until(lambda: os.path.exists(herd.segment) and os.stat(herd.segment).st_ino != before, "it goes on")
			flood.send_signal(signal.SIGTERM)
			assert flood.wait(LIMIT) == 0
		finally:
			flood.kill()
			flood.wait()
	finally:
		os.close(reader)
		os.close(writer)
