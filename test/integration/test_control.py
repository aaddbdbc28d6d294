"""Running programs asked and told through their control sockets, as herdctl does it."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading

import pytest

from harness import LIMIT, Manager, fresh, program, until

OK, NO, FAILED, NO_HERD, USAGE, CONFIG = 0, 1, 2, 3, 64, 78


def path_of(herd, name=None):
	return herd.control + herd.shm + (":member:" + name if name else ":flood")


def ask(path, request, limit=LIMIT):
	"""One request past herdctl; the reply parsed."""
	with socket.socket(socket.AF_UNIX) as connection:
		connection.settimeout(limit)
		connection.connect(path)
		connection.sendall(request)
		reply = b""
		while not reply.endswith(b"\n"):
			more = connection.recv(1 << 16)
			assert more, reply
			reply += more
		return json.loads(reply)


def reload(herd, *words, status=OK):
	"""herdctl reload; what it prints, and what it complains of."""
	done = herd.run_ctl("--json", "reload", *words)
	assert done.returncode == status, done
	return (json.loads(done.stdout)["programs"] if done.stdout else None), done.stderr


def cut(connection):
	"""How long a line may be, now."""
	return len(connection.ask(b"x" * 5000)) - 3


# --- the sockets ------------------------------------------------------------

def test_sockets_come_and_go(herd):
	flood, alpha = herd.flood(), herd.member("Alpha")
	for name in ("Alpha", None):
		st = os.stat(path_of(herd, name))
		assert stat.S_ISSOCK(st.st_mode) and st.st_mode & 0o777 == 0o600
	alpha.stop()
	flood.stop()
	assert os.listdir(herd.control) == []


def test_a_killed_member_gets_its_socket_back(herd):
	herd.member("Alpha").kill()
	assert os.path.exists(path_of(herd, "Alpha"))
	alpha = herd.member("Alpha")
	assert ask(path_of(herd, "Alpha"), b"status\n")["pid"] == alpha.pid


def test_no_folder_is_no_fault(herd):
	alpha = herd.member("Alpha", settings={"control-dir": herd.control + "/none", "log-level": "debug"})
	alpha.wait_log("Going on without a control socket in '%s/none': No such file or directory" % herd.control)
	with alpha.client() as client:
		client.iamat(fresh())


def test_a_folder_with_a_long_name(herd):
	alpha = herd.member("Alpha", settings={"control-dir": "/" + "d" * 100})
	alpha.wait_log("Going on without a control socket in '/d+': File name too long")


def test_a_second_member_leaves_the_first_ones_socket_alone(herd):
	alpha = herd.member("Alpha")
	second = herd.member("Alpha", ready=False)
	assert second.wait() == 1
	assert ask(path_of(herd, "Alpha"), b"status\n")["pid"] == alpha.pid


def test_what_a_program_says(herd):
	flood = herd.flood()
	reply = ask(path_of(herd), b"status\n")
	assert {k: reply[k] for k in ("ok", "role", "shm", "pid", "status", "facts", "degraded", "notes")} == {
		"ok": True, "role": "helper", "shm": herd.shm, "pid": flood.pid,
		"status": "0 fixes held, 0 members, 0 updates/s", "facts": "0 fixes held, 0 members, 0 updates/s",
		"degraded": [], "notes": []}
	assert re.fullmatch(r"\d+\.\d+\.\d+", reply["version"])


@pytest.mark.parametrize("request_, message", [
	(b"stop\n", "there is no such verb here"), (b"reload everything\n", "there is no such verb here"),
	(b"\0\n", "this is no request"), (b"x" * 700 + b"\n", "the request is too long")], ids=repr)
def test_what_it_does_not_do(herd, request_, message):
	herd.flood()
	herd.member("Alpha")
	for name in ("Alpha", None):
		reply = ask(path_of(herd, name), request_)
		assert reply["ok"] is False and reply["messages"] == [message]


def test_idle_askers_hold_up_nobody(herd):
	"""Connections to the control socket that do nothing: clients are served all the same."""
	alpha = herd.member("Alpha")
	idle = []
	for _ in range(50):
		idle.append(socket.socket(socket.AF_UNIX))
		idle[-1].connect(path_of(herd, "Alpha"))
	with alpha.client() as client:
		for _ in range(20):
			client.iamat(fresh())
	before = alpha.cpu_s()
	for connection in idle:
		connection.close()
	assert ask(path_of(herd, "Alpha"), b"status\n")["ok"]
	assert alpha.cpu_s() - before < 5


# --- herdctl reload ------------------------------------------------------------

def test_reload_is_done_when_it_returns(herd):
	herd.configure("[herd]\nline-max = 1000\n")
	herd.flood()
	alpha = herd.member("Alpha")
	with alpha.client() as client:
		for value in (2000, 512, 4096):
			herd.configure("[herd]\nline-max = %d\n" % value)
			programs, said = reload(herd, "Alpha")
			assert cut(client) == value
			assert said == "" and programs == [{"name": "Alpha", "role": "member", "reloaded": True,
				"changed": ["line-max"], "needs_restart": [], "messages": []}]


def test_reload_of_everyone(herd):
	flood, alpha, bravo = herd.flood(), herd.member("Alpha"), herd.member("Bravo")
	programs, said = reload(herd)
	assert [(p["name"], p["role"], p["reloaded"]) for p in programs] == [
		("helper", "helper", True), ("Alpha", "member", True), ("Bravo", "member", True)]
	for process in (flood, alpha, bravo):
		assert process.text().count("Settings reloaded") == 1
	reload(herd, "--helper")
	assert [p.text().count("Settings reloaded") for p in (flood, alpha, bravo)] == [2, 1, 1]
	reload(herd, "Bravo", "--helper", "Alpha", "Bravo")
	assert [p.text().count("Settings reloaded") for p in (flood, alpha, bravo)] == [3, 2, 2]
	assert herd.ctl("reload", "Alpha") == "NAME   ROLE    RELOADED\nAlpha  member  yes\n"


def test_reload_with_bad_settings(herd):
	herd.configure("[herd]\nline-max = 1000\n")
	herd.flood()
	alpha = herd.member("Alpha")
	herd.configure("[herd]\nline-max = many\nfix-ttl = x\n")
	programs, said = reload(herd, "Alpha", status=CONFIG)
	assert [p["reloaded"] for p in programs] == [False]
	assert len(programs[0]["messages"]) == 2 and all(herd.config in m for m in programs[0]["messages"])
	# Each mistake is told once, though herdctl reads the same file.
	assert said.count("%s:2: setting 'line-max'" % herd.config) == 1
	assert said.count("%s:3: setting 'fix-ttl'" % herd.config) == 1
	assert "Alpha: the new settings are bad, the old ones stay" in said
	alpha.wait_log("The new settings are bad: ignoring them, the old ones stay")
	with alpha.client() as client:
		assert cut(client) == 1000
	reload(herd, status=CONFIG)
	herd.configure("[herd]\nline-max = 2000\n")
	reload(herd)
	with alpha.client() as client:
		assert cut(client) == 2000


def test_status_for_a_user_who_may_not_ask(herd):
	"""What cannot be looked at is not called degraded. As nobody, or with everything closed to ourselves."""
	herd.flood()
	herd.member("Alpha")
	sockets = [path_of(herd), path_of(herd, "Alpha")]
	root = os.geteuid() == 0
	os.chmod(herd.control, 0o755)
	for path in [] if root else sockets + ["/dev/shm" + herd.shm]:
		os.chmod(path, 0)
	done = subprocess.run([program("herdctl"), "--config", "/dev/null", "--shm", herd.shm, "--set", "control-dir=" + herd.control,
		"status"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False,
		encoding="utf-8", **({"user": 65534, "group": 65534, "extra_groups": []} if root else {}))
	assert done.returncode == FAILED and done.stdout == "" and "is not this user's" in done.stderr, done


def test_reload_with_bad_settings_that_say_where(herd, tmp_path):
	"""Who is not found with defaults alone is not said to be dead."""
	conf = tmp_path / "bad.conf"
	conf.write_text("[herd]\nshm = %s\ncontrol-dir = %s\nnonsense\n" % (herd.shm, herd.control))
	for words in (["Alpha"], []):
		done = subprocess.run([program("herdctl"), "--config", str(conf), "--set", "control-dir=%s" % tmp_path, "reload", *words],
			stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False, encoding="utf-8")
		assert done.returncode == CONFIG and "bad.conf:4: no setting" in done.stderr, done
		assert re.search(r"(Alpha was not|Nobody was) asked: with bad settings", done.stderr), done


def test_reload_with_one_members_settings_bad(herd):
	alpha, bravo = herd.member("Alpha"), herd.member("Bravo")
	herd.configure("[herd]\nline-max = 2000\n[member Bravo]\nline-max = x\n")
	programs, said = reload(herd, status=CONFIG)
	assert {p["name"]: p["reloaded"] for p in programs} == {"Alpha": True, "Bravo": False}
	assert "Bravo: %s:4: setting 'line-max'" % herd.config in said
	with alpha.client() as client:
		assert cut(client) == 2000
	reload(herd, "Alpha")
	assert bravo.alive()


def test_reload_says_what_takes_a_restart(herd):
	herd.member("Alpha")
	herd.configure("[herd]\ntable-clients = 1000\n[member Alpha]\nlisten = 127.0.0.1:1\n")
	programs, said = reload(herd)
	assert programs[0]["needs_restart"] == ["table-clients"]	# listen is on the command line
	assert said == "herdctl: Alpha: table-clients has changed: it takes effect with a restart\n"


def test_reload_of_whom_there_is_not(herd):
	herd.flood()
	programs, said = reload(herd, "Nobody", status=FAILED)
	assert programs[0]["reloaded"] is False
	assert "Nobody does not run, or not with this control-dir: no answer at " + path_of(herd, "Nobody") in said
	assert "is no name of a member" in reload(herd, "two words", status=USAGE)[1]
	herd.member("Alpha").kill()	# its socket is left behind
	assert [p["name"] for p in reload(herd)[0]] == ["helper"]
	reload(herd, "Alpha", status=FAILED)


def test_reload_of_nobody(herd):
	assert "No program of this herd runs" in reload(herd, status=NO_HERD)[1]


def test_reload_without_a_control_socket(herd):
	alpha = herd.member("Alpha", settings={"control-dir": herd.control + "/none"})
	herd.member("Bravo")
	programs, said = reload(herd, status=FAILED)
	assert {p["name"]: p["reloaded"] for p in programs} == {"Alpha": False, "Bravo": True}
	assert "Alpha runs without a control socket" in said and "`kill -HUP %d`" % alpha.pid in said


def test_reload_of_one_who_hangs(herd):
	alpha = herd.member("Alpha")
	alpha.signal(signal.SIGSTOP)
	assert "Alpha does not answer at" in reload(herd, "Alpha", "--timeout", "200ms", status=FAILED)[1]
	alpha.signal(signal.SIGCONT)
	reload(herd, "Alpha")


def test_reload_tells_the_service_manager(herd):
	with Manager() as manager:
		herd.member("Alpha", env=manager.env())
		manager.wait("READY=1")
		herd.flood(env=manager.env())
		manager.wait("READY=1")
		for words in (["Alpha"], ["--helper"]):
			reload(herd, *words)
			heard = manager.drain()
			assert [m.split("\n")[0] for m in heard if not m.startswith("STATUS")] == ["RELOADING=1", "READY=1"]


def test_reload_under_load(herd):
	"""No command and no connection is lost, and each reload is done when it returns."""
	herd.configure("[herd]\nline-max = 1000\n")
	alpha = herd.member("Alpha")
	stop, replies = threading.Event(), []

	def clients():
		with alpha.client() as client:
			while not stop.is_set():
				replies.append(client.iamat(fresh()))
	thread = threading.Thread(target=clients)
	thread.start()
	try:
		with alpha.client() as client:
			for n in range(30):
				herd.configure("[herd]\nline-max = %d\n" % (1000 + n))
				reload(herd)
				assert cut(client) == 1000 + n
	finally:
		stop.set()
		thread.join(LIMIT)
	assert replies


# --- herdctl status ---------------------------------------------------------------

def status(herd, status=OK):
	return json.loads(herd.ctl("--json", "status", status=status))


def test_status_shows_what_each_program_says(herd):
	flood, alpha = herd.flood(), herd.member("Alpha")
	with alpha.client() as client:
		client.iamat(fresh())
		assert [{k: p[k] for k in ("name", "role", "pid", "status")} for p in status(herd)["programs"]] == [
			{"name": "helper", "role": "helper", "pid": flood.pid, "status": "1 fix held, 1 member, 0 updates/s"},
			{"name": "Alpha", "role": "member", "pid": alpha.pid,
				"status": "1 client connected, 1 fix held, 0 updates/s"}]
	text = herd.ctl("status")
	assert re.search(r"^helper +helper +1 fix held, 1 member, ", text, re.M)
	assert re.search(r"^Alpha +member +\d clients? connected, ", text, re.M)


def test_status_names_who_is_degraded(herd):
	herd.flood()
	herd.member("Alpha")
	with open(herd.places, "w", encoding="ascii") as file:
		file.write("no places")
	until(lambda: "degraded, see their status: Alpha" in status(herd, NO)["problems"]
		if herd.run_ctl("status").returncode == NO else None, "Alpha is degraded")
	shown = status(herd, NO)
	assert shown["state"] == "degraded"
	alpha, = [p for p in shown["programs"] if p["name"] == "Alpha"]
	assert len(alpha["degraded"]) == 1 and alpha["degraded"][0].startswith("places: ")
	assert ". Degraded: places: " in alpha["status"]


def test_status_shows_a_member_that_is_not_in_the_table(herd):
	"""It serves with a table of its own: only its control socket leads to it."""
	with open(herd.segment, "w", encoding="ascii") as file:
		file.write("not a table")
	herd.member("Alpha")
	done = herd.run_ctl("--json", "status")
	shown = json.loads(done.stdout)
	assert done.returncode == NO and "The fix table" in done.stderr
	assert "degraded, see their status: Alpha" in shown["problems"]
	assert "no other member sees the fixes taken here" in shown["programs"][0]["status"]
	os.unlink(herd.segment)


def test_status_of_one_who_hangs(herd):
	herd.flood()
	alpha = herd.member("Alpha")
	alpha.signal(signal.SIGSTOP)
	shown = status(herd, NO)
	assert shown["problems"] == ["no answer from: Alpha"]
	assert [p["status"] for p in shown["programs"] if p["name"] == "Alpha"] == [None]


def test_status_without_control_sockets(herd):
	herd.flood(settings={"control-dir": herd.control + "/none"})
	alpha = herd.member("Alpha", settings={"control-dir": herd.control + "/none"})
	shown = status(herd)
	assert shown["state"] == "healthy"
	assert [(p["name"], p["status"]) for p in shown["programs"]] == [("helper", None), ("Alpha", None)]
	assert shown["programs"][1]["pid"] == alpha.pid
	assert re.search(r"^Alpha +member +-$", herd.ctl("status"), re.M)


class Impostor:
	"""Listens where a member should, and says something else."""

	def __init__(self, path, reply):
		self.socket = socket.socket(socket.AF_UNIX)
		self.socket.bind(path)
		self.socket.listen()
		self.reply = reply
		self.thread = threading.Thread(target=self.serve)
		self.thread.start()

	def serve(self):
		while True:
			try:
				connection, _ = self.socket.accept()
			except OSError:
				return
			with connection:
				connection.recv(1000)
				try:
					connection.sendall(self.reply)
				except OSError:
					pass

	def close(self):
		self.socket.shutdown(socket.SHUT_RDWR)
		self.thread.join(LIMIT)
		self.socket.close()


@pytest.mark.parametrize("reply", [b"", b"\n", b"{}\n", b"[]\n", b"nonsense\n", b'{"ok":true}\n', b"x" * (1 << 20), b"{" * 1000 + b"\n",
	b'{"ok":true,"role":"member","name":"Bravo","shm":"/other","status":"\\u001b[31m"}\n'], ids=lambda r: repr(r[:40]))
def test_replies_are_not_believed(herd, reply):
	herd.flood()
	impostor = Impostor(path_of(herd, "Alpha"), reply)
	try:
		programs, said = reload(herd, "Alpha", status=FAILED)
		assert programs[0]["reloaded"] is False and said.startswith("herdctl: Alpha")
		assert "no answer from: Alpha" in status(herd, NO)["problems"]
	finally:
		impostor.close()


def test_hostile_text_in_a_reply_is_escaped(herd):
	herd.flood()
	reply = ('{"ok":true,"role":"member","name":"Alpha","shm":"%s","status":"\\u001b[31mred","degraded":["x"]}\n' % herd.shm)
	impostor = Impostor(path_of(herd, "Alpha"), reply.encode())
	try:
		text = herd.ctl("status", status=NO)
		assert "\x1b" not in text and "red" in text
	finally:
		impostor.close()
