"""herdctl as an operator and as a script meets it."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
from harness import LIMIT, until

OK, NO, FAILED, NO_HERD, USAGE, CONFIG = 0, 1, 2, 3, 64, 78
COMMANDS = ["status", "members", "fixes", "watch", "top", "iamat", "whatsat", "bench", "places query", "places import", "config", "reload",
	"add", "remove"]
UCLA = "+34.068930-118.445127"
HOSTILE = [b"esc-\x1b[31m\x07", b"back\\slash", b"quo\"te'", b"bad\xff\xfeutf", b"caf\xc3\xa9", b"c1-\xc2\x9b2J",
	b"\xe2\x80\xaebidi", b"-dash", b"--json", b"\x01\x7f", b"x" * 255]


# --- running it -------------------------------------------------------------

def environment(**more):
	env = {k: v for k, v in os.environ.items() if k not in ("LC_ALL", "LC_CTYPE", "LANG", "NO_COLOR", "TERM")}
	return dict(env, LC_ALL="C.UTF-8", TERM="xterm", **more)


def run(*words, env=None, **options):
	options.setdefault("stdin", subprocess.DEVNULL)
	done = subprocess.run([harness.program("herdctl")] + list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
		timeout=LIMIT, check=False, env=env or environment(), **options)
	assert not harness.REPORT.search(done.stderr.decode("utf-8", "replace")), done.stderr
	return done


def ask(herd, *words, status=OK):
	"""Standard output of herdctl at a herd of the harness."""
	done = run("--config", herd.config, "--shm", herd.shm, *words)
	assert done.returncode == status, done
	return done.stdout.decode()


def on_terminal(*words, env=None, stream="stdout"):
	"""What a terminal gets to see, and the exit status."""
	master, slave = pty.openpty()
	streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: slave}
	process = subprocess.Popen([harness.program("herdctl")] + list(words), stdin=subprocess.DEVNULL,
		env=env or environment(), **streams)
	os.close(slave)
	seen = b""
	try:
		while True:
			assert select.select([master], [], [], LIMIT)[0]
			try:
				data = os.read(master, 1 << 16)
			except OSError:	# EIO: the other end is closed
				break
			if not data:
				break
			seen += data
		return seen, process.wait(LIMIT)
	finally:
		process.kill()
		process.wait()
		os.close(master)


def test_progress_of_an_import(tmp_path):
	"""For who waits at a terminal; a program that asks for JSON gets none there, either."""
	rows = tmp_path / "rows.csv"
	rows.write_text("name,latitude,longitude\n" + "".join("Place %d,10.1,20.1\n" % n for n in range(200000)))
	words = ["places", "import", "--output", str(tmp_path / "out.places"), str(rows)]
	seen, status = on_terminal(*words, stream="stderr")
	assert status == 0 and re.match(rb"(\[[#-]{24}\] +[0-9]+ %  [0-9]+ rows\x1b\[K\r)+\r\x1b\[K$", seen), seen
	assert on_terminal("--json", *words, stream="stderr") == (b"", 0)


class Fill:
	"""A process in the table: table-fill, alive as long as we want."""

	def __init__(self, shm, *words):
		self.popen = subprocess.Popen([harness.program("test/tools/table-fill"), "--shm", shm, "--hold"] + list(words),
			stdin=subprocess.PIPE, stdout=subprocess.PIPE)
		self.ready()

	def ready(self):
		assert select.select([self.popen.stdout], [], [], LIMIT)[0]
		assert self.popen.stdout.readline() == b"ready\n"

	def again(self):
		"""All fixes anew."""
		self.popen.stdin.write(b"\n")
		self.popen.stdin.flush()
		self.ready()

	def stop(self):
		self.popen.stdin.close()
		assert self.popen.wait(LIMIT) == 0
		self.popen.stdout.close()

	def kill(self):
		self.popen.kill()
		self.popen.wait()
		self.popen.stdin.close()
		self.popen.stdout.close()


class Table:
	"""A table that only test tools write."""

	def __init__(self, folder):
		self.shm = "/herd-test-%d-%d" % (os.getpid(), next(harness.numbers))
		self.config = os.path.join(folder, "empty.conf")
		with open(self.config, "w", encoding="utf-8"):
			pass
		self.fills = []

	def fill(self, *words):
		self.fills.append(Fill(self.shm, *words))
		return self.fills[-1]

	def options(self):
		return ["--config", self.config, "--shm", self.shm]

	def run(self, *words, **options):
		return run(*self.options(), *words, **options)

	def lines(self, *words):
		"""JSON lines, parsed."""
		done = self.run("--json", *words)
		assert done.returncode == OK, done
		return [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]

	def remove(self):
		for fill in self.fills:
			if fill.popen.poll() is None:
				fill.kill()
		if os.path.lexists("/dev/shm" + self.shm):
			os.unlink("/dev/shm" + self.shm)


@pytest.fixture
def table(tmp_path):
	table = Table(str(tmp_path))
	yield table
	table.remove()


class Answerer:
	"""Something that listens like a member and answers what it is told to; None: nothing."""

	def __init__(self, reply):
		self.reply = reply
		self.heard = []
		self.listener = socket.create_server(("127.0.0.1", 0))
		self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
		self.held = []
		self.thread = threading.Thread(target=self.serve, daemon=True)
		self.thread.start()

	def serve(self):
		while True:
			try:
				connection, _ = self.listener.accept()
			except OSError:
				return
			self.heard.append(connection.recv(1 << 16))
			if self.reply is None:
				self.held.append(connection)
				continue
			connection.sendall(self.reply)
			connection.close()

	def __enter__(self):
		return self

	def __exit__(self, *exception):
		self.listener.shutdown(socket.SHUT_RDWR)
		self.listener.close()
		self.thread.join(LIMIT)
		for connection in self.held:
			connection.close()


# --- the command line -------------------------------------------------------

def test_help_and_version(tmp_path):
	everything = run("--help")
	assert everything.returncode == OK and not everything.stderr
	for command in COMMANDS:
		assert b"\n  " + command.encode() + b"  " in everything.stdout
		one = run(*command.split(), "--help")
		assert one.returncode == OK and one.stdout.startswith(b"Usage: herdctl " + command.encode()), one
		assert run("help", *command.split()).stdout == one.stdout
	assert run("help").stdout == everything.stdout
	assert re.fullmatch(rb"herdctl \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("words, says", [
	([], b"--help"),
	(["statsu"], b"'status'"),
	(["places"], b"--help"),
	(["places", "imprt", "x"], b"'places import'"),
	(["frobnicate\x1b[31m"], b"frobnicate\\x1b"),
	(["status", "extra"], b"extra"),
	(["fixes", "a", "b"], b"'fixes' takes"),
	(["fixes", "--limit", "many"], b"--limit: 'many'"),
	(["fixes", "--limit"], b"argument is missing"),
	(["fixes", "--bogus"], b"--bogus"),
	(["--bogus", "fixes"], b"--bogus"),
	(["watch", "--interval", "1ms"], b"--interval: 1ms is out of range"),
	(["iamat", "kiwi"], b"'iamat' takes"),
	(["iamat", "ki wi", UCLA], b"no id"),
	(["iamat", "kiwi", "34.06-118.44"], b"no location"),
	(["iamat", "kiwi", UCLA, "-1"], b"no time"),
	(["whatsat", "kiwi", "51", "5"], b"no radius"),
	(["whatsat", "kiwi", "10", "21"], b"no bound"),
	(["whatsat", "kiwi", "10", "5", "--to", "Alpha"], b"no address"),
	(["whatsat", "kiwi", "10", "5", "--to", "127.0.0.1:1", "--member", "Alpha"], b"exclude"),
	(["whatsat", "kiwi", "10", "5", "--timeout", "0"], b"--timeout"),
	(["places", "query", "91", "0", "1", "1"], b"Where"),
	(["places", "query", "0", "1e1", "1", "1"], b"Where"),
	(["places", "query", UCLA, "1", "1", "--rank", "best"], b"--rank"),
	(["places", "import", "--format", "xml", "x"], b"--format"),
])
def test_usage_errors(table, words, says):
	done = table.run(*words)
	assert done.returncode == USAGE and not done.stdout, done
	assert says in done.stderr, done
	assert b"\x1b" not in done.stderr


def test_options_stand_anywhere(table):
	table.fill("--count", "3")
	for words in (["--json", "fixes", "client-1"], ["fixes", "--json", "client-1"], ["fixes", "client-1", "--json"]):
		done = table.run(*words)
		assert done.returncode == OK and json.loads(done.stdout)["id"] == "client-1", done
	after = run("fixes", "--count", "--shm=" + table.shm, "--config", table.config)
	assert after.stdout == b"3\n"


def test_bad_settings(tmp_path):
	conf = tmp_path / "herd.conf"
	conf.write_text("[herd]\nfix-ttl = 7d\nfix-tll = soon\n")
	for words in (["status"], ["config"], ["--check-config"]):
		done = run("--config", str(conf), *words)
		assert done.returncode == CONFIG and b"herd.conf:3" in done.stderr, done
	conf.write_text("[herd]\nfix-ttl = 7d\n")
	assert run("--config", str(conf), "--check-config").returncode == OK


def test_no_herd(table):
	for words in (["status"], ["members"], ["fixes"], ["watch"], ["iamat", "kiwi", UCLA]):
		done = table.run(*words)
		assert done.returncode == NO_HERD and not done.stdout, done
		assert b"herd-member" in done.stderr and table.shm.encode() in done.stderr


def test_foreign_segment(table):
	with open("/dev/shm" + table.shm, "wb") as file:
		os.fchmod(file.fileno(), 0o600)
		file.write(os.urandom(1 << 20))
	done = table.run("status")
	assert done.returncode == FAILED and b"no fix table" in done.stderr, done


# --- status, members --------------------------------------------------------

def test_status_healthy(shared):
	assert ask(shared, "status", status=OK).startswith("state  healthy\n")
	status = json.loads(ask(shared, "status", "--json"))
	assert status["state"] == "healthy" and status["problems"] == []
	assert status["members"] == {"alive": 3, "dead": 0} and status["helper"]["alive"] is True
	assert status["table"]["name"] == shared.shm
	assert status["table"]["size"] == os.stat(shared.segment).st_size
	assert status["table"]["capacity"] == 65536


def test_status_degraded(table):
	member = table.fill("--role", "member", "--name", "Alpha", "--count", "7")
	done = table.run("status")
	assert done.returncode == NO and b"degraded" in done.stdout and b"MISSING" in done.stdout, done
	helper = table.fill("--role", "helper", "--name", "flood")
	healthy = table.run("status", "--json")
	assert healthy.returncode == OK, healthy
	assert json.loads(healthy.stdout)["table"]["clients"] == 7
	assert json.loads(healthy.stdout)["counters"]["stored"] == 7
	member.kill()
	done = table.run("status", "--json")
	status = json.loads(done.stdout)
	assert done.returncode == NO and status["members"] == {"alive": 0, "dead": 1}, done
	assert len(status["problems"]) == 1 and "no member" in status["problems"][0]
	helper.kill()
	assert len(json.loads(table.run("status", "--json").stdout)["problems"]) == 2


def test_status_full(table):
	table.fill("--role", "member", "--name", "Alpha", "--clients", "64", "--long-clients", "64", "--count", "200")
	table.fill("--role", "helper", "--name", "flood")
	done = table.run("status", "--json")
	status = json.loads(done.stdout)
	assert done.returncode == NO and "table-clients" in status["problems"][0], status
	assert status["table"]["clients"] >= status["table"]["capacity"] == 64
	assert status["table"]["evicted"] > 0


def test_members(table):
	alpha = table.fill("--role", "member", "--name", "Alpha", "--listen", "127.0.0.1:1", "--count", "2")
	assert [m["name"] for m in json.loads(table.run("members", "--json").stdout)["members"]] == ["Alpha"]
	bravo = table.fill("--role", "member", "--name", "Bravo", "--listen", "unix:/x")
	members = json.loads(table.run("members", "--json").stdout)["members"]
	assert [(m["name"], m["role"], m["alive"], m["pid"], m["listens_on"], m["commands"]) for m in members] == [
		("Alpha", "member", True, alpha.popen.pid, "127.0.0.1:1", 2),
		("Bravo", "member", True, bravo.popen.pid, "unix:/x", 0)]
	alpha.kill()
	members = json.loads(table.run("members", "--json").stdout)["members"]
	assert [(m["name"], m["alive"]) for m in members] == [("Alpha", False), ("Bravo", True)]
	text = table.run("members").stdout.decode()
	assert re.search(r"^Alpha +member +dead ", text, re.M) and re.search(r"^Bravo +member +alive ", text, re.M)
	again = table.fill("--role", "member", "--name", "Alpha")
	members = json.loads(table.run("members", "--json").stdout)["members"]
	assert [(m["name"], m["pid"]) for m in members] == [("Bravo", bravo.popen.pid), ("Alpha", again.popen.pid)]
	bravo.kill()
	again.kill()
	assert table.run("members").returncode == NO


# --- fixes ------------------------------------------------------------------

def test_fixes_values(table):
	table.fill("--name", "Alpha", "--location", UCLA, "--age", "90", "kiwi")
	before = time.time()
	fix, = table.lines("fixes")
	assert set(fix) == {"id", "location", "time", "age", "server", "skew", "received", "latitude", "longitude"}
	assert (fix["id"], fix["location"], fix["server"]) == ("kiwi", UCLA, "Alpha")
	assert (fix["latitude"], fix["longitude"], fix["skew"]) == (34.06893, -118.445127, "+0.000000000")
	assert abs(before - 90 - float(fix["time"])) < LIMIT and 90 <= fix["age"] < 90 + LIMIT
	assert fix["received"].endswith("." + fix["time"].split(".")[1] + "Z")
	heading, row = table.run("fixes").stdout.decode().splitlines()
	assert heading.split() == ["ID", "LOCATION", "TIME", "AGE", "SERVER"]
	assert row.split()[:3] == ["kiwi", UCLA, fix["time"]] and row.split()[-1] == "Alpha"


def test_fixes_selection(table):
	table.fill("--count", "300")
	assert len(table.lines("fixes")) == 300
	assert {f["id"] for f in table.lines("fixes", "client-2?")} == {"client-2%d" % i for i in range(10)}
	assert {f["id"] for f in table.lines("fixes", "client-[12]")} == {"client-1", "client-2"}
	assert [f["id"] for f in table.lines("fixes", "client-299")] == ["client-299"]
	assert len(table.lines("fixes", "--limit", "7")) == 7
	assert table.run("fixes", "--limit", "0").stdout == b""
	assert table.run("fixes", "--count").stdout == b"300\n"
	assert table.run("fixes", "--count", "*7").stdout == b"30\n"
	assert json.loads(table.run("fixes", "--count", "--json", "*7").stdout) == {"count": 30}
	for pattern in ("nobody", "nobody*", "x" * 300):
		none = table.run("fixes", pattern)
		assert none.returncode == NO and not none.stdout and not none.stderr
	assert table.run("fixes", "--count", "nobody").stdout == b"0\n"


def test_fixes_expire(table):
	table.fill("--age", "100", "old")
	table.fill("new")
	assert [f["id"] for f in table.lines("fixes", "--set", "fix-ttl=50s")] == ["new"]
	assert len(table.lines("fixes", "--set", "fix-ttl=0")) == 2


def test_hostile_ids(table):
	table.fill("--", *HOSTILE)
	fixes = table.lines("fixes")
	have = sorted(bytes.fromhex(f["id_hex"]) if "id_hex" in f else f["id"].encode() for f in fixes)
	assert have == sorted(HOSTILE)
	raw = table.run("fixes", "--json").stdout
	assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae", raw)

	text = table.run("fixes").stdout.decode()
	shown = [line.split("  ")[0] for line in text.splitlines()[1:]]
	assert sorted(shown) == sorted(["esc-\\x1b[31m\\x07", "back\\\\slash", "quo\"te'", "bad\\xff\\xfeutf", "café",
		"c1-\\xc2\\x9b2J", "\\xe2\\x80\\xaebidi", "-dash", "--json", "\\x01\\x7f", "x" * 255])
	ascii_only = table.run("fixes", env=environment(LC_CTYPE="C") | {"LC_ALL": "C"}).stdout
	assert b"caf\\xc3\\xa9 " in ascii_only and max(ascii_only) < 0x80

	for wanted in HOSTILE:
		done = table.run("fixes", "--count", "--", re.sub(rb"[\\\[*?]", rb"\\\g<0>", wanted))
		assert done.stdout == b"1\n", (wanted, done)
	seen, status = on_terminal(*table.options(), "fixes", env=environment(NO_COLOR="1"))
	assert status == OK and not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]", seen), seen


@pytest.mark.parametrize("form", [["--json"], []])
def test_fixes_stream_in_bounded_memory(table, form):
	table.fill("--clients", "100000", "--count", "100000").stop()
	process = subprocess.Popen([harness.program("herdctl")] + table.options() + form + ["fixes"],
		stdout=subprocess.PIPE, env=environment(ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"))

	def anonymous_kb():
		with open("/proc/%d/status" % process.pid, encoding="ascii") as file:
			return int(re.search(r"RssAnon:\s*(\d+)", file.read()).group(1))

	with process:
		lines, early = 0, None
		for line in process.stdout:
			lines += 1
			if lines == 10000:	# it is far ahead of us only by what the pipe holds
				early = anonymous_kb()
			if lines == 90000:
				assert anonymous_kb() < early + 2048
	assert process.returncode == OK and lines == 100000 + (not form)


# --- output -----------------------------------------------------------------

def test_reader_leaves(table):
	table.fill("--count", "20000")
	for words in (["fixes"], ["fixes", "--json"]):
		process = subprocess.Popen([harness.program("herdctl")] + table.options() + words,
			stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
		with process:
			assert process.stdout.readline()
			process.stdout.close()
			assert process.stderr.read() == b""
		assert process.returncode == OK
	read, write = os.pipe()
	os.close(read)
	for words, status in ((["--help"], OK), (["status"], NO), (["fixes", "nobody"], NO)):
		done = subprocess.run([harness.program("herdctl")] + table.options() + words, stdout=write,
			stderr=subprocess.PIPE, timeout=LIMIT, check=False, env=environment())
		assert (done.returncode, done.stderr) == (status, b""), (words, done)
	os.close(write)


def test_output_cannot_be_written(table):
	table.fill("--count", "2000")
	for words in (["fixes"], ["fixes", "--json"], ["status"], ["config"]):
		with open("/dev/full", "wb") as full:
			done = subprocess.run([harness.program("herdctl")] + table.options() + words, stdout=full,
				stderr=subprocess.PIPE, timeout=LIMIT, check=False, env=environment())
		assert done.returncode == FAILED and done.stderr.count(b"No space left") == 1, done
	done = subprocess.run([harness.program("herdctl")] + table.options() + ["status"], stderr=subprocess.PIPE,
		timeout=LIMIT, check=False, env=environment(), preexec_fn=lambda: os.close(1))
	assert done.returncode == FAILED and b"Cannot write" in done.stderr, done


def test_colour_on_terminals_only(table):
	table.fill("--count", "2")
	words = table.options() + ["status"]
	assert b"\x1b[" in on_terminal(*words)[0]
	assert on_terminal(*words)[1] == NO
	assert b"\x1b[" not in on_terminal(*words, "--no-color")[0]
	assert b"\x1b[" not in on_terminal(*words, env=environment(NO_COLOR="1"))[0]
	assert b"\x1b[" in on_terminal(*words, env=environment(NO_COLOR=""))[0]
	assert b"\x1b[" not in on_terminal(*words, env=environment() | {"TERM": "dumb"})[0]
	assert b"\x1b[" not in on_terminal(*words, "--json")[0]
	assert b"\x1b[" not in table.run("status").stdout


# --- watch ------------------------------------------------------------------

class Watch:
	def __init__(self, table, *words):
		self.popen = subprocess.Popen([harness.program("herdctl")] + table.options() + ["--json", "watch",
			"--interval", "10ms"] + list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())

	def first(self, change):
		"""Makes changes until one is seen: before, it may not have looked yet."""
		def seen():
			change()
			return select.select([self.popen.stdout], [], [], 0.05)[0]
		until(seen, "a change that is watched")
		return self.next()

	def next(self):
		assert select.select([self.popen.stdout], [], [], LIMIT)[0]
		return json.loads(self.popen.stdout.readline())

	def end(self, status=OK):
		assert self.popen.wait(LIMIT) == status, self.popen.stderr.read()
		self.popen.stdout.close()
		self.popen.stderr.close()


def test_watch(table):
	table.fill("--count", "1000")
	kiwi = table.fill("--location", UCLA, "kiwi")
	watch = Watch(table)
	fix = watch.first(kiwi.again)
	assert (fix["id"], fix["location"]) == ("kiwi", UCLA) and "seen" in fix
	watch.popen.send_signal(signal.SIGINT)
	watch.end()


def test_watch_pattern_and_count(table):
	others = table.fill("--count", "50")
	kiwi = table.fill("kiwi", "kiwano")
	watch = Watch(table, "--count", "3", "kiw?")

	def change():
		others.again()
		kiwi.again()

	seen = [watch.first(change)["id"]]
	while watch.popen.poll() is None and len(seen) < 3:
		seen.append(watch.first(change)["id"])
	assert seen == ["kiwi"] * 3
	watch.end()
	new = Watch(table, "--count", "1", "fig")
	fig = []
	assert new.first(lambda: (fig and fig.pop().stop(), fig.append(table.fill("fig"))))["id"] == "fig"
	new.end()


def test_watch_ends_with_its_reader(table):
	table.fill("kiwi")
	watch = Watch(table)
	watch.popen.stdout.close()
	assert watch.popen.wait(LIMIT) == OK
	assert watch.popen.stderr.read() == b""
	watch.popen.stderr.close()


def test_watch_follows_the_table(table):
	kiwi = table.fill("kiwi")
	watch = Watch(table)
	assert watch.first(kiwi.again)["id"] == "kiwi"
	os.unlink("/dev/shm" + table.shm)
	assert b"gone" in watch.popen.stderr.readline()
	kiwi = table.fill("kiwi")
	assert b"back" in watch.popen.stderr.readline()
	assert watch.first(kiwi.again)["id"] == "kiwi"
	watch.popen.terminate()
	watch.end()


def test_watch_for_people(table):
	kiwi = table.fill("kiwi")
	stop = threading.Event()

	def change():
		while not stop.wait(0.02):
			kiwi.again()

	thread = threading.Thread(target=change)
	thread.start()
	try:
		seen, status = on_terminal(*table.options(), "watch", "--interval", "10ms", "--count", "2")
	finally:
		stop.set()
		thread.join()
	assert status == OK and len(re.findall(rb"\d\d:\d\d:\d\d\.\d{3}\x1b\[0m  \x1b\[1mkiwi\x1b\[0m", seen)) == 2, seen


# --- iamat, whatsat ---------------------------------------------------------

def test_iamat_and_whatsat(shared, bravo):
	name = harness.fresh().decode()
	at = "1621464827.959498503"
	reply = ask(shared, "iamat", name, UCLA, at)
	assert re.fullmatch(r"AT Alpha \+\d+\.\d{9} %s %s %s\n" % (name, re.escape(UCLA), at), reply)
	there = ask(shared, "whatsat", "--member", "Bravo", name, "10", "5")
	line, places = there.split("\n", 1)
	assert line + "\n" == reply and len(json.loads(places)["results"]) == 5
	assert there.count("\n") == 2

	answer = json.loads(ask(shared, "--json", "whatsat", name, "10", "5", "--to", "127.0.0.1:%d" % bravo.tcp[0][1]))
	assert answer["accepted"] is True and answer["asked"].startswith("127.0.0.1:")
	assert answer["fix"]["id"] == name and answer["fix"]["time"] == at and answer["fix"]["server"] == "Alpha"
	assert answer["places"] == json.loads(places)
	assert ask(shared, "whatsat", name, "10", "5", "--to", "unix:" + bravo.unix[0]) == there


def test_iamat_now(shared):
	name = harness.fresh().decode()
	before = time.time_ns()
	fix = json.loads(ask(shared, "iamat", "--json", name, UCLA))["fix"]
	assert before <= harness.time_ns(fix["time"].encode()) <= time.time_ns()


def test_refused(shared):
	unknown = harness.fresh().decode()
	assert ask(shared, "whatsat", unknown, "10", "5", status=NO) == "? WHATSAT %s 10 5\n" % unknown
	answer = json.loads(ask(shared, "whatsat", unknown, "10", "5", "--json", status=NO))
	assert answer["accepted"] is False and answer["refused"] == "WHATSAT %s 10 5" % unknown


def test_hostile_id_at_a_member(shared, alpha):
	for wanted in HOSTILE:
		to = ["--config", shared.config, "--to", "127.0.0.1:%d" % alpha.tcp[0][1]]
		done = run("iamat", *to, "--", wanted, UCLA, "1")
		assert done.returncode == OK and b" " + wanted + b" " in done.stdout, done
		done = run("whatsat", "--json", *to, "--", wanted, "10", "1")
		fix = json.loads(done.stdout)["fix"]
		assert (bytes.fromhex(fix["id_hex"]) if "id_hex" in fix else fix["id"].encode()) == wanted
		seen, status = on_terminal("whatsat", *to, "--", wanted, "10", "1")
		assert status == OK and not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]", seen), seen


def test_first_live_member(table):
	with Answerer(b"AT Bravo +1.000000000 kiwi +1+1 5\n") as answerer:
		dead = table.fill("--role", "member", "--name", "Alpha", "--listen", "127.0.0.1:1")
		table.fill("--role", "member", "--name", "Deaf")
		table.fill("--role", "member", "--name", "Bravo", "--listen", answerer.address)
		dead.kill()
		done = table.run("iamat", "kiwi", "+1+1", "5")
		assert done.returncode == OK and done.stdout.startswith(b"AT Bravo "), done
		assert answerer.heard == [b"IAMAT kiwi +1+1 5\n"]
		for name in ("Alpha", "Deaf", "Nobody"):
			done = table.run("iamat", "--member", name, "kiwi", "+1+1", "5")
			assert done.returncode == FAILED and not done.stdout and done.stderr, done


@pytest.mark.parametrize("reply, says", [
	(b"", b"closed"),
	(b"AT Alpha", b"closed"),
	(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"none to what was asked"),
	(b"AT Alpha +1.000000000 fig +1+1 5\n", b"none to what was asked"),
	(None, b"in time"),
])
def test_bad_members(reply, says):
	with Answerer(reply) as answerer:
		done = run("iamat", "kiwi", "+1+1", "5", "--to", answerer.address, "--timeout", "300ms" if reply is None else "30s",
			"--config", os.devnull)
		assert done.returncode == FAILED and not done.stdout and says in done.stderr, done


def test_bad_places():
	with Answerer(b"AT Alpha +1.000000000 kiwi +1+1 5\n{\"a\"\n\n") as answerer:
		to = ["--to", answerer.address, "--config", os.devnull]
		done = run("whatsat", "kiwi", "1", "1", *to, "--json")
		assert done.returncode == FAILED and not done.stdout and b"no JSON" in done.stderr, done


def test_nobody_listens():
	with socket.create_server(("127.0.0.1", 0)) as unused:
		address = "127.0.0.1:%d" % unused.getsockname()[1]
	done = run("iamat", "kiwi", "+1+1", "--to", address, "--config", os.devnull)
	assert done.returncode == FAILED and b"refused" in done.stderr, done


# --- config -----------------------------------------------------------------

def test_config(tmp_path):
	conf = tmp_path / "herd.conf"
	conf.write_text("# comment\n[herd]\nfix-ttl = 2h\nline-max = 8k\n[member Alpha]\nline-max = 9000\n")
	(tmp_path / "herd.conf.d").mkdir()
	(tmp_path / "herd.conf.d" / "10.conf").write_text("[flood]\nsweep-interval = 3s\n")

	def settings(*words):
		done = run("config", "--json", "--config", str(conf), *words)
		assert done.returncode == OK, done
		return {s["section"] + "." + s["name"]: s for s in json.loads(done.stdout)["settings"]}

	have = settings("--set", "places.rank=distance")
	assert (have["herd.fix-ttl"]["value"], have["herd.fix-ttl"]["source"]) == ("2h", str(conf) + ":3")
	assert (have["herd.fix-ttl"]["default"], have["herd.fix-ttl"]["takes_effect"]) == ("7d", "live")
	assert (have["herd.shm"]["value"], have["herd.shm"]["source"]) == ("/herd", "default")
	assert have["herd.shm"]["takes_effect"] == "restart"
	assert have["places.rank"]["value"] == "distance" and have["places.rank"]["source"] == "--set"
	assert have["flood.sweep-interval"]["source"].endswith("10.conf:2")
	assert have["member.line-max"]["value"] == "8k"
	assert settings("--member", "Alpha")["member.line-max"]["value"] == "9000"
	one = json.loads(run("config", "--config", str(conf), "fix-ttl", "--json").stdout)
	assert one == have["herd.fix-ttl"]
	assert b"2h" in run("config", "--config", str(conf), "herd.fix-ttl").stdout
	typo = run("config", "--config", str(conf), "fix-tll")
	assert typo.returncode == NO and b"'fix-ttl'" in typo.stderr


# --- places -----------------------------------------------------------------

CSV = "name,latitude,longitude,type,prominence\n" + "".join(
	"Place %d,%f,%f,park,%d\n" % (i, 10 + i / 1000, 20 + i / 1000, i) for i in range(50))


def test_places_query_built_in(tmp_path):
	where = ["--config", os.devnull, "--set", "places.file=" + str(tmp_path / "none")]
	found = json.loads(run("places", "query", UCLA, "10", "5", "--json", *where).stdout)
	assert found["source"] == "built in" and len(found["found"]) == 5
	assert all(p["distance_m"] <= 10000 for p in found["found"])
	assert [p["prominence"] for p in found["found"]] == sorted((p["prominence"] for p in found["found"]), reverse=True)
	near = json.loads(run("places", "query", "34.06893", "-118.445127", "10", "20", "--rank", "distance", "--json",
		*where).stdout)["found"]
	assert [p["distance_m"] for p in near] == sorted(p["distance_m"] for p in near)
	nothing = run("places", "query", "-60", "-120", "1", "5", *where)
	assert nothing.returncode == NO and not nothing.stdout and not nothing.stderr
	assert run("places", "query", UCLA, "10", "5", *where, "--file", str(tmp_path / "none")).returncode == FAILED


def test_places_import(tmp_path):
	source, output = tmp_path / "places.csv", tmp_path / "places.herd"
	source.write_text(CSV + "No latitude,x,20,park,1\n")
	done = run("places", "import", str(source), "--output", str(output), "--json", "--config", os.devnull)
	report = json.loads(done.stdout)
	assert done.returncode == OK and (report["places"], report["bad_rows"], report["format"]) == (50, 1, "csv"), done
	assert b"places.csv:52" in done.stderr and b"\r" not in done.stderr
	assert report["size"] == output.stat().st_size
	found = json.loads(run("places", "query", "10", "20", "50", "3", "--file", str(output), "--json",
		"--rank", "distance", "--config", os.devnull).stdout)
	assert [p["name"] for p in found["found"]] == ["Place 0", "Place 1", "Place 2"] and found["places"] == 50
	assert run("places", "query", "+10+20", "50", "3", "--set", "places.file=" + str(output), "--config",
		os.devnull).stdout.count(b"Place") == 3

	before = output.read_bytes()
	source.write_text("name,latitude,longitude\nx,91,0\n")
	for name in (str(source), str(tmp_path / "none"), str(tmp_path)):
		done = run("places", "import", name, "--output", str(output), "--config", os.devnull)
		assert done.returncode == FAILED and b"as it was" in done.stderr and not done.stdout, done
		assert output.read_bytes() == before
	piped = subprocess.run([harness.program("herdctl"), "places", "import", "-", "--output", str(output), "--config",
		os.devnull], input=CSV.encode(), stdout=subprocess.PIPE, timeout=LIMIT, check=False)
	assert piped.returncode == OK and b"50" in piped.stdout


def test_places_import_makes_the_folder(tmp_path):
	"""On the first import not even /var/lib/herd is there."""
	source, output = tmp_path / "places.csv", tmp_path / "herd" / "places.herd"
	source.write_text(CSV)
	done = run("places", "import", str(source), "--output", str(output), "--config", os.devnull)
	assert done.returncode == OK and output.stat().st_size > 0, done


def test_places_query_damaged(tmp_path):
	bad = tmp_path / "places.herd"
	bad.write_bytes(os.urandom(5000))
	done = run("places", "query", UCLA, "1", "1", "--file", str(bad), "--config", os.devnull)
	assert done.returncode == FAILED and b"no places file" in done.stderr, done


def test_import_progress_on_terminals(tmp_path):
	source = tmp_path / "places.csv"
	source.write_text(CSV)
	words = ["places", "import", str(source), "--output", str(tmp_path / "out"), "--config", os.devnull]
	seen, status = on_terminal(*words, stream="stderr")
	assert status == OK and re.match(rb"\[[#-]{24}\] +[0-9]+ %  [0-9]+ rows\x1b\[K\r", seen) and seen.endswith(b"\r\x1b[K"), seen


# --- the manual page --------------------------------------------------------

TOP = os.environ.get("HERD_TOP") or os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")


def test_every_page_is_installed():
	with open(os.path.join(TOP, "man", "man.am"), encoding="utf-8") as file:
		named = re.findall(r"\bman/(\S+\.[1-8])\b", file.read())
	assert sorted(named) == sorted(p for p in os.listdir(os.path.join(TOP, "man")) if re.search(r"\.[1-8]$", p))


def test_manual_describes_exit_codes_and_commands():
	"""test/check-docs compares the options."""
	with open(os.path.join(TOP, "man", "herdctl.1"), encoding="utf-8") as file:
		page = file.read()
	for command in COMMANDS:
		assert re.search(r"^\.It Cm %s( |$)" % command, page, re.M), command
	codes = page[page.index(".Sh EXIT STATUS"):page.index(".Sh EXAMPLES")]
	assert re.findall(r"^\.It (\d+)$", codes, re.M) == [str(c) for c in (OK, NO, FAILED, NO_HERD, USAGE, CONFIG)]
