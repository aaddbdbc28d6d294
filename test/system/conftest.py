"""Fixtures: machines that are switched off and removed after, and told about when a test failed."""

import signal
import sys

import pytest

import machine as machines
import root


def on_term(number, frame):
	raise KeyboardInterrupt	# which pytest cleans up after


def pytest_sessionstart(session):
	signal.signal(signal.SIGTERM, on_term)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
	outcome = yield
	if call.when == "call":
		item.failed = outcome.get_result().failed


@pytest.fixture(scope="session")
def images():
	"""What machines are made of. Fails where no machine can be booted: nothing was tested then."""
	try:
		made = machines.Images(machines.find_deb())
	except root.Impossible as error:
		pytest.fail("nothing was tested: %s" % error, pytrace=False)
	yield made
	made.close()


def used(images, machine, node):
	"""A machine for as long as a fixture lasts."""
	try:
		yield machine
		if getattr(node, "failed", False):
			sys.stderr.write(machine.report())
	finally:
		images.end(machine)


@pytest.fixture
def bare(images, request):
	"""A machine of this test alone, switched on, without the package."""
	yield from used(images, images.bare().boot(), request.node)


@pytest.fixture
def off(images, request):
	"""The same with the package, still switched off."""
	yield from used(images, images.installed(), request.node)


@pytest.fixture
def machine(off):
	"""A machine of this test alone, switched on, with the package as it came."""
	return off.boot()


@pytest.fixture(scope="module")
def shared_machine(images, request):
	yield from used(images, images.installed().boot(), request.node)


@pytest.fixture
def shared(shared_machine, request):
	"""A machine for tests that leave it as they found it."""
	yield shared_machine
	if getattr(request.node, "failed", False):
		sys.stderr.write(shared_machine.report())
