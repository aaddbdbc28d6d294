"""systemctl reload: done when it returns, refused when the settings are bad."""

import os

import pytest

MEMBER, HELPER = "herd@Alpha.service", "herd-flood.service"
DROP_IN = "/etc/herd/herd.conf.d/test.conf"
LONG = b"x" * 2000


def takes_long_lines(machine):
	with machine.client() as client:
		client.send(LONG + b"\nnext\n")
		return client.line() == b"? " + LONG + b"\n"


def test_good(machine):
	"""In force the moment systemctl returns, ten times in a row."""
	assert takes_long_lines(machine)
	pid = machine.main_pid(MEMBER)
	for turn in range(10):
		machine.write(DROP_IN, "[member Alpha]\nline-max = %s\n" % ("1k" if turn % 2 == 0 else "4k"))
		machine.systemctl("reload", MEMBER)
		assert takes_long_lines(machine) == (turn % 2 == 1), turn
	assert machine.main_pid(MEMBER) == pid


@pytest.mark.parametrize("unit", [MEMBER, HELPER])
def test_bad(machine, unit):
	"""systemctl fails, the old settings stay, the journal says where; correcting them is enough."""
	pid = machine.main_pid(unit)
	machine.write(DROP_IN, "[herd]\n\nfix-ttl = soon\n")
	done = machine.run("systemctl", "reload", unit, status=None)
	assert done.returncode != 0, done
	machine.wait_journal(r"test\.conf:3: .*fix-ttl", "-u", unit)
	assert machine.active(unit) == "active" and machine.main_pid(unit) == pid
	with machine.client() as client:
		client.iamat(b"kiwi")
	os.unlink(machine.path(DROP_IN))
	machine.systemctl("reload", unit)
	assert machine.main_pid(unit) == pid


def test_herdctl_reloads_all(machine):
	machine.run("herdctl", "add", "Bravo")
	machine.write(DROP_IN, "[member Alpha]\nline-max = 1k\n")
	machine.run("herdctl", "reload")
	assert not takes_long_lines(machine)
	machine.write(DROP_IN, "[herd]\nfix-ttl = none\n")
	done = machine.run("herdctl", "reload", status=78)
	assert "test.conf:2" in done.stdout + done.stderr, done
	assert not takes_long_lines(machine)
