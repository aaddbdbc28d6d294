"""The key of a places service: where it may come from, and where it must never be seen. And what
happens to lookups under way when settings change or a member ends."""

import os
import resource
import signal
import subprocess

import pytest

from harness import LIMIT, SANITIZED, Closed, until
from upstream import KEYS
from web import LOCAL, SPOT, ask, failed, names, people, take

OTHER = "Herd-test_another.key~0123456789"


def credential(web, text, name="google-key"):
	folder = os.path.join(web.herd.folder, "credentials")
	os.makedirs(folder, exist_ok=True)
	path = os.path.join(folder, name)
	with open(path, "w", encoding="ascii") as file:
		os.fchmod(file.fileno(), 0o400)
		file.write(text)
	return folder


def one_answer(member, radius=b"10"):
	with member.client() as connection:
		id, = people(connection, 1, SPOT)
		return ask(connection, id, radius)


# --- where it comes from ---------------------------------------------------------------

def test_from_a_credential(web, upstream):
	folder = credential(web, KEYS["google"] + "\n")
	member = web.start("google", google__key_file=None, process={"env": {"CREDENTIALS_DIRECTORY": folder}})
	assert one_answer(member)["status"] == "OK"
	upstream.check()


def test_a_credential_comes_before_the_file(web, upstream):
	folder = credential(web, KEYS["google"])
	web.keys["google"] = web.write_key("google", OTHER)
	member = web.start("google", process={"env": {"CREDENTIALS_DIRECTORY": folder}})
	assert one_answer(member)["status"] == "OK"
	upstream.check()


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_from_a_file_of_our_own(web, upstream, mode):
	web.keys["google"] = web.write_key("google", KEYS["google"], mode)
	assert one_answer(web.start("google"))["status"] == "OK"
	upstream.check()


@pytest.mark.parametrize("why", ["0644", "0640", "0604", "0660", "absent", "empty", "blank", "binary", "long", "folder", "fifo"])
def test_what_is_no_key_file(web, upstream, why):
	path = web.keys["google"]
	if why.isdigit():
		os.chmod(path, int(why, 8))
	elif why in ("folder", "fifo", "absent"):
		os.unlink(path)
		if why != "absent":
			(os.mkdir if why == "folder" else os.mkfifo)(path, 0o600)
	else:
		web.write_key("google", {"empty": "", "blank": "two words", "binary": "a\1b", "long": "x" * 600}[why])
	web.import_local()
	member = web.start("google, local")
	assert names(one_answer(member)) == [LOCAL]
	assert upstream.count("google")["requests"] == 0
	line = member.wait_log(r".*key.*")
	assert why == "absent" or os.path.basename(path) in member.text(), line.group(0)	# says which file
	state = web.state(member, "google")
	assert state["state"] == "no key" and state["why"], state
	assert KEYS["google"] not in member.text()
	# Put right, it is taken at a reload.
	if os.path.isdir(path):
		os.rmdir(path)
	web.write_key("google", KEYS["google"])
	web.reload(member, "google, local")
	until(lambda: len(names(one_answer(member))) == 5, "the service is asked")
	assert web.state(member, "google")["state"] == "ok"
	upstream.check()


def test_without_any_key(web, upstream):
	member = web.start("google", google__key_file=None)
	assert failed(one_answer(member), "REQUEST_DENIED")
	assert upstream.count("google")["requests"] == 0
	assert web.state(member, "google")["state"] == "no key"


def test_not_as_a_setting(web, upstream):
	"""Neither the command line nor the file has a place for the key itself."""
	for name in ("key", "api-key"):
		done = subprocess.run([os.path.join(os.environ.get("HERD_BUILD", "build"), "herd-member"), "--name", "Alpha", "--listen", "127.0.0.1:0",
			"--set", "places.google.%s=%s" % (name, OTHER)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
			timeout=LIMIT, check=False)
		assert done.returncode != 0


# --- where it is not seen ------------------------------------------------------------------

@pytest.mark.parametrize("service", ["google", "google-legacy"])
def test_it_is_never_seen(web, upstream, service):
	key = KEYS[service]
	member = web.start(service, settings={"log-level": "debug"}, retries="0")
	seen = []
	for number, fault in enumerate((None, {"kind": "echo"}, {"kind": "echo", "status": 400}, {"kind": "redirect"}, {"kind": "status", "status": 500}, {"kind": "html"},
			{"kind": "reset"}, {"kind": "short"})):
		upstream.well()
		if fault:
			upstream.fault(**fault)
			web.reload(member, service, retries="0", language=("de", "en")[number % 2])	# who was refused is asked again
		with member.client() as connection:
			id, = people(connection, 1, SPOT)
			connection.send(b"WHATSAT %s 10 5\n" % id)
			seen.append(connection.line() + connection.until(b"\n\n"))
	assert b"may not do this" in seen[1] and b"***" in seen[1], seen[1]
	upstream.well()
	upstream.fault("hold")
	web.reload(member, service, retries="0", language="fr")
	with member.client() as connection:
		id, = people(connection, 1, SPOT)
		connection.send(b"WHATSAT %s 10 5\n" % id)
		upstream.wait_held(service, 1)
		herd = web.herd
		for words in (("config",), ("--json", "config"), ("status",), ("--json", "status"), ("config", "--all")):
			done = herd.run_ctl(*words)
			seen += [done.stdout.encode(), done.stderr.encode()]
		for name in ("cmdline", "environ"):
			with open("/proc/%d/%s" % (member.pid, name), "rb") as file:
				seen.append(file.read())
		upstream.release()
		take(connection, id)
	seen.append(member.text().encode())
	for folder, _, files in os.walk(web.state_dir):
		for name in files:
			with open(os.path.join(folder, name), "rb") as file:
				seen.append(file.read())
	with open(herd.segment, "rb") as file:
		seen.append(file.read())
	for text in seen:
		assert key.encode() not in text and key[5:25].encode() not in text, text[:2000]
	upstream.check()


def test_no_core_is_left(web, upstream):
	"""The kernel makes none of a process that is not dumpable."""
	member = web.start("google")
	assert one_answer(member)["status"] == "OK"
	for process in (member, web.herd.processes[0]):	# the helper knows no key
		try:
			resource.prlimit(process.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
		except PermissionError:
			pass	# nobody but root may, of a process that is not dumpable
		process.expected_death = True
		process.signal(signal.SIGABRT)
		ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
		process.wait()
		assert ended.si_status == signal.SIGABRT
		assert process is not member or ended.si_code == os.CLD_KILLED	# not CLD_DUMPED
	assert SANITIZED or not [name for name in os.listdir(web.herd.folder) if KEYS["google"].encode() in content(web.herd.folder, name)]


def content(folder, name):
	path = os.path.join(folder, name)
	if not os.path.isfile(path) or name.startswith("key-"):
		return b""
	with open(path, "rb") as file:
		return file.read()


# --- changes while lookups are under way --------------------------------------------------------

def test_another_key_while_lookups_are_under_way(web, upstream):
	web.keys["google"] = web.write_key("google", KEYS["google"])
	member = web.start("google")
	upstream.fault("hold")
	with member.client() as connection:
		ids = people(connection, 5)
		connection.send(b"".join(b"WHATSAT %s 10 5\n" % id for id in ids))
		upstream.wait_held("google", 5)
		web.write_key("google", OTHER)
		web.reload(member, "google")
		upstream.well()
		upstream.release()
		for id in ids:
			assert take(connection, id)["status"] == "OK"
		assert failed(ask(connection, ids[0]), "REQUEST_DENIED")	# the new one is wrong
		web.write_key("google", KEYS["google"])
		web.reload(member, "google")
		until(lambda: ask(connection, ids[0])["status"] == "OK", "the old key again")
	assert all("API key not valid" in one for one in upstream.counts()["violations"])
	assert member.descriptors() < 60


@pytest.mark.parametrize("after", ["local", "google-legacy", "google, local", "overpass"])
def test_another_provider_while_lookups_are_under_way(web, upstream, after):
	web.import_local()
	member = web.start("google")
	upstream.fault("hold", service="google")
	with member.client() as connection:
		ids = people(connection, 5)
		connection.send(b"".join(b"WHATSAT %s 10 5\n" % id for id in ids))
		upstream.wait_held("google", 5)
		web.reload(member, after)
		with member.client() as other:
			id, = people(other, 1, SPOT)
			if after != "google, local":
				until(lambda: ask(other, id)["status"] == "OK", "the new provider answers")
		upstream.well()
		upstream.release()
		for id in ids:	# each has its answer, by whomever
			assert take(connection, id)["status"] in ("OK", "ZERO_RESULTS", "UNKNOWN_ERROR")
	upstream.check()


def test_reloads_while_many_look_up(web, upstream):
	web.import_local()
	member = web.start("google, local")
	upstream.fault("delay", seconds=0.02)
	connections = [member.client() for _ in range(5)]
	ids = people(connections[0], 200)
	before = member.descriptors()
	for round in range(10):
		for number, id in enumerate(ids):
			connections[number % 5].send(b"WHATSAT %s 10 5\n" % id)
		web.reload(member, ["local", "google, local", "google-legacy, local", "overpass, local"][round % 4], connections_max=str(1 + round % 3))
		for number, id in enumerate(ids):
			answer = take(connections[number % 5], id)
			assert answer["status"] in ("OK", "ZERO_RESULTS"), answer
	assert member.descriptors() <= before + 20
	for connection in connections:
		connection.close()
	upstream.check()


def test_every_reload_counts_while_lookups_are_under_way(web, upstream):
	member = web.start("google", timeout="60s")
	upstream.fault("hold")
	connections = [member.client() for _ in range(2)]
	ids = people(connections[0], 12)
	for number, id in enumerate(ids):
		connections[number % 2].send(b"WHATSAT %s 10 5\n" % id)
		upstream.wait_held("google", number + 1)
		web.reload(member, "google", timeout="60s", retries=str(number % 5))
	assert "Cannot change" not in member.text()
	assert upstream.counts()["connections"] == 2	# ten on each: nothing about it is new
	web.write_key("google", OTHER)
	web.reload(member, "google", timeout="60s")
	upstream.well()
	upstream.release()
	for number, id in enumerate(ids):
		assert take(connections[number % 2], id)["status"] == "OK"
	assert failed(ask(connections[0], ids[0]), "REQUEST_DENIED")	# the service does not know this key
	for connection in connections:
		connection.close()
	assert all("API key not valid" in one for one in upstream.counts()["violations"])


# --- ends ---------------------------------------------------------------------------------------

def test_askers_that_leave(web, upstream):
	member = web.start("google")
	upstream.fault("hold")
	asker = member.client()
	ids = people(asker, 10)
	asker.send(b"".join(b"WHATSAT %s 10 5\n" % id for id in ids))
	upstream.wait_held("google", 10)
	upstream.well()
	asker.reset()
	until(lambda: web.state(member, "google")["under_way"] == 0, lambda: web.state(member, "google"))
	assert one_answer(member, b"2")["status"] == "OK"
	until(lambda: upstream.count("google")["in_flight"] == 0, "nobody waits for an answer any more")
	upstream.check()


def test_one_of_two_askers_leaves(web, upstream):
	member = web.start("google")
	upstream.fault("hold")
	leaves, stays = member.client(), member.client()
	ids = people(leaves, 2, SPOT)
	leaves.send(b"WHATSAT %s 10 5\n" % ids[0])
	upstream.wait_held("google", 1)
	stays.send(b"WHATSAT %s 10 5\n" % ids[1])
	until(lambda: web.state(member, "google")["coalesced"] == 1, "two wait for one answer")
	leaves.reset()
	upstream.release()
	assert take(stays, ids[1])["status"] == "OK"
	stays.close()
	assert upstream.count("google")["requests"] == 1


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_member_ends_with_lookups_under_way(web, upstream, end):
	member = web.start("google")
	upstream.fault("hold")
	with member.client() as connection:
		ids = people(connection, 10)
		connection.send(b"".join(b"WHATSAT %s 10 5\n" % id for id in ids))
		upstream.wait_held("google", 10)
		member.expected_death = True
		member.signal(end)
		if end == signal.SIGTERM:
			upstream.well()
			upstream.release()
		status = member.wait()
		assert status == (0 if end == signal.SIGTERM else -signal.SIGKILL), member.text()[-2000:]
		try:
			for id in ids:
				assert take(connection, id)["status"] in ("OK", "UNKNOWN_ERROR")
		except (Closed, ConnectionResetError, AssertionError):
			pass	# what was not answered in time is not answered
	until(lambda: upstream.count("google")["in_flight"] == 0, "all connections are closed")
	upstream.well()
	assert one_answer(web.member())["status"] == "OK"
	upstream.check()


def test_a_member_stops_though_a_service_hangs(web, upstream):
	member = web.start("google", timeout="60s")
	upstream.fault("hold")
	with member.client() as connection:
		id, = people(connection, 1)
		connection.send(b"WHATSAT %s 10 5\n" % id)
		upstream.wait_held("google", 1)
		member.stop(limit=30)
