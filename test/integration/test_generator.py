"""herd-generator: what it makes of settings, read back with systemd's own eyes."""

import glob
import os
import pty
import re
import shutil
import stat
import subprocess
import time

import pytest

import harness
from harness import LIMIT, Client, until

OK, FAILED, USAGE, CONFIG = 0, 1, 64, 78
TOP = os.environ.get("HERD_TOP") or os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")

PLAIN = """
[member Alpha]
listen = 127.0.0.1:12000
"""

# Every member but the first has something of its own wrong with where it is reached.
WRONG = """
[member Alpha]
listen = 127.0.0.1:12000
udp = 0.0.0.0:12000
unix = /run/alpha%n.sock
[member SamePort]
listen = 127.0.0.1:12000
[member Wildcard]
listen = 0.0.0.0:12000
[member SameUdp]
udp = 127.0.0.1:12000
[member NoAddress]
listen = localhost:12001
[member NoPort]
listen = 127.0.0.1:0
[member Relative]
unix = 12005
[member Standing]
unix = /run/herd/Alpha.sock
[member Passwd]
unix = /etc/passwd
[member SamePath]
unix = /run/alpha%n.sock
[member two words]
listen = 127.0.0.1:12002
[member Last]
listen = 127.0.0.1:12001
"""
LEFT_OUT = ["SamePort", "Wildcard", "SameUdp", "NoAddress", "NoPort", "Relative", "Standing", "Passwd", "SamePath"]


class Generator:
	"""A folder with settings and one for units."""

	def __init__(self, folder):
		self.folder = str(folder)
		self.config = os.path.join(self.folder, "herd.conf")
		self.out = os.path.join(self.folder, "out")
		os.mkdir(self.out)
		self.tls = os.path.join(self.folder, "tls")	# not this machine's own
		self.options = ["--config", self.config, "--set", "flood.tls-dir=" + self.tls]

	def configure(self, text, mode="w"):
		with open(self.config, mode) as file:
			file.write(text)

	def drop_in(self, name, text):
		os.makedirs(self.config + ".d", exist_ok=True)
		with open(os.path.join(self.config + ".d", name), "w", encoding="utf-8") as file:
			file.write(text)

	def run(self, *words, **options):
		done = subprocess.run([harness.program("herd-generator")] + self.options + list(words),
			stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False,
			encoding="utf-8", errors="surrogateescape", **options)
		assert not harness.REPORT.search(done.stderr), done.stderr
		return done

	def write(self, status=OK):
		done = self.run("--output", self.out)
		assert done.returncode == status, done
		return done.stderr

	def boot(self):
		"""As systemd runs it; what is said goes to a terminal of ours instead of this machine's journal."""
		master, slave = pty.openpty()
		early, late = os.path.join(self.folder, "early"), os.path.join(self.folder, "late")
		process = subprocess.Popen([harness.program("herd-generator")] + self.options + [self.out, early, late],
			stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave)
		os.close(slave)
		said = b""
		try:
			while True:
				try:
					data = os.read(master, 1 << 16)
				except OSError:	# EIO: the other end is closed
					break
				if not data:
					break
				said += data
			assert process.wait(LIMIT) == 0, said
		finally:
			process.kill()
			process.wait()
			os.close(master)
		assert not os.path.exists(early) and not os.path.exists(late)
		return said.decode("utf-8")

	def files(self):
		"""{path: text, or target of a link}"""
		found = {}
		for where, _, names in os.walk(self.out):
			for name in names:
				path = os.path.join(where, name)
				key = os.path.relpath(path, self.out)
				if os.path.islink(path):
					found[key] = os.readlink(path)
				else:
					with open(path, encoding="utf-8") as file:
						found[key] = file.read()
					assert stat.S_IMODE(os.stat(path).st_mode) == 0o644
		return found

	def wanted(self):
		return sorted(os.path.basename(p) for p in glob.glob(os.path.join(self.out, "herd.target.wants", "*")))

	def units(self):
		"""A folder with the units as installed."""
		folder = os.path.join(self.folder, "units")
		if not os.path.exists(folder):
			os.mkdir(folder)
			for path in glob.glob(os.path.join(TOP, "units", "*")) + glob.glob(os.path.join(harness.BUILD, "units", "*")):
				if path.endswith((".socket", ".target", ".slice", ".service")):
					with open(path, encoding="utf-8") as file:
						text = file.read()
					with open(os.path.join(folder, os.path.basename(path)), "w", encoding="utf-8") as file:
						file.write(re.sub(r"(Exec\w+=)\S*/(herd\S+)", r"\1%s/\2" % harness.BUILD, text))
		return folder

	def loaded(self, *names):
		"""What systemd has understood: {unit: {property: [values]}}. It must have had no complaint."""
		path = "%s:%s:" % (self.units(), self.out)
		env = dict(os.environ, SYSTEMD_UNIT_PATH=path, SYSTEMD_COLORS="0", SYSTEMD_PAGER="")
		for level in ("info", "debug"):
			done = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], env=dict(env, SYSTEMD_LOG_LEVEL=level),
				stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
			assert done.returncode == 0, done
			if level == "info":
				wrong = [l for l in done.stderr.decode().splitlines() if self.folder in l or "herd" in l]
				assert not wrong, wrong
		found = {}
		for part in re.split(r"^\t-> Unit ", done.stdout.decode(), flags=re.MULTILINE)[1:]:
			name, _, rest = part.partition(":\n")
			found[name] = {}
			for key, value in re.findall(r"^\t\t([A-Z][\w ]*): (.*)$", rest, re.MULTILINE):
				found[name].setdefault(key, []).append(value)
		return found


def unescape(text):
	"""A path as systemd prints it."""
	return re.sub(rb"\\([0-7]{3}|.)", lambda m: bytes([int(m.group(1), 8)]) if len(m.group(1)) == 3 else m.group(1),
		text.encode()).decode()


@pytest.fixture
def generator(tmp_path):
	return Generator(tmp_path)


# --- what systemd makes of it ---------------------------------------------------

def test_a_member(generator):
	generator.configure(PLAIN)
	assert generator.write() == ""
	assert generator.wanted() == ["herd@Alpha.service", "herd@Alpha.socket"]
	assert sorted(generator.files()) == ["herd.target.wants/herd@Alpha.service", "herd.target.wants/herd@Alpha.socket",
		"herd@Alpha.service.d/50-herd.conf", "herd@Alpha.socket.d/50-herd.conf"]
	loaded = generator.loaded("herd@Alpha.socket", "herd@Alpha.service", "herd.target")
	assert loaded["herd@Alpha.socket"]["ListenStream"] == ["/run/herd/Alpha.sock", "127.0.0.1:12000"]
	assert loaded["herd@Alpha.socket"]["Source Path"] == [generator.config]
	assert int(loaded["herd@Alpha.service"]["MemoryMax"][0]) < 8 << 30


def test_links_lead_to_the_units(generator):
	generator.configure(PLAIN)
	generator.write()
	for name, target in generator.files().items():
		if name.startswith("herd.target.wants/"):
			assert re.fullmatch(r"/\S+/herd@\.(service|socket)", target)
			assert os.path.exists(os.path.join(generator.units(), os.path.basename(target)))


def test_every_kind_of_socket(generator):
	generator.configure("""
[herd]
connections-max = 400000
[member A-1.x_y]
listen = 127.0.0.1:12000, [::1]:12000
listen = 10.9.8.7:12000
udp = 0.0.0.0:12000 [::]:12000
unix = /run/herd/A-1.x_y.sock, /run/per%cent, /run/quo"te's, /run/$x${y}, /run/caf\u00e9;#&, /run/100%%, /run/%i/%h
[member Bravo]
""")
	assert generator.write() == ""
	loaded = generator.loaded("herd@A-1.x_y.socket", "herd-udp@A-1.x_y.socket", "herd@A-1.x_y.service",
		"herd@Bravo.socket", "herd@Bravo.service")
	stream, datagram = loaded["herd@A-1.x_y.socket"], loaded["herd-udp@A-1.x_y.socket"]
	assert [unescape(path) for path in stream["ListenStream"]] == ["/run/herd/A-1.x_y.sock", "127.0.0.1:12000", "[::1]:12000", "10.9.8.7:12000",
		"/run/per%cent", "/run/quo\"te's", "/run/$x${y}", "/run/caf\u00e9;#&", "/run/100%%", "/run/%i/%h"]
	assert stream["BindIPv6Only"] == ["ipv6-only"] and stream["FreeBind"] == ["yes"]
	assert datagram["ListenDatagram"] == ["0.0.0.0:12000", "[::]:12000"]
	assert datagram["BindIPv6Only"] == ["ipv6-only"] and datagram["FreeBind"] == ["yes"]
	service = loaded["herd@A-1.x_y.service"]
	assert sorted(u.split()[0] for u in service["TriggeredBy"]) == ["herd-udp@A-1.x_y.socket", "herd@A-1.x_y.socket"]
	assert any(u.startswith("herd-udp@A-1.x_y.socket ") for u in service["Wants"])
	assert service["LimitNOFILE"] == ["1048576"]
	assert loaded["herd@Bravo.socket"]["ListenStream"] == ["/run/herd/Bravo.sock"]
	assert not any(u.startswith("herd-udp@") for u in loaded["herd@Bravo.service"]["Wants"])


def test_only_the_member_at_fault_is_left_out(generator):
	generator.configure(WRONG)
	said = generator.write(CONFIG)
	assert generator.wanted() == ["herd-udp@Alpha.socket", "herd@Alpha.service", "herd@Alpha.socket",
		"herd@Last.service", "herd@Last.socket"]
	for name in LEFT_OUT:
		assert re.search(r"Member '%s' is left out, .*%s:\d+: setting " % (name, generator.config), said), said
	assert len(re.findall("is left out", said)) == len(LEFT_OUT)
	assert re.search(r"%s:\d+: section \[member two words\]: .*left out, nothing else is" % generator.config, said)
	loaded = generator.loaded(*["herd@%s.%s" % (name, kind) for name in LEFT_OUT + ["Alpha", "Last"]
		for kind in ("socket", "service")])
	for name in LEFT_OUT:	# whoever looks at it or starts it all the same sees why
		assert re.search(r"Herd member %s \(left out: .*herd.conf:\d+: setting" % name,
			loaded["herd@%s.service" % name]["Description"][0])
		assert loaded["herd@%s.socket" % name]["ListenStream"] == ["/run/herd/%s.sock" % name]
	assert "127.0.0.1:12000" in loaded["herd@Alpha.socket"]["ListenStream"]
	assert "127.0.0.1:12001" in loaded["herd@Last.socket"]["ListenStream"]


def test_nothing_gets_into_a_unit(generator):
	evil = ["/run/x\\", "/run/\\x0aExecStart=/bin/false", "%n/x", "/run/x\r[Service]", "/run/\x01", "[Service]", "\u2028/x"]
	text = "".join("[member M%d]\nunix = %s\n" % (i, path) for i, path in enumerate(evil))
	generator.configure(text + "[member Good]\nlisten = 127.0.0.1:1\n[member X\\nExecStart=1]\nlisten = 127.0.0.1:2\n")
	generator.write(CONFIG)
	assert generator.wanted() == ["herd@Good.service", "herd@Good.socket"]
	for name, text in generator.files().items():
		assert "ExecStart" not in re.sub(r"(?m)^Description=.*$", "", text), name
		assert re.fullmatch(r"[^\x00-\x09\x0b-\x1f\x7f\\]*", text), name
	generator.loaded(*["herd@M%d.%s" % (i, kind) for i in range(len(evil)) for kind in ("socket", "service")])


def test_a_path_that_is_a_socket_already(generator):
	"""As after the first daemon-reload of a herd that runs; a directory or a file there is refused."""
	import socket
	path = os.path.join(generator.folder, "s")
	with socket.socket(socket.AF_UNIX) as listener:
		listener.bind(path)
		generator.configure("[member Alpha]\nunix = %s\n" % path)
		assert generator.write() == ""
	os.unlink(path)
	os.mkdir(path)
	assert "is there and is no socket" in generator.write(CONFIG)


# --- keys of links to other hosts ------------------------------------------------------

DROP_IN = "herd-flood.service.d/50-herd.conf"


def secret(path):
	os.makedirs(os.path.dirname(path), exist_ok=True)
	with open(path, "w", encoding="ascii") as file:
		file.write("secret of the herd\n")
	os.chmod(path, 0o600)


def test_keys_become_credentials(generator):
	psk = os.path.join(generator.folder, "a %n b:c")
	generator.configure(PLAIN + "[flood]\npsk-file = %s\n" % psk)
	assert generator.write() == "" and DROP_IN not in generator.files()	# systemd 252 starts nothing that wants one that is not there
	secret(os.path.join(generator.tls, "host.key"))
	assert generator.write() == ""
	assert generator.files()[DROP_IN].splitlines()[1:] == ["[Service]", "LoadCredential=flood.key:%s/host.key" % generator.tls]
	secret(psk)
	assert generator.write() == ""
	text = generator.files()[DROP_IN]
	assert text.splitlines()[2:] == ["LoadCredential=flood.key:%s/host.key" % generator.tls,
		"LoadCredential=flood.psk:%s" % psk.replace("%", "%%")]
	assert "secret of" not in text
	generator.loaded("herd-flood.service")	# without a complaint


def test_keys_of_a_herd_without_members(generator):
	generator.configure("")
	secret(os.path.join(generator.tls, "host.key"))
	assert generator.write() == ""
	assert list(generator.files()) == [DROP_IN]


def test_keys_in_spite_of_mistakes(generator):
	"""A running helper would lose its key with the next restart."""
	generator.configure("[flood]\nplain = perhaps\n[member Alpha]\nno-such = 1\n")
	secret(os.path.join(generator.tls, "host.key"))
	generator.write(CONFIG)
	assert "flood.key" in generator.files()[DROP_IN]
	generator.configure("[flood\n\0\n")
	generator.write(CONFIG)
	assert "flood.key" in generator.files()[DROP_IN]


@pytest.mark.parametrize("what", ["folder", "fifo", "dangling", "socket"])
def test_what_is_no_key(generator, what):
	import socket
	key = os.path.join(generator.tls, "host.key")
	generator.configure(PLAIN)
	os.mkdir(generator.tls)
	if what == "folder":
		os.mkdir(key)
	elif what == "fifo":
		os.mkfifo(key)
	elif what == "dangling":
		os.symlink("/nowhere", key)
	else:
		socket.socket(socket.AF_UNIX).bind(key)
	assert generator.write() == "" and DROP_IN not in generator.files()


def test_a_key_whose_path_no_unit_can_hold(generator):
	for name in ("back\\slash", "two//", "x/../y", "x/."):
		path = os.path.join(generator.folder, name, "psk")
		os.makedirs(os.path.join(generator.folder, "x"), exist_ok=True)
		secret(path)
		generator.configure(PLAIN + "[flood]\npsk-file = %s\n" % path)
		said = generator.write(CONFIG)
		assert "setting 'psk-file'" in said and "does not fit into a unit" in said, said
		assert DROP_IN not in generator.files()


MEMBERS_DROP_IN = "herd@.service.d/50-herd-keys.conf"


def test_keys_of_services(generator):
	"""One drop-in for all members; the credential store, where the unit itself looks, stays in place without it."""
	google, legacy = (os.path.join(generator.folder, name) for name in ("google %n", "legacy"))
	generator.configure(PLAIN + "[places google]\nkey-file = %s\n[places google-legacy]\nkey-file = %s\n" % (google, legacy))
	assert generator.write() == "" and MEMBERS_DROP_IN not in generator.files()
	secret(legacy)
	assert generator.write() == ""
	assert generator.files()[MEMBERS_DROP_IN].splitlines()[1:] == ["[Service]", "LoadCredential=google-legacy-key:%s" % legacy]
	secret(google)
	assert generator.write() == ""
	assert generator.files()[MEMBERS_DROP_IN].splitlines()[2:] == ["LoadCredential=google-key:%s" % google.replace("%", "%%"),
		"LoadCredential=google-legacy-key:%s" % legacy]
	assert "secret of" not in str(generator.files()) and DROP_IN not in generator.files()
	generator.loaded("herd@Alpha.service")	# without a complaint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_may_read(generator, mode):
	"""A member would refuse the file: that it comes as a credential makes it no better."""
	path = os.path.join(generator.folder, "key")
	secret(path)
	os.chmod(path, mode)
	generator.configure(PLAIN + "[places google]\nkey-file = %s\n" % path)
	said = generator.write(CONFIG)
	assert re.search(r"herd\.conf:\d+: setting 'key-file': others may read or write '.*' \(expected mode 0600 or 0400\)", said), said
	assert MEMBERS_DROP_IN not in generator.files() and generator.wanted() == ["herd@Alpha.service", "herd@Alpha.socket"]


def test_memory_for_lookups(generator):
	"""Where lookups wait for a service their replies have room."""
	def megabytes(provider):
		generator.configure(PLAIN + "connections-max = 1000\n[places]\nprovider = %s\n" % provider)
		assert generator.write() == ""
		text = generator.files()["herd@Alpha.service.d/50-herd.conf"]
		return int(re.search(r"^MemoryMax=(\d+)$", text, re.MULTILINE).group(1)) / (1 << 20)

	lookups = 1000 * 64 * 24 / 1024	# connections-max x places-pending-max x 24 KiB
	assert megabytes("google, local") - megabytes("local") == pytest.approx(16 + 4 * 16 * 1 + lookups)


# --- files that cannot be read -------------------------------------------------------

def test_files_that_cannot_be_read(generator):
	generator.configure(PLAIN)
	generator.drop_in("member-Bravo.conf", "[member Bravo]\nlisten = 127.0.0.1:12001\n")
	folder = generator.config + ".d"
	os.mkfifo(os.path.join(folder, "member-Fifo.conf"))
	os.mkfifo(os.path.join(folder, "10-fifo.conf"))
	os.mkdir(os.path.join(folder, "20-dir.conf"))
	os.symlink("/dev/zero", os.path.join(folder, "30-zero.conf"))
	os.symlink("/nowhere", os.path.join(folder, "member-Gone.conf"))
	os.symlink("member-Loop.conf", os.path.join(folder, "member-Loop.conf"))
	generator.drop_in("40-garbage.conf", "".join(chr(c) for c in range(32)))
	generator.drop_in("member-Garbage.conf", "\x00" * 1000)
	generator.drop_in("50-good.conf", "[member Charlie]\nlisten = 127.0.0.1:12003\n")
	with open(os.path.join(folder, "60-large.conf"), "wb") as file:
		file.truncate(1 << 30)
	said = generator.boot()
	assert generator.wanted() == ["herd@%s.%s" % (name, kind) for name in ("Alpha", "Bravo", "Charlie")
		for kind in ("service", "socket")]
	for name in ("Fifo", "Gone", "Loop", "Garbage"):
		assert "Member '%s' is left out" % name in said and "member-%s.conf" % name in said
	for name in ("10-fifo", "20-dir", "30-zero", "40-garbage", "60-large"):
		assert re.search(r"%s\.conf.*; no program of the herd starts with that" % name, said), said


@pytest.mark.parametrize("what", ["missing", "fifo", "folder", "zero", "garbage", "empty"])
def test_the_file_itself(generator, what):
	if what == "fifo":
		os.mkfifo(generator.config)
	elif what == "folder":
		os.mkdir(generator.config)
	elif what == "zero":
		os.symlink("/dev/zero", generator.config)
	elif what == "garbage":
		generator.configure(os.urandom(1 << 16), "wb")
	elif what == "empty":
		generator.configure("")
	generator.drop_in("member-Bravo.conf", "[member Bravo]\nlisten = 127.0.0.1:12001\n")
	said = generator.boot()
	assert generator.wanted() == ["herd@Bravo.service", "herd@Bravo.socket"]
	assert what == "empty" or generator.config in said


def test_a_folder_that_cannot_be_written(generator):
	generator.configure(PLAIN)
	shutil.rmtree(generator.out)
	assert "there are no members now" in generator.boot()
	done = generator.run("--output", generator.out)
	assert done.returncode == FAILED and generator.out in done.stderr


def test_as_many_members_as_there_may_be(generator):
	generator.configure("[herd]\nconnections-max = 100\n")
	for i in range(1030):
		generator.drop_in("member-M%04d.conf" % i, "[member M%04d]\nlisten = 127.0.0.1:%d\nudp = 127.0.0.1:%d\n" % (
			i, 10000 + i % 1025, 10000 + i % 1025))
	started = time.monotonic()
	said = generator.boot()
	assert time.monotonic() - started < LIMIT / 2
	assert len(generator.wanted()) == 3 * 1024
	assert len(re.findall("too many members", said)) == 6


def test_writes_again(generator):
	generator.configure(PLAIN)
	generator.write()
	before = generator.files()
	generator.write()
	assert generator.files() == before


# --- by hand ------------------------------------------------------------------------------

def test_check_prints_and_writes_nothing(generator):
	generator.configure(WRONG)
	done = generator.run("--check")
	assert done.returncode == CONFIG and not os.listdir(generator.out)
	shown = dict(re.findall(r"^==> (\S+)\n(.*?\n)\n", done.stdout, re.MULTILINE | re.DOTALL))
	shown.update(re.findall(r"^==> (\S+) -> (\S+)$", done.stdout, re.MULTILINE))
	generator.write(CONFIG)
	assert shown == generator.files()
	assert "Member 'SamePort' is left out" in done.stderr
	generator.configure(PLAIN)
	assert generator.run("--check").returncode == OK


def test_output_that_is_lost(generator):
	generator.configure(PLAIN)
	with open("/dev/full", "wb") as full:
		done = subprocess.run([harness.program("herd-generator"), "--config", generator.config, "--check"],
			stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
	assert done.returncode == FAILED and b"Cannot write to standard output" in done.stderr


# Hides the journal and the kernel's log of this machine; what goes to the latter is in $1.
HIDDEN = 'mount -t tmpfs none /run; [ ! -e /dev/kmsg ] || mount --bind "$1" /dev/kmsg; shift; exec "$@"'


def test_a_report_that_cannot_be_written(generator, tmp_path):
	"""It is nobody's, which once was looked up among the members."""
	generator.configure(WRONG)
	os.mkdir(os.path.join(generator.out, "herd-generator.service"))
	log = tmp_path / "kmsg"
	log.write_text("")
	command = [harness.program("herd-generator"), "--config", generator.config, generator.out]
	hide = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", HIDDEN, "sh", str(log)]
	if subprocess.run(hide + ["true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
			timeout=LIMIT, check=False).returncode != 0:
		hide = []	# no such thing here: the worst is a line in the log of this machine
	done = subprocess.run(hide + command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
		timeout=LIMIT, check=False, encoding="utf-8")
	said = log.read_text() + done.stderr
	assert not harness.REPORT.search(done.stderr), done.stderr
	assert done.returncode == 0, said
	if hide:
		assert "Cannot write 'herd-generator.service': Is a directory" in said
	assert "herd@Alpha.service" in generator.wanted()


@pytest.mark.parametrize("words", [[], ["a", "b", "c", "d"], ["--nonsense"], ["--output"], ["--check", "a", "b", "c", "d"]])
def test_usage(generator, words):
	generator.configure(PLAIN)
	assert generator.run(*words).returncode == USAGE
	assert not os.listdir(generator.out)


def test_help_version_and_check_config(generator):
	generator.configure(PLAIN)
	assert "--output DIR" in generator.run("--help").stdout
	assert generator.run("--version").stdout.startswith("herd-generator ")
	assert generator.run("--check-config").returncode == OK
	generator.configure("[member A]\nx\n")
	assert generator.run("--check-config").returncode == CONFIG


# --- MemoryMax= and a real member ---------------------------------------------------------

CONNECTIONS = 150
KERNEL = 320 << 10	# of a connection: what the kernel keeps, and the process does not see


def memory_max(generator, connections):
	generator.configure("[herd]\ntable-clients = 1000\nconnections-max = %d\n[member Alpha]\n" % connections)
	generator.write()
	return int(generator.loaded("herd@Alpha.service")["herd@Alpha.service"]["MemoryMax"][0])


WORST = {	# what clients send that never read, and how much of it the member should hold at the least
	"long": (b"x" * 4000 + b"\n", 64 << 10),
	"places": (b"WHATSAT worst 50 20\n" * 100, 1000),	# whole turns of replies: the kernel takes one, or none
	"fixes": (b"IAMAT worst +34.068930-118.445127 1\n" * 100, 64 << 10),
	"mixed": (b"WHATSAT worst 50 20\n" + b"x" * 4095 + b"\n\n" + b"WHATSAT nobody 50 20\r\n", 64 << 10),
	"half": (b"y" * 4000, 4000),	# a piece of a line, once
}


def push(client, data):
	"""Sends as much as goes; how much that was."""
	sent = 0
	try:
		while True:
			sent += client.socket.send(data)	# where a line begins does not matter here
	except BlockingIOError:
		return sent


@pytest.mark.parametrize("kind", WORST)
def test_memory_max_is_more_than_clients_can_take(herd, generator, tmp_path, kind):
	"""What each connection may cost at most, by the formula and as measured."""
	data, least = WORST[kind]
	allowed = (memory_max(generator, 1100) - memory_max(generator, 100)) / 1000 - KERNEL
	path = str(tmp_path / "s")
	alpha = herd.member("Alpha", listen=(), unix=[path], settings={"connections-max": CONNECTIONS + 10})
	with Client(path) as first:
		first.ask(b"x" * 4000)
		first.iamat(b"worst", at=b"2")
		before = alpha.rss_kb() * 1024
	clients = [Client(path) for _ in range(CONNECTIONS)]	# none of them ever reads
	try:
		for client in clients:
			client.send(data)
			client.socket.setblocking(False)

		def full():
			spent = alpha.run_s()
			time.sleep(0.3)	# longer than a tick, which takes next to nothing
			sent = 0 if kind == "half" else sum(push(client, data) for client in clients)
			return sent == 0 and alpha.sleeps() and alpha.run_s() - spent < 0.01
		until(full, "the member reads no more")
		used = alpha.rss_kb() * 1024 - before
		assert used / CONNECTIONS > least, "the clients did not fill what they may"
		assert harness.SANITIZED or used / CONNECTIONS < allowed
		assert harness.SANITIZED or before < 64 << 20
	finally:
		for client in clients:
			client.close()


def test_what_the_kernel_keeps_of_a_client_that_does_not_read(herd):
	"""Replies and commands that wait in its buffers: their share of the formula is no wish."""
	alpha = herd.member("Alpha")
	port = alpha.tcp[0][1]

	def queues():
		"""Of the member's end: (replies, commands), for each connection."""
		with open("/proc/net/tcp", encoding="ascii") as file:
			rows = [line.split() for line in file.readlines()[1:]]
		return [tuple(int(n, 16) for n in row[4].split(":")) for row in rows
			if int(row[1].split(":")[1], 16) == port and row[3] == "01"]

	clients = [alpha.client() for _ in range(5)]
	try:
		for client in clients:
			client.socket.setblocking(False)

		def full():
			spent = alpha.run_s()
			time.sleep(0.3)
			return sum(push(client, b"x" * 4000 + b"\n") for client in clients) == 0 and alpha.run_s() - spent < 0.01
		until(full, "the member reads no more")
		kept = queues()
		assert len(kept) == len(clients)
		for replies, commands in kept:
			assert replies > 16 << 10 and replies + commands <= KERNEL, kept
	finally:
		for client in clients:
			client.close()
