"""herdctl top: rates of what happens, as text, as JSON, and on a terminal."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

import harness
from harness import fresh, until
from web import people

OK, NO_HERD, USAGE = 0, 3, 64
UCLA = b"+34.068930-118.445127"


def argv(herd, *words):
	return [harness.program("herdctl"), "--config", herd.config, "--shm", herd.shm, "top", "--interval", "200ms"] + list(words)


def top(herd, *words, status=OK):
	done = subprocess.run(argv(herd, *words), check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
		stderr=subprocess.PIPE, timeout=harness.LIMIT, encoding="utf-8", env=dict(os.environ, LC_ALL="C.UTF-8"))
	assert done.returncode == status and (status or not done.stderr), done
	return done.stdout


class Lines:
	"""One that goes on, with a line for each look."""

	def __init__(self, herd, *words):
		self.process = subprocess.Popen(argv(herd, "--json", *words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			stderr=subprocess.PIPE, encoding="utf-8")

	def next(self):
		assert select.select([self.process.stdout], [], [], harness.LIMIT)[0]
		return json.loads(self.process.stdout.readline())

	def end(self, number=signal.SIGTERM):
		self.process.send_signal(number)
		rest, errors = self.process.communicate(timeout=harness.LIMIT)
		assert errors == "" and self.process.returncode == OK
		return rest


@pytest.fixture
def running(herd):
	herd.flood()
	herd.member("Alpha")
	herd.member("Bravo")
	return herd


def member_of(look, name):
	return next(member for member in look["members"] if member["member"] == name)


def test_rates_are_those_of_commands(running):
	alpha = running.processes[1]
	lines = Lines(running)
	first = lines.next()
	assert first["helper"] is True and first["clients"] == 0 and first["peers"] == []
	for name in ("Alpha", "Bravo"):
		assert member_of(first, name) == {"member": name, "alive": True, "connections": 0, "iamat_per_s": 0, "whatsat_per_s": 0,
			"lookups_per_s": 0, "invalid_per_s": 0, "lookups": 0}
	counted = {"iamat_per_s": 0, "whatsat_per_s": 0, "invalid_per_s": 0}
	with alpha.client() as client:
		name = fresh()
		for _ in range(60):
			client.ask(b"IAMAT %s %s 1700000000" % (name, UCLA))
		for _ in range(30):
			client.ask(b"nonsense")
		for _ in range(2):	# the look that has the last of them is the second one from here at most
			look = lines.next()
			for key in counted:
				counted[key] += member_of(look, "Alpha")[key] * 0.2
			assert member_of(look, "Bravo")["iamat_per_s"] == 0
		assert member_of(look, "Alpha")["connections"] == 1 and look["clients"] == 1
	assert 30 < counted["iamat_per_s"] < 120 and counted["whatsat_per_s"] == 0 and 15 < counted["invalid_per_s"] < 60
	assert counted["iamat_per_s"] == pytest.approx(2 * counted["invalid_per_s"], rel=0.2)
	lines.end()


def test_lookups_that_a_service_answers(web, upstream):
	member = web.start("google")
	lines = Lines(web.herd)
	lines.next()
	upstream.fault("hold")
	with member.client() as connection:
		for id in people(connection, 12):
			connection.send(b"WHATSAT %s 5 5\n" % id)
		look, counted = {}, 0

		def all_are_under_way():
			nonlocal look, counted
			look = member_of(lines.next(), "Alpha")
			counted += look["lookups_per_s"] * 0.2
			return look["lookups"] == 12
		until(all_are_under_way, lambda: look, pause=0)
		assert 8 < counted < 17 and look["whatsat_per_s"] >= look["lookups_per_s"]
		upstream.well()
		upstream.release()
		for _ in range(12):
			connection.until(b"\n\n")
	until(lambda: member_of(lines.next(), "Alpha")["lookups"] == 0, "they are answered", pause=0)
	assert member_of(lines.next(), "Alpha")["lookups_per_s"] == 0
	lines.end()
	assert "WHATSAT PER S  LOOKUPS PER S  INVALID PER S  LOOKUPS\n" in top(web.herd, "--count", "1")


def test_one_that_died_and_came_again(running):
	bravo = running.processes[2]
	lines = Lines(running)
	lines.next()
	bravo.kill()
	until(lambda: not member_of(lines.next(), "Bravo")["alive"], "top sees that it is dead", pause=0)
	running.member("Bravo")
	look = until(lambda: next((m for m in [member_of(lines.next(), "Bravo")] if m["alive"]), None), "and back", pause=0)
	assert look["iamat_per_s"] in (None, 0)
	lines.end(signal.SIGINT)


def test_without_a_helper(herd):
	herd.member("Alpha")
	looks = [json.loads(line) for line in top(herd, "--json", "--count", "2").splitlines()]
	assert len(looks) == 2 and all(look["helper"] is False and look["peers"] == [] for look in looks)


def test_pages(running):
	text = top(running, "--count", "3")
	assert text.count("IAMAT PER S") == 3 and text.count("Alpha") == 3 and "\x1b" not in text and "LOOKUPS" not in text
	assert re.match(r"time     [0-9:.]+\nclients  0\n", text)
	assert top(running, "--count", "0") == ""


def test_a_reader_that_leaves(running):
	process = subprocess.Popen(argv(running), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
	assert process.stdout.read(4) == b"time"
	process.stdout.close()
	assert process.wait(harness.LIMIT) == OK and process.stderr.read() == b""
	process.stderr.close()


def test_no_herd(herd):
	top(herd, status=NO_HERD)


@pytest.mark.parametrize("words", [("--interval", "99ms"), ("--interval", "x"), ("--count", "x"), ("extra",)])
def test_bad_words(running, words):
	assert top(running, *words, status=USAGE) == ""


# --- on a terminal ----------------------------------------------------------

class Terminal:
	def __init__(self, herd, *words, rows=24, columns=80):
		self.master, slave = pty.openpty()
		self.size(rows, columns)
		self.before = termios.tcgetattr(slave)
		self.process = subprocess.Popen(argv(herd, *words), stdin=slave, stdout=slave, stderr=slave,
			env=dict(os.environ, TERM="xterm", LC_ALL="C.UTF-8"), start_new_session=True)
		self.slave = slave
		self.seen = b""

	def size(self, rows, columns):
		fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

	def read(self):
		if select.select([self.master], [], [], 0.05)[0]:
			self.seen += os.read(self.master, 65536)

	def wait_for(self, text, since=0):
		def found():
			self.read()
			return text in self.seen[since:]
		until(found, lambda: "%r in %r" % (text, self.seen[since:]), pause=0)

	def end(self):
		"""Everything is as it was."""
		until(lambda: self.read() or self.process.poll() is not None, "it ends", pause=0)
		assert self.process.returncode == OK
		self.read()
		assert self.seen.endswith(b"\x1b[?25h\x1b[?1049l")
		assert termios.tcgetattr(self.slave) == self.before
		os.close(self.slave)
		os.close(self.master)


@pytest.mark.parametrize("how", ["q", "Q", "SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP"])
def test_terminal(running, how):
	terminal = Terminal(running)
	terminal.wait_for(b"Bravo")
	assert terminal.seen.startswith(b"\x1b[?1049h\x1b[?25l")
	assert termios.tcgetattr(terminal.slave)[3] & (termios.ICANON | termios.ECHO) == 0
	at = len(terminal.seen)
	os.write(terminal.master, b"x\n")	# is nothing
	terminal.wait_for(b"Bravo", at)
	if how.startswith("SIG"):
		terminal.process.send_signal(getattr(signal, how))
	else:
		os.write(terminal.master, how.encode())
	terminal.end()


def test_window(running):
	"""As many rows and columns as there are, also when that changes."""
	terminal = Terminal(running, "--interval", "1h", rows=5, columns=30)
	terminal.wait_for(b"\x1b[J")
	page = terminal.seen.split(b"\x1b[H")[-1]
	assert page.count(b"\n") == 4 and b"Alpha" not in page
	assert all(len(re.sub(rb"\x1b\[[0-9;]*[A-Za-z]|\r", b"", line)) <= 30 for line in page.split(b"\n"))
	at = len(terminal.seen)
	terminal.size(24, 120)
	terminal.process.send_signal(signal.SIGWINCH)	# which only the terminal's own session gets by itself
	terminal.wait_for(b"Bravo", at)
	os.write(terminal.master, b"q")
	terminal.end()


def test_time_passes(running):
	started = time.monotonic()
	assert len(top(running, "--json", "--count", "4").splitlines()) == 4
	assert 0.8 <= time.monotonic() - started + 0.05
