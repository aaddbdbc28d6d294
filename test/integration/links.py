"""Several hosts on one machine: what the tests of links share."""

import json
import os
import re
import select
import socket
import subprocess
import time

import harness
from harness import until

HERD = "herd"
NOTHING = "%016x 0" % 0
LOCATION = "+34.068930-118.445127"


def names(settings):
	"""flood_psk_file is flood.psk-file."""
	return {key.replace("_", ".", 1).replace("_", "-"): value for key, value in settings.items()}


class Host:
	"""A herd of its own that is one host among others: a helper that listens on loopback, and members."""

	def __init__(self, herd, name, **settings):
		self.herd, self.name = herd, name
		self.settings = {"flood.name": name, "flood.tls-dir": os.path.join(herd.folder, "tls")}
		self.settings.update(names(settings))
		self.flood = None
		self.port = None

	def start(self, port=0, peers=(), ready=True, **settings):
		"""Starts the helper; peers are ports, or "NAME ADDRESS:PORT"."""
		more = dict(self.settings, **names(settings))
		if self.port and not port:
			port = self.port	# the one it had before
		argv = []
		for peer in peers:
			argv += ["--peer", "127.0.0.1:%d" % peer if isinstance(peer, int) else peer]
		if port is not None:
			argv += ["--listen", "127.0.0.1:%d" % port]
		command = [harness.program("herd-flood")] + self.herd.options(more) + argv
		self.flood = harness.Process("flood", command, self.herd.folder)
		self.herd.processes.append(self.flood)
		if ready:
			self.flood.wait_log("Helper is ready")
			listening = re.findall(r"Listening on tcp \S+:(\d+)", self.flood.text())
			self.port = int(listening[0]) if listening else None
		return self

	def stop(self):
		self.flood.stop()

	def member(self, name, **options):
		return self.herd.member(name, **options)

	def status(self):
		"""What `systemctl status` shows."""
		return ask(self, "status")["status"]

	def peers(self):
		"""What the helper says of its links, by host."""
		reply = ask(self, "peers")
		return {peer["host"]: peer for peer in reply["peers"]}

	def up(self):
		return {name for name, peer in self.peers().items() if peer["state"] == "up"}

	def wait_up(self, *names, limit=harness.LIMIT):
		until(lambda: self.up() >= set(names), "%s linked with %s: %s" % (self.name, names, self.peers()), limit)

	def wait_down(self, *names, limit=harness.LIMIT):
		until(lambda: not self.up() & set(names), "%s no longer linked with %s" % (self.name, names), limit)

	def fixes(self):
		"""What is in the table, by client."""
		done = self.herd.run_ctl("--json", "fixes")
		assert done.returncode in (0, 1), done
		fixes = {}
		for line in done.stdout.splitlines():
			fix = json.loads(line)
			fix.pop("age", None)
			fixes[fix["id"]] = fix
		return fixes


def free_port():
	"""A port that nobody has now."""
	with socket.create_server(("127.0.0.1", 0)) as sock:
		return sock.getsockname()[1]


def ask(host, line):
	"""What a helper's control socket replies."""
	path = os.path.join(host.herd.control, host.herd.shm[1:] + ":flood")
	with socket.socket(socket.AF_UNIX) as sock:
		sock.settimeout(harness.LIMIT)
		sock.connect(path)
		sock.sendall(line.encode() + b"\n")
		data = b""
		while True:
			more = sock.recv(1 << 16)
			if not more:
				return json.loads(data)
			data += more


class Link:
	"""Speaks to a helper as a peer would, line by line, over plain TCP."""

	def __init__(self, port, name="raw", host_id="ab" * 16, greet=True, source=None, herd=HERD):
		self.sock = socket.create_connection(("127.0.0.1", port), timeout=harness.LIMIT, source_address=source)
		self.data = b""
		self.lines = []
		self.name = name
		if greet:
			self.greet(herd, host_id)

	def __enter__(self):
		return self

	def __exit__(self, *exception):
		self.sock.close()

	def greet(self, herd=HERD, host_id="ab" * 16, resume=NOTHING):
		"""With the capabilities that the helper has itself."""
		hello = self.line().split()
		self.send(" ".join(["HERD", "1", herd, host_id, "%016x" % 7, self.name] + hello[6:]), "RESUME " + resume)

	def send(self, *lines):
		self.sock.sendall(b"".join(line.encode() + b"\n" for line in lines))

	def line(self, limit=harness.LIMIT):
		"""The next line; None: it has closed."""
		end = time.monotonic() + limit
		while b"\n" not in self.data:
			left = end - time.monotonic()
			if left <= 0 or not select.select([self.sock], [], [], left)[0]:
				raise AssertionError("no line within %g s; had %s" % (limit, self.lines[-20:]))
			try:
				more = self.sock.recv(1 << 16)
			except ConnectionResetError:
				more = b""
			if not more:
				return None
			self.data += more
		line, _, self.data = self.data.partition(b"\n")
		self.lines.append(line.decode())
		return self.lines[-1]

	def expect(self, pattern, limit=harness.LIMIT):
		"""Reads on until a line matches."""
		while True:
			line = self.line(limit)
			assert line is not None, "closed before %r; had %s" % (pattern, self.lines[-20:])
			match = re.search(pattern, line)
			if match:
				return match

	def expect_end(self, limit=harness.LIMIT):
		"""Reads on until it closes; the BYE, if there was one."""
		bye = None
		while True:
			line = self.line(limit)
			if line is None:
				return bye
			if line.startswith("BYE "):
				bye = line[4:]


def at_line(client, server="Raw", now=None, ahead=0.0, location=LOCATION):
	"""An AT line of a fix taken `ahead` seconds from now, told at once."""
	now = time.time() + ahead if now is None else now
	return "AT %s +0.000000000 %s %s %.9f" % (server, client if isinstance(client, str) else client.decode(), location, now)


# --- certificates --------------------------------------------------------------------

def openssl(*words, **options):
	done = subprocess.run(["openssl"] + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
		stderr=subprocess.STDOUT, timeout=harness.LIMIT, check=False, **options)
	assert done.returncode == 0, (words, done.stdout)


class Authority:
	"""A certificate authority of a test, made and used by herdctl."""

	def __init__(self, herd, folder):
		self.herd, self.folder = herd, str(folder)
		herd.ctl("ca", "init", "--dir", self.folder)

	def issue(self, name, to, days=None):
		"""ca.crt, host.crt and host.key for a host, in the folder `to`."""
		os.makedirs(to, mode=0o700, exist_ok=True)
		for file in ("ca.crt", "host.crt", "host.key"):
			if os.path.exists(os.path.join(to, file)):
				os.unlink(os.path.join(to, file))
		self.herd.ctl("ca", "issue", name, "--dir", self.folder, "--out", to, *(["--days", str(days)] if days else []))
