"""Links between helpers: what others can make one do is bounded, and what is said of links is true."""

import os
import signal
import socket
import ssl
import time

import pytest

import harness
from harness import until
from links import Link, ask, free_port
from test_links import SLOW, authority, certified, hosts	# noqa: F401: fixtures


# --- work ------------------------------------------------------------------------------------

def cost_of_strangers(host, count):
	"""Processor time that connections cost which say nothing, in seconds each."""
	before = host.flood.run_s()
	for _ in range(count):
		with socket.socket() as sock:
			sock.bind(("127.0.0.9", 0))
			sock.connect(("127.0.0.1", host.port))
	until(lambda: host.status(), "it has seen them")
	return (host.flood.run_s() - before) / count


def test_strangers_and_a_long_list(hosts, tmp_path):
	"""Whoever is turned away costs nearly nothing, however many hosts there are that he could be."""
	costs = []
	for name, count in (("few", 4), ("many", 4000)):
		path = tmp_path / name
		port = free_port()
		path.write_text("%s 127.0.0.1:%d\n" % (name, port) + "".join("h%d 127.1.%d.%d:1\n" % (i, i // 250, i % 250 + 1)
			for i in range(count)))
		host = hosts(name, flood_hosts=str(path)).start(port)
		cost_of_strangers(host, 200)	# until its allowance is used up
		costs.append(min(cost_of_strangers(host, 400) for _ in range(5)))
	assert costs[1] < 4 * costs[0], costs


def test_records_of_a_byte(hosts, authority):
	"""A peer of the herd that says everything in as many pieces as TLS has: others have their turn in between."""
	hill = certified(hosts, authority, "hill").start()
	folder = hosts("raw").settings["flood.tls-dir"]
	authority.issue("raw", folder)
	context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
	context.load_verify_locations(os.path.join(folder, "ca.crt"))
	context.load_cert_chain(os.path.join(folder, "host.crt"), os.path.join(folder, "host.key"))
	context.check_hostname = False
	with context.wrap_socket(socket.create_connection(("127.0.0.1", hill.port))) as raw:
		hello = raw.makefile("rb").readline().decode().split()
		raw.sendall((" ".join(["HERD", "1", "herd", "ab" * 16, "%016x" % 7, "raw"] + hello[6:]) + "\nRESUME %016x 0\n" % 0).encode())
		hill.wait_up("raw")
		hill.flood.signal(signal.SIGSTOP)
		raw.setblocking(False)
		count = 0
		try:
			while count < 300000:
				raw.send(b"PING 1\n"[count % 7:count % 7 + 1])
				count += 1
		except (ssl.SSLWantWriteError, BlockingIOError):
			pass
		assert count > 70000	# so many are in the kernel, waiting to be received
		with socket.socket(socket.AF_UNIX) as control:
			control.settimeout(harness.LIMIT)
			control.connect(os.path.join(hill.herd.control, hill.herd.shm[1:] + ":flood"))
			control.sendall(b"status\n")
			before = hill.flood.run_s()
			hill.flood.signal(signal.SIGCONT)
			assert control.recv(1 << 16)
			assert hill.flood.run_s() - before < 0.03 * SLOW
		raw.settimeout(harness.LIMIT)
		raw.sendall(b"PING 1\n"[count % 7:] + b"PING 7\n")
		answers, end = b"", time.monotonic() + harness.LIMIT
		while b"PONG 7\n" not in answers:	# nothing was left lying
			assert time.monotonic() < end
			answers += raw.recv(1 << 16)


# --- who may stay ------------------------------------------------------------------------------

def test_a_guest_that_is_taken_off_the_list(hosts, authority, tmp_path):
	"""Where links are drawn the list says who may come: whoever is no longer in it has to go."""
	known = tmp_path / "hosts"
	known.write_text("hill 127.0.0.1:1\nsmith 127.0.0.1:2\njaquez 127.0.0.1:3\n")
	hill = certified(hosts, authority, "hill", flood_hosts=str(known)).start(peers=["jaquez 127.0.0.1:%d" % free_port()])
	smith = certified(hosts, authority, "smith").start(peers=["hill 127.0.0.1:%d" % hill.port])
	campbell = certified(hosts, authority, "campbell").start(peers=["hill 127.0.0.1:%d" % hill.port])
	hill.wait_up("smith")
	hill.flood.wait_log("'campbell' is not in the list of hosts here")
	known.write_text("hill 127.0.0.1:1\njaquez 127.0.0.1:3\n")
	hill.herd.ctl("reload", "--helper")
	hill.flood.wait_log(r"The link with 'smith' .* has ended: 'smith' is not in the list of hosts here")
	hill.wait_down("smith", limit=10)
	smith.wait_down("hill")
	assert campbell.up() == set()


# --- what is said -----------------------------------------------------------------------------------

def test_the_graph_that_was_drawn(hosts):
	"""A host is not its own neighbour, and a peer without a name has one as soon as it has said it."""
	hill = hosts("hill").start()
	smith = hosts("smith").start(peers=[hill.port, "jaquez 127.0.0.1:%d" % free_port()])
	smith.wait_up("hill")
	assert ask(smith, "graph")["hosts"] == [{"name": "smith", "site": "", "neighbours": ["hill", "jaquez"]}]
	assert ask(smith, "graph")["drawn"] is True
