"""Nothing acknowledged is lost while one host that applied it lives."""

import random
import signal
import time

import pytest

import history
import hosts as herd_hosts
from harness import until
from hosts import figure, form

CONFIRMED = {"ack-after": "1", "ack-timeout": "1min"}	# an answer always means that another host has it


def record_of(hosts, load, members, reborn=()):
	return history.History(load.record, [h.name for h in hosts], members, [h.name for h in reborn])


def members_of(hosts):
	return {host.name: list(host.members) for host in hosts}


def test_confirmed_fixes_outlive_their_host(make_hosts):
	"""ack-after = 1, and the host that acknowledged is gone at once, table and all: the window of promise P3 is closed."""
	lost_in = []
	hosts = make_hosts(3).computed().start(settings=CONFIRMED)
	hosts.wait_linked()
	members = members_of(hosts)
	for turn in range(form(4, 20)):
		victim = hosts[turn % 3]
		rest = [host for host in hosts if host is not victim]
		load = hosts.load(to=[victim], rate=1000, seconds=30, clients=200, prefix="turn-%d-" % turn, sample=0, reads=200, record=True)
		goal = 300 + random.Random(turn).randrange(300)
		until(lambda: load.progress()["acked"] >= goal, "load is acknowledged", pause=0.001)
		if turn % 2:	# nobody hears of what it is told from now on: would it say so, it would be found out
			victim.helper.signal(signal.SIGSTOP)
			time.sleep(0.2)
		victim.destroy()
		result = load.finish(now=True)
		hosts.wait_equal(rest)
		record = record_of(hosts, load, members, [victim])
		finals = {host.name: [line for line in hosts.lines(host) if b" turn-%d-" % turn in line] for host in rest}
		assert record.check(finals) == []
		assert result["acked"] >= goal
		lost_in.append(result["lost"])
		if turn == 0:
			assert history.must_notice_doctoring(record, finals) >= 10
		victim.start(settings=CONFIRMED)
		hosts.wait_linked()
		hosts.wait_equal()
	figure("ack-after = 1, hosts destroyed", turns=len(lost_in), unanswered=lost_in)


def test_the_window_is_there_without(make_hosts):
	"""The negative control: without ack-after, a host whose helper does not get to tell anybody takes its acknowledged
	fixes with it; and the checker says so."""
	hosts = make_hosts(3).computed().start()
	hosts.wait_linked()
	victim, rest = hosts[0], hosts.hosts[1:]
	members = members_of(hosts)
	victim.helper.signal(signal.SIGSTOP)
	load = hosts.load(to=[victim], rate=1000, seconds=30, clients=200, sample=0, record=True)
	until(lambda: load.progress()["acked"] >= 200, "load is acknowledged")
	victim.destroy()
	load.finish(now=True)
	hosts.wait_equal(rest)
	wrong = record_of(hosts, load, members, [victim]).check({host.name: hosts.lines(host) for host in rest})
	assert len(wrong) >= 200 and all(w.startswith("P2") for w in wrong), wrong[:3]


def test_no_answer_before_it_is_confirmed(make_hosts):
	"""While no other host can apply it, ack-after holds the answer back; then it comes."""
	hosts = make_hosts(2).computed().start(settings=CONFIRMED)
	hosts.wait_linked()
	one, two = hosts.hosts
	with one.client(limit=60) as client:
		client.iamat(b"kiwi")
		two.helper.signal(signal.SIGSTOP)
		client.send(b"IAMAT kiwi +34.068930-118.445127 %d\n" % (time.time() + 1))
		client.socket.settimeout(1)
		with pytest.raises(TimeoutError):
			client.line()
		two.helper.signal(signal.SIGCONT)
		client.socket.settimeout(30)
		assert client.line().startswith(b"AT %s-1 " % one.name.encode())


def test_ack_timeout_answers_all_the_same(make_hosts):
	"""Nobody waits for ever: after ack-timeout the answer comes unconfirmed, as it does without peers."""
	hosts = make_hosts(2).computed().start(settings={"ack-after": "1", "ack-timeout": "100ms"})
	hosts.wait_linked()
	one, two = hosts.hosts
	two.kill()
	with one.client() as client:
		started = time.monotonic()
		client.iamat(b"kiwi")
		assert 0.09 < time.monotonic() - started < 30


def faults(hosts, chance):
	"""Something happens to one host, and is over again."""
	host = chance.choice(hosts.hosts)
	what = chance.choice(["kill the helper", "kill a member", "kill all", "destroy", "stop the helper", "unplug"])
	members = sorted(host.members)
	if what == "kill the helper":
		host.helper.kill()
		time.sleep(chance.uniform(0, 1))
		host.start_helper()
	elif what == "kill a member":
		host.members[members[0]].kill()
		host.start_member(members[0], CONFIRMED)
	elif what in ("kill all", "destroy"):
		host.kill() if what == "kill all" else host.destroy()
		time.sleep(chance.uniform(0, 1))
		host.start(len(members), CONFIRMED)
	elif what == "stop the helper":
		host.helper.signal(signal.SIGSTOP)
		time.sleep(chance.uniform(0, 2))
		host.helper.signal(signal.SIGCONT)
	else:
		host.port.unplug()
		time.sleep(chance.uniform(0, 2))
		host.port.plug()
	hosts.wait_linked()
	return what


def test_nothing_acknowledged_is_lost(make_hosts):
	"""One fault after the other under load, with ack-after = 1: as long as one of the two that have a fix lives, it is
	known to all in the end, and no host ever serves anything but the truth."""
	hosts = make_hosts(4).computed().start(members=2, settings=CONFIRMED)
	hosts.wait_linked()
	members = members_of(hosts)
	doors = {host.name: host.doors() for host in hosts}
	load = hosts.load(doors=doors, rate=500, seconds=600, clients=300, sample=0, reads=500, record=True)
	chance = random.Random(form(4, None))
	end = time.monotonic() + form(20, 120)
	done = []
	while time.monotonic() < end:
		done.append(faults(hosts, chance))
		goal = load.progress()["acked"] + 100	# it goes on, and what only two have reaches the others
		until(lambda: load.progress()["acked"] >= goal, "load goes on", pause=0.02)
	result = load.finish(now=True)
	took = hosts.wait_equal()
	figure("faults one after the other", faults={what: done.count(what) for what in sorted(set(done))}, acked=result["acked"],
		lost=result["lost"], equal_s=round(took, 3))
	record = record_of(hosts, load, members, hosts)
	finals = {host.name: hosts.lines(host) for host in hosts}
	assert record.check(finals) == []
	assert history.must_notice_doctoring(record, finals) >= 10
