"""Very many hosts, each a helper and a member of its own, on one loopback network."""

import random
import time

import history
import hosts as herd_hosts
from hosts import figure, form


class Killer:
	"""kill -9 of random helpers, now and then of a member; each is started again within two seconds."""

	def __init__(self, hosts, seed=1):
		self.hosts = hosts
		self.random = random.Random(seed)
		self.killed = {"helper": 0, "member": 0}
		self.touched = set()
		self.down = []	# (when to start it again, host, member's name or None)

	def turn(self):
		host = self.random.choice(self.hosts.hosts)
		if not any(host is other for _, other, _ in self.down):
			self.down.append((time.monotonic() + self.random.uniform(0, 2), host, self.kill(host)))
		self.start_again(time.monotonic())

	def kill(self, host):
		self.touched.add(host)
		if self.random.random() < 0.75:
			host.helper.kill()
			self.killed["helper"] += 1
			return None
		name = self.random.choice(sorted(host.members))
		host.members[name].kill()
		self.killed["member"] += 1
		return name

	def start_again(self, now=float("inf")):
		for due in [d for d in self.down if d[0] <= now]:
			_, host, name = due
			if name is None:
				host.start_helper(ready=False)
			else:
				host.start_member(name, ready=False)
			self.down.remove(due)


def test_random_kills(make_hosts):
	"""kill -9 all the time, under load: afterwards all tables are equal, and nothing acknowledged is missing."""
	count, rate, seconds = form(24, 100), form(400, 2000), form(10, 30)
	hosts = make_hosts(count, loopback=True, clients=4096).computed().start()
	hosts.wait_linked()
	load = hosts.load(rate=rate, seconds=seconds, clients=1000, sample=0, reads=rate // 2, record=True)
	killer = Killer(hosts)
	members = {host.name: list(host.members) for host in hosts}
	end = time.monotonic() + seconds - 1
	while time.monotonic() < end:
		killer.turn()
		time.sleep(form(0.5, 0.3))
	killer.start_again()
	killed = killer.killed
	result = load.finish()
	for host in hosts:
		host.ready()
	took = hosts.wait_equal(limit=120)
	quiet = [host for host in hosts if host not in killer.touched]
	lines = sum(host.lines_in() for host in quiet)
	cpu = sum(host.helper.run_s() for host in quiet)
	figure("random kills", hosts=count, rate=rate, killed=killed, equal_s=round(took, 2), acked=result["acked"], lost=result["lost"],
		lines_in=lines, us_per_line=round(1e6 * cpu / max(1, lines), 3), answer_p99_us=result["answer_p99_us"], load_wait_s=result["load_wait_s"])
	assert killed["helper"] >= form(5, 10) and result["acked"] > 0.5 * rate * seconds, (killed, result)
	record = history.History(load.record, [h.name for h in hosts], members)
	finals = {host.name: hosts.lines(host) for host in hosts}
	assert record.check(finals) == []
	if not herd_hosts.LONG:
		assert history.must_notice_doctoring(record, finals) >= 10


def test_crowd_converges(make_hosts):
	"""300 helpers (long form): every one of them ends with everything."""
	count, rate, seconds = form(60, 300), form(100, 20), form(5, 20)
	hosts = make_hosts(count, loopback=True, clients=1024)
	started = time.monotonic()
	hosts.computed().start()
	up = time.monotonic() - started
	hosts.wait_linked(limit=180)
	linked = time.monotonic() - started
	result = hosts.load(rate=rate, seconds=seconds, clients=100, sample=5, linger=60).finish()
	took = hosts.wait_equal(limit=120, count=100)
	links = sum(len(host.up()) for host in hosts) / count
	lines = sum(host.lines_in() for host in hosts)
	fixes = sum(peer["fixes_in"] for host in hosts for peer in host.peers().values())
	cpu = sum(host.helper.run_s() for host in hosts)
	figure("a crowd converges", hosts=count, rate=rate, started_s=round(up, 2), linked_s=round(linked, 2), equal_s=round(took, 2),
		links=round(links, 2), copies=round(fixes / result["acked"] / count, 2), lines_in=lines,
		us_per_line=round(1e6 * cpu / max(1, lines), 3), **herd_hosts.spread(result))
	assert result["acked"] == result["told"] and result["missing"] == 0, result
	assert fixes / result["acked"] / count < 6.5, "too many copies"
