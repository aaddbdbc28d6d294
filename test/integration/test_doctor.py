"""herdctl doctor: what is wrong on this host, and what to do about it."""

import json
import os
import signal
import socket

import pytest

from harness import fresh, until
from upstream import KEYS
from web import SPOT, ask, people

GOOD, WARNING, BAD = "good", "warning", "bad"


def free_port():
	with socket.socket() as sock:
		sock.bind(("127.0.0.1", 0))
		return sock.getsockname()[1]


def findings(herd, *options):
	"""What it says, by check, each a list of (state, sentence); and its exit status."""
	done = herd.run_ctl(*options, "--json", "doctor")
	shown = json.loads(done.stdout)
	by_check = {}
	for entry in shown["findings"]:
		by_check.setdefault(entry["check"], []).append((entry["state"], entry["finding"]))
	states = [entry["state"] for entry in shown["findings"]]
	assert [shown[key] for key in ("good", "warnings", "bad")] == [states.count(state) for state in (GOOD, WARNING, BAD)]
	assert done.returncode == (1 if BAD in states else 0)
	return by_check


@pytest.fixture
def served(herd):
	"""A herd with a member that its settings name; gives the herd, the helper, the member and its port."""
	port = free_port()
	herd.configure("[member Alpha]\nlisten = 127.0.0.1:%d\n" % port)
	flood = herd.flood()
	return herd, flood, herd.member("Alpha", listen=("127.0.0.1:%d" % port,)), port


def test_well(served):
	herd, _, _, port = served
	found = findings(herd)
	assert found["settings"] == [(GOOD, "1 member, no mistakes")]
	assert found["members"] == [(GOOD, "1 alive")]
	assert found["Alpha at 127.0.0.1:%d" % port][0][0] == GOOD
	assert found["helper"][0][0] == found["Alpha"][0][0] == GOOD
	assert not any(state == BAD for entries in found.values() for state, _ in entries)
	assert "answers in" in herd.run_ctl("doctor").stdout


def test_without_a_helper(served):
	herd, flood, _, _ = served
	flood.stop()
	found = findings(herd)
	assert (BAD, "does not run: nothing expires, is saved, or reaches other hosts; `systemctl start herd-flood`") in found["helper"]
	assert [state for state, _ in found["Alpha"]] == [WARNING]


def test_a_member_that_hangs(served):
	herd, _, alpha, port = served
	alpha.signal(signal.SIGSTOP)
	try:
		found = findings(herd)
	finally:
		alpha.signal(signal.SIGCONT)
	assert found["Alpha"][0][0] == BAD and "does not answer" in found["Alpha"][0][1]
	assert found["Alpha at 127.0.0.1:%d" % port][0][0] == BAD


def test_nobody_there(herd):
	herd.configure("[member Alpha]\nlisten = 127.0.0.1:%d\n" % free_port())
	found = findings(herd)
	assert found["table"][0][0] == found["programs"][0][0] == BAD


def test_somebody_else_is_there(herd):
	with socket.socket() as sock:
		sock.bind(("127.0.0.1", 0))
		sock.listen()
		where = "127.0.0.1:%d" % sock.getsockname()[1]
		herd.configure("[member Alpha]\nlisten = %s\n" % where)
		found = findings(herd)
	assert found["Alpha at " + where][0] == (BAD, "does not answer: Connection timed out; `systemctl status herd@Alpha.socket herd@Alpha`")


def test_bad_settings(served):
	"""They are told, and everything else is looked at all the same."""
	herd, _, _, port = served
	herd.configure("[member Alpha]\nlisten = 127.0.0.1:%d\n[member Bravo]\nlisten = 127.0.0.1:%d\n" % (port, port))
	found = findings(herd)
	assert any(state == BAD and "Bravo gets no sockets" in text for state, text in found["settings"])
	herd.configure("[herd]\nfix-ttl = soon\n[member Alpha]\nlisten = 127.0.0.1:%d\n" % port)
	done = herd.run_ctl("doctor")
	assert done.returncode == 1 and "fix-ttl" in done.stderr and "have mistakes" in done.stdout
	assert "answers in" in done.stdout


def test_a_bad_list_of_hosts(served, tmp_path):
	listed = tmp_path / "hosts"
	listed.write_text("hill 127.0.0.1:1\nhill 127.0.0.1:2\n")
	found = findings(served[0], "--set", "flood.hosts=%s" % listed)
	assert found["list of hosts"][0][0] == BAD and "%s:2: " % listed in found["list of hosts"][0][1]


def test_a_full_table(herd):
	port = free_port()
	herd.configure("[herd]\ntable-clients = 64\n[member Alpha]\nlisten = 127.0.0.1:%d\n" % port)
	herd.flood()
	with herd.member("Alpha", listen=("127.0.0.1:%d" % port,)).client() as client:
		for _ in range(60):
			client.iamat(fresh())
		found = findings(herd)
		assert found["table"][0][0] == WARNING and "raise table-clients" in found["table"][0][1]
		for _ in range(64):
			client.iamat(fresh())
	until(lambda: findings(herd)["table"][0][0] == BAD, "a full table")


def test_a_bad_places_file(served, tmp_path):
	herd = served[0]
	path = tmp_path / "places.herd"
	path.write_bytes(os.urandom(4096))
	found = findings(herd, "--set", "places.file=%s" % path)
	assert found["places"][0][0] == BAD and "herdctl places import" in found["places"][0][1]


# --- places services and their keys ---------------------------------------------------------

def test_no_service(served):
	assert findings(served[0])["places services"] == [(GOOD, "none is asked: places.provider is local")]


def test_a_key_of_a_file(web):
	web.start("google, local")
	found = findings(web.herd)
	(state, text), = found["key of google"]
	assert state == GOOD and web.keys["google"] in text
	assert found["Alpha asks google"] == [(GOOD, "0 requests sent, 0 lookups failed")]
	assert "places services" not in found


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_that_others_can_read(web, mode):
	os.chmod(web.keys["google"], mode)
	web.start("google, local")
	found = findings(web.herd)
	(state, text), = found["key of google"]
	assert state == BAD and "mode %04o" % mode in text and "`chmod 600 %s`" % web.keys["google"] in text and "reload" in text
	(state, text), = found["Alpha asks google"]
	assert state == BAD and text.startswith("no key: ") and "see the check of its key" in text
	assert [state for state, _ in found["Alpha"]] == [GOOD]	# it is told once


@pytest.mark.parametrize("content", ["", "x" * 600])
def test_a_file_without_a_key(web, content):
	with open(web.keys["google"], "w", encoding="ascii") as file:
		file.write(content)
	web.start("google, local")
	assert findings(web.herd)["key of google"][0][0] == BAD


def test_no_key_at_all(web):
	web.start("google, google-legacy, local", google__key_file=None, google_legacy__key_file="/nonexistent/key")
	found = findings(web.herd)
	(state, text), = found["key of google"]
	assert state == BAD and "there is none" in text and "key-file in [places google]" in text
	(state, text), = found["key of google-legacy"]
	assert state == BAD and "there is no '/nonexistent/key'" in text
	assert "KEY" not in web.herd.run_ctl("doctor").stdout


def test_a_credential_of_a_member(web):
	"""Where it comes from is the service manager's business."""
	folder = os.path.join(web.herd.folder, "credentials")
	os.mkdir(folder)
	os.rename(web.keys["google"], os.path.join(folder, "google-key"))
	web.start("google, local", google__key_file=None, process={"env": {"CREDENTIALS_DIRECTORY": folder}})
	assert findings(web.herd)["key of google"] == [(GOOD, "members have one")]


def test_a_service_that_refuses_us(web, upstream):
	member = web.start("google, local")
	upstream.fault("status", service="google", status=403)
	with member.client() as client:
		id, = people(client, 1, SPOT)
		ask(client, id)
	(state, text), = findings(web.herd)["Alpha asks google"]
	assert state == BAD and text.startswith("denied: ") and "Places API (New) is enabled" in text
	assert KEYS["google"] not in text


def test_a_day_s_requests(web, upstream):
	member = web.start("google, local", google__requests_per_day="1")
	with member.client() as client:
		id, = people(client, 1, SPOT)
		ask(client, id)
	(state, text), = findings(web.herd)["Alpha asks google"]
	assert state == WARNING and text.startswith("limited: ") and "requests-per-day" in text
	upstream.check()
