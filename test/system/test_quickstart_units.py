"""./quickstart on a machine whose process 1 is systemd, with a package that is built already."""

import os
import re
import shutil

import pytest

TOP = os.path.realpath(os.environ.get("HERD_TOP") or os.path.join(os.path.dirname(__file__), "..", ".."))
MEMBERS = ["Alpha", "Bravo", "Charlie", "Delta", "Echo"]


@pytest.fixture
def quickstart(bare, images):
	"""Runs it in a machine that has the tree as far as it matters: (status, output)."""
	for name in ("quickstart", "packaging/debian/changelog"):
		path = bare.path("/root/tree/" + name)
		os.makedirs(os.path.dirname(path), exist_ok=True)
		shutil.copy(os.path.join(TOP, name), path)
	shutil.copy(images.deb, bare.path("/root/herd.deb"))

	def run(*words):
		done = bare.run("env", "HERD_DEB=/root/herd.deb", "/root/tree/quickstart", *words, status=None)
		return done.returncode, done.stdout + done.stderr
	return run


def settings(machine):
	"""Every file of them, with what is in it."""
	names = machine.sh("find /etc/herd -type f | sort").split()
	return {name: machine.read(name) for name in names}


def version(machine):
	done = machine.run("dpkg-query", "-W", "-f=${db:Status-Status} ${Version}", "herd", status=None)
	return done.stdout if done.returncode == 0 else ""


def shown(output):
	"""What it told whom and asked whom, having compared the replies."""
	told = re.search(r"^Telling (\S+) .*\n\n +IAMAT (kiwi\S+ \S+ \S+)\n +(AT \1 \S+ \2)$", output, re.MULTILINE)
	asked = re.search(r"^Asking (\S+) .*\n\n +WHATSAT kiwi\S+ 10 5\n +(AT .*)\n +{", output, re.MULTILINE)
	assert told and asked and asked.group(2) == told.group(3), output
	return told.group(1), asked.group(1)


def test_members_as_units(quickstart, bare):
	"""The package is installed, five members are units, and they stay; again, it changes nothing."""
	status, output = quickstart()
	assert status == 0, output
	assert shown(output) == ("Alpha", "Echo")
	for member in MEMBERS:
		assert bare.active("herd@%s.service" % member) == "active"
	for port in range(12000, 12005):
		with bare.client(("127.0.0.1", port)) as client:
			assert client.held(b"kiwi.cs.ucla.edu") is not None
	assert version(bare).startswith("installed ")
	for hint in ("systemctl status", "journalctl -u herd@Alpha", "herdctl status", "purge"):
		assert hint in output
	before = settings(bare), {member: bare.main_pid("herd@%s.service" % member) for member in MEMBERS}
	status, output = quickstart()
	assert status == 0, output
	assert shown(output) == ("Alpha", "Echo")
	assert (settings(bare), {member: bare.main_pid("herd@%s.service" % member) for member in MEMBERS}) == before
	bare.reboot()
	for member in MEMBERS:
		bare.wait_active("herd@%s.service" % member)


def test_an_installed_herd_keeps_its_settings(quickstart, bare, images):
	"""Its own members are shown at work, on the addresses they have; none is added."""
	bare.install(images.deb)
	bare.write("/etc/herd/herd.conf", "# ours\n[member Zulu]\nlisten = 127.0.0.1:13000\n")
	bare.systemctl("stop", "herd.target")
	bare.systemctl("daemon-reload")
	bare.systemctl("start", "herd.target")
	before = settings(bare)
	status, output = quickstart()
	assert status == 0, output
	assert shown(output) == ("Zulu", "Zulu")
	assert settings(bare) == before
	assert bare.active("herd@Alpha.service") == bare.active("herd@Bravo.service") == "inactive"


def test_settings_of_a_removed_herd_are_taken_up(quickstart, bare, images):
	bare.install(images.deb)
	bare.write("/etc/herd/herd.conf.d/ours.conf", "[member Zulu]\nlisten = 127.0.0.1:13000\n")
	bare.run("dpkg", "--remove", "herd")
	before = settings(bare)
	status, output = quickstart()
	assert status == 0, output
	assert shown(output) == ("Alpha", "Zulu")
	assert settings(bare) == before


def test_a_taken_port_stops_it_before_anything_is_done(quickstart, bare):
	bare.write("/etc/systemd/system/taken.socket", "[Socket]\nListenStream=127.0.0.1:12003\nAccept=yes\n")
	bare.write("/etc/systemd/system/taken@.service", "[Service]\nExecStart=/bin/true\n")
	bare.systemctl("daemon-reload")
	bare.systemctl("start", "taken.socket")
	status, output = quickstart()
	assert status == 1
	assert "port 12003 (Delta's)" in output and "--base-port" in output
	assert version(bare) == "" and not os.path.exists(bare.path("/etc/herd"))


@pytest.mark.parametrize("words", [["--once"], ["--foreground"], ["--base-port", "0"]], ids=repr)
def test_no_herd_is_installed_when_told_so(quickstart, bare, words):
	"""It goes the way of a build, for which this machine has no compiler."""
	status, output = quickstart(*words)
	assert status == 1 and "build-essential" in output and "debhelper" not in output, output
	assert version(bare) == "" and not os.path.exists(bare.path("/etc/herd"))
