"""Starts that fail and lives that are short: a program that is started anew at once, always, holds back by itself."""

import json
import os
import signal
import socket
import struct
import time

import pytest

from harness import Client, Manager, fresh, passed, until


@pytest.fixture
def manager():
	with Manager() as manager:
		yield manager


def again(herd, manager, name, sockets=(), **options):
	"""One more start, with what was stored."""
	manager.drain()
	return passed(herd, name, list(sockets) + list(manager.store.items()), env=manager.env(), **options)


def took(process):
	began = time.monotonic()
	status = process.wait()
	return status, time.monotonic() - began


ROLES = pytest.mark.parametrize("name", ["Alpha", None], ids=["member", "helper"])


# --- starts that fail ----------------------------------------------------------

@ROLES
def test_failed_starts_wait_longer_and_longer(herd, manager, name):
	herd.configure("[herd]\nfix-ttl = x\n")
	for wait in (0.1, 0.2, 0.4, 0.8):
		began = time.monotonic()
		process = again(herd, manager, name)
		manager.wait(r"\ASTATUS=.*fix-ttl")	# at once: the wait comes after it
		assert process.wait() == 78
		assert time.monotonic() - began >= wait
		assert "READY=1" not in manager.heard
	herd.configure("")
	process = again(herd, manager, name, **({"listen": ["127.0.0.1:0"]} if name else {}))
	manager.wait("READY=1")
	assert "ended badly" not in process.text()	# it came up: nobody has to wait for it
	process.stop()


def test_by_hand_nobody_waits(herd):
	"""Without a service manager a failed start ends at once, however often."""
	herd.configure("[herd]\nfix-ttl = x\n")
	began = time.monotonic()
	for _ in range(10):
		assert herd.member("Alpha", ready=False).wait() == 78
	assert time.monotonic() - began < 10


def test_a_start_that_waits_can_be_stopped(herd, manager):
	herd.configure("[herd]\nfix-ttl = x\n")
	for n in range(6):
		process = again(herd, manager, "Alpha")
		manager.wait(r"\ASTATUS=")
		until(lambda: struct.unpack("I", os.pread(manager.store["starts"], 4, 12))[0] == n + 1, "it is counted")
		if n < 5:
			process.kill()
	process.signal(signal.SIGTERM)	# it would wait for more than a second
	status, seconds = took(process)
	assert status == -signal.SIGTERM and seconds < 3


def test_starts_that_die_hold_back_before_they_begin(herd, manager):
	"""As if killed before they were ready: what they had written by then is put back."""
	for n in range(4):
		process = again(herd, manager, "Alpha", listen=["127.0.0.1:0"])
		if n > 0:
			manager.wait(r"\ASTATUS=The last %d starts ended badly, holding back\Z" % n)
			process.wait_log(r"The last %d starts ended badly: starting in 0\.%d s" % (n, 2 ** (n - 1)))
		manager.wait("READY=1")
		process.kill()
		os.pwrite(manager.store["starts"], struct.pack("III", 1, n, 0), 8)	# starting, failed, crashed


# --- lives that are short -----------------------------------------------------------

def short_lives(herd, manager, name, count, **options):
	for _ in range(count):
		process = again(herd, manager, name, **options)
		manager.wait("READY=1")
		process.kill()
	manager.drain()


def test_a_member_that_dies_again_and_again_keeps_its_clients_waiting(herd, manager):
	with socket.create_server(("127.0.0.1", 0)) as listener:
		where = listener.getsockname()
		short_lives(herd, manager, "Alpha", 7, sockets=[("line", listener)])
		alpha = again(herd, manager, "Alpha", sockets=[("line", listener)])
		client = Client(where)	# while it is down, or holds back: never refused
		manager.wait(r"Degraded: the last 7 starts ended badly: clients wait until this one goes to work")
		manager.wait("READY=1")
		alpha.wait_log(r"The last 7 starts ended badly: going to work in 0\.8 s")
		path = herd.control + herd.shm + ":member:Alpha"	# it can be asked meanwhile
		with socket.socket(socket.AF_UNIX) as control:
			control.connect(path)
			control.sendall(b"status\n")
			assert "clients wait" in json.loads(control.makefile().readline())["status"]
		id = fresh()
		client.iamat(id)
		assert client.held(id)
		client.close()
		manager.wait(r"\ASTATUS=\d clients? connected, 1 fix held, [0-9.]+ updates/s. Degraded: there is no helper")


def test_a_few_deaths_cost_nothing(herd, manager):
	with socket.create_server(("127.0.0.1", 0)) as listener:
		short_lives(herd, manager, "Alpha", 3, sockets=[("line", listener)])
		alpha = again(herd, manager, "Alpha", sockets=[("line", listener)])
		alpha.ready()
		assert "ended badly" not in alpha.text()


def test_a_clean_end_forgives_everything(herd, manager):
	with socket.create_server(("127.0.0.1", 0)) as listener:
		short_lives(herd, manager, "Alpha", 5, sockets=[("line", listener)])
		for _ in range(2):
			alpha = again(herd, manager, "Alpha", sockets=[("line", listener)])
			manager.wait("READY=1")
			alpha.stop()
		assert "ended badly" not in alpha.text()
		short_lives(herd, manager, "Alpha", 5, sockets=[("line", listener)])
		manager.forget()	# systemctl stop
		alpha = again(herd, manager, "Alpha", sockets=[("line", listener)])
		manager.wait("READY=1")
		assert "ended badly" not in alpha.text()


def test_a_member_that_holds_back_can_be_stopped(herd, manager):
	with socket.create_server(("127.0.0.1", 0)) as listener:
		short_lives(herd, manager, "Alpha", 9, sockets=[("line", listener)])
		alpha = again(herd, manager, "Alpha", sockets=[("line", listener)])
		manager.wait("clients wait")
		alpha.stop()


def test_a_helper_that_dies_again_and_again_holds_back(herd, manager):
	short_lives(herd, manager, None, 6)
	flood = again(herd, manager, None)
	manager.wait(r"\ASTATUS=The last 6 starts ended badly, holding back\Z")
	flood.wait_log(r"The last 6 starts ended badly: starting in 0\.4 s")
	manager.wait("READY=1")


# --- the store -------------------------------------------------------------------------

def test_a_stored_count_is_no_socket(herd, manager):
	"""With the count alone it still listens where its settings say, and complains of nothing."""
	herd.member("Alpha", env=manager.env()).stop()
	alpha = again(herd, manager, "Alpha", listen=["127.0.0.1:0"]).ready()
	assert "nothing of mine" not in alpha.text()
	with alpha.client() as client:
		client.iamat(fresh())
	manager.drain()
	assert len([m for m in manager.heard if "FDSTORE=1" in m]) == 1


def test_a_spoilt_count_is_replaced(herd, manager):
	herd.member("Alpha", env=manager.env()).stop()
	manager.drain()
	os.pwrite(manager.store["starts"], b"\xff" * 100, 0)
	alpha = again(herd, manager, "Alpha", listen=["127.0.0.1:0"]).ready()
	manager.wait("READY=1")
	assert [m.split("\n")[0] for m in manager.heard if "FDSTORE" in m] == ["FDSTORE=1", "FDSTOREREMOVE=1", "FDSTORE=1"]
	until(alpha.alive, "it runs")
