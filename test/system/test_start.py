"""From nothing to a member that answers."""

import pytest

LOCATION = b"+34.068930-118.445127"


def test_installing_is_enough(images, bare):
	"""No key, no edit: Alpha listens on loopback and on its socket."""
	bare.install(images.deb)
	bare.systemctl("start", "herd@Alpha.service")
	assert bare.active("herd@Alpha.service") == "active"
	with bare.client() as client:
		told = client.iamat(b"kiwi", LOCATION)
	with bare.client("/run/herd/Alpha.sock") as client:
		assert client.held(b"kiwi") == told.line
	assert bare.active("herd-flood.service") == "active"
	assert bare.systemctl("is-system-running", status=None).strip() == "running"


@pytest.mark.parametrize("door", ["/run/herd/Alpha.sock", ("127.0.0.1", 12000)], ids=["unix", "tcp"])
def test_a_client_starts_the_member(machine, door):
	"""Only the socket is up; the first client is served, not refused."""
	machine.systemctl("stop", "herd.target")
	machine.wait_active("herd@Alpha.service", "inactive")
	machine.systemctl("start", "herd@Alpha.socket")
	assert machine.active("herd@Alpha.service") == "inactive"
	with machine.client(door) as client:
		told = client.iamat(b"kiwi", LOCATION)
		assert client.held(b"kiwi") == told.line
	assert machine.active("herd@Alpha.service") == "active"


def test_boot_starts_the_herd(off):
	"""Nobody has to start anything, and everything is up when the boot is done."""
	off.boot()
	for unit in ("herd.target", "herd@Alpha.service", "herd@Alpha.socket", "herd-flood.service"):
		assert off.active(unit) == "active", unit


def test_the_target_stops_and_starts_all(machine):
	machine.systemctl("stop", "herd.target")
	machine.wait_active("herd-flood.service", "inactive")
	assert not machine.pids("herd@Alpha.service")
	for door in ("/run/herd/Alpha.sock", ("127.0.0.1", 12000)):
		with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
			machine.client(door)
	machine.systemctl("start", "herd.target")
	with machine.client() as client:
		client.iamat(b"kiwi", LOCATION)
