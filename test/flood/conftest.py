"""Fixtures: hosts and networks that are gone after their test, and what was measured."""

import json
import signal

import pytest

import hosts as herd_hosts
import net

harness = herd_hosts.harness


def on_term(number, frame):
	raise KeyboardInterrupt	# which pytest cleans up after


def pytest_sessionstart(session):
	signal.signal(signal.SIGTERM, on_term)
	harness.find_sanitizer()
	herd_hosts.sweep()


def pytest_terminal_summary(terminalreporter):
	for record in herd_hosts.figures:
		terminalreporter.write_line("figure " + json.dumps(record))


@pytest.fixture
def make_hosts(tmp_path):
	"""Makes hosts of this test alone: a number of them around a switch, or on loopback addresses."""
	made = []	# (hosts, network)

	def make(count=3, names=None, sides=1, loopback=False, clients=8192):
		count = len(names) if names else count
		network = net.Loopback(count) if loopback else net.Network(count, sides)
		try:
			folder = tmp_path / ("hosts-%d" % len(made))
			folder.mkdir()
			made.append((herd_hosts.Hosts(folder, network, names, clients), network))
		except BaseException:
			network.close()
			raise
		return made[-1][0]

	yield make
	errors = []
	for hosts, network in made:
		try:
			hosts.stop()
		except Exception as error:	# everything is stopped, whatever the others did
			errors.append(error)
		network.close()
	if errors:
		raise errors[0]
