"""From nothing to a member that answers."""

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


def test_a_client_starts_the_member(machine):
	"""Only the socket is up; the first client is served, not refused."""
	machine.systemctl("stop", "herd.target")
	machine.wait_active("herd@Alpha.service", "inactive")
	machine.systemctl("start", "herd@Alpha.socket")
	assert machine.active("herd@Alpha.service") == "inactive"
	with machine.client("/run/herd/Alpha.sock") as client:
		told = client.iamat(b"kiwi", LOCATION)
		assert client.held(b"kiwi") == told.line
	assert machine.active("herd@Alpha.service") == "active"
