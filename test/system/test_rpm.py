"""The rpm on a running machine: installed, upgraded, downgraded, removed, with its scripts run by rpm. The machine is a
Debian's, whose rpm lacks systemd's macros; the spec has fallbacks for them."""

import glob
import os
import shutil

import pytest

from load import Load
from machine import TOP

import rpms	# noqa: E402  machine.py says where it is

MEMBER, HELPER = "herd@Alpha.service", "herd-flood.service"
TCP = [("127.0.0.1", 12000)]
DOORS = ["/run/herd/Alpha.sock", "/run/herd/Bravo.sock"] + TCP


@pytest.fixture(scope="module")
def package():
	"""HERD_RPM, or what is in HERD_PACKAGES."""
	if "HERD_RPM" in os.environ:
		return os.path.realpath(os.environ["HERD_RPM"])
	found = glob.glob(os.path.join(os.environ.get("HERD_PACKAGES", os.path.join(TOP, "build-test", "package")), "herd-*[!c].rpm"))
	found = [name for name in found if not name.endswith(".src.rpm")]
	assert len(found) == 1, found
	return found[0]


@pytest.fixture(scope="module")
def following(images, package):
	folder = os.path.join(images.folder, "rpm-following")
	os.mkdir(folder)
	yield rpms.make_following(package, folder)
	shutil.rmtree(folder)


def rpm(machine, *words):
	"""Packages are copied to it. Debian's rpm does not know what Debian's packages provide."""
	for word in words:
		if word.endswith(".rpm"):
			shutil.copy(word, machine.path("/root/" + os.path.basename(word)))
	words = ["/root/" + os.path.basename(word) if word.endswith(".rpm") else word for word in words]
	alone = ["--force-debian", "--nosignature", "--nodeps"] if words[0] != "-q" else []
	return machine.run("rpm", *alone, *words, limit=120)


def test_from_the_first_to_the_last(bare, package, following):
	"""Nothing runs unasked; an upgrade and a downgrade under load lose nothing and refuse nobody, the helper before the
	members; removing stops all of it and leaves what is the operator's."""
	assert "warning" not in rpm(bare, "-U", package).stderr
	assert bare.active(MEMBER) == "inactive" and bare.active("herd@Alpha.socket") == "inactive"
	bare.systemctl("enable", "--now", "herd.target")
	bare.run("herdctl", "add", "Bravo")
	bare.write("/etc/herd/herd.conf", bare.read("/etc/herd/herd.conf") + "\n# ours\n")
	settings = bare.read("/etc/herd/herd.conf")
	for ways in (["-U", following], ["-U", "--oldpackage", package]):
		pids = {unit: bare.main_pid(unit) for unit in (MEMBER, "herd@Bravo.service", HELPER)}
		assert all(pids.values()), pids
		with Load(bare, DOORS) as load:
			said = rpm(bare, *ways).stderr
			load.progress()
		assert "did not come up" not in said
		assert load.broken() <= 2 * len(load.clients), [client.broken for client in load.clients]
		for unit, pid in pids.items():
			assert bare.active(unit) == "active" and bare.main_pid(unit) not in (0, pid), unit
		started = {unit: int(bare.show(unit, "ExecMainStartTimestampMonotonic")) for unit in pids}
		assert started[HELPER] < min(started[MEMBER], started["herd@Bravo.service"])
		assert bare.read("/etc/herd/herd.conf") == settings
		assert rpm(bare, "-q", "herd").stdout.strip() == rpms.query(ways[-1], "%{NVRA}")
	assert bare.systemctl("is-system-running", status=None).strip() == "running"
	with Load(bare, TCP) as load:
		load.ending = True
		rpm(bare, "-e", "herd")
	assert load.told() and not load.wrong(), load.wrong()
	assert not bare.pids(MEMBER) and not bare.pids(HELPER)
	assert bare.systemctl("list-units", "--plain", "--no-legend", "--all", "herd*").strip() == ""
	assert bare.read("/etc/herd/herd.conf.rpmsave") == settings
	assert os.path.isdir(bare.path("/var/lib/herd")) and os.path.exists(bare.path("/etc/herd/herd.conf.d/member-Bravo.conf"))


def test_what_was_told_outlives_the_package(bare, package):
	rpm(bare, "-U", package)
	bare.systemctl("enable", "--now", "herd.target")
	with bare.client() as client:
		told = client.iamat(b"kiwi")
	rpm(bare, "-e", "herd")
	rpm(bare, "-U", package)
	bare.systemctl("enable", "--now", "herd.target")
	with bare.client() as client:
		assert client.held(b"kiwi") == told.line
