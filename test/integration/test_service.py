"""What the service manager hears of a member and of the helper, here played by the test."""

import os
import signal
import socket
import time

import pytest

from harness import Manager, fresh, passed


@pytest.fixture
def manager():
	with Manager() as manager:
		yield manager


def start(herd, role, manager, env=None, **options):
	env = manager.env(**(env or {}))
	if role == "helper":
		return herd.flood(env=env, **options)
	return herd.member("Alpha", env=env, **options)


ROLES = pytest.mark.parametrize("role", ["member", "helper"])


# --- states -----------------------------------------------------------------

@ROLES
def test_ready_and_stopping(herd, manager, role):
	process = start(herd, role, manager)
	store, first, second = manager.hear(), manager.hear(), manager.hear()
	assert store.startswith("FDSTORE=1\n") and first.startswith("STATUS=0 ") and second == "READY=1"
	process.stop()
	manager.wait(r"\ASTOPPING=1\Z")
	assert "WATCHDOG=1" not in manager.heard	# nobody asked for it


def test_ready_means_that_it_listens(herd, manager):
	member = start(herd, "member", manager, ready=False)
	manager.wait("READY=1")
	member.ready()
	with member.client() as client:
		client.iamat(fresh())


@ROLES
@pytest.mark.parametrize("text", ["[herd]\nfix-ttl = 1h\n", "[herd]\nfix-ttl = x\n"], ids=["good", "bad"])
def test_reloading_ends(herd, manager, role, text):
	process = start(herd, role, manager)
	manager.wait("READY=1")
	herd.configure(text)
	before = time.monotonic()
	process.signal(signal.SIGHUP)
	message = manager.wait("RELOADING=1")
	state, usec = message.split("\n")
	assert state == "RELOADING=1" and usec.startswith("MONOTONIC_USEC=")
	assert before <= int(usec[15:]) / 1e6 + 1e-3 and int(usec[15:]) / 1e6 <= time.monotonic()
	manager.wait(r"\AREADY=1\Z")
	assert ("old ones stay" in process.text()) == ("= x" in text)


# --- status -------------------------------------------------------------------

def test_status_follows_what_happens(herd, manager):
	herd.flood()
	member = start(herd, "member", manager)
	manager.wait(r"\ASTATUS=0 clients connected, 0 fixes held, 0 updates/s\Z")
	with member.client() as client:
		for _ in range(3):
			client.iamat(fresh())
		manager.wait(r"\ASTATUS=1 client connected, 3 fixes held, [0-9.]+ updates/s\Z")
	manager.wait(r"\ASTATUS=0 clients connected, 3 fixes held, 0 updates/s\Z")


def test_status_of_the_helper(herd, manager):
	start(herd, "helper", manager)
	manager.wait(r"\ASTATUS=0 fixes held, 0 members, 0 updates/s\Z")
	with herd.member("Alpha").client() as client:
		client.iamat(fresh())
	manager.wait(r"\ASTATUS=1 fix held, 1 member, [0-9.]+ updates/s\Z")


def test_status_says_that_the_helper_is_missing(herd, manager):
	start(herd, "member", manager)
	manager.wait(r"\ASTATUS=0 clients .* Degraded: there is no helper: nothing expires \(systemctl start herd-flood\)\Z")
	flood = herd.flood()
	manager.wait(r"\ASTATUS=0 clients connected, 0 fixes held, 0 updates/s\Z")
	flood.kill()
	manager.wait("there is no helper")


def test_status_says_that_the_table_is_private(herd, manager):
	with open(herd.segment, "w", encoding="ascii") as file:
		file.write("not a table")
	start(herd, "member", manager)
	manager.wait(r"Degraded: the shared table '%s' cannot be used: no other member sees" % herd.shm)
	os.unlink(herd.segment)
	herd.flood()
	manager.wait(r"\ASTATUS=0 clients connected, 0 fixes held, 0 updates/s\Z")


def test_status_says_that_the_places_are_bad(herd, manager):
	herd.flood()
	start(herd, "member", manager)
	with open(herd.places, "w", encoding="ascii") as file:
		file.write("no places")
	manager.wait(r"Degraded: places: .*%s" % herd.places)
	os.unlink(herd.places)
	manager.wait(r"\ASTATUS=0 clients connected, 0 fixes held, 0 updates/s\Z")


@ROLES
def test_status_says_what_waits_for_a_restart(herd, manager, role):
	process = start(herd, role, manager)
	herd.configure("[herd]\ntable-clients = 1000\nlog-level = debug\n")
	process.signal(signal.SIGHUP)
	manager.wait(r"Note: takes effect with a restart: table-clients\Z")


def test_status_says_that_sockets_are_not_those_of_the_settings(herd, manager):
	herd.flood()
	with socket.create_server(("127.0.0.1", 0)) as listener:
		port = listener.getsockname()[1]
		herd.configure("[member Alpha]\nlisten = 127.0.0.1:%d, 127.0.0.9:1\n" % port)
		passed(herd, "Alpha", [("line", listener)], env=manager.env())
		manager.wait(r"Degraded: the settings name tcp 127\.0\.0\.9:1, which the service manager did not pass: "
			r"systemctl daemon-reload && systemctl restart herd@Alpha\.socket\Z")


# --- starts that fail -----------------------------------------------------------

def test_a_failed_start_says_why(herd, manager):
	with socket.create_server(("127.0.0.1", 0)) as taken:
		where = "127.0.0.1:%d" % taken.getsockname()[1]
		member = start(herd, "member", manager, listen=[where], ready=False)
		manager.wait(r"\ASTATUS=Cannot listen on %s: Address already in use\Z" % where)
		assert member.wait() == 1
	assert "READY=1" not in manager.heard


def test_bad_settings_say_where(herd, manager):
	herd.configure("[herd]\nfix-ttl = x\n")
	for role in ("member", "helper"):
		process = start(herd, role, manager, ready=False)
		manager.wait(r"\ASTATUS=%s:2: setting 'fix-ttl': 'x' cannot be read" % herd.config)
		assert process.wait() == 78


def test_a_bad_name_is_explained(herd, manager):
	member = herd.member("two:words", env=manager.env(), ready=False)
	manager.wait(r"\ASTATUS='two:words' is no name for a member: want 1 to 23 letters, digits, '-', '_', '\.'\Z")
	assert member.wait() == 64


def test_a_second_member_of_one_name_says_so(herd, manager):
	herd.member("Alpha")
	second = start(herd, "member", manager, ready=False)
	manager.wait(r"\ASTATUS=A member called 'Alpha' runs already on")
	assert second.wait() == 1


# --- the watchdog ------------------------------------------------------------------

SECOND = {"WATCHDOG_USEC": "1500000"}


@ROLES
def test_pings_stop_with_the_process(herd, manager, role):
	process = start(herd, role, manager, env=SECOND)
	for _ in range(3):
		manager.wait("WATCHDOG=1", 10)
	process.signal(signal.SIGSTOP)
	manager.drain()
	time.sleep(1.6)	# longer than the service manager would wait
	assert manager.drain() == []
	process.signal(signal.SIGCONT)
	manager.wait("WATCHDOG=1", 10)


def test_a_degraded_member_is_not_killed(herd, manager):
	"""With a table of its own a member gets on: pings go on as well."""
	with open(herd.segment, "w", encoding="ascii") as file:
		file.write("not a table")
	start(herd, "member", manager, env=SECOND)
	manager.wait("cannot be used")
	for _ in range(4):
		manager.wait("WATCHDOG=1", 1.5)
	os.unlink(herd.segment)


def test_a_helper_without_its_table_is_not_killed(herd, manager):
	flood = start(herd, "helper", manager, env=SECOND)
	os.unlink(herd.segment)
	with open(herd.segment, "w", encoding="ascii") as file:
		file.write("not a table")
	manager.wait(r"Degraded: the shared table cannot be used")
	for _ in range(4):
		manager.wait("WATCHDOG=1", 1.5)
	os.unlink(herd.segment)
	flood.wait_log("is back")


# --- a service manager that does not listen -------------------------------------------

@ROLES
def test_nobody_waits_for_the_service_manager(herd, manager, role):
	filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
	with filler, pytest.raises(BlockingIOError):
		while True:
			filler.sendto(b"FILL=1", manager.socket.getsockname())
	process = start(herd, role, manager, env=SECOND)	# it says in its log that it is ready
	for _ in range(5):
		process.signal(signal.SIGHUP)
		process.wait_log("Settings reloaded")
	if role == "member":
		with process.client() as client:
			client.iamat(fresh())
	assert manager.wait("READY=1")	# kept, and sent now
	manager.wait("WATCHDOG=1")


def test_a_service_manager_that_is_gone(herd):
	with Manager() as manager:
		env = manager.env()
	member = herd.member("Alpha", env=env)
	with member.client() as client:
		client.iamat(fresh())


def test_an_address_that_is_none(herd):
	member = herd.member("Alpha", env={"NOTIFY_SOCKET": "nonsense"})
	assert "Cannot talk to the service manager, ignoring it: Invalid argument" in member.text()
