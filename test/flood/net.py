"""Networks that belong to one test: hosts as network namespaces around a switch.

A namespace here has no name: it lives as long as a descriptor of this process or
one of its processes does, and its links die with it. So nothing is left, also after
a kill. Every fault is tried out right after it was set up, with a probe that must
notice it: a test whose fault is not in effect has tested nothing, and fails.

Needs root, and from the kernel: veth, bridge, nftables with numgen, tbf. There is no
netem on many kernels; delay comes from relay.py.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import socket
import subprocess
import threading
import time

TOOL_S = 60
CLONE_NEWNET = 0x40000000
SUBNET = "10.77.%d.%d"
PORT = 12400

libc = ctypes.CDLL(None, use_errno=True)


class Impossible(AssertionError):
	"""A network or a fault could not be made: nothing was tested."""


def tool_path():
	return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


def need_tools():
	if os.geteuid() != 0:
		raise Impossible("networks of our own take root, and this is uid %d" % os.geteuid())
	missing = [tool for tool in ("ip", "tc", "nft", "nsenter") if not shutil.which(tool, path=tool_path())]
	if missing:
		raise Impossible("not installed here: %s (iproute2, nftables, util-linux)" % ", ".join(missing))


class Namespace:
	"""One network of its own; no other process has it unless it is started in it."""

	def __init__(self):
		need_tools()
		found = []

		def make():	# a thread has its own; the one that asks for a new one ends at once
			if libc.unshare(CLONE_NEWNET) == 0:
				found.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

		thread = threading.Thread(target=make)
		thread.start()
		thread.join()
		if not found:
			raise Impossible("no network namespace can be made here")
		self.fd = found[0]
		self.path = "/proc/%d/fd/%d" % (os.getpid(), self.fd)
		self.enter = ["nsenter", "--net=" + self.path, "--"]
		self.ip("link set lo up")

	def close(self):
		if self.fd >= 0:
			os.close(self.fd)
			self.fd = -1

	def run(self, argv, text=None):
		done = subprocess.run(self.enter + argv, input=text, stdin=subprocess.DEVNULL if text is None else None,
			stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TOOL_S, check=False, encoding="utf-8",
			env=dict(os.environ, PATH=tool_path()))
		if done.returncode != 0:
			raise Impossible("%s: status %d\n%s%s" % (" ".join(argv), done.returncode, text or "", done.stdout))
		return done.stdout

	def ip(self, *commands):
		return self.run(["ip", "-batch", "-"], "".join(c + "\n" for c in commands))

	def nft(self, text):
		return self.run(["nft", "-f", "-"], text)

	@contextlib.contextmanager
	def inside(self):
		"""Sockets this thread makes meanwhile are in it."""
		with open("/proc/thread-self/ns/net", "rb") as own:
			if libc.setns(self.fd, CLONE_NEWNET) != 0:
				raise OSError(ctypes.get_errno(), "setns")
			try:
				yield
			finally:
				if libc.setns(own.fileno(), CLONE_NEWNET) != 0:
					os.abort()	# this thread would go on in a network it has no business in

	def socket(self, kind):
		with self.inside():
			made = socket.socket(socket.AF_INET, kind)
		made.settimeout(TOOL_S)
		return made


class Port:
	"""A host's place at the switch: its namespace, its address and what goes wrong with it."""

	def __init__(self, network, number, side):
		self.network = network
		self.name = "h%d" % number
		self.side = side
		self.address = SUBNET % (side, number + 1)
		self.space = Namespace()
		self.enter = self.space.enter
		network.switch.ip("link add %s type veth peer name eth0 netns %s" % (self.name, self.space.path),
			"link set %s master side%d up" % (self.name, side))
		self.space.ip("addr add %s/16 dev eth0" % self.address, "link set eth0 up")

	# Loss.

	def lose(self, percent, sides=None):
		"""Loses so many percent of what arrives here, from hosts on these sides (None: from all)."""
		sources = "{ %s }" % ", ".join("10.77.%d.0/24" % s for s in sides) if sides is not None else "10.77.0.0/16"
		self.space.nft("table inet loss {\n counter lost { }\n chain input {\n"
			"  type filter hook input priority -300; policy accept;\n"
			"  ip saddr %s numgen random mod 100 < %d counter name lost drop\n }\n}\n" % (sources, percent))
		prober = next(p for p in self.network.ports if p is not self and (sides is None or p.side in sides))
		share = prober.probe_loss(self)
		if abs(share - percent / 100) > 0.12 or not self.lost():
			raise Impossible("asked for %d %% loss, probes saw %.0f %%" % (percent, 100 * share))

	def lost(self):
		"""Packets lost by lose() so far."""
		return counter(self.space, "loss", "lost")

	def probe_loss(self, other, count=600):
		"""What share of datagrams from here does not arrive there."""
		with other.space.socket(socket.SOCK_DGRAM) as sink, self.space.socket(socket.SOCK_DGRAM) as source:
			sink.bind((other.address, 0))
			sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
			sink.settimeout(0.5)
			for number in range(count):
				source.sendto(b"%d" % number, sink.getsockname())
			arrived = 0
			with contextlib.suppress(socket.timeout):
				while sink.recv(64):
					arrived += 1
			return 1 - arrived / count

	# Rate.

	def limit(self, kbit):
		"""What leaves here, and what arrives, goes through a bottleneck of so many kbit/s."""
		for where in (self.space, "eth0"), (self.network.switch, self.name):
			where[0].run(["tc", "qdisc", "add", "dev", where[1], "root", "tbf", "rate", "%dkbit" % kbit, "burst", "4kb",
				"latency", "300ms"])
		other = next(p for p in self.network.ports if p is not self)
		for one, two in ((self, other), (other, self)):
			seen = one.probe_rate(two, kbit * 1000 // 8)
			if not 0.5 * kbit < seen < 1.5 * kbit:
				raise Impossible("asked for %d kbit/s, a probe got %.0f" % (kbit, seen))

	def probe_rate(self, other, size):
		"""kbit/s of TCP from here to there, after its first part, which buckets and buffers let through."""
		with other.space.socket(socket.SOCK_STREAM) as listener, self.space.socket(socket.SOCK_STREAM) as source:
			listener.bind((other.address, 0))
			listener.listen()
			source.connect(listener.getsockname())
			sink, _ = listener.accept()
			with sink:
				sink.settimeout(TOOL_S)
				sender = threading.Thread(target=source.sendall, args=(b"x" * (size + 16384),), daemon=True)
				sender.start()
				taken, started, first = 0, None, 0
				while taken < size + 16384:
					data = sink.recv(4096)
					if not data:
						break
					taken += len(data)
					if started is None and taken >= 16384:
						started, first = time.monotonic(), taken
				took = time.monotonic() - started
				sender.join(TOOL_S)
		return (taken - first) * 8 / 1000 / max(took, 1e-6)

	# Partition.

	def unplug(self):
		self.network.switch.ip("link set %s down" % self.name)
		self.must_not_reach(next(p for p in self.network.ports if p is not self))

	def plug(self):
		self.network.switch.ip("link set %s up" % self.name)
		self.must_reach(next(p for p in self.network.ports if p is not self))

	# Half-open: packets vanish, nobody is told.

	def mute(self, *others):
		"""From now on nothing passes between here and there, without a word to either."""
		them = "{ %s }" % ", ".join(other.address for other in others)
		self.space.nft("table inet mute {\n counter muted { }\n"
			" chain input {\n  type filter hook input priority -300;\n  ip saddr %s counter name muted drop\n }\n"
			" chain output {\n  type filter hook output priority -300;\n  ip daddr %s counter name muted drop\n }\n}\n"
			% (them, them))
		for other in others:
			before = self.muted()
			self.must_not_reach(other)
			if self.muted() == before:
				raise Impossible("nothing is dropped between %s and %s" % (self.address, other.address))

	def muted(self):
		return counter(self.space, "mute", "muted")

	def unmute(self, *others):
		self.space.nft("delete table inet mute\n")
		for other in others:
			self.must_reach(other)

	# Probes.

	def reaches(self, other, wait_s):
		"""Can a TCP connection be opened from here to there?"""
		with other.space.socket(socket.SOCK_STREAM) as listener, self.space.socket(socket.SOCK_STREAM) as source:
			listener.bind((other.address, 0))
			listener.listen()
			source.settimeout(wait_s)
			try:
				source.connect(listener.getsockname())
				return True
			except OSError:
				return False

	def must_reach(self, other):
		end = time.monotonic() + TOOL_S
		while not self.reaches(other, 1):
			if time.monotonic() > end:
				raise Impossible("%s does not reach %s" % (self.address, other.address))

	def must_not_reach(self, other):
		if self.reaches(other, 0.3) or other.reaches(self, 0.3):
			raise Impossible("%s still reaches %s" % (self.address, other.address))


def counter(space, table, name):
	listed = json.loads(space.run(["nft", "-j", "list", "counter", "inet", table, name]))
	return next(item["counter"]["packets"] for item in listed["nftables"] if "counter" in item)


class Network:
	"""A switch of one or more sides joined by trunks, and ports for hosts."""

	def __init__(self, hosts, sides=1):
		self.switch = Namespace()
		self.sides = sides
		self.ports = []
		for side in range(sides):
			self.switch.ip("link add side%d type bridge forward_delay 0" % side, "link set side%d up" % side)
			if side > 0:	# a chain of bridges has no loops
				self.switch.ip("link add near%d type veth peer name far%d" % (side, side),
					"link set near%d master side%d up" % (side, side - 1), "link set far%d master side%d up" % (side, side))
		for number in range(hosts):
			self.ports.append(Port(self, number, number * sides // hosts))
		for port in self.ports[1:]:
			port.must_reach(self.ports[0])

	def cut(self, side=1):
		"""Hosts of lower sides and the rest no longer reach each other."""
		self.switch.ip("link set near%d down" % side)
		self.of_side(side - 1).must_not_reach(self.of_side(side))

	def heal(self, side=1):
		self.switch.ip("link set near%d up" % side)
		self.of_side(side - 1).must_reach(self.of_side(side))

	def of_side(self, side):
		return next(p for p in self.ports if p.side == side)

	def close(self):
		for port in self.ports:
			port.space.close()
		self.switch.close()


class Loopback:
	"""One network for very many hosts: addresses 127.x.y.z in a namespace of the test's own."""

	def __init__(self, hosts):
		self.space = Namespace()
		self.ports = [LoopbackPort(self.space, "127.%d.%d.1" % (1 + n // 250, 1 + n % 250)) for n in range(hosts)]

	def close(self):
		self.space.close()


class LoopbackPort:
	def __init__(self, space, address):
		self.space = space
		self.enter = space.enter
		self.address = address


def wait_readable(sock, limit):
	return bool(select.select([sock], [], [], limit)[0])
