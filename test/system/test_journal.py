"""What an operator reads."""

import os
import re
import signal

from machine import until

MEMBER, HELPER = "herd@Alpha.service", "herd-flood.service"
EXPLAINED = re.compile(r"^-- (Subject: .*)$", re.MULTILINE)


def events(machine, *words):
	return [r for r in machine.journal(*words) if "MESSAGE_ID" in r and r.get("SYSLOG_IDENTIFIER", "").startswith("herd")]


def test_fields(machine):
	"""Every record of a member carries its instance; events carry an id and what they are about."""
	with machine.client() as client:
		client.iamat(b"kiwi")
	records = [r for r in machine.journal("-u", MEMBER) if r.get("SYSLOG_IDENTIFIER") == "herd-member"]
	assert records
	for record in records:
		assert record["HERD_INSTANCE"] == "Alpha", record
	ready = [r for r in records if r.get("MESSAGE_ID") == "13c88d3dbf264b1da0719c863e0fb655"]
	assert len(ready) == 1 and ready[0]["HERD_MEMBER"] == "Alpha" and ready[0]["HERD_SHM"] == "/herd", ready
	assert machine.journal("HERD_MEMBER=Alpha") and machine.journal("HERD_INSTANCE=Alpha")


def test_catalog_explains_events(machine):
	"""journalctl -x says more about each event there was, and what to do."""
	os.kill(machine.wait_pid(HELPER), signal.SIGKILL)
	machine.wait_journal("is ready", "-u", HELPER)
	machine.write("/etc/herd/herd.conf.d/test.conf", "[herd]\nfix-ttl = soon\n")
	machine.run("systemctl", "reload", MEMBER, status=1)
	os.unlink(machine.path("/etc/herd/herd.conf.d/test.conf"))
	machine.systemctl("reload", MEMBER)
	found = events(machine, "-u", MEMBER, "-u", HELPER)
	ids = {r["MESSAGE_ID"] for r in found}
	assert len(ids) >= 4, found
	for uid in ids:
		text = machine.run("journalctl", "--no-pager", "-x", "--boot=0", "-n", "1", "MESSAGE_ID=" + uid).stdout
		assert re.search(r"^.. Subject: ", text, re.MULTILINE), (uid, text)
		assert re.search(r"^.. Defined-By: herd$", text, re.MULTILINE), (uid, text)
		assert "@HERD_" not in text, text	# every field it mentions was sent
		assert len(re.findall(r"^.. \S", text, re.MULTILINE)) > 3, text


def test_status_text(machine):
	with machine.client() as client:
		for n in range(3):
			client.iamat(b"kiwi-%d" % n)
		with machine.client():
			def says():
				return re.search(r'Status: "2 clients connected, 3 fixes held, .*"', machine.status(MEMBER))
			assert machine.show(MEMBER, "Type") == "notify"
			until(says, lambda: machine.status(MEMBER), 15, 0.2)
	text = machine.status(HELPER)
	assert re.search(r'Status: ".*fixes? held.*"', text), text
	shown = machine.run("herdctl", "status").stdout
	assert re.search(r"fixes held", shown), shown


def test_nothing_is_wrong_after_a_quiet_start(machine):
	"""Nothing at warning or above, from the herd or about it."""
	loud = [r.get("MESSAGE") for r in machine.journal("-p", "warning") if re.search(r"herd", str(r.get("_SYSTEMD_UNIT", "")) +
		str(r.get("UNIT", "")) + str(r.get("SYSLOG_IDENTIFIER", "")) + str(r.get("MESSAGE", "")))
		and "herd-test" not in str(r.get("MESSAGE", ""))]
	assert not loud, loud


def test_stopped_journal_stops_nobody(machine):
	"""However much there is to log, clients are served while the journal hears nothing."""
	pid = machine.wait_pid("systemd-journald.service")
	os.kill(pid, signal.SIGSTOP)
	try:
		for _ in range(2000):	# each a record or two
			with machine.client(limit=20) as client:
				assert client.ask(b"hello") == b"? hello\n"
	finally:
		os.kill(pid, signal.SIGCONT)
	machine.wait_journal("(?i)hello|connection", "-u", MEMBER)
