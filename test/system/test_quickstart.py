"""./quickstart where systemd is process 1: the package, five members as units, settled for good."""

import os
import shutil

import machine as machines

NAMES = ["Alpha", "Bravo", "Charlie", "Delta", "Echo"]


def quickstart(machine, *words, **options):
	return machine.run("env", "HERD_DEB=/root/herd.deb", "/root/herd/quickstart", *words, limit=300, **options)


def give(machine, deb):
	"""What it needs of the tree, but for what building the package takes."""
	os.makedirs(machine.path("/root/herd/packaging/debian"))
	shutil.copy(os.path.join(machines.TOP, "quickstart"), machine.path("/root/herd/quickstart"))
	shutil.copy(os.path.join(machines.TOP, "packaging/debian/changelog"), machine.path("/root/herd/packaging/debian/changelog"))
	shutil.copy(deb, machine.path("/root/herd.deb"))


def test_installs_and_stays(images, bare):
	give(bare, images.deb)
	said = quickstart(bare).stdout
	assert "5 members are up: %s" % " ".join(NAMES) in said, said
	assert "\n    AT Alpha " in said, said
	for name in NAMES:
		assert bare.active("herd@%s.service" % name) == "active"
	pids = {name: bare.main_pid("herd@%s.service" % name) for name in NAMES}
	again = quickstart(bare).stdout
	assert "installed already" in again and "5 members are up" in again, again
	assert pids == {name: bare.main_pid("herd@%s.service" % name) for name in NAMES}
	bare.reboot()
	for n, name in enumerate(NAMES):
		with bare.client(("127.0.0.1", 12000 + n)) as client:
			assert client.iamat(b"kiwi").server.decode() == name
	bare.run("dpkg", "--purge", "herd")
	assert not bare.pids("herd@Alpha.service")


def test_leaves_a_herd_alone(images, machine):
	"""Settings that are there are somebody's: they are used, not changed."""
	machine.run("herdctl", "add", "Zulu", "--listen", "127.0.0.1:13000")
	before = machine.sh("cd /etc/herd; find . -type f | sort | xargs cksum")
	give(machine, images.deb)
	said = quickstart(machine).stdout
	assert "2 members are up" in said and "Zulu" in said, said
	assert machine.sh("cd /etc/herd; find . -type f | sort | xargs cksum") == before
