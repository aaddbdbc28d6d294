"""herdctl --json: every member of what is printed stands in the manual page, and the other way round."""

import json
import os
import re
import subprocess

import pytest

import harness
from harness import fresh

TOP = os.environ.get("HERD_TOP") or os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
LOCATION = "+34.068930-118.445127"


def documented():
	"""{command: {member: members of the objects in it, or None}} of the page's chapter."""
	with open(os.path.join(TOP, "man", "herdctl.1"), encoding="utf-8") as file:
		chapter = file.read().split(".Ss JSON of each command\n")[1].split("\n.Sh ")[0]
	found = {}
	for names, text in re.findall(r"^\.It Cm (.*)\n((?:(?!\.It ).*\n?)*)", chapter, re.MULTILINE):
		members, last = {}, None
		for line in text.splitlines():
			if line.startswith(".Pq Li "):
				members[last] = set(re.findall(r"\w+", line[len(".Pq Li "):]))
			elif line.startswith(".Li "):
				words = re.findall(r"\w+", line[len(".Li "):])
				last = words[-1]
				members.update((word, members.get(word)) for word in words)
		for name in names.split(" , "):
			found[name] = members
	return found


DOCUMENTED = documented()


def compare(command, printed, missing=()):
	"""`missing`: what this one need not have."""
	told = DOCUMENTED[command]
	assert set(printed) - set(told) == set(), command
	assert set(told) - set(printed) == set(missing), command
	for key, members in told.items():
		value = printed.get(key)
		for entry in value if isinstance(value, list) else [value]:
			if isinstance(entry, dict) and members is not None:
				assert set(entry) == members, (command, key)


def asked(herd, *words, status=0):
	done = herd.run_ctl("--json", *words)
	assert done.returncode == status, done
	return done.stdout


@pytest.fixture
def running(herd):
	herd.flood()
	herd.member("Alpha")
	return herd


def test_page_is_understood():
	assert len(DOCUMENTED) >= 20 and "received" in DOCUMENTED["watch"] and len(DOCUMENTED["status"]["table"]) == 11


@pytest.mark.parametrize("words, status, missing", [
	(("members",), 0, ()),
	(("top", "--count", "1", "--interval", "100ms"), 0, ()),
	(("doctor",), None, ()),
	(("config",), 0, ()),
	(("reload",), 0, ()),
	(("bench", "--for", "100ms"), 0, ()),
	(("places query", "34", "-118", "50", "1"), 0, ()),
	(("peers",), None, ()),
	(("flood graph",), None, ()),
])
def test_commands(running, words, status, missing):
	done = running.run_ctl("--json", *words[0].split(), *words[1:])
	assert status is None or done.returncode == status, done
	compare(words[0], json.loads(done.stdout), missing)


def test_status(running):
	printed = json.loads(asked(running, "status"))
	assert set(printed["counters"]) <= DOCUMENTED["members"]["members"]
	compare("status", printed)
	assert printed["programs"] and not printed["places"]


def test_status_of_services(web):
	web.start("google")
	printed = json.loads(web.herd.run_ctl("--json", "status").stdout)
	compare("status", printed)
	assert printed["places"]


def test_a_client(running):
	name = fresh().decode()
	told = json.loads(asked(running, "iamat", name, LOCATION))
	compare("iamat", told, ("refused", "places"))
	assert set(told["fix"]) == set(DOCUMENTED["fixes"]) - {"seen", "count"}
	compare("whatsat", json.loads(asked(running, "whatsat", name, "10", "5")), ("refused",))
	compare("whatsat", json.loads(asked(running, "whatsat", "nobody", "10", "5", status=1)), ("accepted", "fix", "places")[1:])
	compare("fixes", json.loads(asked(running, "fixes")), ("seen", "count"))
	assert json.loads(asked(running, "fixes", "--count")) == {"count": 1}
	compare("trace", json.loads(asked(running, "trace", name)), ("at_start",))
	assert set(json.loads(asked(running, "trace", "nobody", status=1))) == {"id", "known", "unasked", "programs"}


def test_import(running, tmp_path):
	source = tmp_path / "places.csv"
	source.write_text("name,lat,lon\nHere,34.0,-118.4\n")
	compare("places import", json.loads(asked(running, "places", "import", str(source), "--output", str(tmp_path / "out"))))


def test_one_setting(running):
	assert set(json.loads(asked(running, "config", "fix-ttl"))) == DOCUMENTED["config"]["settings"]


def test_authority(running, tmp_path):
	folder = ("--dir", str(tmp_path / "ca"))
	for words, missing in ((("init",), ()), (("issue", "Hill"), ()), (("list",), ()), (("revoke", "Hill"), ()), (("crl",), ())):
		compare("ca " + words[0], json.loads(asked(running, "ca", *words, *folder)), missing)


def test_members_that_come_and_go(herd):
	herd.configure("[herd]\nshm = %s\ncontrol-dir = %s\n" % (herd.shm, herd.control))
	compare("add", json.loads(asked(herd, "add", "Bravo", "--offline", "--listen", "127.0.0.1:12099")))
	compare("remove", json.loads(asked(herd, "remove", "Bravo", "--offline")))


def test_all_commands_are_in_the_page():
	"""Those of which nothing is tested here have their key checked where they are: drain, restart."""
	text = subprocess.run([harness.program("herdctl"), "--help"], check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
	commands = {re.match(r"  ((?:places|flood|ca) \w+|\w+)", line).group(1) for line in
		text.split("Commands:\n")[1].split("\n\n")[0].splitlines()}
	assert commands == set(DOCUMENTED)
