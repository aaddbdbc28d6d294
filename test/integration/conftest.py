"""Fixtures: herds that are stopped, checked and cleaned up after."""

import signal

import pytest

import harness
import upstream as upstreams
import web as webs


def on_term(number, frame):
	raise KeyboardInterrupt	# which pytest cleans up after


def pytest_sessionstart(session):
	signal.signal(signal.SIGTERM, on_term)
	harness.find_sanitizer()


@pytest.fixture
def make_herd(tmp_path):
	"""Makes herds of this test alone."""
	herds = []

	def make():
		folder = tmp_path / ("herd-%d" % len(herds))
		folder.mkdir()
		herds.append(harness.Herd(folder))
		return herds[-1]

	yield make
	errors = []
	for herd in herds:
		try:
			herd.stop()
		except Exception as error:	# every herd is stopped, whatever the others did
			errors.append(error)
	if errors:
		raise errors[0]


@pytest.fixture
def herd(make_herd):
	"""An empty herd of this test alone."""
	return make_herd()


@pytest.fixture(scope="session")
def shared_herd(tmp_path_factory):
	folder = tmp_path_factory.mktemp("shared")
	herd = harness.Herd(folder)
	try:
		herd.flood()
		for name in ("Alpha", "Bravo", "Charlie"):
			herd.member(name, udp=["127.0.0.1:0"], unix=[str(folder / (name + ".sock"))])
		yield herd
	finally:
		herd.stop()


@pytest.fixture
def shared(shared_herd):
	"""A helper, Alpha, Bravo and Charlie, for tests that leave them as they were."""
	yield shared_herd
	shared_herd.check()


@pytest.fixture
def alpha(shared):
	return shared.processes[1]


@pytest.fixture
def bravo(shared):
	return shared.processes[2]


@pytest.fixture
def client(alpha):
	"""A TCP connection to Alpha."""
	with alpha.client() as connection:
		yield connection
		assert connection.ask(b"still here") == b"? still here\n"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
	"""For servers that play places services."""
	return upstreams.Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def upstream(certificates):
	"""Places services of this test alone."""
	server = upstreams.Upstream(certificates)
	try:
		yield server
	finally:
		server.end()


@pytest.fixture
def web(herd, upstream):
	"""A herd that asks these."""
	return webs.Web(herd, upstream)
