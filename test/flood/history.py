"""What was told, acknowledged and read, held against what herd promises.

Reads the record that flood-load writes (test/tools/flood-load.c says how), and what
tables held in the end. Promises, as far as a record can show them:

P2	Every connected host ends with every acknowledged fix, or a newer one of that client.
P4	No read returns a mixture of fixes, another client's fix, or a fix older than one
	that host had acknowledged or served before.
"""

import random
import re

AT = re.compile(rb"AT (\S+) [+-]\S+ (\S+) (\S+) (\S+)\n")
NS = 10**9


def time_ns(text):
	seconds, _, fraction = text.partition(".")
	return int(seconds) * NS + int((fraction + "0" * 9)[:9])


class Fix:
	__slots__ = ("number", "host", "client", "time", "location", "servers", "acked")

	def __init__(self, number, host, client, time, location):
		self.number, self.host, self.client, self.time, self.location = number, host, client, time, location
		self.servers = None	# who may have heard it: one, once it is acknowledged
		self.acked = False


class History:
	"""One record. `hosts`: names in the order of the record; `servers`: {host: its members};
	`reborn`: hosts whose tables may be replaced by others."""

	def __init__(self, path, hosts, servers=None, reborn=()):
		with open(path, encoding="ascii") as file:
			self.events = [line.split() for line in file]
		self.hosts = list(hosts)
		self.servers = servers or {}
		self.reborn = set(reborn)

	def copy(self):
		other = object.__new__(History)
		other.events = [list(event) for event in self.events]
		other.hosts, other.servers, other.reborn = self.hosts, self.servers, self.reborn
		return other

	def check(self, finals, missing_ok=lambda fix: False):
		"""Everything that is wrong, in words; `finals` is {host: AT lines} of those connected in the end. Acknowledged
		fixes for which missing_ok() is true may be gone."""
		wrong = []
		told = self.tell(wrong)
		self.check_reads(told, wrong)
		for host, lines in finals.items():
			self.check_final(host, lines, told, missing_ok, wrong)
		return wrong

	def counts(self):
		"""{kind of event: how many}"""
		counts = dict.fromkeys("TALRNM", 0)
		for event in self.events:
			counts[event[0]] += 1
		return counts

	def tell(self, wrong):
		"""{(client, time): fix} of all that was told, and whether it was acknowledged."""
		numbers = {}
		for event in self.events:
			if event[0] == "T":
				fix = Fix(event[1], int(event[2]), event[3], time_ns(event[4]), event[5])
				fix.servers = self.servers.get(self.hosts[fix.host])
				numbers[fix.number] = fix
			elif event[0] == "A":
				fix = numbers.get(event[1])
				if fix is None or fix.host != int(event[2]) or fix.acked:
					wrong.append("an acknowledgement of nothing: %s" % " ".join(event))
					continue
				if fix.servers is not None and event[3] not in fix.servers:
					wrong.append("P4: acknowledged by somebody else: %s" % " ".join(event))
				fix.acked, fix.servers = True, [event[3]]
		told = {(fix.client, fix.time): fix for fix in numbers.values()}
		if len(told) != len(numbers):
			wrong.append("two fixes of one client have one time: the record proves nothing")
		return told

	@staticmethod
	def judge(told, where, client, time, location, server, wrong):
		"""Is this a fix as it was told?"""
		fix = told.get((client, time))
		if fix is None:
			wrong.append("P4: %s has a fix of %s that nobody told: time %d" % (where, client, time))
		elif fix.location != location:
			wrong.append("P4: %s has a mixture: %s, time %d with location %s, told %s" % (where, client, time, location,
				fix.location))
		elif fix.servers is not None and server not in fix.servers:
			wrong.append("P4: %s has a fix of %s from %s, which was told to %s" % (where, client, server, fix.servers))
		else:
			return fix
		return None

	def check_reads(self, told, wrong):
		floors = [{} for _ in self.hosts]	# client: (time, why)
		by_number = {fix.number: fix for fix in told.values()}
		seen = [False] * len(self.hosts)
		for event in self.events:
			kind = event[0]
			if kind == "A" and event[1] in by_number:
				fix = by_number[event[1]]
				floor = floors[fix.host]
				if fix.time > floor.get(fix.client, (0, ""))[0]:
					floor[fix.client] = (fix.time, "acknowledged")
			elif kind == "M":
				host = int(event[1])
				if seen[host] and self.hosts[host] not in self.reborn:
					wrong.append("P1: %s has another table" % self.hosts[host])
				seen[host] = True
				if self.hosts[host] in self.reborn:
					floors[host] = {}
			elif kind == "R":
				host, client, time = int(event[1]), event[2], time_ns(event[3])
				self.judge(told, self.hosts[host], client, time, event[4], event[5], wrong)
				least, why = floors[host].get(client, (0, ""))
				if time < least:
					wrong.append("P4: %s serves %s of time %d after it had %s %d" % (self.hosts[host], client, time, why, least))
				else:
					floors[host][client] = (time, "served")
			elif kind == "N" and event[2] in floors[int(event[1])]:
				wrong.append("P4: %s serves nothing of %s after it had %s %d" % ((self.hosts[int(event[1])], event[2]) +
					floors[int(event[1])][event[2]][::-1]))

	def check_final(self, host, lines, told, missing_ok, wrong):
		held = {}
		for line in lines:
			found = AT.fullmatch(line)
			if not found:
				wrong.append("P4: %s has no AT line: %r" % (host, line))
				continue
			server, client, location, time = (word.decode() for word in found.groups())
			held[client] = time_ns(time)
			self.judge(told, "in the end %s" % host, client, held[client], location, server, wrong)
		for fix in told.values():
			if fix.acked and held.get(fix.client, -1) < fix.time and not missing_ok(fix):
				wrong.append("P2: %s has lost an acknowledged fix of %s: time %d, holds %s" % (host, fix.client, fix.time,
					held.get(fix.client, "nothing")))


# --- the negative control ---------------------------------------------------

def doctored(history, finals, seed=1):
	"""Yields (what was done to it, history, finals): every one of them breaks a promise."""
	random.seed(seed)
	reads = [n for n, event in enumerate(history.events) if event[0] == "R"]
	acks = [n for n, event in enumerate(history.events) if event[0] == "A"]
	assert reads and acks, "nothing was read or nothing acknowledged: %r" % history.counts()
	names = {event[1]: event for event in history.events if event[0] == "T"}

	def with_event(what, at, event, after=True):
		copy = history.copy()
		if after:
			copy.events.insert(at + 1, event)
		else:
			copy.events[at] = event
		return what, copy, finals

	at = random.choice(reads)
	read = history.events[at]
	yield with_event("a read that mixes two locations", at, read[:4] + ["+89.999999-000.999999"] + read[5:])
	yield with_event("a read of what nobody told", at, read[:3] + ["1.5"] + read[4:])
	yield with_event("a read of another client's fix", at, read[:2] + ["somebody-else"] + read[3:])
	yield with_event("a read of another server's fix", at, read[:5] + ["Nobody"])
	yield with_event("a read of nothing after one of something", at, ["N", read[1], read[2]])
	at = random.choice(acks)
	ack = history.events[at]
	told = names[ack[1]]
	yield with_event("a read of nothing after an acknowledgement", at, ["N", ack[2], told[3]])
	yield with_event("an acknowledgement of nothing", at, ["A", "999999999", "0", "Nobody"])
	older = older_read(history)
	if older:
		yield with_event("a read that goes back in time", *older)
	steady = next((h for h, name in enumerate(history.hosts) if name not in history.reborn), None)
	if steady is not None:
		yield with_event("a table that was replaced", len(history.events) - 1, ["M", str(steady)])
	host, lines = random.choice(sorted(finals.items()))
	acked = {names[history.events[n][1]][3] for n in acks}
	victim = random.choice(sorted(n for n, line in enumerate(lines) if AT.fullmatch(line).group(2).decode() in acked))
	yield "a lost fix", history, dict(finals, **{host: lines[:victim] + lines[victim + 1:]})
	mixed = lines[victim].replace(AT.fullmatch(lines[victim]).group(3), b"+89.999999-000.999999")
	yield "a mixture in the end", history, dict(finals, **{host: lines[:victim] + [mixed] + lines[victim + 1:]})


def older_read(history):
	"""(where to, read) of a fix that the same host had served a newer one than."""
	last = {}	# (host, client): read
	for at, event in enumerate(history.events):
		if event[0] == "R":
			before = last.get((event[1], event[2]))
			if before and time_ns(before[3]) < time_ns(event[3]):
				return at, before
			last[event[1], event[2]] = event
	return None


def must_notice_doctoring(history, finals):
	"""The checker finds what was broken on purpose, or it has proven nothing; how many ways."""
	ways = 0
	for what, broken, ends in doctored(history, finals):
		assert broken.check(ends), "not noticed: %s" % what
		ways += 1
	return ways
