"""One herd of three machines, set up as the README says it is done."""

import itertools
import json
import os
import re

import pytest

import machine as machines
import root
from machine import until

LOCATION = b"+34.068930-118.445127"
HELPER = "herd-flood.service"
NAMES = ["hill", "jaquez", "smith"]
LINKED_S = 90	# the longest wait for links: a host that was away for long is dialled every 30 s
DOORS = [("127.0.0.1", 12000), ("127.0.0.1", 12001)]
EVENTS = {"up": "aceccb4cc3b34d82ad71cfb735f3ebf9", "down": "1146919fbd3d4ce291126a36114c0a14",
	"refused": "de702d6c79cd424e8673a17d201c5b4f"}


def address(number):
	return "10.77.0.%d" % (number + 1)


class Herd:
	"""Machines with two members each."""

	def __init__(self, images):
		self.images = images
		self.machines = {}
		try:
			self.network = machines.switch()
		except root.Impossible as error:
			pytest.fail("nothing was tested: %s" % error, pytrace=False)

	def __getitem__(self, name):
		return self.machines[name]

	def add(self, name):
		"""One more machine, switched on, with members of its own and no links yet."""
		made = self.images.installed()
		self.machines[name] = made
		made.join(self.network, name, address(len(self.machines) - 1) + "/24")
		made.write("/etc/herd/herd.conf", "".join("[member %s-%d]\nlisten = 127.0.0.1:%d\n" %
			(name.capitalize(), n + 1, 12000 + n) for n in range(2)))
		made.boot()
		until(lambda: address(len(self.machines) - 1) in made.run("networkctl", "status", "host0", status=None).stdout,
			"%s has its address" % name, 30, 0.2)

	def write_settings(self, name):
		"""The same two files on every host."""
		self.write_list(name)
		self[name].write("/etc/herd/herd.conf.d/flood.conf", "[flood]\nlisten = 0.0.0.0:12400\nhosts = /etc/herd/hosts\n")

	def write_list(self, name):
		self[name].write("/etc/herd/hosts", "# our hosts\n" + "".join("%s  %s:12400\n" % (other, address(n))
			for n, other in enumerate(self.machines)))

	def copy_tls(self, name):
		"""scp -p /etc/herd/ca/hosts/NAME/* root@NAME:/etc/herd/tls/"""
		folder = "/etc/herd/ca/hosts/" + name
		for file in os.listdir(self["hill"].path(folder)):
			mode = os.stat(self["hill"].path(folder + "/" + file)).st_mode & 0o777
			self[name].write("/etc/herd/tls/" + file, self["hill"].read(folder + "/" + file), mode)

	def restart(self, name):
		self[name].sh("systemctl daemon-reload && systemctl restart herd-flood")

	def link(self, name):
		"""The README's commands for one host."""
		if name == "hill":
			self["hill"].run("herdctl", "ca", "init")
			self["hill"].run("herdctl", "ca", "issue", "hill", "--install")
		else:
			self["hill"].run("herdctl", "ca", "issue", name)
			self.copy_tls(name)
		self.restart(name)

	def set_up(self):
		for name in NAMES:
			self.add(name)
		for name in NAMES:
			self.write_settings(name)
		for name in NAMES:
			self.link(name)
		for name in NAMES:
			self.wait_up(name, [other for other in NAMES if other != name])
		return self

	# What operators see.

	def peers(self, name):
		return {peer["host"]: peer for peer in json.loads(self[name].run("herdctl", "--json", "peers", status=None).stdout)["peers"]}

	def up(self, name):
		return {host for host, peer in self.peers(name).items() if peer["state"] == "up"}

	def wait_up(self, name, others):
		until(lambda: self.up(name) == set(others), lambda: "%s is linked with %s:\n%s\n%s" % (name, others, self.peers(name),
			self[name].status(HELPER)), LINKED_S, 0.2)

	def event(self, name, which, **fields):
		"""Waits for an event of the helper; the last such record."""
		def found():
			records = [r for r in self[name].journal("-u", HELPER, "MESSAGE_ID=" + EVENTS[which])
				if all(r.get(key) == value for key, value in fields.items())]
			return records[-1] if records else None
		return until(found, "an event %s of %s with %r" % (which, name, fields), LINKED_S, 0.2)

	def trace(self, name, client):
		return json.loads(self[name].run("herdctl", "--json", "trace", client).stdout)

	# Fixes.

	def tell(self, name, client, door=0):
		with self[name].client(DOORS[door]) as connection:
			return connection.iamat(client, LOCATION).line

	def held(self, name, client, door=0):
		with self[name].client(DOORS[door]) as connection:
			return connection.held(client)

	def wait_held(self, client, line, names=None):
		for name, door in itertools.product(names or list(self.machines), range(len(DOORS))):
			until(lambda: self.held(name, client, door) == line, lambda: "%s is known to member %d of %s" % (client, door + 1,
				name), 30, 0.02)

	def close(self):
		for machine in self.machines.values():
			self.images.end(machine)
		self.network.close()

	def report(self):
		return "\n".join("=== %s\n%s" % (name, machine.report()) for name, machine in self.machines.items())


@pytest.fixture
def herd(images, request):
	made = Herd(images)
	try:
		try:
			made.set_up()
		except BaseException:
			print(made.report())
			raise
		yield made
		if getattr(request.node, "failed", False):
			print(made.report())
	finally:
		made.close()


def test_told_to_one_read_at_all(herd):
	"""TLS on; every member of every machine knows what any of them was told; the journal says who is linked with whom."""
	for name in NAMES:
		for other, peer in herd.peers(name).items():
			assert peer["tls"] is True and peer["state"] == "up", (name, peer)
			record = herd.event(name, "up", HERD_PEER=other)
			assert "TLS" in record["MESSAGE"], record
		assert herd[name].systemctl("is-system-running", status=None).strip() == "running"
		herd[name].run("herdctl", "status")
	for name, door in itertools.product(NAMES, range(2)):
		client = b"%s-%d" % (name.encode(), door)
		told = herd.tell(name, client, door)
		assert told.startswith(b"AT %s-%d " % (name.capitalize().encode(), door + 1))
		herd.wait_held(client, told)
	for name in NAMES:	# the newest wins everywhere
		newest = herd.tell(name, b"kiwi")
		herd.wait_held(b"kiwi", newest)
	for name in NAMES:	# the last of them heard it, and each can tell
		until(lambda: herd.trace(name, "kiwi")["host"] == NAMES[-1:], "%s knows where it was heard" % name, 90, 0.5)
		traced = herd.trace(name, "kiwi")
		assert traced["heard"] == ("on this host" if name == NAMES[-1] else "on another host") and traced["unasked"] == []
		assert bool(traced["from"]) == (name != NAMES[-1]) and set(traced["from"]) < set(NAMES), traced
		assert [program["knows"] for program in traced["programs"]] == ["yes"] * 3
		until(lambda: {peer["state"] for peer in herd.trace(name, "kiwi")["peers"]} == {"has"}, "all have it", 30, 0.2)
	shown = herd["hill"].run("herdctl", "flood", "graph").stdout
	assert all(name in shown for name in NAMES), shown
	explained = herd["hill"].run("journalctl", "--no-pager", "-x", "--boot=0", "-n", "1", "MESSAGE_ID=" + EVENTS["up"]).stdout
	assert re.search(r"^.. Defined-By: herd$", explained, re.MULTILINE) and "@HERD_" not in explained, explained


def test_power_cut_and_back(herd):
	"""A machine that loses its power misses nothing: what was told meanwhile, and what it had known before."""
	before = herd.tell("smith", b"before")
	herd.wait_held(b"before", before)
	herd["smith"].power_cut()
	rest = [name for name in NAMES if name != "smith"]
	told = {client: herd.tell(name, client) for name, client in (("hill", b"kiwi"), ("jaquez", b"emu"))}
	for client, line in told.items():
		herd.wait_held(client, line, rest)
	for name in rest:
		herd.event(name, "down", HERD_PEER="smith")
		herd.wait_up(name, [other for other in rest if other != name])
	herd["smith"].boot()
	herd.wait_up("smith", rest)
	for client, line in list(told.items()) + [(b"before", before)]:
		herd.wait_held(client, line)
	back = herd.tell("smith", b"kiwi")
	herd.wait_held(b"kiwi", back)
	assert herd["smith"].active(HELPER) == "active"


def test_a_fourth_host(herd):
	"""One more line in the list and a reload: linked, and no link that was there has been touched."""
	old = herd.tell("jaquez", b"kiwi")
	since = {name: {other: peer["since"] for other, peer in herd.peers(name).items()} for name in NAMES}
	pids = {name: herd[name].main_pid(HELPER) for name in NAMES}
	herd.add("campbell")
	herd.write_settings("campbell")
	herd.link("campbell")
	for name in NAMES:
		herd.write_list(name)
		herd[name].run("herdctl", "reload", "--helper")
	for name in herd.machines:
		herd.wait_up(name, [other for other in herd.machines if other != name])
	herd.wait_held(b"kiwi", old)
	herd.wait_held(b"emu", herd.tell("campbell", b"emu", 1))
	for name in NAMES:
		now = herd.peers(name)
		assert {other: now[other]["since"] for other in since[name]} == since[name], (name, now)
		assert herd[name].main_pid(HELPER) == pids[name]
		assert not [r for r in herd[name].journal("-u", HELPER, "MESSAGE_ID=" + EVENTS["down"])
			if r["HERD_PEER"] in NAMES and r["__REALTIME_TIMESTAMP"] > str(int(1e6 * max(since[name].values())))]


def test_a_revoked_certificate(herd):
	"""After a reload its host is refused, and nobody else notices."""
	since = herd.peers("hill")["jaquez"]["since"]
	herd["hill"].run("herdctl", "ca", "revoke", "smith", "--install")
	herd["jaquez"].write("/etc/herd/tls/ca.crl", herd["hill"].read("/etc/herd/ca/ca.crl"))
	for name in ("hill", "jaquez"):
		herd[name].systemctl("reload", HELPER)
	herd.wait_up("hill", ["jaquez"])
	herd.wait_up("jaquez", ["hill"])
	until(lambda: herd.up("smith") == set(), lambda: "smith is alone: %r" % herd.peers("smith"), LINKED_S, 0.2)
	until(lambda: any(herd[name].journal("-u", HELPER, "MESSAGE_ID=" + EVENTS["refused"]) for name in NAMES),
		"somebody says that it is refused", LINKED_S, 0.2)
	alone = herd.tell("smith", b"alone")
	told = herd.tell("jaquez", b"kiwi")
	herd.wait_held(b"kiwi", told, ["hill", "jaquez"])
	herd.wait_held(b"alone", alone, ["smith"])	# its members serve on
	assert herd.held("hill", b"alone") is None and herd.held("smith", b"kiwi") is None
	assert herd.peers("hill")["jaquez"]["since"] == since
