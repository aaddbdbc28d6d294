"""Settings: the command line, the file, reloading, and what is said when they are wrong."""

import os
import re
import signal
import subprocess

import pytest

from harness import LIMIT, Client, fresh, now_text, program, until

PROGRAMS = ["herd-member", "herd-flood", "herdctl"]
USAGE, CONFIG = 64, 78	# exit statuses of sysexits.h


def run(*words, **options):
	return subprocess.run([program(words[0])] + list(words[1:]), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
		stderr=subprocess.PIPE, timeout=LIMIT, check=False, universal_newlines=True, **options)


# --- every program --------------------------------------------------------

@pytest.mark.parametrize("name", PROGRAMS)
def test_help(name):
	done = run(name, "--help")
	assert done.returncode == 0 and done.stderr == ""
	assert done.stdout.lower().startswith("usage") and name in done.stdout
	for option in ("--config", "--set", "--check-config", "--version", "--help", "--shm"):
		assert option in done.stdout
	assert all(len(line) <= 100 for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", PROGRAMS)
def test_version(name):
	done = run(name, "--version")
	assert done.returncode == 0 and done.stderr == ""
	assert re.fullmatch(r"%s( \(?herd\)?)? \d+\.\d+\.\d+\n" % name, done.stdout), done.stdout


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("words", [["--nonsense"], ["--set"], ["--set", "nonsense"], ["--config"], ["--help=yes"]], ids=repr)
def test_wrong_usage(name, words):
	done = run(name, *words)
	assert done.returncode == USAGE and done.stdout == ""
	assert done.stderr.strip()


@pytest.mark.parametrize("name", ["herd-member", "herd-flood"])
def test_operands_are_refused(name):
	done = run(name, "Alpha")
	assert done.returncode == USAGE and "Alpha" in done.stderr


def test_a_member_needs_a_name(herd):
	done = run("herd-member", "--config", herd.config, "--listen", "127.0.0.1:0", "--shm", herd.shm)
	assert done.returncode in (USAGE, CONFIG) and "name" in done.stderr


def test_a_member_needs_somewhere_to_listen(herd):
	member = herd.member("Alpha", listen=(), ready=False)
	assert member.wait() > 0
	assert "listen" in member.text()


# --- the file -------------------------------------------------------------

GOOD = """
# a comment
; another
[herd]
fix-ttl = 3h
line-max = 1000

[member Alpha]
listen = 127.0.0.1:0
listen = 127.0.0.2:0
line-max = 600

[member Bravo]
listen = 127.0.0.3:0
line-max = 700

[flood]
sweep-interval = 500ms

[places]
rank = distance
"""


def test_a_member_takes_its_own_section(herd):
	herd.configure(GOOD)
	alpha, bravo = herd.member("Alpha", listen=()), herd.member("Bravo", listen=())
	assert [host for host, port in alpha.tcp] == ["127.0.0.1", "127.0.0.2"]
	assert [host for host, port in bravo.tcp] == ["127.0.0.3"]
	for member, limit in ((alpha, 600), (bravo, 700)):
		with member.client() as connection:
			assert connection.ask(b"x" * 1200) == b"? " + b"x" * limit + b"\n"


def test_the_command_line_beats_the_file(herd):
	herd.configure(GOOD)
	alpha = herd.member("Alpha", listen=["127.0.0.4:0"], settings={"line-max": "800"})
	assert [host for host, port in alpha.tcp] == ["127.0.0.4"]
	with alpha.client() as connection:
		assert connection.ask(b"x" * 1200) == b"? " + b"x" * 800 + b"\n"


def test_drop_ins_are_read_in_order(herd):
	herd.configure(GOOD)
	folder = herd.config + ".d"
	os.mkdir(folder)
	for name, value in (("20-b.conf", 900), ("10-a.conf", 650), ("30-c.conf.off", 512)):
		with open(os.path.join(folder, name), "w", encoding="ascii") as file:
			file.write("[member Alpha]\nline-max = %d\n" % value)
	alpha = herd.member("Alpha", listen=["127.0.0.1:0"])
	with alpha.client() as connection:
		assert connection.ask(b"x" * 1200) == b"? " + b"x" * 900 + b"\n"


@pytest.mark.parametrize("name", PROGRAMS)
def test_check_config_good(herd, name):
	herd.configure(GOOD)
	words = ["--name", "Alpha"] if name == "herd-member" else []
	done = run(name, *words, "--config", herd.config, "--check-config")
	assert done.returncode == 0, done
	assert not os.path.exists(herd.segment)


BAD = [
	("[herd]\nfix-ttl = 3h\nnonsense = 1\n", 3, "nonsense"),
	("[herd]\nline-max = many\n", 2, "line-max"),
	("[herd]\n\n\nline-max = 1\n", 4, "line-max"),
	("[herd]\nline-max = 99999999999999999999\n", 2, "line-max"),
	("[herd]\nfix-ttl = -1\n", 2, "fix-ttl"),
	("[herd]\nfix-ttl = 3 fortnights\n", 2, "fix-ttl"),
	("[herd]\nlog-level = loud\n", 2, "log-level"),
	("[herd]\ntable-clients = 1\n", 2, "table-clients"),
	("[herd]\nshm = no-slash/inside\n", 2, "shm"),
	("[nowhere]\nx = 1\n", 1, "nowhere"),
	("x = 1\n", 1, "x"),
	("[herd]\nthis is no setting\n", 2, ""),
	("[herd\nfix-ttl = 1h\n", 1, ""),
	("[member Alpha]\nlisten = 127.0.0.1\n", 2, "listen"),
	("[member Alpha]\nlisten = 127.0.0.1:99999\n", 2, "listen"),
	("[member Alpha]\nlisten = nobody.invalid:1\n", 2, "listen"),
	("[member Alpha]\nfix-ttl = 1h\n", 2, "fix-ttl"),
	("[member two words]\nlisten = 127.0.0.1:0\n", 1, "two words"),
	("[flood]\nsweep-interval = never\n", 2, "sweep-interval"),
	("[places]\nprovider = telepathy\n", 2, "telepathy"),
	("[places]\nrank = beauty\n", 2, "rank"),
	("[places]\n\nprovider = google, overpass\n", 3, "'contact' in [places overpass]"),
	("[places]\nprovider = google, local, google\n", 2, "twice"),
	("[places moon]\nurl = https://moon.example\n", 1, "[places google], [places google-legacy] or [places overpass]"),
	("[places google]\nurl = http://places.example\n", 2, "in the clear"),
	("[places google]\nurl = https://me:secret@places.example\n", 2, "url"),
	("[places google]\nkey = AIzaSy\n", 2, "unknown"),
	("[places google]\nfield-mask = places.id\n", 2, "places.location"),
	("[places overpass]\ncontact = me\nradius-max = 51\n", 3, "radius-max"),
]


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("text, line, word", BAD, ids=lambda v: repr(v)[:40])
def test_check_config_says_where_and_what(herd, name, text, line, word):
	herd.configure(text)
	words = ["--name", "Alpha"] if name == "herd-member" else []
	done = run(name, *words, "--config", herd.config, "--check-config")
	assert done.returncode == CONFIG, done
	said = [l for l in (done.stderr + done.stdout).splitlines() if "herd.conf:%d:" % line in l]
	assert said and any(word in l for l in said), done


@pytest.mark.parametrize("name", PROGRAMS)
def test_check_config_reads_the_list_of_hosts(herd, name, tmp_path):
	listed = tmp_path / "hosts"
	herd.configure("[flood]\nhosts = %s\n" % listed)
	words = (["--name", "Alpha"] if name == "herd-member" else []) + ["--config", herd.config, "--check-config"]
	done = run(name, *words)
	assert done.returncode == CONFIG and "%s: cannot be read: No such file" % listed in done.stderr
	listed.write_text("# all of them\nhill 127.0.0.1:1\njaquez\n")
	done = run(name, *words)
	assert done.returncode == CONFIG and "%s:3: " % listed in done.stderr and "valid" not in done.stdout
	listed.write_text("hill 127.0.0.1:1\njaquez 127.0.0.1:2\n")
	assert run(name, *words).returncode == 0


def test_check_config_reports_everything_at_once(herd):
	herd.configure("[herd]\nline-max = x\nfix-ttl = y\nnonsense = z\n")
	done = run("herd-flood", "--config", herd.config, "--check-config")
	for line in (2, 3, 4):
		assert "herd.conf:%d:" % line in done.stderr + done.stdout


def test_a_missing_file_that_was_named_is_an_error(herd):
	os.unlink(herd.config)
	for name in PROGRAMS:
		words = ["--name", "Alpha"] if name == "herd-member" else []
		done = run(name, *words, "--config", herd.config, "--check-config")
		assert done.returncode == CONFIG and herd.config in done.stderr + done.stdout


def test_bad_settings_do_not_start_a_member(herd):
	herd.configure("[herd]\nline-max = x\n")
	member = herd.member("Alpha", ready=False)
	assert member.wait() == CONFIG
	assert "herd.conf:2:" in member.text()
	assert not os.path.exists(herd.segment)


def drop_in(herd, name, text):
	folder = herd.config + ".d"
	os.makedirs(folder, exist_ok=True)
	with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
		file.write(text)


def test_the_mistake_of_one_member_stops_that_one_alone(herd):
	herd.configure("[member Alpha]\nline-max = 700\n[member Bravo]\nlisten = nowhere\n[member ?!]\n")
	drop_in(herd, "member-Charlie.conf", "\x00\x01 not even text\n")
	os.mkfifo(herd.config + ".d/member-Delta.conf")
	herd.flood()
	alpha = herd.member("Alpha")
	for where in ("herd.conf:4:", "herd.conf:5:", "member-Charlie.conf:1:", "member-Delta.conf:"):
		assert re.search(re.escape(where) + ".*; going on, only that member is concerned", alpha.text())
	for name, where in (("Bravo", "herd.conf:4:"), ("Charlie", "Charlie.conf:1:"), ("Delta", "Delta.conf:")):
		member = herd.member(name, ready=False)
		assert member.wait() == CONFIG
		assert re.search(re.escape(where) + "(?!.*going on)", member.text())
		for program, words in (("herd-member", ["--name", name]), ("herd-member", ["--name", "Alpha"]), ("herdctl", [])):
			assert run(program, *words, "--config", herd.config, "--check-config").returncode == CONFIG
	with alpha.client() as connection:	# and a reload is the same
		herd.configure("[member Alpha]\nline-max = 800\n[member Bravo]\nlisten = nowhere\n")
		alpha.signal(signal.SIGHUP)
		until(lambda: cut(connection) == 800, "the good settings are taken")


def test_a_members_own_file_holds_nothing_else(herd):
	drop_in(herd, "member-Bravo.conf", "[herd]\nline-max = 700\n[member Bravo]\nline-max = 800\n")
	with herd.member("Alpha").client() as connection:
		assert cut(connection) == 4096
	bravo = herd.member("Bravo", ready=False)
	assert bravo.wait() == CONFIG
	assert "member-Bravo.conf:1: section [herd]: in the file of member 'Bravo'" in bravo.text()


@pytest.mark.parametrize("text", ["[herd]\nx = 1\n", "x\n", "[nowhere]\n", "[member Bravo\n"])
def test_a_common_mistake_stops_them_all(herd, text):
	drop_in(herd, "10.conf", text)
	alpha = herd.member("Alpha", ready=False)
	assert alpha.wait() == CONFIG
	assert "10.conf:" in alpha.text()


@pytest.mark.parametrize("pair", ["line-max=x", "nonsense=1", "herd.nonsense=1", "line-max", "=1", "line-max=1"])
def test_bad_set(herd, pair):
	done = run("herd-member", "--name", "Alpha", "--config", herd.config, "--set", pair, "--check-config")
	assert done.returncode in (USAGE, CONFIG), done
	assert "--set" in done.stderr + done.stdout


@pytest.mark.parametrize("key", ["line-max", "member.line-max"])
def test_set_by_name_and_by_section(herd, key):
	member = herd.member("Alpha", settings={key: "777"})
	with member.client() as connection:
		assert connection.ask(b"x" * 1200) == b"? " + b"x" * 777 + b"\n"


@pytest.mark.parametrize("key", ["google.requests-per-day", "places google.requests-per-day"])
def test_set_of_a_service(herd, key):
	done = run("herdctl", "--config", herd.config, "--set", key + "=77", "--set", "connections-max=5", "config")
	assert done.returncode == 0, done
	said = [" ".join(line.split()) for line in done.stdout.splitlines()]
	assert [line for line in said if "requests-per-day" in line and " 77 " in line + " "] != [], done.stdout
	assert [line for line in said if "connections-max" in line and "--set" in line and " 5 " in line + " "] != [], done.stdout
	assert [line for line in said if "connections-max" in line and " 16 " in line + " " and "default" in line] != []
	done = run("herdctl", "--config", herd.config, "--set", "url=https://x.example", "config")
	assert done.returncode != 0 and "places google.url or" in done.stderr, done


# --- reloading ------------------------------------------------------------

def cut(connection):
	"""How long a line may be, now."""
	return len(connection.ask(b"x" * 5000)) - 3


def test_sighup_takes_new_settings(herd):
	herd.configure("[herd]\nline-max = 1000\n")
	alpha = herd.member("Alpha")
	with alpha.client() as old:
		assert cut(old) == 1000
		for value in (2000, 512, 4096):
			herd.configure("[herd]\nline-max = %d\n" % value)
			assert cut(old) != value	# not before it is told
			alpha.signal(signal.SIGHUP)
			until(lambda: cut(old) == value, "line-max is %d" % value)
			with alpha.client() as new:
				assert cut(new) == value


def test_sighup_with_bad_settings_keeps_the_old(herd):
	herd.configure("[herd]\nline-max = 1000\n")
	alpha = herd.member("Alpha")
	with alpha.client() as connection:
		for n, text in enumerate(("[herd]\nline-max = 2000\nnonsense = 1\n", "[herd]\nline-max = many\nx = 1\n"), 1):
			herd.configure(text)
			alpha.signal(signal.SIGHUP)
			alpha.wait_log(r"herd\.conf:3:", count=n)
			assert cut(connection) == 1000
		os.unlink(herd.config)
		before = len(alpha.text())
		alpha.signal(signal.SIGHUP)
		until(lambda: len(alpha.text()) > before, "the missing file is noticed")
		assert cut(connection) == 1000
		herd.configure("[herd]\nline-max = 3000\n")
		alpha.signal(signal.SIGHUP)
		until(lambda: cut(connection) == 3000, "good settings are taken again")


def test_sighup_changes_the_ttl_of_the_running_herd(herd):
	herd.configure("[herd]\nfix-ttl = 1h\n")
	flood, alpha = herd.flood(), herd.member("Alpha")
	with alpha.client() as connection:
		id = fresh()
		line = connection.iamat(id).line
		assert connection.held(id) == line
		herd.configure("[herd]\nfix-ttl = 100ms\n[flood]\nsweep-interval = 50ms\n")
		for process in (flood, alpha):
			process.signal(signal.SIGHUP)
		until(lambda: connection.held(id) is None, "the fix is too old now")


def test_sighup_says_what_takes_a_restart(herd):
	herd.configure("[herd]\ntable-clients = 1000\n")
	alpha = herd.member("Alpha")
	herd.configure("[herd]\ntable-clients = 2000\n")
	alpha.signal(signal.SIGHUP)
	alpha.wait_log(r"table-clients.*restart")
	with alpha.client() as connection:
		assert connection.ask(b"x") == b"? x\n"


def test_sighup_storm(herd):
	"""Reloading all the time loses no command and no connection."""
	herd.configure("[herd]\nline-max = 1000\n")
	flood, alpha = herd.flood(), herd.member("Alpha")
	with alpha.client() as connection:
		for n in range(300):
			herd.configure("[herd]\nline-max = %d\n%s" % (1000 + n, "bad\n" if n % 3 == 0 else ""))
			alpha.signal(signal.SIGHUP)
			flood.signal(signal.SIGHUP)
			id = fresh()
			line = connection.iamat(id, at=now_text()).line
			assert connection.held(id) == line


# --- logs -----------------------------------------------------------------

def test_commands_are_logged_at_debug_only(herd):
	alpha = herd.member("Alpha")
	id = fresh("secret")
	with alpha.client() as connection:
		connection.iamat(id)
		connection.held(id)
		herd.configure("[herd]\nlog-level = debug\n")
		assert id.decode() not in alpha.text()
		alpha.signal(signal.SIGHUP)

		def logged():
			connection.iamat(id)
			return id.decode() in alpha.text()
		until(logged, "commands in the log")


def test_connections_are_logged_at_info(herd):
	alpha = herd.member("Alpha", settings={"connections-max": "1"})
	with alpha.client() as first:
		first.ask(b"x")
		alpha.wait_log(r"Opened a connection on .*127\.0\.0\.1:%d" % alpha.tcp[0][1])
		with alpha.client() as second:
			second.end()
		alpha.wait_log(r"[Rr]efused")
	path = os.path.join(herd.folder, "quiet.sock")
	quiet = herd.member("Quiet", listen=(), unix=[path], settings={"log-level": "notice"}, ready=False)
	until(lambda: os.path.exists(path), "it listens")
	for _ in range(5):
		with Client(path) as connection:
			assert connection.ask(b"x") == b"? x\n"
	quiet.stop()
	assert "Opened" not in quiet.text()


def test_a_client_cannot_forge_or_flood_the_log(herd):
	alpha = herd.member("Alpha", settings={"log-level": "debug"})
	with alpha.client() as connection:
		connection.exactly(b"x\r<3>herd-member: forged\x1b[31m\0\xff\n")
	text = alpha.text()
	assert "\x1b" not in text and "\0" not in text and "\r" not in text
	assert not re.search(r"^(<3>)?herd-member: forged", text, re.MULTILINE)
	bravo = herd.member("Bravo")
	for n in range(1000):
		bravo.client().close()
	with bravo.client() as connection:
		assert connection.ask(b"x") == b"? x\n"
	assert len(bravo.text().splitlines()) < 500


def test_each_command_is_logged_once(herd):
	"""Also when it had to wait because the client did not read the replies before it."""
	alpha = herd.member("Alpha", settings={"log-level": "debug", "unsent-max": "4k"})
	with alpha.client(receive_buffer=4096) as connection:
		connection.iamat(b"k")
		connection.send(b"WHATSAT k 50 20\n" * 300 + b"end\n")
		connection.until(b"? end\n")
		alpha.wait_log(r"out '\? end")
		for way in ("in 'WHATSAT k 50 20", "out 'AT Alpha [^{]*{"):
			assert len(re.findall(way, alpha.text())) == 300, way
