"""What an operator reads."""

import re

from machine import until

MEMBER, HELPER = "herd@Alpha.service", "herd-flood.service"


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


def test_nothing_is_wrong_after_a_quiet_start(machine):
	"""Nothing at warning or above, from the herd or about it."""
	loud = [r.get("MESSAGE") for r in machine.journal("-p", "warning") if re.search(r"herd", str(r.get("_SYSTEMD_UNIT", "")) +
		str(r.get("UNIT", "")) + str(r.get("SYSLOG_IDENTIFIER", "")) + str(r.get("MESSAGE", "")))
		and "herd-test" not in str(r.get("MESSAGE", ""))]
	assert not loud, loud
