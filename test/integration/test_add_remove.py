"""herdctl add and herdctl remove, with a systemctl of our own in PATH."""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess

import pytest

import harness
from harness import LIMIT, until

OK, NO, FAILED, USAGE, CONFIG = 0, 1, 2, 64, 78

CONF = """
[herd]
fix-ttl = 1h
[member Alpha]
listen = 127.0.0.1:%d
"""

# Remembers what it was asked, and fails where it is told to.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$FAKE_LOG"
ls "$FAKE_FOLDER" | tr '\\n' ' ' >>"$FAKE_LOG"
echo >>"$FAKE_LOG"
for word in $FAKE_FAIL; do
	case " $* " in *" $word "*)
		echo "Job for $* failed." >&2
		echo "See 'journalctl -x'." >&2
		exit 5 ;;
	esac
done
case " $* " in *" $FAKE_HANG "*) [ -z "$FAKE_HANG" ] || exec sleep 1000 ;; esac
case " $* " in *" $FAKE_CHATTER "*) [ -z "$FAKE_CHATTER" ] || { yes >&2 & } ;; esac
case " $* " in *" $FAKE_CHILD "*) [ -z "$FAKE_CHILD" ] || { sleep 1000 & echo $! >"$FAKE_LOG.child"; } ;; esac
exit 0
"""


def free_port():
	with socket.create_server(("127.0.0.1", 0)) as server:
		return server.getsockname()[1]


class Host:
	"""Settings, and what systemctl was asked for."""

	def __init__(self, folder):
		self.folder = str(folder)
		self.config = os.path.join(self.folder, "herd.conf")
		self.drop_ins = self.config + ".d"
		self.log = os.path.join(self.folder, "log")
		self.bin = os.path.join(self.folder, "bin")
		self.port = free_port()
		with open(self.config, "w", encoding="ascii") as file:
			file.write(CONF % self.port)
		os.mkdir(self.bin)
		with open(os.path.join(self.bin, "systemctl"), "w", encoding="ascii") as file:
			file.write(SYSTEMCTL)
		os.chmod(file.name, 0o755)
		self.env = dict(os.environ, PATH=self.bin + ":" + os.environ["PATH"], FAKE_LOG=self.log, FAKE_FOLDER=self.drop_ins,
			FAKE_FAIL="", FAKE_HANG="", FAKE_CHILD="", FAKE_CHATTER="", LC_ALL="C.UTF-8")

	def run(self, *words, env=None, **options):
		done = subprocess.run([harness.program("herdctl"), "--config", self.config] + list(words), stdin=subprocess.DEVNULL,
			stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False, encoding="utf-8",
			env=dict(self.env, **(env or {})), **options)
		assert not harness.REPORT.search(done.stderr), done.stderr
		return done

	def ok(self, *words, **options):
		"""JSON, parsed."""
		done = self.run("--json", *words, **options)
		assert done.returncode == OK and done.stderr == "", done
		return json.loads(done.stdout)

	def fails(self, status, *words, **options):
		done = self.run(*words, **options)
		assert done.returncode == status and done.stdout == "", done
		return done.stderr

	def asked(self):
		"""[(arguments, files there at that time)], and forgets them."""
		if not os.path.exists(self.log):
			return []
		with open(self.log, encoding="utf-8") as file:
			lines = file.read().splitlines()
		os.unlink(self.log)
		pairs = list(zip(lines[::2], [line.split() for line in lines[1::2]]))
		assert all(words.startswith("--no-ask-password ") for words, _ in pairs)
		return [(words[len("--no-ask-password "):], files) for words, files in pairs]

	def file(self, name):
		return os.path.join(self.drop_ins, "member-%s.conf" % name)

	def text(self, name):
		with open(self.file(name), encoding="utf-8") as file:
			return file.read()

	def files(self):
		return sorted(os.listdir(self.drop_ins)) if os.path.exists(self.drop_ins) else []

	def drop_in(self, name, text):
		os.makedirs(self.drop_ins, exist_ok=True)
		with open(os.path.join(self.drop_ins, name), "w", encoding="utf-8") as file:
			file.write(text)


@pytest.fixture
def host(tmp_path):
	return Host(tmp_path)


STOP = "stop herd@Bravo.socket herd-udp@Bravo.socket herd@Bravo.service"


# --- there and back ------------------------------------------------------------

def test_there_and_back(host):
	first, second = free_port(), free_port()
	got = host.ok("add", "Bravo", "--listen", "127.0.0.1:%d" % first, "--listen", "[::1]:%d" % second, "--udp", "127.0.0.1:%d" % first)
	assert got == {"member": "Bravo", "changed": True, "settings": host.file("Bravo") + ":2", "started": True,
		"listen": ["127.0.0.1:%d" % first, "[::1]:%d" % second], "udp": ["127.0.0.1:%d" % first]}
	assert host.text("Bravo").splitlines()[1:] == ["[member Bravo]", "listen = 127.0.0.1:%d" % first,
		"listen = [::1]:%d" % second, "udp = 127.0.0.1:%d" % first]
	assert host.text("Bravo").startswith("# ")
	assert stat.S_IMODE(os.stat(host.file("Bravo")).st_mode) == 0o644
	assert stat.S_IMODE(os.stat(host.drop_ins).st_mode) == 0o755
	assert host.asked() == [("daemon-reload", ["member-Bravo.conf"]), ("start herd@Bravo.service", ["member-Bravo.conf"])]
	assert host.run("--check-config").returncode == OK
	got = host.ok("remove", "Bravo")
	assert got == {"member": "Bravo", "changed": True, "settings": host.file("Bravo")}
	assert host.asked() == [(STOP, ["member-Bravo.conf"]), ("daemon-reload", [])]
	assert host.files() == []


def test_the_member_runs_with_these_settings(host, herd):
	"""What is written is what a member reads."""
	port = free_port()
	host.ok("add", "Bravo", "--listen", "127.0.0.1:%d" % port)
	shutil.copytree(host.drop_ins, herd.config + ".d")
	bravo = herd.member("Bravo", listen=())
	assert bravo.tcp == [("127.0.0.1", port)]


def test_the_generator_makes_units_of_it(host, tmp_path):
	port = free_port()
	host.ok("add", "Bravo", "--listen", "127.0.0.1:%d" % port, "--udp", "0.0.0.0:%d" % port)
	out = tmp_path / "units"
	out.mkdir()
	done = subprocess.run([harness.program("herd-generator"), "--config", host.config, "--output", str(out)],
		stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
	assert done.returncode == 0 and done.stderr == b""
	assert "ListenStream=127.0.0.1:%d\n" % port in (out / "herd@Bravo.socket.d" / "50-herd.conf").read_text()
	assert sorted(os.listdir(out / "herd.target.wants")) == ["herd-udp@Bravo.socket", "herd@Alpha.service",
		"herd@Alpha.socket", "herd@Bravo.service", "herd@Bravo.socket"]


def test_text(host):
	shown = host.run("add", "Bravo", "--listen", "127.0.0.1:%d" % free_port()).stdout
	assert re.search(r"^member +Bravo$", shown, re.MULTILINE) and re.search(r"^changed +yes$", shown, re.MULTILINE)
	shown = host.run("remove", "Charlie").stdout
	assert re.search(r"^changed +no, there was no such member$", shown, re.MULTILINE)


def test_a_port_is_found(host):
	"""The first one from 12000 on that neither a member's settings nor another program has."""
	taken = []
	try:
		for port in (12000, 12001):
			try:
				taken.append(socket.create_server(("127.0.0.1", port)))
			except OSError:
				pass	# somebody else has it: as good
		host.drop_in("member-Delta.conf", "[member Delta]\nlisten = [::1]:12002\n")
		got = host.ok("add", "Bravo", "--offline")
		address, port = got["listen"][0].rsplit(":", 1)
		assert address == "127.0.0.1" and int(port) >= 12003 and len(got["listen"]) == 1 and got["udp"] == []
	finally:
		for server in taken:
			server.close()


def test_two_at_once_find_two_ports(host):
	started = [subprocess.Popen([harness.program("herdctl"), "--config", host.config, "add", "M%d" % i], env=host.env,
		stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for i in range(8)]
	for process in started:
		_, said = process.communicate(timeout=LIMIT)
		assert process.returncode == OK, said
	ports = [re.search(r"listen = (\S+)", host.text("M%d" % i)).group(1) for i in range(8)]
	assert len(set(ports)) == 8


# --- twice --------------------------------------------------------------------------

def test_adding_twice(host):
	port = free_port()
	host.ok("add", "Bravo", "--listen", "127.0.0.1:%d" % port)
	before = host.text("Bravo")
	host.asked()
	for words in ([], ["--listen", "127.0.0.1:%d" % port]):
		got = host.ok("add", "Bravo", *words)
		assert (got["changed"], got["started"], got["listen"]) == (False, True, ["127.0.0.1:%d" % port])
		assert [words for words, _ in host.asked()] == ["daemon-reload", "start herd@Bravo.service"]
	said = host.fails(NO, "add", "Bravo", "--listen", "127.0.0.1:%d" % free_port())
	assert "with other addresses" in said and host.file("Bravo") in said
	said = host.fails(NO, "add", "Bravo", "--listen", "127.0.0.1:%d" % port, "--udp", "127.0.0.1:%d" % port)
	assert host.text("Bravo") == before and host.asked() == []


def test_adding_twice_with_udp_alone(host):
	"""The first time finds a TCP port; the second one asks for none."""
	udp = ["--udp", "127.0.0.1:%d" % free_port()]
	first = host.ok("add", "Bravo", *udp)
	again = host.ok("add", "Bravo", *udp)
	assert (again["changed"], again["listen"], again["udp"]) == (False, first["listen"], first["udp"])
	assert "with other addresses" in host.fails(NO, "add", "Bravo", "--udp", "127.0.0.1:%d" % free_port())
	assert "with other addresses" in host.fails(NO, "add", "Bravo", "--listen", first["listen"][0])


def test_adding_one_of_another_file(host):
	got = host.ok("add", "Alpha")
	assert (got["changed"], got["settings"]) == (False, host.config + ":4")
	assert host.files() == []
	said = host.fails(NO, "add", "Alpha", "--listen", "127.0.0.1:%d" % free_port())
	assert host.config + ":4" in said


def test_removing_twice(host):
	assert host.ok("remove", "Bravo")["changed"] is False
	assert not os.path.exists(host.drop_ins)
	host.ok("add", "Bravo", "--offline")
	assert host.ok("remove", "Bravo")["changed"] is True
	assert host.ok("remove", "Bravo")["changed"] is False


def test_removing_one_of_another_file(host):
	host.drop_in("10.conf", "[member Bravo]\nline-max = 600\n")
	host.drop_in("member-Bravo.conf", "[member Bravo]\nline-max = 700\n")
	for name, where in (("Alpha", host.config + ":4"), ("Bravo", os.path.join(host.drop_ins, "10.conf") + ":1")):
		assert where in host.fails(NO, "remove", name)
	assert host.files() == ["10.conf", "member-Bravo.conf"] and host.asked() == []


def test_removing_what_cannot_be_read(host):
	host.drop_in("member-Bravo.conf", "\x00\x01")
	host.drop_in("member-Charlie.conf", "[member Delta]\n")
	assert "Bravo" in host.fails(CONFIG, "add", "Bravo")
	for name in ("Bravo", "Charlie"):
		done = host.run("remove", name)
		assert done.returncode == OK
	assert host.files() == []


# --- refused --------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["", "two words", "a/b", "../x", "x" * 24, "caf\u00e9", "a%i", "-", "*"])
def test_bad_names(host, name):
	for command in ("add", "remove"):
		done = host.run(command, "--offline", "--", name)
		if name in ("-",):
			continue	# which is a name, if an odd one
		assert done.returncode == USAGE and "is no name of a member" in done.stderr, done
	assert host.asked() == []


@pytest.mark.parametrize("words", [["--listen", "nonsense"], ["--listen", "127.0.0.1"], ["--udp", "localhost:1"], ["--listen"],
	["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1"], ["Charlie"], ["--nonsense"]])
def test_bad_words(host, words):
	assert host.run("add", "Bravo", *words).returncode == USAGE
	assert host.files() == [] and host.asked() == []


def test_addresses_that_are_taken(host):
	host.drop_in("10.conf", "[member Charlie]\nlisten = 0.0.0.0:12001\nudp = 127.0.0.1:12002\n")
	for words, taken in ((["--listen", "127.0.0.1:%d" % host.port], "Alpha"), (["--listen", "0.0.0.0:%d" % host.port], "Alpha"),
			(["--listen", "127.0.0.1:12001"], "Charlie"), (["--listen", "127.0.0.1:1", "--udp", "0.0.0.0:12002"], "Charlie")):
		said = host.fails(NO, "add", "Bravo", *words)
		assert "is taken by member '%s'" % taken in said and "nothing was changed" in said, said
	for words in (["--listen", "127.0.0.1:0"], ["--listen", "[fe80::1]:1"], ["--listen", "0.0.0.0:1, 127.0.0.1:1"]):
		assert "would not work" in host.fails(NO, "add", "Bravo", *words)
	assert host.files() == ["10.conf"] and host.asked() == []


def test_nobody_loses_an_address_to_a_file_that_is_read_earlier(host):
	port = free_port()
	host.ok("add", "Bravo", "--listen", "127.0.0.1:%d" % port)
	said = host.fails(NO, "add", "Aaron", "--listen", "127.0.0.1:%d" % port)
	assert "Member 'Bravo' would lose an address" in said
	assert host.files() == ["member-Bravo.conf"]


def test_settings_said_for_all_count(host):
	host.drop_in("10.conf", "[herd]\nudp = 127.0.0.1:12000\n")
	assert "UDP 127.0.0.1:12000 is taken by member 'Alpha'" in host.fails(NO, "add", "Bravo")
	assert host.ok("add", "Bravo", "--udp", "127.0.0.1:12001")["udp"] == ["127.0.0.1:12001"]


def test_settings_that_are_wrong(host):
	host.drop_in("10.conf", "[herd]\nnonsense\n")
	for command in ("add", "remove"):
		assert "10.conf:2" in host.fails(CONFIG, command, "Bravo")
	host.drop_in("10.conf", "[member Charlie]\nnonsense\n")	# which is only Charlie's business
	done = host.run("add", "Bravo")
	assert done.returncode == OK and "10.conf:2" in done.stderr


def test_a_file_without_a_member(host):
	host.drop_in("member-Bravo.conf", "# nothing yet\n")
	assert "has no [member Bravo]" in host.fails(NO, "add", "Bravo")
	assert host.text("Bravo") == "# nothing yet\n"


def test_too_many(host):
	for i in range(1024):
		host.drop_in("member-M%04d.conf" % i, "[member M%04d]\n" % i)
	assert "too many" in host.fails(NO, "add", "N")
	assert "too many" in host.fails(NO, "add", "A")	# which would be read before the others
	assert host.asked() == []


# --- systemd does not do it ---------------------------------------------------------------

@pytest.mark.parametrize("fail, asked", [
	("daemon-reload", ["daemon-reload", "daemon-reload"]),
	("start", ["daemon-reload", "start herd@Bravo.service", STOP, "daemon-reload"]),
])
def test_a_member_that_does_not_start_is_taken_back(host, fail, asked):
	said = host.fails(FAILED, "add", "Bravo", env={"FAKE_FAIL": fail})
	assert "'systemctl %s' failed: Job for " % fail in said and "See 'journalctl -x'." in said
	assert said.endswith("; nothing was changed\n") and said.count("\n") == 1
	assert [words for words, _ in host.asked()] == asked
	assert host.files() == []


def test_one_that_was_there_stays(host):
	host.ok("add", "Bravo", "--offline")
	assert "the settings are as they were" in host.fails(FAILED, "add", "Bravo", env={"FAKE_FAIL": "start"})
	assert host.files() == ["member-Bravo.conf"]
	assert [words for words, _ in host.asked()] == ["daemon-reload", "start herd@Bravo.service"]


def test_one_that_does_not_stop_stays(host):
	host.ok("add", "Bravo", "--offline")
	assert "'systemctl stop' failed" in host.fails(FAILED, "remove", "Bravo", env={"FAKE_FAIL": "stop"})
	assert host.files() == ["member-Bravo.conf"]
	said = host.fails(FAILED, "remove", "Bravo", env={"FAKE_FAIL": "daemon-reload"})
	assert "its settings are removed" in said and host.files() == []
	assert host.ok("remove", "Bravo")["changed"] is False	# and once more makes it right


def test_no_start_and_offline(host):
	assert host.ok("add", "Bravo", "--no-start")["started"] is False
	assert [words for words, _ in host.asked()] == ["daemon-reload"]
	assert host.ok("add", "Charlie", "--offline")["started"] is False
	assert host.ok("remove", "Bravo", "--offline")["changed"] is True
	assert host.asked() == [] and host.files() == ["member-Charlie.conf"]


def test_no_systemctl(host):
	os.unlink(os.path.join(host.bin, "systemctl"))
	env = {"PATH": host.bin}
	said = host.fails(FAILED, "add", "Bravo", env=env)
	assert "There is no systemctl here" in said and "--offline" in said and host.files() == []
	assert host.ok("add", "Bravo", "--offline", env=env)["changed"] is True
	assert "nothing was changed" in host.fails(FAILED, "remove", "Bravo", env=env)
	assert host.files() == ["member-Bravo.conf"]


def test_a_child_of_systemctl_keeps_nobody_waiting(host):
	host.ok("add", "Bravo", env={"FAKE_CHILD": "start"})
	with open(host.log + ".child", encoding="ascii") as file:
		os.kill(int(file.read()), signal.SIGKILL)


def test_nor_does_one_that_talks_without_an_end(host):
	host.ok("add", "Bravo", env={"FAKE_CHATTER": "start"})	# it ends with the pipe, by SIGPIPE


def test_started_with_sigchld_ignored(host):
	"""As some daemons start what they run: how systemctl ended has to be known all the same."""
	got = host.ok("add", "Bravo", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
	assert got["started"] is True


def test_interrupted(host):
	"""What it leaves is a member that the next one finds."""
	process = subprocess.Popen([harness.program("herdctl"), "--config", host.config, "add", "Bravo"],
		env=dict(host.env, FAKE_HANG="start"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
		start_new_session=True)
	until(lambda: os.path.exists(host.log) and "start" in open(host.log, encoding="ascii").read(), "systemctl start runs")
	os.killpg(process.pid, signal.SIGINT)
	assert process.wait(LIMIT) != 0
	got = host.ok("add", "Bravo")
	assert got["started"] and got["changed"] is False


def test_somebody_else_changes_members(host):
	os.mkdir(host.drop_ins)
	folder = os.open(host.drop_ins, os.O_RDONLY)
	try:
		fcntl.flock(folder, fcntl.LOCK_EX)
		assert "Another herdctl" in host.fails(FAILED, "add", "Bravo")
	finally:
		os.close(folder)
	host.ok("add", "Bravo")


# --- the file ------------------------------------------------------------------------------

def test_what_umask_there_is(host):
	host.run("add", "Bravo", preexec_fn=lambda: os.umask(0o077))
	assert stat.S_IMODE(os.stat(host.file("Bravo")).st_mode) == 0o644
	assert stat.S_IMODE(os.stat(host.drop_ins).st_mode) == 0o755


def test_without_the_right_to_write(host):
	"""As nobody; whoever runs this and is not root has no right to a folder that is closed."""
	nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
	for folder in (host.folder, os.path.dirname(host.folder), os.path.dirname(os.path.dirname(host.folder))):
		os.chmod(folder, 0o755 if nobody else 0o700)
	if not nobody:
		os.chmod(host.folder, 0o555)
	assert "needs the rights of root" in host.fails(FAILED, "add", "Bravo", **nobody)
	os.chmod(host.folder, 0o755)
	host.ok("add", "Bravo", "--offline")
	if not nobody:
		os.chmod(host.drop_ins, 0o555)
	assert "needs the rights of root" in host.fails(FAILED, "remove", "Bravo", **nobody)
	assert "needs the rights of root" in host.fails(FAILED, "add", "Charlie", **nobody)
	os.chmod(host.drop_ins, 0o755)
	assert host.files() == ["member-Bravo.conf"] and host.asked() == []


def test_what_was_left_behind(host):
	host.drop_in(".herdctl-add", "half a fi")
	assert host.ok("add", "Bravo")["changed"] is True
	assert host.files() == ["member-Bravo.conf"]
	os.unlink(host.file("Bravo"))
	os.mkdir(host.file("Bravo"))
	said = host.fails(FAILED, "remove", "Bravo")
	assert "Is a directory" in said
