"""Hosts of one herd: each with its own table, helper and members, in a network of the test's own.

Members listen on Unix sockets, so that load and tests reach them from outside their
networks; helpers meet over TCP, where the faults are. What is measured is printed at
the end of the run, as lines of JSON, and appended to the file HERD_FIGURES names.
HERD_BENCH_LONG=1 asks for the long form of everything.
"""

import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
sys.path.insert(1, os.path.join(TOP, "test", "integration"))
import harness	# noqa: E402
from harness import Process, program, until	# noqa: E402

import net	# noqa: E402

LONG = os.environ.get("HERD_BENCH_LONG", "") not in ("", "0")
CONVERGE_S = 60	# the longest wait for what should be there at once
CLASSIC = ["Hill", "Jaquez", "Smith", "Campbell", "Singleton"]
CLASSIC_LINKS = [("Hill", "Jaquez"), ("Hill", "Smith"), ("Jaquez", "Singleton"), ("Smith", "Singleton"),
	("Smith", "Campbell"), ("Singleton", "Campbell")]

figures = []	# (what, values); told at the end


def form(short, long):
	"""What continuous integration has time for, or all of it."""
	return long if LONG else short


def room(limit):
	"""How long something may take that should take no longer than `limit` seconds: continuous integration runs on
	a busy machine, where milliseconds suffer more than seconds."""
	return limit if LONG else limit * (2 if limit >= 1 else 5)


def figure(what, **values):
	record = {"figure": what, "form": form("short", "long"), **values}
	figures.append(record)
	if "HERD_FIGURES" in os.environ:
		with open(os.environ["HERD_FIGURES"], "a", encoding="utf-8") as file:
			file.write(json.dumps(record) + "\n")
	return record


def sweep():
	"""Removes what killed runs left: their processes and networks are gone, tables and folders are not."""
	for folder, pattern in (("/dev/shm", r"herd-test-(\d+)-.*"), (tempfile.gettempdir(), r"herd-(\d+)-.*")):
		for name in os.listdir(folder):
			found = re.fullmatch(pattern, name)
			if found and not os.path.exists("/proc/" + found.group(1)):
				path = os.path.join(folder, name)
				if os.path.isdir(path):
					shutil.rmtree(path, ignore_errors=True)
				else:
					os.unlink(path)


# --- one host -------------------------------------------------------------

class Host(harness.Herd):
	"""One machine of the herd, as far as herd can tell."""

	def __init__(self, folder, name, port, clients=8192):
		os.mkdir(folder)
		super().__init__(folder)
		self.name = name
		self.port = port
		self.address = "%s:%d" % (port.address, net.PORT)
		self.helper = None
		self.members = {}
		self.settings.update({"herd.table-clients": clients, "flood.listen": self.address, "flood.name": name,
			"flood.plain": "yes"})
		self.graph = ""	# lines of [flood] that say whom to be linked with

	def write_settings(self):
		self.configure("[flood]\n" + self.graph)

	def start(self, members=1, settings=None):
		"""Helper and members, all ready."""
		self.start_helper(settings, ready=False)
		for number in range(members):
			self.start_member("%s-%d" % (self.name, number + 1), settings, ready=False)
		return self.ready()

	def start_helper(self, settings=None, ready=True):
		self.write_settings()
		self.helper = self.flood(settings, ready=ready, argv=self.port.enter)
		return self.helper

	def start_member(self, name, settings=None, ready=True):
		self.members[name] = self.member(name, listen=(), unix=[self.door(name)], settings=settings, ready=ready,
			argv=self.port.enter)
		return self.members[name]

	def ready(self):
		self.helper.wait_log("Helper is ready")
		for member in self.members.values():
			member.ready()
		return self

	def door(self, name):
		return os.path.join(self.control, name + ".sock")

	def doors(self):
		return [self.door(name) for name in self.members]

	def running(self):
		return [p for p in [self.helper] + list(self.members.values()) if p is not None and p.alive()]

	def off(self):
		"""An orderly stop; the table stays."""
		for process in sorted(self.running(), key=lambda p: p is self.helper):
			process.stop()
		self.forget()

	def kill(self):
		"""kill -9 of everything at once; the table stays."""
		self.end_now()
		self.forget()

	def destroy(self):
		"""As if the machine had lost its power: its table is gone, too."""
		self.end_now()
		if os.path.lexists(self.segment):
			os.unlink(self.segment)
		self.forget()

	def end_now(self):
		running = self.running()
		for process in running:
			process.expected_death = True
			process.signal(signal.SIGKILL)
		for process in running:
			process.popen.wait(harness.LIMIT)

	def forget(self):
		self.helper = None
		self.members = {}

	def stop(self):
		"""The end of the test: all are told at once, then waited for."""
		try:
			self.check()
			running = self.running()
			for process in running:
				process.expected_death = True
				process.signal(signal.SIGCONT)
				process.signal(signal.SIGTERM)
			for process in running:
				status = process.wait()
				assert status == 0, "%s stopped with %s: %s" % (process.name, status, process.text()[-4000:])
		finally:
			super().stop()

	def client(self, **options):
		return harness.Client(self.doors()[0], **options)

	# What it says of itself.

	def ask(self, verb):
		"""A question to the helper's control socket."""
		path = os.path.join(self.control, self.shm[1:] + ":flood")
		with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
			asked.settimeout(harness.LIMIT)
			asked.connect(path)
			asked.sendall(verb.encode() + b"\n")
			reply = b""
			while not reply.endswith(b"\n"):
				data = asked.recv(1 << 16)
				assert data, "%s: cut short: %r" % (verb, reply[-200:])
				reply += data
		reply = json.loads(reply)
		assert reply.get("ok"), reply
		return reply

	def peers(self):
		"""{host: what the helper says of it}"""
		return {peer["host"]: peer for peer in self.ask("peers")["peers"]}

	def up(self):
		return sorted(name for name, peer in self.peers().items() if peer["state"] == "up")

	def neighbours(self):
		"""With whom it is to be linked when nobody is down."""
		start, seen = 0, {}
		while start is not None:
			page = self.ask("graph %d" % start)
			seen.update((host["name"], host["neighbours"]) for host in page["hosts"])
			start = page.get("next")
		return seen[self.name]

	def lines_in(self):
		return sum(peer.get("lines_in", 0) for peer in self.peers().values())


# --- all of them ----------------------------------------------------------

class Hosts:
	"""All hosts of a test."""

	def __init__(self, folder, network, names=None, clients=8192):
		self.folder = str(folder)
		self.network = network
		self.list = os.path.join(self.folder, "hosts")
		self.tools = []
		names = names or ["host-%03d" % (n + 1) for n in range(len(network.ports))]
		self.hosts = [Host(os.path.join(self.folder, name), name, port, clients)
			for name, port in zip(names, network.ports)]
		self.by_name = {host.name: host for host in self.hosts}

	def __iter__(self):
		return iter(self.hosts)

	def __getitem__(self, which):
		return self.by_name[which] if isinstance(which, str) else self.hosts[which]

	def computed(self, sites=None, hosts=None):
		"""Everybody has the same list, and computes the graph from it."""
		with open(self.list + ".new", "w", encoding="utf-8") as file:
			for host in hosts or self.hosts:
				site = " site=%s" % sites(host) if sites else ""
				file.write("%s %s%s\n" % (host.name, host.address, site))
		os.rename(self.list + ".new", self.list)
		for host in self.hosts:
			host.graph = "hosts = %s\n" % self.list
		return self

	def drawn(self, links):
		"""The graph is these links and no others."""
		for host in self.hosts:
			peers = [other for pair in links for other in pair if host.name in pair and other != host.name]
			host.graph = "peer = %s\n" % ", ".join("%s %s" % (p, self[p].address) for p in peers)
		return self

	def start(self, members=1, settings=None):
		for host in self.hosts:
			host.start_helper(settings, ready=False)
			for number in range(members):
				host.start_member("%s-%d" % (host.name, number + 1), settings, ready=False)
		for host in self.hosts:
			host.ready()
		return self

	def wait_linked(self, limit=CONVERGE_S):
		"""Until every host is linked with all that the computed graph gives it."""
		wanted = {host.name: set(host.neighbours()) for host in self.hosts}

		def missing():
			return {host.name: sorted(wanted[host.name] - set(host.up())) for host in self.hosts}
		until(lambda: not any(missing().values()), lambda: "links are up; missing are %r" % missing(), limit, 0.05)
		return self

	# Tables.

	def digests(self, hosts=None):
		"""[(fixes, digest)]"""
		shms = [host.shm for host in hosts or self.hosts]
		done = subprocess.run([program("test/tools/table-read")] + shms, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			timeout=harness.LIMIT, check=True, encoding="ascii")
		return [tuple(line.split()[1:]) for line in done.stdout.splitlines()]

	def wait_equal(self, hosts=None, limit=CONVERGE_S, count=None):
		"""Until these tables hold the same (and so many fixes); how long that took, in seconds."""
		started = time.monotonic()

		def equal():
			seen = self.digests(hosts)
			return len(set(seen)) == 1 and (count is None or seen[0][0] == str(count))
		until(equal, lambda: "tables are equal: %s" % self.differences(hosts), limit, 0.02)
		return time.monotonic() - started

	def differences(self, hosts=None):
		hosts = hosts or self.hosts
		return "; ".join("%s %s %s" % ((h.name,) + d) for h, d in zip(hosts, self.digests(hosts)))

	@staticmethod
	def lines(host):
		"""Every fix a host holds, as AT lines."""
		done = subprocess.run([program("test/tools/table-read"), "--lines", host.shm], stdin=subprocess.DEVNULL,
			stdout=subprocess.PIPE, timeout=harness.LIMIT, check=True)
		return done.stdout.splitlines(keepends=True)

	# Load.

	def load(self, **options):
		load = Load(self, **options)
		self.tools.append(load)
		return load

	# The end.

	def check(self):
		for host in self.hosts:
			host.check()

	def stop(self):
		errors = []
		for tool in self.tools:
			tool.end()
		for host in self.hosts:
			try:
				host.stop()
			except Exception as error:	# every host is stopped, whatever the others did
				errors.append(error)
		if errors:
			raise errors[0]


class Load:
	"""flood-load at work; its record and its figures."""

	numbers = itertools.count(1)

	def __init__(self, hosts, to=None, doors=None, rate=100, seconds=10, clients=1000, prefix="client-", sample=1, reads=0,
			linger=20, record=False):
		"""`to`: hosts whose members are told (None: all); every host's table is watched."""
		number = next(self.numbers)
		self.record = os.path.join(hosts.folder, "record-%d" % number) if record else None
		self.order = list(hosts)	# as numbered in the record
		self.seconds = seconds
		self.limit = seconds + linger + harness.LIMIT
		command = [program("test/tools/flood-load"), "--rate", str(rate), "--seconds", str(seconds), "--clients",
			str(clients), "--prefix", prefix, "--sample", str(sample), "--reads", str(reads), "--linger", str(linger)]
		for host in hosts:
			told = (doors or {}).get(host.name) or host.doors() if to is None or host in to else []
			command += ["--host", ",".join([host.shm] + told)]
		if record:
			command += ["--record", self.record]
		self.log = open(os.path.join(hosts.folder, "load-%d.log" % number), "w+b")
		self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, encoding="ascii")

	def progress(self):
		"""Its figures so far."""
		self.popen.stdin.write("\n")
		self.popen.stdin.flush()
		return json.loads(self.popen.stdout.readline())

	def finish(self, now=False):
		"""Waits until all is told, or ends it now; its figures."""
		if now:
			self.popen.stdin.close()
		try:
			self.popen.wait(self.limit)	# its output is short: it does not wait for us
		finally:
			self.end()
		self.log.seek(0)
		assert self.popen.returncode == 0, self.log.read()
		return json.loads(self.popen.stdout.read().splitlines()[-1])

	def end(self):
		if self.popen.poll() is None:
			self.popen.kill()
			self.popen.wait(harness.LIMIT)


def spread(result):
	"""How fast fixes were readable elsewhere, for people and for records."""
	return {key: result[key] for key in ("acked", "spread_count", "spread_p50_us", "spread_p99_us", "spread_max_us",
		"answer_p50_us", "answer_p99_us", "load_wait_s")}


def relay(host, listen, target, delay_ms):
	"""A relay in the host's network that holds every byte back for so long, each way."""
	process = Process("relay", host.port.enter + [sys.executable, os.path.join(TOP, "test", "tools", "relay.py"), listen, target,
		"--delay-ms", str(delay_ms)], host.folder)
	host.processes.append(process)
	process.wait_log(r"^Listening on \S+")
	return process
