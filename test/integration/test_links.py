"""Links between helpers: hosts on loopback, each with its own memory and folders, and peers of every kind."""

import os
import re
import shutil
import socket
import ssl
import threading
import time

import pytest

import harness
from harness import fresh, until
from links import Authority, Host, Link, at_line, ask, free_port, openssl

SLOW = 5 if harness.SANITIZED else 1


@pytest.fixture
def hosts(make_herd):
	"""Makes hosts by name."""
	return lambda name, **settings: Host(make_herd(), name, **settings)


def tell(member, *clients):
	with member.client() as alice:
		for client in clients:
			alice.iamat(client)


def equal(*hosts, limit=harness.LIMIT):
	until(lambda: all(host.fixes() == hosts[0].fixes() for host in hosts[1:]), "equal tables", limit, 0.05)


# --- what links are for --------------------------------------------------------------

def test_a_fix_told_here_is_read_there(hosts):
	hill, smith = hosts("hill").start(), hosts("smith")
	smith.start(peers=[hill.port])
	alpha, bravo = hill.member("Alpha"), smith.member("Bravo")
	smith.wait_up("hill")
	hill.wait_up("smith")
	for here, there in ((alpha, bravo), (bravo, alpha)):
		client = fresh()
		tell(here, client)
		with there.client() as bob:
			until(lambda: bob.held(client), "%s at the other host" % client)
	equal(hill, smith)
	assert len(hill.fixes()) == 2
	assert "1 link up" in hill.status()
	assert re.search(r"Linked with 'hill' \(127\.0\.0\.1:%d, plain\)" % hill.port, smith.flood.text())


def test_over_another_host_and_to_a_late_one(hosts):
	hill, smith, jaquez = hosts("hill").start(), hosts("smith"), hosts("jaquez")
	smith.start(peers=[hill.port])
	alpha = hill.member("Alpha")
	tell(alpha, *(fresh() for _ in range(500)))
	equal(hill, smith)
	jaquez.start(peers=[smith.port])	# a chain, and everything is there already
	equal(hill, jaquez)
	client = fresh()
	tell(jaquez.member("Charlie"), client)
	until(lambda: client.decode() in hill.fixes(), "a fix over two links")
	assert len(hill.fixes()) == 501
	assert "jaquez" not in hill.peers()


def test_hosts_that_were_away(hosts):
	hill, smith = hosts("hill").start(), hosts("smith")
	smith.start(peers=[hill.port])
	alpha, bravo = hill.member("Alpha"), smith.member("Bravo")
	smith.wait_up("hill")
	tell(alpha, *(fresh() for _ in range(50)))
	equal(hill, smith)
	for death in ("kill", "stop"):
		getattr(hill.flood, death)()
		smith.wait_down("hill")
		tell(alpha, *(fresh() for _ in range(50)))	# its helper is away
		tell(bravo, *(fresh() for _ in range(50)))
		hill.start()
		smith.wait_up("hill")
		equal(hill, smith)
	assert len(hill.fixes()) == 250
	assert "ended: " in smith.flood.text()
	assert re.search(r"The link with 'hill' .* has ended: .*stopping", smith.flood.text())


def test_a_link_that_breaks_goes_on(hosts):
	"""The processes live, and remember what they had of each other."""
	hill, smith = hosts("hill").start(), hosts("smith")
	relay = Relay(hill.port)
	try:
		smith.start(peers=[relay.port])
		alpha = hill.member("Alpha")
		smith.wait_up("hill")
		tell(alpha, *(fresh() for _ in range(300)))
		equal(hill, smith)
		for _ in range(3):
			before = smith.peers()["hill"]["since"]
			relay.cut()
			tell(alpha, fresh())
			until(lambda: smith.peers().get("hill", {}).get("since", before) > before and "hill" in smith.up(), "a new link")
			equal(hill, smith)
			assert smith.peers()["hill"]["fixes_in"] < 50
	finally:
		relay.close()
	assert len(hill.fixes()) == 303


def test_one_teaches_a_newcomer(hosts):
	"""The table comes once, not once from everybody."""
	herd = [hosts("hill").start()]
	for name in ("smith", "jaquez"):
		herd.append(hosts(name).start(peers=[host.port for host in herd]))
	tell(herd[0].member("Alpha"), *(fresh() for _ in range(3000)))
	equal(*herd)
	campbell = hosts("campbell").start(peers=[host.port for host in herd])
	campbell.wait_up("hill", "smith", "jaquez")
	equal(*herd, campbell)
	until(lambda: all("resync" in peer for peer in campbell.peers().values()), "compared with all")
	came = sorted(peer["fixes_in"] for peer in campbell.peers().values())
	assert sum(came) < 3300, came


def test_the_last_fixes(hosts):
	"""What was told right before a host stops is told to the others."""
	hill, smith = hosts("hill").start(), hosts("smith")
	smith.start(peers=[hill.port])
	alpha = hill.member("Alpha")
	smith.wait_up("hill")
	for _ in range(5):
		clients = [fresh() for _ in range(300)]
		with alpha.client() as alice:
			alice.send(b"".join(b"IAMAT %s +34.068930-118.445127 1621464827.959498503\n" % client for client in clients))
			for _ in clients:
				alice.line()
		hill.stop()
		assert {client.decode() for client in clients} <= set(smith.fixes())
		hill.start()
		smith.wait_up("hill")


def test_another_table(hosts):
	"""The shared memory is removed: the helpers begin anew with what is left, and with each other."""
	hill, smith = hosts("hill").start(), hosts("smith")
	smith.start(peers=[hill.port])
	alpha = hill.member("Alpha")
	smith.wait_up("hill")
	tell(alpha, *(fresh() for _ in range(20)))
	equal(hill, smith)
	os.unlink(hill.herd.segment)
	hill.flood.wait_log("removed or replaced: moved to the new one")
	smith.flood.wait_log(r"The link with 'hill' .* has ended: .*the table is another one")
	smith.wait_up("hill")
	client = fresh()
	tell(alpha, client)
	until(lambda: client.decode() in smith.fixes(), "a fix of the new table")
	equal(hill, smith)
	assert len(smith.fixes()) == 21


class Relay:
	"""Stands between two helpers, and can be cut."""

	def __init__(self, to):
		self.to, self.pairs = to, []
		self.server = socket.create_server(("127.0.0.1", 0))
		self.port = self.server.getsockname()[1]
		self.thread = threading.Thread(target=self.run, daemon=True)
		self.thread.start()

	def run(self):
		while True:
			try:
				here, _ = self.server.accept()
				there = socket.create_connection(("127.0.0.1", self.to), timeout=harness.LIMIT)
			except OSError:
				return
			self.pairs.append((here, there))
			for one, other in ((here, there), (there, here)):
				threading.Thread(target=self.pump, args=(one, other), daemon=True).start()

	@staticmethod
	def pump(one, other):
		try:
			while True:
				data = one.recv(1 << 16)
				if not data:
					break
				other.sendall(data)
		except OSError:
			pass
		for sock in (one, other):
			try:
				sock.shutdown(socket.SHUT_RDWR)
			except OSError:
				pass

	def cut(self):
		pairs, self.pairs = self.pairs, []
		for pair in pairs:
			for sock in pair:
				try:
					sock.shutdown(socket.SHUT_RDWR)
				except OSError:
					pass

	def close(self):
		self.server.close()
		self.cut()


# --- the graph -----------------------------------------------------------------------------

def test_a_list_of_hosts(hosts, tmp_path):
	"""Everybody has the same list; one more line and a reload make one more host, and drop no link."""
	names = ["hill", "jaquez", "smith", "campbell"]
	ports = dict(zip(names, (free_port() for _ in names)))
	file = tmp_path / "hosts"

	def write(some):
		file.write_text("# the herd\n" + "".join("%s 127.0.0.1:%d site=here\n" % (name, ports[name]) for name in some))

	write(names[:3])
	herd = {name: hosts(name, flood_hosts=str(file)).start(port=ports[name]) for name in names[:3]}
	for name, host in herd.items():
		host.wait_up(*(set(herd) - {name}))
	since = {name: {peer: said["since"] for peer, said in host.peers().items()} for name, host in herd.items()}
	write(names)
	herd["campbell"] = hosts("campbell", flood_hosts=str(file)).start(port=ports["campbell"])
	for host in herd.values():
		host.herd.ctl("reload", "--helper")
	for name, host in herd.items():
		host.wait_up(*(set(herd) - {name}))
		assert all(said["why"] == "neighbour" and said["site"] == "here" for said in host.peers().values())
	for name, peers in since.items():
		for peer, then in peers.items():
			assert herd[name].peers()[peer]["since"] == then, (name, peer)
	client = fresh()
	tell(herd["campbell"].member("Delta"), client)
	for host in herd.values():
		until(lambda host=host: client.decode() in host.fixes(), "the fix at %s" % host.name)
	graph = ask(herd["hill"], "graph")
	assert not graph["drawn"]
	assert {node["name"]: sorted(node["neighbours"]) for node in graph["hosts"]} == {
		name: sorted(set(names) - {name}) for name in names}
	assert ask(herd["hill"], "graph x")["ok"] is False

	# One less: its links end, the others stay.
	write(names[:3])
	for name in names[:3]:
		herd[name].herd.ctl("reload", "--helper")
	herd["hill"].wait_down("campbell")
	assert herd["hill"].up() == {"jaquez", "smith"}
	file.write_text("hill 127.0.0.1\n")
	done = herd["hill"].herd.run_ctl("reload", "--helper")
	assert done.returncode != 0 and "hosts:1: " in done.stdout + done.stderr, done
	assert herd["hill"].up() == {"jaquez", "smith"}


def test_links_that_come_with_a_reload(hosts):
	hill, smith = hosts("hill").start(), hosts("smith")
	smith.start(port=None)
	assert smith.peers() == {}
	client = fresh()
	tell(hill.member("Alpha"), client)
	smith.herd.configure("[flood]\npeer = hill 127.0.0.1:%d\n" % hill.port)
	smith.herd.ctl("reload", "--helper")
	smith.wait_up("hill")
	until(lambda: client.decode() in smith.fixes(), "the fix")
	smith.herd.configure("")
	smith.herd.ctl("reload", "--helper")
	hill.wait_down("smith")
	assert smith.peers() == {}


def test_both_have_the_line(hosts):
	"""Each dials the other: one link stays."""
	ports = [free_port(), free_port()]
	hill = hosts("hill", flood_host_id="1" * 32).start(port=ports[0], peers=["smith 127.0.0.1:%d" % ports[1]])
	smith = hosts("smith", flood_host_id="2" * 32).start(port=ports[1], peers=["hill 127.0.0.1:%d" % ports[0]])
	hill.wait_up("smith")
	smith.wait_up("hill")
	client = fresh()
	tell(hill.member("Alpha"), client)
	until(lambda: client.decode() in smith.fixes(), "the fix")
	until(lambda: hill.peers()["smith"]["dialled"] and not smith.peers()["hill"]["dialled"], "the link of the smaller id")
	time.sleep(1)	# nobody begins again
	assert len(hill.peers()) == len(smith.peers()) == 1
	assert hill.flood.text().count("Linked with") <= 2
	assert "Degraded" not in hill.status()


def test_nobody_there(hosts):
	hill = hosts("hill").start(peers=["smith 127.0.0.1:%d" % free_port()])
	hill.flood.wait_log(r"Cannot reach 'smith', trying again: 127\.0\.0\.1:\d+: Connection refused")
	until(lambda: "no link with 'smith': " in hill.status(), "degraded")
	peer = hill.peers()["smith"]
	assert peer["state"] in ("down", "dialling") and "Connection refused" in peer["error"]
	assert hill.flood.text().count("Cannot reach") == 1


# --- who is who --------------------------------------------------------------------------------

def test_ourselves(hosts):
	hill = hosts("hill")
	hill.start(port=free_port(), peers=[])
	port = hill.port
	hill.stop()
	hill.start(port=port, peers=[port])
	hill.flood.wait_log("this is the same host")
	assert hill.peers().get("hill", {}).get("state") != "up"


def test_the_same_host_id_twice(hosts):
	hill = hosts("hill").start()
	smith = hosts("smith", flood_host_id="5" * 32).start(peers=[hill.port])
	smith.wait_up("hill")
	jaquez = hosts("jaquez", flood_host_id="5" * 32).start(peers=[hill.port])
	hill.flood.wait_log(r"'jaquez' \(\S+\) and 'smith' \(\S+\) have the same name or host id")
	jaquez.flood.wait_log("the host id is that of 'smith'")
	assert hill.up() == {"smith"}


def test_our_host_id_elsewhere(hosts):
	hill = hosts("hill", flood_host_id="5" * 32).start()
	smith = hosts("smith", flood_host_id="5" * 32).start(peers=[hill.port])
	hill.flood.wait_log(r"'smith' \(\S+\) and 'hill' \(this host\) have the same name or host id")
	smith.flood.wait_log(r"'hill' \(\S+\) and 'smith' \(this host\) have the same name or host id")
	assert hill.up() == smith.up() == set()


def test_the_same_host_name_twice(hosts):
	hill = hosts("hill").start()
	hosts("hill").start(peers=[hill.port])
	hill.flood.wait_log(r"'hill' \(\S+\) and 'hill' \(this host\) have the same name or host id")
	assert hill.up() == set()


def test_the_same_member_twice(hosts):
	hill, smith = hosts("hill"), hosts("smith")
	hill.member("Alpha"), smith.member("Alpha")
	hill.start()
	smith.start(peers=[hill.port])
	for host in (hill, smith):	# not before it is certain that it did not move; nor a minute later
		host.flood.wait_log("Two hosts have a member 'Alpha'", limit=30)
		until(lambda host=host: ask(host, "peers")["name_conflicts"] == 1, "a conflict")
	assert "1 member is on more than one host" in hill.status()


def test_another_name_than_dialled(hosts):
	hill = hosts("hill").start()
	smith = hosts("smith").start(peers=["jaquez 127.0.0.1:%d" % hill.port])
	smith.flood.wait_log("this is 'hill', not 'jaquez'")
	assert smith.up() == set()


def test_another_herd(hosts):
	hill = hosts("hill").start()
	smith = hosts("smith", flood_herd="cows").start(peers=[hill.port])
	smith.flood.wait_log(r"No link with .*herd")
	assert smith.up() == hill.up() == set()


# --- a peer that is a terminal --------------------------------------------------------------------

def test_lines_can_be_read(hosts):
	hill = hosts("hill").start()
	alpha = hill.member("Alpha")
	with Link(hill.port) as link:
		assert re.fullmatch(r"HERD 1 herd [0-9a-f]{32} [0-9a-f]{16} hill ttl=604800,key=[0-9a-f]{16},ask", link.lines[0])
		hill.wait_up("raw")
		client = fresh()
		tell(alpha, client)
		link.expect(r"^AT Alpha \S+ %s \S+ \S+$" % client.decode())
		client = fresh()
		link.send(at_line(client, "Raw"))
		with alpha.client() as alice:
			until(lambda: alice.held(client), "the fix of the terminal")
		link.send("PING 42")
		link.expect("^PONG 42$")
		hill.stop()
		assert link.expect_end() == "stopping"


# --- protection ------------------------------------------------------------------------------------------

def test_no_plain_link_beyond_loopback(hosts):
	"""With neither certificates nor a key; and not by mistake of a reload either."""
	for options in ({"port": None, "peers": ["smith 192.0.2.1:12400"]}, {"port": None, "flood_hosts": "smith hill.example:1"},
			{"port": None, "flood_listen": "0.0.0.0:0"}):
		hill = hosts("hill")
		hill.start(ready=False, **options)
		assert hill.flood.wait() == 78
		assert re.search(r"Refused: no link beyond this machine .*'herdctl ca'", hill.flood.text())
	hill = hosts("hill", flood_plain="yes").start(port=None, flood_listen="0.0.0.0:0")
	hill.stop()
	smith = hosts("smith")
	smith.herd.configure("[flood]\nhosts = smith 127.0.0.1:1\n")
	smith.start()
	smith.herd.configure("[flood]\nhosts = smith 192.0.2.1:1\n")
	assert "no link beyond this machine" in smith.herd.run_ctl("reload", "--helper").stderr
	assert smith.flood.alive()


@pytest.fixture
def authority(make_herd, tmp_path):
	return Authority(make_herd(), tmp_path / "ca")


def certified(hosts, authority, name, **settings):
	host = hosts(name, **settings)
	authority.issue(name, host.settings["flood.tls-dir"])
	return host


def test_certificates(hosts, authority):
	hill = certified(hosts, authority, "hill").start()
	smith = certified(hosts, authority, "smith").start(peers=["hill 127.0.0.1:%d" % hill.port])
	smith.wait_up("hill")
	hill.wait_up("smith")
	assert hill.peers()["smith"]["tls"] and smith.peers()["hill"]["tls"]
	client = fresh()
	tell(hill.member("Alpha"), client)
	until(lambda: client.decode() in smith.fixes(), "the fix")


def test_plain_in_spite_of_certificates(hosts, authority):
	"""Whoever forgets to take 'plain' out is told."""
	hill = certified(hosts, authority, "hill", flood_plain="yes").start()
	hill.flood.wait_log(r"Links are not protected: 'plain' is set, and neither the certificates in '")
	smith = hosts("smith", flood_plain="yes").start(peers=["hill 127.0.0.1:%d" % hill.port])
	smith.wait_up("hill")
	assert not smith.peers()["hill"]["tls"]
	assert "not protected" not in smith.flood.text()


def test_no_certificate(hosts, authority):
	hill = certified(hosts, authority, "hill").start()
	smith = hosts("smith").start(peers=[hill.port])	# speaks plain
	hill.flood.wait_log(r"No link from '127\.0\.0\.1:\d+' .*TLS")
	context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
	context.check_hostname = False
	context.verify_mode = ssl.CERT_NONE
	with socket.create_connection(("127.0.0.1", hill.port), timeout=harness.LIMIT) as sock:
		with pytest.raises(OSError):
			with context.wrap_socket(sock) as tls:
				tls.sendall(b"HERD 1 herd %s %016x raw\n" % (b"ab" * 16, 1))
				while tls.recv(4096):
					pass
				raise ConnectionResetError
	hill.flood.wait_log("peer did not return a certificate")
	assert hill.up() == smith.up() == set()


def test_another_authority(hosts, authority, make_herd, tmp_path):
	hill = certified(hosts, authority, "hill").start()
	smith = certified(hosts, Authority(make_herd(), tmp_path / "other"), "smith").start(peers=["hill 127.0.0.1:%d" % hill.port])
	smith.flood.wait_log("No link with 'hill' .*certificate for 'hill': unable to get local issuer certificate")
	assert hill.up() == smith.up() == set()


def test_another_name(hosts, authority):
	"""The right authority, the wrong host: when it dials, when it is dialled, and when it says to be another."""
	hill = certified(hosts, authority, "hill", flood_hosts="hill 127.0.0.1:1, smith 127.0.0.1:2").start()
	jaquez = certified(hosts, authority, "jaquez").start(peers=["hill 127.0.0.1:%d" % hill.port])
	jaquez.flood.wait_log("'jaquez' is not in the list of hosts here")
	smith = certified(hosts, authority, "smith").start(peers=["campbell 127.0.0.1:%d" % jaquez.port])
	smith.flood.wait_log("its certificate is for 'jaquez', not for 'campbell'")
	with jaquez_says_smith(jaquez, hill.port) as link:
		assert "is for 'jaquez', not for 'smith'" in link.expect_end()
	assert hill.up() == smith.up() == jaquez.up() == set()


def jaquez_says_smith(jaquez, port):
	"""A link with one host's certificate and another one's name."""
	context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
	context.check_hostname = False
	context.load_verify_locations(os.path.join(jaquez.settings["flood.tls-dir"], "ca.crt"))
	context.load_cert_chain(*(os.path.join(jaquez.settings["flood.tls-dir"], file) for file in ("host.crt", "host.key")))
	link = Link(port, "smith", greet=False)
	link.sock = context.wrap_socket(link.sock)
	link.greet()
	return link


def test_expired(hosts, authority):
	hill = certified(hosts, authority, "hill").start()
	smith = certified(hosts, authority, "smith")
	expire(smith, authority)
	smith.start(peers=["hill 127.0.0.1:%d" % hill.port])
	smith.flood.wait_log("host.crt: certificate has expired: other hosts refuse it")
	smith.flood.wait_log("host.crt in .* has expired")
	hill.flood.wait_log("its certificate for 'smith': certificate has expired")
	assert hill.up() == smith.up() == set()


def expire(host, authority):
	"""Its certificate ended yesterday."""
	folder = host.settings["flood.tls-dir"]
	request, names = (os.path.join(folder, file) for file in ("request", "names"))
	openssl("req", "-new", "-key", os.path.join(folder, "host.key"), "-subj", "/CN=" + host.name, "-out", request)
	with open(names, "w", encoding="ascii") as file:
		file.write("subjectAltName=DNS:%s\n" % host.name)
	openssl("x509", "-req", "-in", request, "-CA", os.path.join(authority.folder, "ca.crt"), "-CAkey",
		os.path.join(authority.folder, "ca.key"), "-set_serial", "99", "-days", "-1", "-extfile", names,
		"-out", os.path.join(folder, "host.crt"))


def test_revoked(hosts, authority):
	"""A list that is read at a reload ends that one link, and lets nobody of it in again."""
	hill = certified(hosts, authority, "hill").start()
	smith = certified(hosts, authority, "smith").start(peers=["hill 127.0.0.1:%d" % hill.port])
	jaquez = certified(hosts, authority, "jaquez").start(peers=["hill 127.0.0.1:%d" % hill.port])
	hill.wait_up("smith", "jaquez")
	since = hill.peers()["jaquez"]["since"]
	authority.herd.ctl("ca", "revoke", "smith", "--dir", authority.folder)
	shutil.copy(os.path.join(authority.folder, "ca.crl"), hill.settings["flood.tls-dir"])
	hill.herd.ctl("reload", "--helper")
	hill.flood.wait_log(r"The link with 'smith' .* has ended: its certificate: certificate revoked")
	hill.flood.wait_log("No link from .*its certificate for 'smith': certificate revoked")
	assert hill.up() == {"jaquez"} and hill.peers()["jaquez"]["since"] == since
	smith.wait_down("hill")


def test_certificates_read_anew(hosts, authority):
	"""Another certificate for the same host: links stay, and the next ones are made with it."""
	hill = certified(hosts, authority, "hill").start()
	smith = certified(hosts, authority, "smith").start(peers=["hill 127.0.0.1:%d" % hill.port])
	smith.wait_up("hill")
	since = smith.peers()["hill"]["since"]
	key = os.path.join(hill.settings["flood.tls-dir"], "host.key")
	os.chmod(key, 0o644)
	assert "host.key: others may read or write it" in hill.herd.run_ctl("reload", "--helper").stderr
	authority.herd.ctl("ca", "revoke", "hill", "--dir", authority.folder)
	authority.issue("hill", hill.settings["flood.tls-dir"])
	hill.herd.ctl("reload", "--helper")
	assert "Read the certificates of links anew" in hill.flood.text()
	assert smith.peers()["hill"]["since"] == since
	shutil.copy(os.path.join(authority.folder, "ca.crl"), smith.settings["flood.tls-dir"])
	smith.herd.ctl("reload", "--helper")	# the first certificate is no good any more
	until(lambda: "hill" in smith.up() and smith.peers()["hill"]["since"] > since, "a link with the new one")


def take_certificate(host, authority, tmp_path):
	"""A certificate and a key of this authority, and not its ca.crt."""
	new = tmp_path / ("new-" + host.name)
	authority.issue(host.name, str(new))
	for file in ("host.key", "host.crt"):
		os.replace(new / file, os.path.join(host.settings["flood.tls-dir"], file))
	host.herd.ctl("reload", "--helper")


def trust(host, *authorities, reload=True):
	"""In this order, with what they have revoked."""
	for file in ("ca.crt", "ca.crl"):
		with open(os.path.join(host.settings["flood.tls-dir"], file), "wb") as out:
			for authority in authorities:
				with open(os.path.join(authority.folder, file), "rb") as part:
					out.write(part.read())
	if reload:
		host.herd.ctl("reload", "--helper")


def test_another_authority_takes_over(hosts, authority, make_herd, tmp_path):
	"""As herd-flood(8) has it; whoever has old and new certificates is linked all the time."""
	new = Authority(make_herd(), tmp_path / "new")
	hill = certified(hosts, authority, "hill").start()
	smith = certified(hosts, authority, "smith").start(peers=["hill 127.0.0.1:%d" % hill.port])
	smith.wait_up("hill")
	since = smith.peers()["hill"]["since"]
	for host in (hill, smith):
		trust(host, authority, new)
	take_certificate(hill, new, tmp_path)
	assert smith.peers()["hill"]["since"] == since
	smith.stop()
	smith.start(peers=["hill 127.0.0.1:%d" % hill.port])	# an old certificate meets a new one
	smith.wait_up("hill")
	take_certificate(smith, new, tmp_path)
	trust(hill, new)
	until(lambda: smith.peers()["hill"]["state"] == "up", "a link between the new certificates")
	trust(smith, new)
	until(lambda: smith.up() == {"hill"} and hill.up() == {"smith"}, "the link")
	client = fresh()
	tell(hill.member("Alpha"), client)
	until(lambda: client.decode() in smith.fixes(), "the fix")
	jaquez = certified(hosts, authority, "jaquez")
	trust(jaquez, authority, new, reload=False)	# so that it is hill who refuses
	jaquez.start(peers=["hill 127.0.0.1:%d" % hill.port])
	hill.flood.wait_log("its certificate for 'jaquez': unable to get local issuer certificate")


def test_shared_keys(hosts, tmp_path):
	one, other = "the first key of the herd", "the second key of the herd"

	def write(name, *keys):
		path = tmp_path / name
		path.touch(mode=0o600)
		path.write_text("".join(key + "\n" for key in keys))
		return str(path)

	hill = hosts("hill", flood_psk_file=write("hill", one)).start()
	smith = hosts("smith", flood_psk_file=write("smith", one)).start(peers=["hill 127.0.0.1:%d" % hill.port])
	jaquez = hosts("jaquez", flood_psk_file=write("jaquez", other)).start(peers=["hill 127.0.0.1:%d" % hill.port])
	smith.wait_up("hill")
	assert smith.peers()["hill"]["tls"]
	hill.flood.wait_log("No link from .*TLS")
	assert jaquez.up() == set()
	client = fresh()
	tell(hill.member("Alpha"), client)
	until(lambda: client.decode() in smith.fixes(), "the fix")

	# Another key: accepted first by all, then used by all, then the only one. No link with an old one is lost on the way.
	since = smith.peers()["hill"]["since"]
	for name, host in (("hill", hill), ("smith", smith)):
		write(name, one, other)
		host.herd.ctl("reload", "--helper")
	assert smith.peers()["hill"]["since"] == since
	hill.wait_up("jaquez")	# it has only the other one
	for name, host in (("smith", smith), ("hill", hill)):
		write(name, other)
		host.herd.ctl("reload", "--helper")
	for host in (smith, jaquez):
		host.wait_up("hill")
	client = fresh()
	tell(smith.member("Bravo"), client)
	until(lambda: client.decode() in hill.fixes() and client.decode() in jaquez.fixes(), "the fix")


# --- hostile peers ----------------------------------------------------------------------------------------------------

@pytest.fixture
def undisturbed(hosts):
	"""A host with a link that goes on whatever the test does to its port."""
	hill, smith = hosts("hill").start(), hosts("smith")
	smith.start(peers=["hill 127.0.0.1:%d" % hill.port])
	alpha = hill.member("Alpha")
	smith.wait_up("hill")
	since, rss = smith.peers()["hill"]["since"], hill.flood.rss_kb()
	yield hill
	client = fresh()
	tell(alpha, client)
	until(lambda: client.decode() in smith.fixes(), "a fix, after all that", 10 * SLOW)
	assert smith.peers()["hill"]["since"] == since
	assert hill.flood.rss_kb() < rss + (100000 if harness.SANITIZED else 8000)


def test_garbage(undisturbed):
	for data in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 5000, os.urandom(20000), b"\n" * 1000, b"HERD 2 herd x y z\n", b"HERD\n",
			b"HERD 1 herd %s %016x raw\nAT nonsense\n" % (b"ab" * 16, 1)):
		with Link(undisturbed.port, greet=False) as link:
			link.sock.sendall(data)
			link.expect_end()
	assert undisturbed.up() == {"smith"}


def test_giant_lines(undisturbed):
	for greet in (False, True):
		with Link(undisturbed.port, greet=greet) as link:
			try:
				for _ in range(100):
					link.sock.sendall(b"x" * 10000)
			except OSError:
				pass
			link.expect_end()


def test_floods_of_unknown_verbs(undisturbed):
	with Link(undisturbed.port) as link:
		try:
			for n in range(200):
				link.sock.sendall(b"BOGUS %d\n" % n * 1000)
		except OSError:
			pass	# or it is thrown out
		before = undisturbed.flood.run_s()
		time.sleep(0.2)
		assert undisturbed.flood.run_s() - before < 0.2


def test_forged_future(undisturbed):
	"""Tuples from the future are kept out, and nobody else hears of them."""
	client = fresh()
	with Link(undisturbed.port) as link:
		link.send(*(at_line(client, "Forger", ahead=3600 + n) for n in range(1000)))
		link.send(at_line(fresh(), "Forger", ahead=10.0 ** 9))
		link.send("PING 1")
		link.expect("^PONG 1$")
		undisturbed.flood.wait_log("Fixes of server 'Forger' are 3[56]\\d\\d s in the future")
	assert client.decode() not in undisturbed.fixes()
	assert undisturbed.flood.text().count("in the future") == 1


def test_a_peer_that_never_reads(undisturbed):
	alpha = next(p for p in undisturbed.herd.processes if p.name == "Alpha")
	link = Link(undisturbed.port)
	try:
		undisturbed.wait_up("raw")
		rss = undisturbed.flood.rss_kb()
		clients = [fresh() for _ in range(100)]
		for _ in range(50):
			tell(alpha, *clients)
		assert undisturbed.flood.rss_kb() < rss + (20000 if harness.SANITIZED else 2000)
	finally:
		link.sock.close()


def test_slow_handshakes(hosts, authority):
	"""Many who connect and say nothing, or only a part of it: they go, and hosts of the herd come in."""
	hill = certified(hosts, authority, "hill").start()
	smith = certified(hosts, authority, "smith").start(peers=["hill 127.0.0.1:%d" % hill.port])
	smith.wait_up("hill")
	before = hill.flood.descriptors()
	slow = [socket.create_connection(("127.0.0.1", hill.port), source_address=("127.0.0.9", 0)) for _ in range(300)]
	try:
		for n, sock in enumerate(slow):
			try:
				sock.send(b"\x16\x03\x01"[:n % 4])
			except OSError:
				pass
		until(lambda: hill.flood.descriptors() > before, "they are there")
		assert hill.flood.descriptors() < before + 100
		jaquez = certified(hosts, authority, "jaquez").start(peers=["hill 127.0.0.1:%d" % hill.port])
		jaquez.wait_up("hill", limit=10 * SLOW)
		until(lambda: hill.flood.descriptors() <= before + 1, "they are gone", 20)
	finally:
		for sock in slow:
			sock.close()
	assert "smith" in hill.up()


def test_a_crowd_of_handshakes(hosts, authority):
	"""A thousand a second, from somewhere else: fixes go on, and little is spent on them."""
	hill = certified(hosts, authority, "hill").start()
	smith = certified(hosts, authority, "smith").start(peers=["hill 127.0.0.1:%d" % hill.port])
	alpha = hill.member("Alpha")
	smith.wait_up("hill")
	hello = client_hello()
	before, begin, count = hill.flood.run_s(), time.monotonic(), 0
	while time.monotonic() < begin + 3:
		socks = []
		for _ in range(20):
			sock = socket.socket()
			sock.bind(("127.0.0.7", 0))
			sock.connect(("127.0.0.1", hill.port))
			try:
				sock.send(hello)
			except OSError:
				pass
			socks.append(sock)
		count += len(socks)
		time.sleep(max(0, begin + count / 1000 - time.monotonic()))
		for sock in socks:
			sock.close()
	client = fresh()
	then = time.monotonic()
	tell(alpha, client)
	until(lambda: client.decode() in smith.fixes(), "the fix")
	assert time.monotonic() - then < 1 * SLOW
	assert count > 1000
	assert (hill.flood.run_s() - before) / (time.monotonic() - begin) < 0.25 * SLOW
	assert "smith" in hill.up()


def client_hello():
	context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
	context.check_hostname = False
	context.verify_mode = ssl.CERT_NONE
	out = ssl.MemoryBIO()
	tls = context.wrap_bio(ssl.MemoryBIO(), out)
	try:
		tls.do_handshake()
	except ssl.SSLWantReadError:
		pass
	return out.read()


# --- on its own ------------------------------------------------------------------------------------------------------------

def test_idle(hosts):
	"""With nothing to do a helper with links hardly wakes."""
	hill, smith = hosts("hill").start(), hosts("smith")
	smith.start(peers=[hill.port])
	hill.member("Alpha")
	smith.wait_up("hill")
	time.sleep(1)
	before = switches(hill.flood)
	time.sleep(3)
	assert (switches(hill.flood) - before) / 3 < 25


def switches(process):
	with open("/proc/%d/status" % process.pid, encoding="ascii") as file:
		return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", file.read(), re.M).group(1))


def test_without_links_as_before(hosts):
	hill = hosts("hill").start(port=None)
	assert ask(hill, "peers")["peers"] == []
	assert ask(hill, "graph")["hosts"] == []
	assert "link" not in hill.status()
