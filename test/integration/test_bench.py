"""herdctl bench: what it counts, and what it says of members that do not answer as they should."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness

OK, NO, FAILED, USAGE = 0, 1, 2, 64


def bench(*words, shm="/none"):
	return subprocess.run([harness.program("herdctl"), "--shm", shm, "bench", "--for", "200ms"] + list(words), check=False,
		stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.LIMIT, encoding="utf-8",
		env=dict(os.environ, LC_ALL="C.UTF-8"))


def measured(*words, **options):
	done = bench("--json", *words, **options)
	assert done.returncode == OK and done.stderr == "", done
	return json.loads(done.stdout)


@pytest.mark.parametrize("depth, connections, whatsat", [(1, 1, 0), (1, 8, 0), (64, 3, 0), (7, 20, 50), (1, 2, 100)])
def test_what_was_answered(herd, depth, connections, whatsat):
	herd.flood()
	alpha = herd.member("Alpha")
	seen = measured("--depth", str(depth), "--connections", str(connections), "--whatsat", str(whatsat), "--clients", "30", shm=herd.shm)
	commands = seen["iamat"] + seen["whatsat"]
	assert seen["member"] == "Alpha" and seen["refused"] == 0 and seen["asked"] == "127.0.0.1:%d" % alpha.tcp[0][1]
	assert (seen["depth"], seen["connections"], seen["rate"], seen["unsent"]) == (depth, connections, None, 0)
	assert 0.2 <= seen["took"] < harness.LIMIT and commands % depth == 0 and commands >= depth * connections
	assert abs(seen["per_second"] - commands / seen["took"]) <= 1 + commands / seen["took"] / 100
	assert abs(seen["whatsat"] - commands * whatsat / 100) <= connections + 1
	assert sum(row["replies"] for row in seen["histogram"]) == commands
	assert seen["p50_us"] <= seen["p90_us"] <= seen["p99_us"] <= seen["p999_us"] <= seen["max_us"] <= seen["took"] * 1e6
	assert seen["histogram"][-1]["up_to_us"] >= seen["max_us"] * 0.97
	with alpha.client() as client:
		assert client.ask(b"WHATSAT herdctl-bench-30 0 0").startswith(b"? ")
		assert client.ask(b"WHATSAT herdctl-bench-0 0 0").startswith(b"AT Alpha ")


# --- at a rate --------------------------------------------------------------

@pytest.mark.parametrize("rate, duration, depth, connections, whatsat", [(1000, 1, 1, 8, 0), (2000, 0.5, 64, 2, 30), (333, 0.5, 1, 100, 0),
	(1, 0.3, 1, 1, 0), (4, 1, 1, 3, 100)])
def test_a_rate_is_kept(herd, rate, duration, depth, connections, whatsat):
	herd.flood()
	herd.member("Alpha")
	seen = measured("--rate", str(rate), "--for", "%dms" % (duration * 1000), "--depth", str(depth), "--connections", str(connections),
		"--whatsat", str(whatsat), "--timeout", "200ms", shm=herd.shm)	# patience is for replies, not for what is not due yet
	commands = seen["iamat"] + seen["whatsat"]
	assert commands == max(1, int(rate * duration)) and seen["rate"] == rate and seen["unsent"] == seen["refused"] == 0
	assert duration <= seen["took"] < duration + 1 and sum(row["replies"] for row in seen["histogram"]) == commands
	assert abs(seen["whatsat"] - commands * whatsat / 100) <= connections + 1
	assert seen["p50_us"] <= seen["p99_us"] <= seen["max_us"] <= seen["took"] * 1e6


def stand_still(member, after, seconds):
	time.sleep(after)
	member.signal(signal.SIGSTOP)
	time.sleep(seconds)
	member.signal(signal.SIGCONT)


@pytest.mark.parametrize("words", [(), ("--rate", "200")])
def test_what_waits_for_a_member_counts_at_a_rate(herd, words):
	"""Half a second in which nothing is answered: clients that wait for replies hardly see it, those that come at their time do."""
	herd.flood()
	alpha = herd.member("Alpha")
	pause = threading.Thread(target=stand_still, args=(alpha, 0.3, 0.5))
	pause.start()
	seen = measured("--for", "1200ms", "--connections", "2", *words, shm=herd.shm)
	pause.join()
	assert seen["max_us"] > 400e3
	if words:	# 100 of 240 wait, for 250 ms each in the middle
		assert seen["p90_us"] > 200e3 and sum(row["replies"] for row in seen["histogram"]) == 240
	else:
		assert seen["p99_us"] < 100e3


def test_more_than_a_member_answers():
	"""What could not be sent within a second after the end is not kept quiet."""
	fake = Fake(b"AT Alpha 1\n", pause=0.1)
	done = bench("--json", "--to", fake.where, "--rate", "1000", "--connections", "2")
	fake.listener.close()
	seen = json.loads(done.stdout)
	assert done.returncode == NO and done.stderr == ""
	assert 10 <= seen["iamat"] <= 26 and seen["iamat"] + seen["unsent"] == 200
	assert seen["p50_us"] > 300e3 and 1 < seen["took"] < 3 and seen["max_us"] > 900e3


def test_a_rate_as_people_see_it(herd):
	herd.flood()
	herd.member("Alpha")
	assert re.search(r"^took .*\nrate +50\nunsent +0\niamat +10\n", bench("--rate", "50", shm=herd.shm).stdout, re.M)
	assert "rate" not in bench(shm=herd.shm).stdout


# --- whom -------------------------------------------------------------------

def test_by_name_and_by_path(herd):
	herd.flood()
	herd.member("Alpha")
	bravo = herd.member("Bravo", unix=[os.path.join(herd.folder, "b.sock")])
	assert measured("--member", "Bravo", shm=herd.shm)["member"] == "Bravo"
	assert measured("--to", "unix:" + bravo.unix[0])["member"] == "Bravo"


def test_as_people_see_it(herd):
	herd.flood()
	herd.member("Alpha")
	done = bench(shm=herd.shm)
	assert done.returncode == OK
	assert "p99 us" in done.stdout and "#" * 40 in done.stdout and "UP TO US" in done.stdout


def test_progress_on_a_terminal(herd):
	herd.flood()
	herd.member("Alpha")
	ours, theirs = os.openpty()
	done = subprocess.run([harness.program("herdctl"), "--shm", herd.shm, "bench", "--for", "400ms"], check=False,
		stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, timeout=harness.LIMIT, encoding="utf-8")
	os.close(theirs)
	said = os.read(ours, 65536)
	os.close(ours)
	assert done.returncode == OK and "\x1b" not in done.stdout
	assert re.match(rb"(\[[#-]{24}\] +[0-9]+ %  [0-9]+ commands\x1b\[K\r){2,}", said) and said.endswith(b"\r\x1b[K"), said


def test_no_progress_for_programs(herd):
	herd.flood()
	herd.member("Alpha")
	ours, theirs = os.openpty()
	os.set_blocking(ours, False)
	done = subprocess.run([harness.program("herdctl"), "--shm", herd.shm, "--json", "bench", "--for", "300ms"], check=False,
		stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, timeout=harness.LIMIT, encoding="utf-8")
	with pytest.raises(BlockingIOError):
		os.read(ours, 65536)
	os.close(theirs)
	os.close(ours)
	assert done.returncode == OK and json.loads(done.stdout)["iamat"] > 0


class Fake:
	"""A member that says the same to everybody, or nothing."""

	def __init__(self, reply, pause=0):
		self.reply, self.pause = reply, pause
		self.listener = socket.create_server(("127.0.0.1", 0))
		self.where = "127.0.0.1:%d" % self.listener.getsockname()[1]
		threading.Thread(target=self.serve, daemon=True).start()

	def serve(self):
		while True:
			try:
				client = self.listener.accept()[0]
			except OSError:
				return
			threading.Thread(target=self.answer, args=(client,), daemon=True).start()

	def answer(self, client):
		with client, contextlib.suppress(ConnectionError):	# whoever has heard enough leaves
			while client.recv(4096):
				if self.reply is None:
					return
				time.sleep(self.pause)
				client.sendall(self.reply)


@pytest.mark.parametrize("words", [(), ("--rate", "100")])
@pytest.mark.parametrize("reply, status, says", [
	(b"? never\n", NO, ""),
	(None, FAILED, "closed the connection"),
	(b"", FAILED, "in time"),
	(b"AT Alp", FAILED, "in time"),
	(b"HELLO Alpha\n", FAILED, "none to what was asked"),
	(b"AT " + b"x" * 24 + b" 1\n", FAILED, "none to what was asked"),
	(b"\n", FAILED, "none to what was asked"),
	(b"AT Alpha 1\nAT Alpha 2\n", FAILED, "none to what was asked"),
])
def test_members_that_are_none(reply, status, says, words):
	fake = Fake(reply)
	done = bench("--json", "--to", fake.where, "--timeout", "300ms", "--connections", "2", *words)
	fake.listener.close()
	assert done.returncode == status and says in done.stderr, done
	if status == NO:
		seen = json.loads(done.stdout)
		assert seen["refused"] > 0 and seen["iamat"] == 0 and sum(row["replies"] for row in seen["histogram"]) == seen["refused"]


def test_nobody_there():
	with socket.create_server(("127.0.0.1", 0)) as listener:
		port = listener.getsockname()[1]
	done = bench("--to", "127.0.0.1:%d" % port)
	assert done.returncode == FAILED and "refused" in done.stderr


@pytest.mark.parametrize("words", [("--connections", "0"), ("--connections", "1001"), ("--depth", "0"), ("--depth", "65"),
	("--rate", "0"), ("--rate", "1000001"),
	("--clients", "0"), ("--clients", "1000001"), ("--whatsat", "101"), ("--for", "0"), ("--for", "x"), ("--to", "nowhere"),
	("--to", "127.0.0.1:1", "--member", "Alpha"), ("extra",)])
def test_bad_words(words):
	done = bench(*words)
	assert done.returncode == USAGE and done.stdout == "", done
