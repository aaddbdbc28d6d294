"""./quickstart as a user runs it, on a build that is there already."""

import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from harness import BUILD, LIMIT, Client, fresh, until

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
QUICKSTART = os.path.join(TOP, "quickstart")
MEMBERS = ["Alpha", "Bravo", "Charlie", "Delta", "Echo"]
LONG = 300	# it may have to build


def start(*words, build=BUILD, **options):
	return subprocess.Popen([QUICKSTART] + list(words), env=dict(os.environ, HERD_BUILD=str(build)), cwd="/",
		stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, **options)


def children(pid):
	"""Programs of a herd that this process started: pid by name."""
	found = {}
	with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
		pids = file.read().split()
	for child in pids:
		try:
			with open("/proc/%s/cmdline" % child, "rb") as file:
				words = file.read().decode().split("\0")
		except OSError:
			continue
		if os.path.basename(words[0]) == "herd-member":
			found[words[words.index("--name") + 1]] = int(child)
		elif os.path.basename(words[0]) == "herd-flood":
			found["flood"] = int(child)
	return found


def running_state(pid):
	"""The letter /proc has for it; a dead one may stay a Z for ever where nobody reaps orphans."""
	try:
		with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
			return file.read().rsplit(")", 1)[1].split()[0]
	except OSError:
		return ""


class Running:
	"""A quickstart that is up."""

	def __init__(self, *words, build=BUILD):
		self.process = start(*words, build=build, stdin=subprocess.DEVNULL)
		os.set_blocking(self.process.stdout.fileno(), False)
		self.output = ""
		self.pids, self.segment = {}, ""

	def up(self):
		self.wait_for("Logs are in", LONG)
		self.pids = children(self.process.pid)
		self.ports = {name: int(port) for name, port in re.findall(r"(Alpha|Echo) \(127\.0\.0\.1 port (\d+)\)", self.output)}
		self.conf = re.search(r"--config (\S+)", self.output).group(1)
		self.conf = os.path.join(TOP, self.conf)
		with open(self.conf, encoding="utf-8") as file:
			settings = file.read()
		self.segment = "/dev/shm" + re.search(r"shm = (\S+)", settings).group(1)
		self.control = re.search(r"control-dir = (\S+)", settings).group(1)
		return self

	def wait_for(self, text, limit=LIMIT):
		def there():
			try:
				self.output += os.read(self.process.stdout.fileno(), 1 << 16).decode()
			except BlockingIOError:
				pass
			assert text in self.output or self.process.poll() is None, self.output
			return text in self.output
		until(there, "%r in: %s" % (text, self.output), limit)

	def alive(self):
		return [name for name, pid in self.pids.items() if running_state(pid) not in ("", "Z")]

	def end(self):
		"""Nothing is left behind even when a test fails."""
		if self.process.poll() is None:
			self.process.terminate()
			self.process.wait(LIMIT)
		self.process.stdout.close()
		until(lambda: not self.alive(), "its programs are gone")
		if self.segment and os.path.exists(self.segment):
			os.unlink(self.segment)


@pytest.fixture
def running():
	started = []

	def run(*words, **options):
		started.append(Running(*words, **options))
		return started[-1].up()
	yield run
	for one in started:
		one.end()


def test_once():
	"""Shows both commands and replies, stops everything, and says so with 0."""
	process = start("--once", preexec_fn=lambda: os.close(0))	# without any stdin
	output = process.communicate(timeout=LONG)[0]
	assert process.returncode == 0, output
	told = re.search(r"^ +(IAMAT kiwi\.cs\.ucla\.edu \+34\.068930-118\.445127 \d+\.\d{9})\n +(AT Alpha [+-]\d+\.\d{9} (\S+ \S+ \S+))$",
		output, re.MULTILINE)
	assert told and told.group(1) == "IAMAT " + told.group(3), output
	asked = re.search(r"^ +WHATSAT kiwi\.cs\.ucla\.edu 10 5\n +(AT .*)\n(( .*\n)+)", output, re.MULTILINE)
	assert asked and asked.group(1) == told.group(2), output
	answer = json.loads(asked.group(2))
	assert answer["status"] == "OK" and len(answer["results"]) == 5
	assert not [name for name in os.listdir("/dev/shm") if name.endswith("-p%d" % process.pid)]
	assert not os.path.exists(os.path.join(BUILD, "run-p%d" % process.pid))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_runs_until_it_is_told_to_stop(running, number):
	herd = running("--base-port", "0")
	assert sorted(herd.pids) == sorted(MEMBERS + ["flood"])
	assert os.path.exists(herd.segment)
	id = fresh()
	with Client(("127.0.0.1", herd.ports["Alpha"])) as alpha, Client(("127.0.0.1", herd.ports["Echo"])) as echo:
		assert echo.held(id) is None
		assert echo.held(b"kiwi.cs.ucla.edu") is not None
		line = alpha.iamat(id).line
		assert echo.held(id) == line
	herd.process.send_signal(number)
	assert herd.process.wait(LIMIT) == 0
	assert herd.alive() == []
	assert not os.path.exists(herd.segment)


@pytest.mark.parametrize("folder", ["b", "x" * 90])
def test_its_programs_can_be_asked(running, tmp_path, folder):
	"""From wherever it was built, though the path of a socket is short."""
	os.symlink(os.path.realpath(BUILD), tmp_path / folder)
	herd = running("--base-port", "0", build=tmp_path / folder)
	done = subprocess.run([os.path.join(BUILD, "herdctl"), "--config", herd.conf, "--json", "doctor"], stdin=subprocess.DEVNULL,
		stdout=subprocess.PIPE, timeout=LIMIT, check=False)
	assert not [one for one in json.loads(done.stdout)["findings"] if "does not answer" in one["finding"]], done
	herd.process.send_signal(signal.SIGTERM)
	assert herd.process.wait(LIMIT) == 0 and not os.path.exists(herd.control)


def test_a_dead_member_is_named_and_the_others_go_on(running):
	herd = running("--base-port=0")
	os.kill(herd.pids["Charlie"], signal.SIGKILL)
	herd.wait_for("4 of 5 members go on")
	assert "Charlie (pid %d) was killed by signal 9" % herd.pids["Charlie"] in herd.output
	with Client(("127.0.0.1", herd.ports["Echo"])) as echo:
		assert echo.held(b"kiwi.cs.ucla.edu") is not None
	for name in set(herd.pids) - {"Charlie"}:
		os.kill(herd.pids[name], signal.SIGKILL)
	herd.wait_for("no member is left")
	assert herd.process.wait(LIMIT) == 1
	assert not os.path.exists(herd.segment)


def test_killed_itself_it_leaves_no_process(running):
	herd = running("--base-port", "0")
	herd.process.kill()
	herd.process.wait(LIMIT)
	until(lambda: herd.alive() == [], "the kernel stops its children")


def test_two_at_once(running):
	one, two = running("--base-port", "0"), running("--base-port", "0")
	assert one.segment != two.segment
	id = fresh()
	with Client(("127.0.0.1", one.ports["Alpha"])) as a, Client(("127.0.0.1", two.ports["Alpha"])) as b:
		a.iamat(id)
		assert a.held(id) is not None and b.held(id) is None
	one.process.terminate()
	assert one.process.wait(LIMIT) == 0
	with Client(("127.0.0.1", two.ports["Echo"])) as echo:
		assert echo.held(b"kiwi.cs.ucla.edu") is not None


def test_a_busy_port_is_said_clearly():
	with socket.socket() as taken:
		taken.bind(("127.0.0.1", 0))
		taken.listen()
		port = taken.getsockname()[1]
		process = start("--base-port", str(min(port, 65531)), stdin=subprocess.DEVNULL)
		output = process.communicate(timeout=LONG)[0]
	assert process.returncode == 1
	assert "port %d" % port in output and "--base-port" in output
	assert not [name for name in os.listdir("/dev/shm") if name.endswith("-%d" % port)]


@pytest.mark.parametrize("words", [["--nonsense"], ["once"], ["--base-port"], ["--base-port", "x"], ["--base-port", "65532"],
	["--base-port=-1"]], ids=repr)
def test_wrong_arguments(words):
	process = start(*words, stdin=subprocess.DEVNULL)
	output = process.communicate(timeout=LIMIT)[0]
	assert process.returncode in (1, 2) and output.strip()


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["test", "--help"]], ids=repr)
def test_help(words):
	process = start(*words, stdin=subprocess.DEVNULL)
	output = process.communicate(timeout=LIMIT)[0]
	assert process.returncode == 0 and "./quickstart test" in output


def test_the_second_run_is_quick():
	"""Nothing is installed or built twice."""
	start("--once", stdin=subprocess.DEVNULL).communicate(timeout=LONG)
	started = time.monotonic()
	process = start("--once", stdin=subprocess.DEVNULL)
	output = process.communicate(timeout=LONG)[0]
	assert process.returncode == 0, output
	assert time.monotonic() - started < 60
	assert "Installing" not in output and "Configuring" not in output
