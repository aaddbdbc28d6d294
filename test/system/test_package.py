"""The package: upgraded, downgraded, removed, purged."""

import os
import re
import shutil

import pytest

import root
from load import Load

MEMBER, HELPER = "herd@Alpha.service", "herd-flood.service"
TCP = [("127.0.0.1", 12000)]
DOORS = ["/run/herd/Alpha.sock", "/run/herd/Bravo.sock"] + TCP

# What a machine writes by itself, and what dpkg keeps as its own history.
RESTLESS = re.compile(r"/(var/log|var/cache|var/lib/systemd|var/lib/apt|tmp|var/tmp|root|proc|sys|dev|run)(/|$)|"
	r"/var/lib/dpkg/.*|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|/etc/\.pwd\.lock$|/etc/ld\.so\.cache$")


@pytest.fixture(scope="session")
def versions(images):
	"""Made from the package: one before, one after, and one after with a member that does not start."""
	made = {}
	for what, suffix in (("before", "~before"), ("after", "+after"), ("broken", "+broken")):
		folder = os.path.join(images.folder, "deb-" + what)
		root.command(["dpkg-deb", "-R", images.deb, folder], 120)
		control = os.path.join(folder, "DEBIAN", "control")
		with open(control, encoding="utf-8") as file:
			text = file.read()
		text, count = re.subn(r"^(Version: .*)$", r"\1" + suffix, text, flags=re.MULTILINE)
		assert count == 1
		with open(control, "w", encoding="utf-8") as file:
			file.write(text)
		if what != "broken":	# dpkg asks about settings only where both sides changed them
			with open(os.path.join(folder, "etc/herd/herd.conf"), "a", encoding="utf-8") as file:
				file.write("# %s\n" % what)
		if what == "broken":
			shutil.copy("/bin/false", os.path.join(folder, "usr/sbin/herd-member"))
		made[what] = os.path.join(images.folder, "herd_%s.deb" % what)
		root.command(["dpkg-deb", "--root-owner-group", "-b", folder, made[what]], 120)
		shutil.rmtree(folder)
	return made


def files(machine):
	return {f for f in machine.sh("find / -xdev -mindepth 1").splitlines() if not RESTLESS.match(f)}


def users(machine):
	return set(machine.read("/etc/passwd").splitlines()), set(machine.read("/etc/group").splitlines())


@pytest.mark.parametrize("way", ["after", "before"])
def test_upgrade_and_downgrade_under_load(machine, versions, way):
	"""No acknowledged fix lost, no client refused, the helper restarted before the members, settings kept."""
	machine.run("herdctl", "add", "Bravo")
	machine.write("/etc/herd/herd.conf", machine.read("/etc/herd/herd.conf") + "\n# ours\n[member Alpha]\nline-max = 8k\n")
	kept = {name: machine.read(name) for name in ("/etc/herd/herd.conf", "/etc/herd/herd.conf.d/member-Bravo.conf")}
	pids = {unit: machine.main_pid(unit) for unit in (MEMBER, "herd@Bravo.service", HELPER)}
	with Load(machine, DOORS) as load:
		machine.install(versions[way], keep=True)
		load.progress()
	# Each of two members ends what is connected to it once, and no connection ends twice for one restart.
	assert load.broken() <= 2 * len(load.clients), [client.broken for client in load.clients]
	assert machine.sh("dpkg-query -W -f '${Version}' herd").endswith({"after": "+after", "before": "~before"}[way])
	for name, text in kept.items():
		assert machine.read(name) == text
	assert machine.read("/etc/herd/herd.conf.dpkg-dist").endswith("# %s\n" % way)	# the package's own, to compare
	for unit, pid in pids.items():
		assert machine.active(unit) == "active" and machine.main_pid(unit) not in (0, pid), unit
	started = {unit: int(machine.show(unit, "ExecMainStartTimestampMonotonic")) for unit in pids}
	assert started[HELPER] < min(started[MEMBER], started["herd@Bravo.service"])
	assert machine.systemctl("is-system-running", status=None).strip() == "running"


def test_upgrade_to_one_that_does_not_start(machine, images, versions):
	"""The first member that does not come up is as far as it goes: the others run on, and no socket is lost."""
	machine.run("herdctl", "add", "Bravo", "--listen", "127.0.0.1:12001")
	pid = machine.main_pid("herd@Bravo.service")
	done = machine.install(versions["broken"], limit=200)
	assert "did not come up" in done.stderr and "herd@Alpha.service" in done.stderr, done
	assert machine.main_pid("herd@Bravo.service") == pid
	with machine.client(("127.0.0.1", 12001)) as client:
		told = client.iamat(b"kiwi")
	machine.client().close()	# not refused
	machine.install(images.deb)
	with machine.client() as client:
		assert client.held(b"kiwi") == told.line
	machine.wait_active(MEMBER)


def test_a_stopped_member_stays_stopped(machine, versions):
	machine.run("herdctl", "add", "Bravo")
	machine.systemctl("stop", "herd@Bravo.service", "herd@Bravo.socket")
	machine.install(versions["after"])
	assert machine.active("herd@Bravo.service") == "inactive"
	assert machine.active(MEMBER) == "active"


def test_remove_keeps_settings_and_state(machine):
	machine.write("/etc/herd/herd.conf.d/ours.conf", "[member]\nline-max = 8k\n")
	machine.run("dpkg", "--remove", "herd")
	assert not machine.pids(MEMBER) and not machine.pids(HELPER)
	with pytest.raises(ConnectionRefusedError):
		machine.client()
	assert machine.read("/etc/herd/herd.conf.d/ours.conf")
	assert machine.read("/etc/herd/herd.conf")
	machine.reboot()
	units = machine.systemctl("list-units", "--plain", "--no-legend", "--all", "herd*").splitlines()
	assert [unit for unit in units if "not-found" not in unit] == []


def test_removed_and_installed_again_under_load(machine, images):
	"""Whatever was acknowledged up to the last moment is there again."""
	with Load(machine, TCP) as load:
		load.ending = True
		machine.run("dpkg", "--remove", "herd")
	assert not machine.pids(MEMBER) and not machine.pids(HELPER)
	assert load.told() and not load.wrong(), load.wrong()
	machine.install(images.deb)
	machine.wait_active(MEMBER)
	load.check()


def test_purge_under_load(images, bare):
	"""Clients that go on and on keep nothing of it there, and start nothing of it again."""
	before = files(bare)
	bare.install(images.deb)
	with Load(bare, TCP) as load:
		load.ending = True
		bare.run("dpkg", "--purge", "herd")
	assert load.told() and not load.wrong(), load.wrong()
	assert files(bare) == before, sorted(files(bare) ^ before)
	assert os.listdir(bare.path("/dev/shm")) == [] and not os.path.exists(bare.path("/run/herd"))
	assert bare.systemctl("list-units", "--plain", "--no-legend", "--all", "herd*").strip() == ""
	assert bare.systemctl("is-system-running", status=None).strip() == "running"


def test_purge_leaves_the_authority(images, bare):
	"""Other hosts depend on it; what the package needs for links of its own goes."""
	bare.install(images.deb)
	assert bare.sh("stat -c %a:%U /etc/herd/tls") == "755:root\n"
	bare.run("herdctl", "ca", "init")
	bare.run("herdctl", "ca", "issue", "Hill", "--install")
	kept = sorted(os.listdir(bare.path("/etc/herd/ca")))
	assert "ca.key" in kept and "host.key" in os.listdir(bare.path("/etc/herd/tls"))
	assert "/etc/herd/ca stays" in bare.run("dpkg", "--purge", "herd").stderr
	assert os.listdir(bare.path("/etc/herd")) == ["ca"]
	assert sorted(os.listdir(bare.path("/etc/herd/ca"))) == kept
	bare.install(images.deb)
	bare.run("herdctl", "ca", "issue", "Jaquez")
	bare.run("rm", "-r", "/etc/herd/ca")


def test_purge_leaves_nothing(images, bare):
	"""Every file, process, unit and piece of shared memory is gone; the user stays, as its number must not be
	given to another."""
	before, (passwd, group) = files(bare), users(bare)
	bare.install(images.deb)
	bare.run("herdctl", "add", "Bravo", "--listen", "127.0.0.1:12001")
	with bare.client() as client:
		client.iamat(b"kiwi")
	bare.run("herdctl", "remove", "Bravo")
	bare.systemctl("restart", HELPER)	# so that there is a snapshot
	assert files(bare) - before
	bare.run("dpkg", "--purge", "herd")
	assert files(bare) == before, sorted(files(bare) ^ before)
	assert [line.split(":")[0] for line in users(bare)[0] - passwd] in ([], ["herd"])
	assert [line.split(":")[0] for line in users(bare)[1] - group] in ([], ["herd"])
	assert os.listdir(bare.path("/dev/shm")) == []
	assert not os.path.exists(bare.path("/run/herd"))
	assert bare.systemctl("list-units", "--plain", "--no-legend", "--all", "herd*").strip() == ""
	assert bare.systemctl("list-unit-files", "--no-legend", "herd*", status=None).strip() == ""
	assert "herd" not in bare.sh("ps -eo comm= || true; cat /proc/[0-9]*/comm").replace("herd-test", "")
	assert bare.systemctl("is-system-running", status=None).strip() == "running"
	bare.install(images.deb)	# and it can come back
	with bare.client() as client:
		client.iamat(b"kiwi")
