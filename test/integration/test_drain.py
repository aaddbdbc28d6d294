"""herdctl drain: a member out of service, without cutting off its clients. systemctl is one of our own."""

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
from harness import Closed, fresh, until

OK, NO, FAILED, NO_HERD, USAGE = 0, 1, 2, 3, 64

# Remembers what it was asked; stops what it is told to stop as the service manager would.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$FAKE_LOG"
case " $* " in
*" $FAKE_FAIL "*) echo "Failed to do that." >&2; exit 5 ;;
*" is-active "*) [ -s "$FAKE_LOG.pid" ] ;;
*" stop herd@"*.service*) kill "$(cat "$FAKE_LOG.pid")"; : >"$FAKE_LOG.pid" ;;
esac
"""


class Drained:
	def __init__(self, herd, **options):
		self.herd = herd
		self.log = os.path.join(herd.folder, "systemctl.log")
		path = os.path.join(herd.folder, "bin")
		os.mkdir(path)
		with open(os.path.join(path, "systemctl"), "w", encoding="ascii") as file:
			file.write(SYSTEMCTL)
		os.chmod(file.name, 0o755)
		self.env = dict(os.environ, PATH=path + ":" + os.environ["PATH"], FAKE_LOG=self.log, FAKE_FAIL="nothing", LC_ALL="C.UTF-8")
		self.flood = herd.flood()
		self.member = herd.member("Alpha", **options)
		self.manage(self.member.pid)

	def manage(self, pid):
		with open(self.log + ".pid", "w", encoding="ascii") as file:
			file.write("%d\n" % pid if pid else "")

	def asked(self):
		with open(self.log, encoding="ascii") as file:
			return [line.removeprefix("--no-ask-password ") for line in file.read().splitlines()]

	def run(self, *words, **env):
		return self.herd.run_ctl(*words, env=dict(self.env, **env))

	def drain(self, *words):
		"""Begun, and not waited for."""
		self.member.expected_death = True
		began = threading.Thread(target=self.finish, args=words)
		began.start()
		return began

	def finish(self, *words):
		self.done = self.run("--json", "drain", "Alpha", *words)

	def status(self):
		done = self.herd.run_ctl("--json", "status")
		programs = json.loads(done.stdout)["programs"]
		return next(p["status"] for p in programs if p["name"] == "Alpha")


def refused(where):
	try:
		with socket.create_connection(where, 5):
			return False
	except ConnectionResetError:	# it was closed between our coming and being let in
		return False
	except ConnectionRefusedError:
		return True


def test_nobody_there(herd):
	host = Drained(herd)
	host.drain().join()
	assert host.done.returncode == OK, host.done
	shown = json.loads(host.done.stdout)
	assert 0 <= shown.pop("took") < 5
	assert shown == {"member": "Alpha", "drained": True, "clients": 0, "cut_off": 0, "undo": "systemctl start herd@Alpha"}
	assert host.member.wait() == 0
	assert host.asked() == ["is-active --quiet herd@Alpha.service",
		"stop --job-mode=ignore-dependencies herd@Alpha.socket herd-udp@Alpha.socket", "stop herd@Alpha.service"]


def test_those_who_are_there_stay(herd, tmp_path):
	"""New clients are refused at once; the others are served until they leave, and then it stops."""
	door = str(tmp_path / "Alpha.sock")
	host = Drained(herd, unix=(door,), udp=("127.0.0.1:0",))
	with host.member.client() as first, host.member.client() as second:
		first.iamat(fresh())
		second.iamat(fresh())
		drain = host.drain()
		until(lambda: refused(host.member.tcp[0]), "new clients are refused")
		with pytest.raises((ConnectionRefusedError, FileNotFoundError)), socket.socket(socket.AF_UNIX) as sock:
			sock.connect(door)
		with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
			sock.connect(host.member.udp[0])
			sock.settimeout(5)
			sock.send(b"IAMAT kiwi +34.068930-118.445127 1621464827.959498503\n")
			with pytest.raises(ConnectionRefusedError):
				sock.recv(4096)
		assert "2 clients connected" in host.status() and "systemctl restart herd@Alpha" in host.status()
		told = fresh()
		first.iamat(told)
		second.close()
		until(lambda: "1 client connected" in host.status(), "one has left")
		first.iamat(fresh())
		assert drain.is_alive() and host.member.alive()
	drain.join()
	shown = json.loads(host.done.stdout)
	assert host.done.returncode == OK and shown["drained"] and shown["cut_off"] == 0, host.done
	assert 2 <= shown["clients"] <= 3	# who tries may have come in at the last moment
	assert host.member.wait() == 0
	assert herd.ctl("fixes", told.decode()).count(told.decode()) == 1	# acknowledged, and there for all


def test_those_who_wait_are_let_in(herd):
	"""Who has connected before belongs to those who are there, also when the member was busy."""
	host = Drained(herd)
	host.member.signal(signal.SIGSTOP)
	with host.member.client() as client:
		client.send(b"IAMAT kiwi +34.068930-118.445127 1621464827.959498503\n")
		drain = host.drain()
		until(lambda: os.path.exists(host.log), "systemctl was asked")
		host.member.signal(signal.SIGCONT)
		assert client.line().startswith(b"AT Alpha ")
		until(lambda: refused(host.member.tcp[0]), "new clients are refused")
		client.iamat(fresh())
	drain.join()
	assert host.done.returncode == OK and json.loads(host.done.stdout)["clients"] in (1, 2), host.done
	assert host.member.wait() == 0


def test_herdctl_asks_another_one(herd):
	host = Drained(herd)
	with host.member.client() as client:
		client.iamat(fresh())
		drain = host.drain()
		until(lambda: refused(host.member.tcp[0]), "new clients are refused")
		assert "Connection refused" in host.run("iamat", "kiwi", "+34.068930-118.445127").stderr
		herd.member("Bravo")
		assert host.run("iamat", "kiwi", "+34.068930-118.445127").stdout.startswith("AT Bravo ")
		assert "Connection refused" in host.run("iamat", "--member", "Alpha", "kiwi", "+34.068930-118.445127").stderr
	drain.join()
	assert host.done.returncode == OK and host.member.wait() == 0


def test_time_is_up(herd):
	host = Drained(herd)
	with host.member.client() as client:
		client.iamat(fresh())
		began = time.monotonic()
		host.drain("--timeout", "500ms").join()
		assert time.monotonic() - began >= 0.5
		with pytest.raises(Closed):
			client.line()
	shown = json.loads(host.done.stdout)
	assert host.done.returncode == NO and not shown["drained"] and (shown["clients"], shown["cut_off"]) == (1, 1)
	assert host.member.wait() == 0


def test_again(herd):
	"""One that was interrupted goes on where it was."""
	host = Drained(herd)
	with host.member.client() as client:
		client.iamat(fresh())
		host.member.expected_death = True
		words = [harness.program("herdctl")] + herd.options() + ["drain", "Alpha"]
		with subprocess.Popen(words, env=host.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as first:
			until(lambda: refused(host.member.tcp[0]), "new clients are refused")
			first.send_signal(signal.SIGINT)
		client.iamat(fresh())
		drain = host.drain()
		time.sleep(0.2)
		client.iamat(fresh())
	drain.join()
	assert host.done.returncode == OK and json.loads(host.done.stdout)["clients"] in (1, 2), host.done
	assert host.member.wait() == 0


def test_started_again_meanwhile(herd):
	host = Drained(herd)
	with host.member.client() as client:
		client.iamat(fresh())
		drain = host.drain()
		until(lambda: refused(host.member.tcp[0]), "new clients are refused")
		host.member.kill()
		herd.member("Alpha")
	drain.join()
	assert host.done.returncode == FAILED and "drain it again" in host.done.stderr and host.done.stdout == ""


def test_progress(herd):
	"""For who waits at a terminal."""
	host = Drained(herd)
	host.member.expected_death = True
	ours, theirs = os.openpty()
	words = [harness.program("herdctl")] + herd.options() + ["drain", "Alpha", "--timeout", "1min"]
	with host.member.client() as client:
		client.iamat(fresh())
		with subprocess.Popen(words, env=host.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs) as running:
			os.close(theirs)
			said = os.read(ours, 4096)	# a line is written in one piece
			client.close()
			assert b"drained  yes" in running.stdout.read()
	os.close(ours)
	assert re.search(rb"^\[-{24}\]   0 %  Alpha: 1 of 1 client left, (60|59) s at most\x1b\[K\r", said), said
	assert running.returncode == OK and host.member.wait() == 0


def test_text(herd):
	host = Drained(herd)
	host.member.expected_death = True
	done = host.run("drain", "Alpha")
	assert done.returncode == OK and done.stderr == ""	# no progress where nobody looks
	assert [line.split("  ")[0] for line in done.stdout.splitlines()] == ["member", "drained", "clients", "cut off", "took", "undo"]
	assert "systemctl start herd@Alpha" in done.stdout
	assert host.member.wait() == 0


def test_what_cannot_be_drained(herd):
	host = Drained(herd)
	assert "is no name" in host.run("drain", "a b").stderr
	assert host.run("drain").returncode == host.run("drain", "Alpha", "--timeout", "soon").returncode == USAGE
	done = host.run("drain", "Alpha", FAKE_FAIL="stop")
	assert done.returncode == FAILED and "the member runs on" in done.stderr
	with host.member.client() as client:	# as before
		client.iamat(fresh())
	host.manage(0)
	done = host.run("drain", "Alpha")
	assert done.returncode == FAILED and "not started by systemd; nothing was changed" in done.stderr
	with host.member.client() as client:
		client.iamat(fresh())
