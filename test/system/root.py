"""The roots that machines are booted from, made once and kept outside the tree.

A base root is a Debian 12 with systemd, D-Bus and what the package depends on. An
installed root is what installing the package in a booted base root left behind, as
a layer over it. Both are named after a hash of everything that goes in, are made
under a lock in a folder of their own and renamed into place when they are whole,
and are never written to again. Processes hold a shared lock on what they use, so
that what nobody used for a while can be thrown away.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

CACHE = os.path.realpath(os.environ.get("HERD_SYSTEM_CACHE", "/var/tmp/herd-system"))
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = ["systemd", "systemd-sysv", "dbus", "libevent-core-2.1-7", "libinih1", "libjson-c5", "libssl3", "openssl", "libcurl4",
	"jq", "netcat-openbsd",	# which the manual pages show
	"rpm"]
RECIPE = 3	# to be counted up when configure() below changes
KEEP_S = 7 * 24 * 3600	# how long what nobody uses stays
BOOTSTRAP_S = 1200
TOOLS = ["systemd-nspawn", "debootstrap", "dpkg-deb", "nsenter", "unshare", "mount", "umount", "cp"]

# Timers and consoles that a test has no use for, and that would not leave it alone.
MASKED = ["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
	"systemd-tmpfiles-clean.timer", "console-getty.service", "getty.target"]


class Impossible(Exception):
	"""This machine cannot boot another one; says why."""


def check_tools():
	if os.geteuid() != 0:
		raise Impossible("booting a container takes root, and this is uid %d" % os.geteuid())
	missing = [tool for tool in TOOLS if not shutil.which(tool, path=tool_path())]
	if missing:
		raise Impossible("not installed here: %s" % ", ".join(missing))


def tool_path():
	return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


def command(argv, limit, log=None, **options):
	"""Runs a tool; what it said is in the exception should it fail."""
	with tempfile.TemporaryFile() as out:
		status = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=limit,
			check=False, env=dict(os.environ, PATH=tool_path(), LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive"),
			**options).returncode
		out.seek(0)
		text = out.read().decode("utf-8", "replace")
	if log:
		with open(log, "a", encoding="utf-8") as file:
			file.write(text)
	if status != 0:
		raise RuntimeError("%s ended with status %d:\n%s" % (" ".join(argv), status, text[-4000:]))
	return text


def mirror():
	"""Where this machine itself gets Debian 12 from, if it does."""
	if "HERD_SYSTEM_MIRROR" in os.environ:
		return os.environ["HERD_SYSTEM_MIRROR"]
	with contextlib.suppress(OSError, RuntimeError, subprocess.TimeoutExpired):
		listed = command(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(ORIGIN) $(COMPONENT)",
			"Created-By: Packages"], 60)
		for line in listed.splitlines():
			words = line.split()
			if words[1:] == [SUITE, "Debian", "main"] and words[0].startswith(("http:", "https:", "file:")):
				return words[0].rstrip("/")
	return MIRROR


def hash_of(*parts):
	digest = hashlib.sha256()
	for part in parts:
		data = part if isinstance(part, bytes) else str(part).encode()
		digest.update(b"%d:" % len(data) + data)
	return digest.hexdigest()[:16]


def file_hash(path):
	with open(path, "rb") as file:
		return hash_of(file.read())


# --- the cache ------------------------------------------------------------

held = []	# locks of what this process uses; closed when it ends


@contextlib.contextmanager
def locked(name, how=fcntl.LOCK_EX):
	with open(os.path.join(CACHE, name), "a", encoding="utf-8") as file:
		fcntl.flock(file, how)
		yield file


def mounted_below(folder):
	"""What is mounted in a folder, the deepest first."""
	with open("/proc/self/mountinfo", encoding="utf-8") as file:
		places = [re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4]) for line in file]	# proc(5)
	return [place for place in reversed(places) if place.startswith(folder + "/")]


def remove(folder):
	"""Removes a tree of our own, and first lets go of what a killed run may have mounted in it."""
	for place in mounted_below(folder):
		command(["umount", "--lazy", "--no-canonicalize", place], 60)
	command(["rm", "-rf", "--one-file-system", folder], 600)


def hold(name):
	file = open(os.path.join(CACHE, name + ".lock"), "a", encoding="utf-8")	# held until the process ends
	fcntl.flock(file, fcntl.LOCK_SH)
	os.utime(file.fileno())
	held.append(file)


def sweep():
	"""Removes roots that nobody used for long, and what killed runs left. The cache is locked."""
	for lock in [n for n in os.listdir(CACHE) if n.endswith(".lock")]:
		name = os.path.join(CACHE, lock[:-len(".lock")])
		with open(os.path.join(CACHE, lock), "a", encoding="utf-8") as file:
			old = time.time() - os.fstat(file.fileno()).st_mtime > (0 if lock.startswith("run-") else KEEP_S)
			try:
				fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
			except BlockingIOError:
				continue
			if old and left_behind(name):
				os.unlink(file.name)
	for name in os.listdir(CACHE):	# half-made ones: their maker would hold the cache's lock
		if name.startswith("new-"):
			left_behind(os.path.join(CACHE, name))


def left_behind(folder):
	"""Removes what another run left; false, with a word about it, where that fails: this run can do without."""
	try:
		remove(folder)
	except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
		sys.stderr.write("%s stays: %s\n" % (folder, error))
		return False
	return True


def cached(name, make):
	"""The path of a folder in the cache that make(folder) fills, unless it is there already."""
	path = os.path.join(CACHE, name)
	os.makedirs(CACHE, exist_ok=True)
	with locked("making"):
		hold(name)
		if not os.path.isdir(path):
			sweep()
			new = tempfile.mkdtemp(prefix="new-", dir=CACHE)
			try:
				make(new)
				os.chmod(new, 0o755)
				os.rename(new, path)
			except BaseException:
				remove(new)
				raise
	return path


def run_folder():
	"""A folder of this process alone, removed by end_run() or, should we be killed, by the next run."""
	os.makedirs(CACHE, exist_ok=True)
	with locked("making"):
		sweep()
		folder = tempfile.mkdtemp(prefix="run-", dir=CACHE)
		os.chmod(folder, 0o755)	# services in there must be able to walk through
		hold(os.path.basename(folder))
	return folder


def end_run(folder):
	remove(folder)
	os.unlink(folder + ".lock")


# --- the base root --------------------------------------------------------

def depends(deb):
	"""The packages a .deb depends on, by name; of alternatives the first."""
	fields = command(["dpkg-deb", "-f", deb, "Pre-Depends", "Depends"], 60)
	names = set()
	for line in fields.splitlines():
		for word in line.partition(":")[2].split(","):
			name = word.split("|")[0].split("(")[0].strip()
			if name:
				names.add(name.partition(":")[0])
	return names


def configure(root):
	"""Makes of a bootstrapped root a machine that has been set up."""
	for name in MASKED:
		link = os.path.join(root, "etc/systemd/system", name)
		if not os.path.lexists(link):
			os.symlink("/dev/null", link)
	os.makedirs(os.path.join(root, "var/log/journal"), exist_ok=True)	# kept over a reboot
	for name, text in (("etc/hostname", "herd-test\n"), ("etc/machine-id", "f3c1d6a2b0c94e5b8a4d1e0f9b7c6a55\n"),
			("etc/apt/sources.list", "")):
		with open(os.path.join(root, name), "w", encoding="utf-8") as file:
			file.write(text)
	# Tests look at every record, also while a crash loop writes them.
	os.makedirs(os.path.join(root, "etc/systemd/journald.conf.d"), exist_ok=True)
	with open(os.path.join(root, "etc/systemd/journald.conf.d/test.conf"), "w", encoding="utf-8") as file:
		file.write("[Journal]\nRateLimitBurst=0\nStorage=persistent\n")


def make_base(folder, packages, url):
	os.makedirs(os.path.join(CACHE, "debs"), exist_ok=True)
	command(["debootstrap", "--variant=minbase", "--include=" + ",".join(packages),
		"--cache-dir=" + os.path.join(CACHE, "debs"), SUITE, folder, url], BOOTSTRAP_S)
	shutil.rmtree(os.path.join(folder, "var/cache/apt/archives"), ignore_errors=True)
	configure(folder)


def base(deb):
	"""A Debian 12 with what this package depends on, but without it."""
	check_tools()
	packages = sorted(set(PACKAGES) | depends(deb))
	url = mirror()
	return cached("base-" + hash_of(RECIPE, SUITE, url, *packages), lambda folder: make_base(folder, packages, url))


# --- copies ---------------------------------------------------------------

def can_overlay(folder):
	"""Whether the kernel stacks folders below this one, tried out where nobody sees it."""
	with tempfile.TemporaryDirectory(dir=folder) as place:
		for name in ("lower", "upper", "work", "root"):
			os.mkdir(os.path.join(place, name))
		try:
			command(["unshare", "--mount", "mount", "-t", "overlay", "overlay", "-o",
				"lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work" % (place, place, place), place + "/root"], 60)
		except RuntimeError:
			return False
		return True

