"""herdctl bench: what it counts, and what it says of members that do not answer as they should."""

import contextlib
import json
import os
import re
import socket
import subprocess
import threading

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
	assert (seen["depth"], seen["connections"]) == (depth, connections)
	assert 0.2 <= seen["took"] < harness.LIMIT and commands % depth == 0 and commands >= depth * connections
	assert abs(seen["per_second"] - commands / seen["took"]) <= 1 + commands / seen["took"] / 100
	assert abs(seen["whatsat"] - commands * whatsat / 100) <= connections + 1
	assert sum(row["replies"] for row in seen["histogram"]) == commands
	assert seen["p50_us"] <= seen["p90_us"] <= seen["p99_us"] <= seen["p999_us"] <= seen["max_us"] <= seen["took"] * 1e6
	assert seen["histogram"][-1]["up_to_us"] >= seen["max_us"] * 0.97
	with alpha.client() as client:
		assert client.ask(b"WHATSAT herdctl-bench-30 0 0").startswith(b"? ")
		assert client.ask(b"WHATSAT herdctl-bench-0 0 0").startswith(b"AT Alpha ")


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

	def __init__(self, reply):
		self.reply = reply
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
				client.sendall(self.reply)


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
def test_members_that_are_none(reply, status, says):
	fake = Fake(reply)
	done = bench("--json", "--to", fake.where, "--timeout", "300ms", "--connections", "2")
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
	("--clients", "0"), ("--clients", "1000001"), ("--whatsat", "101"), ("--for", "0"), ("--for", "x"), ("--to", "nowhere"),
	("--to", "127.0.0.1:1", "--member", "Alpha"), ("extra",)])
def test_bad_words(words):
	done = bench(*words)
	assert done.returncode == USAGE and done.stdout == "", done
