"""Starts real herds and talks to them: what every integration test stands on.

A herd here has its own directory, its own shared memory (the pid is in its
name) and listens where the kernel finds a free port, so that any number of
copies of the suite run side by side. Every wait has a condition and an end.
"""

import ctypes
import fcntl
import itertools
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

BUILD = os.path.realpath(os.environ.get("HERD_BUILD", "build"))
LIMIT = 60.0	# the longest wait for anything that should happen at once

SANITIZED = False	# is this build under AddressSanitizer?
REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|:\d+: runtime error:|SUMMARY: \w+Sanitizer")

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
numbers = itertools.count(1)


def program(name):
	return os.path.join(BUILD, name)


def find_sanitizer():
	global SANITIZED
	with open(program("herd-member"), "rb") as file:
		SANITIZED = b"__asan_init" in file.read()


def fresh(prefix="client"):
	"""A client id that nobody used before."""
	return ("%s-%d-%d" % (prefix, os.getpid(), next(numbers))).encode()


def until(condition, what, limit=LIMIT, pause=0.005):
	"""Waits for a condition; returns what it returned. `what` may be a function that says it."""
	end = time.monotonic() + limit
	while True:
		value = condition()
		if value:
			return value
		assert time.monotonic() < end, "not within %g s: %s" % (limit, what() if callable(what) else what)
		time.sleep(pause)


# --- processes ------------------------------------------------------------

class Process:
	"""One program of a herd. Its log is a file; its death is noticed."""

	def __init__(self, name, argv, folder, env=None, pass_fds=()):
		self.name = name
		self.log = os.path.join(folder, "%s-%d.log" % (re.sub(r"[^A-Za-z0-9._-]", "_", name), next(numbers)))
		self.expected_death = False
		parent = os.getpid()

		def in_child():
			libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)	# nothing outlives a killed test run
			if os.getppid() != parent:
				os._exit(1)

		with open(self.log, "wb") as out:
			self.popen = subprocess.Popen(argv, cwd=folder, env=dict(os.environ, **(env or {})),
				stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
				preexec_fn=in_child, pass_fds=pass_fds)
		self.pid = self.popen.pid

	def text(self):
		with open(self.log, "rb") as file:
			return file.read().decode("utf-8", "replace")

	def alive(self):
		return self.popen.poll() is None

	def check(self):
		"""It lives unless a test ended it, and no sanitizer objected."""
		text = self.text()
		assert not REPORT.search(text), "%s: %s" % (self.name, text[-4000:])
		assert self.alive() or self.expected_death, "%s died with %s: %s" % (
			self.name, self.popen.returncode, text[-4000:])

	def wait_log(self, pattern, limit=LIMIT, count=1):
		"""Waits until the log holds the pattern so many times; returns the last match."""
		def found():
			matches = list(re.finditer(pattern, self.text(), re.MULTILINE))
			if len(matches) >= count:
				return matches[-1]
			assert self.alive(), "%s died with %s waiting for %r: %s" % (
				self.name, self.popen.returncode, pattern, self.text()[-4000:])
			return None
		return until(found, "%r in the log of %s:\n%s" % (pattern, self.name, self.text()[-2000:]), limit)

	def signal(self, number):
		os.kill(self.pid, number)

	def wait(self, limit=LIMIT):
		self.expected_death = True
		return self.popen.wait(limit)

	def stop(self, limit=LIMIT):
		"""SIGTERM; a clean stop is exit status 0."""
		if self.alive():
			self.expected_death = True
			self.signal(signal.SIGTERM)
			status = self.wait(limit)
			assert status == 0, "%s stopped with %s: %s" % (self.name, status, self.text()[-4000:])

	def kill(self):
		"""kill -9."""
		self.expected_death = True
		self.signal(signal.SIGKILL)
		self.popen.wait(LIMIT)

	def end(self):
		"""Whatever state it is in: gone afterwards."""
		if self.alive():
			self.popen.send_signal(signal.SIGCONT)
			self.popen.kill()
			self.popen.wait(LIMIT)

	# What /proc knows about it.

	def cpu_s(self):
		with open("/proc/%d/stat" % self.pid, encoding="ascii") as file:
			fields = file.read().rsplit(")", 1)[1].split()
		return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

	def run_s(self):
		"""The same, exactly."""
		with open("/proc/%d/schedstat" % self.pid, encoding="ascii") as file:
			return int(file.read().split()[0]) / 1e9

	def sleeps(self):
		"""It waits for something to do, and not for a processor to do it on."""
		with open("/proc/%d/stat" % self.pid, encoding="ascii") as file:
			return file.read().rpartition(")")[2].split()[0] == "S"

	def rss_kb(self):
		"""What it holds for itself: the shared table does not count."""
		with open("/proc/%d/status" % self.pid, encoding="ascii") as file:
			return int(re.search(r"RssAnon:\s*(\d+)", file.read()).group(1))

	def descriptors(self):
		return len(os.listdir("/proc/%d/fd" % self.pid))


class Member(Process):
	"""A herd-member; knows where it listens once it is ready."""

	def ready(self):
		self.wait_log(r"Member '%s' is ready" % re.escape(self.name))
		text = self.text()
		self.tcp = [address(a) for a in re.findall(r"Listening on tcp (\S+)", text)]
		self.udp = [address(a) for a in re.findall(r"Listening on udp (\S+)", text)]
		self.unix = re.findall(r"Listening on unix (\S+)", text)
		return self

	def client(self, **options):
		return Client(self.tcp[0] if self.tcp else self.unix[0], **options)


def address(text):
	host, port = text.rsplit(":", 1)
	return host.strip("[]"), int(port)


class Herd:
	"""A helper and members around one shared memory segment."""

	def __init__(self, folder):
		self.folder = str(folder)
		self.shm = "/herd-test-%d-%d" % (os.getpid(), next(numbers))
		self.segment = "/dev/shm" + self.shm
		self.config = os.path.join(self.folder, "herd.conf")
		self.processes = []
		self.places = os.path.join(self.folder, "places.herd")	# not there: the built-in ones answer
		self.control = tempfile.mkdtemp(prefix="herd-%d-" % os.getpid())	# short: a socket's path has 107 bytes
		self.settings = {"places.file": self.places, "control-dir": self.control}
		self.configure("")

	def configure(self, text):
		with open(self.config, "w", encoding="utf-8") as file:
			file.write(text)

	def options(self, settings=None):
		options = ["--config", self.config, "--shm", self.shm]
		for key, value in dict(self.settings, **(settings or {})).items():
			options += ["--set", "%s=%s" % (key, value)]
		return options

	def member(self, name, listen=("127.0.0.1:0",), udp=(), unix=(), settings=None, ready=True, argv=(), **process):
		"""A member, up and ready unless told otherwise."""
		command = list(argv) + [program("herd-member"), "--name", name] + self.options(settings)
		for option, values in (("--listen", listen), ("--udp", udp), ("--unix", unix)):
			for value in values:
				command += [option, value]
		member = Member(name, command, self.folder, **process)
		self.processes.append(member)
		return member.ready() if ready else member

	def flood(self, settings=None, ready=True, argv=(), **process):
		command = list(argv) + [program("herd-flood")] + self.options(settings)
		flood = Process("flood", command, self.folder, **process)
		self.processes.append(flood)
		if ready:
			flood.wait_log("Helper is ready")
		return flood

	def run_ctl(self, *words, limit=LIMIT, **run):
		"""herdctl with this herd's options; what subprocess.run() gives, texts decoded."""
		return subprocess.run([program("herdctl")] + self.options() + list(words), stdin=subprocess.DEVNULL,
			stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit, check=False,
			encoding="utf-8", errors="surrogateescape", **run)

	def ctl(self, *words, status=0, **run):
		"""The same where one exit status is right; returns the standard output."""
		done = self.run_ctl(*words, **run)
		assert done.returncode == status, (words, done)
		return done.stdout

	def check(self):
		for process in self.processes:
			process.check()

	def stop(self):
		"""Members first, then the helper; every one of them must stop cleanly."""
		try:
			self.check()
			for process in self.processes:
				if process.alive():
					process.signal(signal.SIGCONT)
			for process in sorted(self.processes, key=lambda p: p.name == "flood"):
				process.stop()
			self.check()
		finally:
			for process in self.processes:
				process.end()
			if os.path.lexists(self.segment):
				os.unlink(self.segment)
			shutil.rmtree(self.control, ignore_errors=True)


# --- the service manager ------------------------------------------------------

class Manager:
	"""The other end of NOTIFY_SOCKET: hears what programs say of themselves."""

	def __init__(self):
		self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		self.socket.bind("")	# the kernel finds a name
		self.socket.settimeout(LIMIT)
		self.heard = []
		self.store = {}	# name: descriptor; what was stored for the next start

	def __enter__(self):
		return self

	def __exit__(self, *exception):
		self.socket.close()
		self.forget()

	def forget(self):
		"""Empties the store, as stopping a unit does."""
		for fd in self.store.values():
			os.close(fd)
		self.store = {}

	def env(self, **more):
		return dict(more, NOTIFY_SOCKET="@" + self.socket.getsockname()[1:].decode())

	def hear(self, wait=True):
		"""The next message; None: nothing is there."""
		self.socket.settimeout(LIMIT if wait else 0)
		try:
			message, fds, _, _ = socket.recv_fds(self.socket, 8192, 4)
		except BlockingIOError:
			return None
		self.heard.append(message.decode())
		name = re.search(r"^FDNAME=(.*)$", self.heard[-1], re.M)
		if name and "FDSTOREREMOVE=1" in self.heard[-1]:
			os.close(self.store.pop(name.group(1)))
		elif name:
			self.store[name.group(1)], = fds
		return self.heard[-1]

	def wait(self, pattern, limit=LIMIT):
		"""Waits for a message that the pattern matches; what came before it is passed over."""
		end = time.monotonic() + limit
		while time.monotonic() < end:
			message = self.hear()
			if re.search(pattern, message):
				return message
		raise AssertionError("not within %g s: %r; heard %r" % (limit, pattern, self.heard[-20:]))

	def drain(self):
		"""Everything that is there by now."""
		return list(iter(lambda: self.hear(wait=False), None))


LAUNCHER = """
import os, sys
count, names, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
for n in range(count):	# the descriptors are the first ones from 100 on: move them to 3, 4, ...
	os.dup2(100 + n, 3 + n)
	os.close(100 + n)
if count:
	os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""


def passed(herd, name, sockets, **options):
	"""A member (None: the helper) that gets (name, socket or descriptor) pairs as systemd would pass them."""
	high = []
	try:
		for n, (label, sock) in enumerate(sockets):
			os.dup2(sock if isinstance(sock, int) else sock.fileno(), 100 + n, inheritable=True)
			high.append(100 + n)
		launcher = [sys.executable, "-c", LAUNCHER, str(len(sockets)), ":".join(label for label, sock in sockets)]
		options = dict({"listen": ()}, argv=launcher, pass_fds=high, ready=False, **options)
		return herd.member(name, **options) if name else herd.flood(**{k: v for k, v in options.items() if k != "listen"})
	finally:
		for fd in high:
			os.close(fd)


# --- clients --------------------------------------------------------------

class Closed(Exception):
	"""The other end closed the connection before what was waited for."""


class Client:
	"""A client of the line protocol over TCP or a unix stream socket."""

	def __init__(self, where, limit=LIMIT, receive_buffer=None, source=None):
		family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET6 if ":" in where[0] else socket.AF_INET
		self.socket = socket.socket(family, socket.SOCK_STREAM)
		self.socket.settimeout(limit)
		if receive_buffer:
			self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
		if source:
			self.socket.bind((source, 0))	# which of this host's addresses it comes from
		self.socket.connect(where)
		if family != socket.AF_UNIX:
			self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		self.rest = b""

	def __enter__(self):
		return self

	def __exit__(self, *exception):
		self.close()

	def close(self):
		self.socket.close()

	def reset(self):
		"""Closes with a TCP reset."""
		self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		self.socket.close()

	def send(self, data):
		self.socket.sendall(data)

	def half_close(self):
		self.socket.shutdown(socket.SHUT_WR)

	def more(self):
		data = self.socket.recv(1 << 16)
		if not data:
			raise Closed(self.rest)
		self.rest += data

	def take(self, count):
		while len(self.rest) < count:
			self.more()
		taken, self.rest = self.rest[:count], self.rest[count:]
		return taken

	def until(self, mark):
		"""Everything up to and with the mark."""
		start = 0
		while True:
			at = self.rest.find(mark, start)
			if at >= 0:
				return self.take(at + len(mark))
			start = max(0, len(self.rest) - len(mark) + 1)
			self.more()

	def line(self):
		return self.until(b"\n")

	def end(self):
		"""Everything until the other end closes."""
		try:
			while True:
				self.more()
		except Closed:
			rest, self.rest = self.rest, b""
			return rest

	def ask(self, command):
		"""One command of one reply line."""
		self.send(command + b"\n")
		return self.line()

	def exactly(self, data):
		"""Sends bytes; everything that came back for them, and nothing that did not: a
		sentinel command after them shows where their replies end."""
		sentinel = b"sentinel-" + fresh()
		self.send(data + sentinel + b"\n")
		return self.until(b"? " + sentinel + b"\n")[:-len(sentinel) - 3]

	def iamat(self, client, location=b"+34.068930-118.445127", at=None):
		"""Tells a fix; the AT line taken apart, checked."""
		at = now_text() if at is None else at
		before = time.time_ns()
		line = self.ask(b"IAMAT %s %s %s" % (client, location, at))
		reply = At(line)
		assert (reply.client, reply.location, reply.time) == (client, location, at), line
		assert before <= reply.receipt_ns <= time.time_ns(), line
		return reply

	def whatsat(self, client, radius=b"10", bound=b"5"):
		"""Asks; (AT line, JSON bytes), or None for the reply to an invalid command."""
		command = b"WHATSAT %s %s %s" % (client, radius, bound)
		self.send(command + b"\n")
		first = self.line()
		if first == b"? " + command + b"\n":
			return None
		assert first.startswith(b"AT "), first
		return first, self.until(b"\n\n")

	def held(self, client):
		"""The AT line the herd holds of a client; None when it holds none."""
		reply = self.whatsat(client, b"1", b"0")
		return reply and reply[0]


class At:
	"""An AT line taken apart, byte for byte."""

	SHAPE = re.compile(rb"AT ([A-Za-z0-9._-]{1,23}) ([+-])(0|[1-9][0-9]*)\.([0-9]{9}) "
		rb"([^\0\t-\r ]{1,255}) ([-+0-9./]+) ([0-9.]+)\n")

	def __init__(self, line):
		found = self.SHAPE.fullmatch(line)
		assert found, line
		self.line = line
		self.server, sign, seconds, nanoseconds, self.client, self.location, self.time = found.groups()
		self.skew_ns = int(seconds) * 10**9 + int(nanoseconds)
		if sign == b"-":
			assert self.skew_ns != 0, line	# zero is +
			self.skew_ns = -self.skew_ns
		self.receipt_ns = time_ns(self.time) + self.skew_ns


def time_ns(text):
	"""A client's time in nanoseconds, exactly."""
	seconds, point, fraction = text.partition(b".")
	return int(seconds) * 10**9 + int((fraction + b"0" * 9)[:9])


def time_text(ns):
	return b"%d.%09d" % divmod(ns, 10**9)


def now_text(ahead_s=0):
	return time_text(time.time_ns() + int(ahead_s * 10**9))


class Datagrams:
	"""A client over UDP."""

	def __init__(self, where, limit=LIMIT):
		self.socket = socket.socket(socket.AF_INET6 if ":" in where[0] else socket.AF_INET, socket.SOCK_DGRAM)
		self.socket.settimeout(limit)
		self.socket.connect(where)

	def __enter__(self):
		return self

	def __exit__(self, *exception):
		self.socket.close()

	def send(self, data):
		self.socket.send(data)

	def receive(self):
		return self.socket.recv(1 << 16)


class Turn:
	"""Lets a member's loop turn: after turn() it has read what was sent before, because a
	single-threaded loop that has twice answered somebody else has been through all that was ready."""

	def __init__(self, member):
		self.client = member.client()

	def turn(self):
		for _ in range(2):
			assert self.client.ask(b"turn") == b"? turn\n"

	def close(self):
		self.client.close()


def unread(client):
	"""Bytes that arrived at a client and were not read yet."""
	return struct.unpack("i", fcntl.ioctl(client.socket, 0x541B, b"\0" * 4))[0]	# FIONREAD
