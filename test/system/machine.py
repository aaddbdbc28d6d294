"""Real machines: systemd as process 1 of a container, as it is on a host.

Every machine has its own root (a layer over one of root.py's), its own network, its
own control groups and its own /run and /dev/shm, so any number of them run side by
side. Those that are to meet are plugged into a network of the test's with join(). A
machine can be rebooted and have its power cut. Mounts are made in a namespace that
ends with it; the machine ends with the test run, however that ends. Every
wait has a condition and an end.
"""

import contextlib
import ctypes
import glob
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import root

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
sys.path[1:1] = [os.path.join(TOP, "test", "integration"), os.path.join(TOP, "test", "flood"),
	os.path.join(TOP, "test", "package")]
import harness	# noqa: E402  its clients
import net	# noqa: E402  its namespaces

BOOT_S = 90
STOP_S = 60
COMMAND_S = 90
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)
numbers = itertools.count(1)


def until(condition, what, limit=harness.LIMIT, pause=0.02):
	"""Waits for a condition; returns what it returned. `what` may be a function that says it."""
	end = time.monotonic() + limit
	while True:
		value = condition()
		if value:
			return value
		assert time.monotonic() < end, "not within %g s: %s" % (limit, what() if callable(what) else what)
		time.sleep(pause)


# --- control groups -------------------------------------------------------

def own_groups():
	"""Our own control group in each hierarchy a container needs one in, as folders."""
	mounts = []	# (file system, options, root, where)
	with open("/proc/self/mountinfo", encoding="utf-8") as file:
		for line in file:
			left, _, right = line.partition(" - ")
			left, right = left.split(), right.split()
			if right[0] in ("cgroup", "cgroup2"):
				mounts.append((right[0], right[2].split(","), left[3], left[4]))
	folders = []
	with open("/proc/self/cgroup", encoding="utf-8") as file:
		for line in file:
			_, kind, path = line.rstrip("\n").split(":", 2)
			for system, options, top, where in mounts:
				if (system == "cgroup2" and kind == "") or (kind == "name=systemd" and kind in options):
					inside = os.path.relpath(path, top) if path.startswith(top) else path.lstrip("/")
					folders.append(os.path.normpath(os.path.join(where, inside)))
					break
	if not folders:
		raise root.Impossible("no control groups are mounted here that systemd could use")
	return folders


class Groups:
	"""Control groups of one machine. Without them two containers would fight over one."""

	def __init__(self, name):
		self.folders = []
		for folder in own_groups():
			folder = os.path.join(folder, name)
			try:
				os.mkdir(folder)
			except OSError as error:
				self.remove()
				raise root.Impossible("cannot make a control group: %s" % error) from error
			self.folders.append(folder)

	def enter(self):
		"""For the child, before it becomes the container."""
		for folder in self.folders:
			with open(os.path.join(folder, "cgroup.procs"), "w", encoding="ascii") as file:
				file.write("%d\n" % os.getpid())

	def of_unit(self, name):
		"""Where the processes of a unit are, as seen from outside."""
		for folder in self.folders:
			for path, names, _ in os.walk(folder):
				if name in names:
					return os.path.join(path, name)
		return None

	def pids(self):
		found = set()
		for folder in self.folders:
			for path, _, _ in os.walk(folder):
				with contextlib.suppress(OSError):
					with open(os.path.join(path, "cgroup.procs"), encoding="ascii") as file:
						found.update(int(pid) for pid in file.read().split())
		return found

	def remove(self):
		"""Ends whatever is left in them."""
		def gone():
			for pid in self.pids():
				with contextlib.suppress(ProcessLookupError):
					os.kill(pid, signal.SIGKILL)
			for folder in self.folders:
				for path, _, _ in os.walk(folder, topdown=False):
					with contextlib.suppress(OSError):
						os.rmdir(path)
			return not any(os.path.exists(folder) for folder in self.folders)
		until(gone, "the control groups %s are empty" % self.folders, STOP_S)


def sweep_groups():
	"""Removes control groups of test runs that were killed before they could."""
	for top in own_groups():
		for folder in glob.glob(os.path.join(top, "herd-*-*")):
			found = re.fullmatch(r"herd-(\d+)-\d+", os.path.basename(folder))
			if found and not os.path.exists("/proc/" + found.group(1)):
				for path, _, _ in os.walk(folder, topdown=False):
					with contextlib.suppress(OSError):	# somebody is still on the way out: next time
						os.rmdir(path)


# --- machines -------------------------------------------------------------

class Failed(AssertionError):
	"""A command in a machine ended with another status than it should have."""


class Machine:
	"""One machine. `lower` are the folders its root lies over, the uppermost first; without
	overlays `lower[0]` is a whole root and is copied."""

	def __init__(self, folder, lower, overlay):
		self.name = "herd-%d-%d" % (os.getpid(), next(numbers))
		self.folder = os.path.join(folder, self.name)
		self.lower = lower
		self.overlay = overlay
		self.root = os.path.join(self.folder, "root")
		self.upper = os.path.join(self.folder, "upper") if overlay else self.root
		self.console = os.path.join(self.folder, "console")
		self.nspawn = self.leader = self.groups = self.network = None
		self.plug = None	# (a namespace, the bridge in it)
		self.lock = threading.Lock()
		for name in (self.folder, self.root):
			os.mkdir(name)
		if overlay:
			for name in ("upper", "work"):
				os.mkdir(os.path.join(self.folder, name))
		else:
			root.command(["cp", "-a", "--reflink=auto", lower[0] + "/.", self.root], 600)

	def join(self, network, name, address):
		"""While it is off: the next boots have it in this network, as host `name` with this address and an identity of its own."""
		self.plug = (network, "switch")
		self.write("/etc/hostname", name + "\n")
		self.write("/etc/machine-id", root.hash_of("machine", name) + root.hash_of("id", name) + "\n", 0o444)
		self.write("/etc/systemd/network/10-host0.network", "[Match]\nName=host0\n[Network]\nAddress=%s\n"
			"LinkLocalAddressing=no\nIPv6AcceptRA=no\n" % address)
		wants = self.path("/etc/systemd/system/multi-user.target.wants")
		os.makedirs(wants, exist_ok=True)
		os.symlink("/lib/systemd/system/systemd-networkd.service", os.path.join(wants, "systemd-networkd.service"))
		return self

	# Power.

	def boot(self, state=("running",)):
		"""Switches it on and waits until systemd has started everything; `state` None: only until users could log in,
		which is sooner when a service has to be tried again and again."""
		assert self.nspawn is None, "it runs already"
		options = "lowerdir=%s,upperdir=%s/upper,workdir=%s/work" % (":".join(self.lower), self.folder, self.folder)
		mount = "mount -t overlay overlay -o \"$1\" \"$2\" && " if self.overlay else ""
		# Debian's own init; no registration, since this machine's process 1 may not be systemd.
		script = mount + "exec systemd-nspawn --quiet --boot --register=no --keep-unit $4 " \
			"--rlimit=NOFILE=524288 --link-journal=no --resolv-conf=off --timezone=off --console=read-only --machine=\"$3\" --directory=\"$2\""
		network = "--network-bridge=" + self.plug[1] if self.plug else "--private-network"
		self.groups = Groups(self.name)
		parent = os.getpid()

		def in_child():
			libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)	# it powers off when the test run is killed
			if os.getppid() != parent:
				os._exit(1)
			self.groups.enter()

		try:
			with open(self.console, "ab") as out:
				self.nspawn = subprocess.Popen((self.plug[0].enter if self.plug else []) +
					["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "boot", options, self.root,
						self.name, network], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
					start_new_session=True, preexec_fn=in_child, env=dict(os.environ, PATH=root.tool_path()))
			self.leader = until(self.find_leader, "systemd starts in %s" % self.name, BOOT_S)
			self.network = os.open("/proc/%d/ns/net" % self.leader, os.O_RDONLY | os.O_CLOEXEC)
			until(self.listens, "systemd of %s answers" % self.name, BOOT_S, 0.05)
			if state:
				reached = self.run("systemctl", "is-system-running", "--wait", status=None, limit=BOOT_S).stdout.strip()
				assert reached in state, "%s is %r:\n%s" % (self.name, reached, self.report())
			else:
				self.wait_active("multi-user.target", limit=BOOT_S)
		except BaseException as error:
			text = self.console_text()
			self.power_cut()
			if isinstance(error, root.Impossible):
				raise
			raise AssertionError("%s does not boot: %s\n%s" % (self.name, error, text[-3000:])) from error
		return self

	def find_leader(self):
		"""The container's process 1, by its number out here."""
		assert self.nspawn.poll() is None, "systemd-nspawn ended with status %s" % self.nspawn.returncode
		for pid in self.groups.pids():
			with contextlib.suppress(OSError, AttributeError):
				with open("/proc/%d/status" % pid, encoding="utf-8") as file:
					spaces = re.search(r"^NSpid:\s*(.*)$", file.read(), re.MULTILINE).group(1).split()
				if len(spaces) > 1 and spaces[-1] == "1" and os.readlink("/proc/%d/exe" % pid).endswith("/systemd"):
					return pid
		return None

	def listens(self):
		assert self.nspawn.poll() is None, "systemd-nspawn ended with status %s" % self.nspawn.returncode
		return os.path.exists(self.path("/run/systemd/private")) and os.path.exists(self.path("/run/dbus/system_bus_socket"))

	def ended(self):
		"""After the container ended: nothing of it is left but its root."""
		if self.nspawn is not None:
			self.nspawn.wait(STOP_S)
			self.nspawn = None
		if self.network is not None:
			os.close(self.network)
			self.network = None
		self.leader = None
		with contextlib.suppress(OSError):	# an nspawn that was killed leaves it
			os.rmdir("/run/systemd/nspawn/propagate/" + self.name)
		if self.groups is not None:
			self.groups.remove()
			self.groups = None

	def power_off(self):
		"""An orderly shutdown."""
		os.kill(self.leader, signal.SIGRTMIN + 4)
		self.ended()

	def power_cut(self):
		"""Ends every process at once. What was written stays, as it does when only systemd dies: this is
		not a test of disks."""
		if self.leader is not None:
			with contextlib.suppress(ProcessLookupError):
				os.kill(self.leader, signal.SIGKILL)
		elif self.nspawn is not None:
			with contextlib.suppress(ProcessLookupError):
				os.killpg(self.nspawn.pid, signal.SIGKILL)
		if self.nspawn is not None:
			try:
				self.nspawn.wait(10)
			except subprocess.TimeoutExpired:
				os.killpg(self.nspawn.pid, signal.SIGKILL)
		self.ended()

	def reboot(self, **options):
		self.power_off()
		return self.boot(**options)

	def remove(self):
		self.power_cut()
		root.remove(self.folder)

	# What is in it.

	def path(self, name):
		"""A file of the running machine, seen from outside; of one that is off, where to write it."""
		top = "/proc/%d/root" % self.leader if self.leader else self.upper
		return top + name

	def read(self, name):
		with open(self.path(name), "rb") as file:
			return file.read().decode("utf-8", "replace")

	def write(self, name, text, mode=0o644):
		path = self.path(name)
		os.makedirs(os.path.dirname(path), exist_ok=True)
		with open(path, "w", encoding="utf-8") as file:
			file.write(text)
		os.chmod(path, mode)

	def run(self, *argv, status=0, limit=COMMAND_S, stdin=None):
		"""Runs a command in it, as root; `status` None: whatever it ends with."""
		command = ["nsenter", "--target", str(self.leader), "--all", "--root", "--wd", "--", "/usr/bin/env", "-i",
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
			"DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER=", "timeout", "-k", "5", "%d" % limit] + list(argv)
		done = subprocess.run(command, input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
			stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit + 30, check=False, encoding="utf-8",
			errors="replace", env=dict(os.environ, PATH=root.tool_path()))
		if status is not None and done.returncode != status:
			raise Failed("%s: status %s instead of %s\n%s%s" % (" ".join(argv), done.returncode, status, done.stdout,
				done.stderr))
		return done

	def sh(self, script, **options):
		return self.run("sh", "-ec", script, **options).stdout

	def systemctl(self, *words, **options):
		return self.run("systemctl", "--no-ask-password", *words, **options).stdout

	def show(self, unit, name):
		return self.systemctl("show", "--value", "-p", name, unit).rstrip("\n")

	def active(self, unit):
		return self.show(unit, "ActiveState")

	def wait_active(self, unit, state="active", limit=harness.LIMIT):
		return until(lambda: self.active(unit) == state, lambda: "%s is %s:\n%s" % (unit, state, self.status(unit)), limit,
			0.05)

	def status(self, *units):
		"""What an operator sees."""
		return self.systemctl("status", "--no-pager", "--full", "--lines=20", *units, status=None)

	def main_pid(self, unit):
		"""Out here, 0 when there is none."""
		inside = int(self.show(unit, "MainPID"))
		return next((pid for pid in self.pids(unit) if inner_pid(pid) == inside), 0)

	def pids(self, unit):
		"""The processes of a unit, by their numbers out here."""
		folder = self.groups.of_unit(unit)
		try:
			with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
				return [int(pid) for pid in file.read().split()]
		except (OSError, TypeError):
			return []

	def wait_pid(self, unit, other_than=0):
		"""The one process of a unit, as soon as there is one."""
		return until(lambda: next((p for p in self.pids(unit) if p != other_than), 0), "a process of %s" % unit)

	def journal(self, *words):
		"""Records as dictionaries, oldest first."""
		self.run("journalctl", "--sync")
		text = self.run("journalctl", "--quiet", "--output=json", "--all", "--boot=0", *words, status=None).stdout
		return [json.loads(line) for line in text.splitlines()]

	def wait_journal(self, pattern, *words, limit=20):
		"""Waits for a message; returns the last one's record."""
		def found():
			for record in reversed(self.journal(*words)):
				if isinstance(record.get("MESSAGE"), str) and re.search(pattern, record["MESSAGE"]):
					return record
			return None
		return until(found, "%r in the journal" % pattern, limit, 0.1)

	def report(self):
		"""For whoever has to understand why a test failed."""
		texts = ["--- console\n" + self.console_text()[-1500:]]
		if self.leader is not None:
			for argv in (["systemctl", "--no-pager", "--all", "list-units", "herd*"], ["systemctl", "--no-pager", "--failed"],
					["journalctl", "--quiet", "--no-pager", "--boot=0", "--lines=120", "--output=short-precise"]):
				with contextlib.suppress(Exception):
					texts.append("--- %s\n%s" % (" ".join(argv), self.run(*argv, status=None, limit=20).stdout[-12000:]))
		return "\n".join(texts)

	def console_text(self):
		with contextlib.suppress(OSError):
			with open(self.console, "rb") as file:
				return file.read().decode("utf-8", "replace")
		return ""

	# Talking to it.

	@contextlib.contextmanager
	def inside_network(self):
		"""Sockets this thread makes meanwhile belong to the machine."""
		with open("/proc/thread-self/ns/net", "rb") as own:
			if libc.setns(self.network, CLONE_NEWNET) != 0:
				raise OSError(ctypes.get_errno(), "setns")
			try:
				yield
			finally:
				if libc.setns(own.fileno(), CLONE_NEWNET) != 0:
					os.abort()	# this thread would go on in a network it has no business in

	def client(self, where=("127.0.0.1", 12000), **options):
		"""A client from inside; `where` is an address or the path of a socket."""
		if isinstance(where, str):
			return harness.Client(self.path(where), **options)
		with self.inside_network():
			return harness.Client(where, **options)

	def datagrams(self, where):
		with self.inside_network():
			return harness.Datagrams(where)

	def install(self, deb, keep=False, **options):
		"""Installs a package; what it depends on is there. `keep`: dpkg need not ask whose settings are to stay."""
		name = "/root/" + os.path.basename(deb)
		shutil.copy(deb, self.path(name))
		return self.run("dpkg", *(["--force-confold"] if keep else []), "--install", name, **options)


def inner_pid(pid):
	"""The number of one of our processes in its own machine."""
	with contextlib.suppress(OSError, AttributeError):
		with open("/proc/%d/status" % pid, encoding="utf-8") as file:
			return int(re.search(r"^NSpid:.*?(\d+)$", file.read(), re.MULTILINE).group(1))
	return None


def switch():
	"""A network for machines to join(); to be closed after they are off."""
	try:
		made = net.Namespace()
	except net.Impossible as error:
		raise root.Impossible(str(error)) from error
	made.ip("link add switch type bridge forward_delay 0", "link set switch up")
	return made


# --- what machines are made of --------------------------------------------

class Images:
	"""The roots of one package, and the machines made from them."""

	def __init__(self, deb):
		self.deb = deb
		self.base = root.base(deb)
		self.folder = root.run_folder()
		sweep_groups()
		self.overlay = root.can_overlay(self.folder)
		self.machines = []
		self.with_package = None

	def bare(self):
		"""A machine without the package."""
		return self.make([self.base])

	def installed(self):
		"""A machine with the package, as its installation left it."""
		if self.with_package is None:
			name = "installed-%s" % root.hash_of(os.path.basename(self.base), root.file_hash(self.deb), self.overlay, "2")
			self.with_package = root.cached(name, self.make_installed)
		return self.make([self.with_package] + ([self.base] if self.overlay else []))

	def make_installed(self, folder):
		machine = self.bare()
		try:
			machine.boot()
			machine.install(self.deb)
			machine.power_off()
			shutil.rmtree(os.path.join(machine.upper, "var/log/journal"), ignore_errors=True)
			os.makedirs(os.path.join(machine.upper, "var/log/journal"), exist_ok=True)
			root.command(["cp", "-a", machine.upper + "/.", folder], 600)
		finally:
			self.end(machine)

	def make(self, lower):
		machine = Machine(self.folder, lower, self.overlay)
		self.machines.append(machine)
		return machine

	def end(self, machine):
		self.machines.remove(machine)
		machine.remove()

	def close(self):
		for machine in list(self.machines):
			self.end(machine)
		root.end_run(self.folder)


def find_deb():
	"""The package under test: HERD_DEB, or what is in HERD_PACKAGES."""
	if "HERD_DEB" in os.environ:
		return os.path.realpath(os.environ["HERD_DEB"])
	folder = os.environ.get("HERD_PACKAGES", os.path.join(TOP, "build-test", "package"))
	found = glob.glob(os.path.join(folder, "herd_*.deb"))
	if len(found) != 1:
		raise root.Impossible("%d packages in %s: run the layer package first, or set HERD_DEB" % (len(found), folder))
	return found[0]
