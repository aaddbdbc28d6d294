"""Networks that lose, crawl, part and fall silent."""

import re
import threading
import time

import history
import hosts as herd_hosts
import net
from harness import until
from hosts import figure, form, room

US = 1e6	# in a second
LINE = 96	# bytes of an AT line of these tests, about
SILENCE_S = 8	# after so long a link counts as dead
REPLACE_S = 12


def names(hosts):
	return {host.name: list(host.members) for host in hosts}


def check(hosts, load, record_hosts=None):
	"""Nothing that was acknowledged is missing, and nothing was ever wrong; and the check would have noticed."""
	record = history.History(load.record, [h.name for h in hosts], names(hosts))
	finals = {host.name: hosts.lines(host) for host in record_hosts or hosts}
	assert record.check(finals) == []
	assert history.must_notice_doctoring(record, finals) >= 10


def test_loss(make_hosts):
	"""30 % of all packets between two halves lost, both ways."""
	hosts = make_hosts(form(6, 20), sides=2, clients=4096).computed().start()
	hosts.wait_linked()
	for port in hosts.network.ports:
		port.lose(30, sides=[1 - port.side])
	before = [port.lost() for port in hosts.network.ports]
	load = hosts.load(rate=form(200, 500), seconds=form(8, 30), clients=500, record=True, reads=200)
	result = load.finish()
	took = hosts.wait_equal(count=500)
	assert all(port.lost() > lost for port, lost in zip(hosts.network.ports, before))
	figure("30 % loss between two halves", hosts=len(hosts.hosts), equal_s=round(took, 3), **herd_hosts.spread(result))
	assert result["told"] == result["acked"] and result["missing"] == 0, result
	assert result["spread_p99_us"] < room(1) * US, result
	check(hosts, load)


def test_partition(make_hosts):
	"""Two halves go on by themselves; after the network is whole again they agree soon."""
	hosts = make_hosts(4, sides=2).computed().start()
	hosts.wait_linked()
	parted_s = form(SILENCE_S + 4, 20)
	load = hosts.load(rate=form(200, 500), seconds=parted_s + 3, clients=500, record=True, reads=200, sample=0)
	until(lambda: load.progress()["acked"] > 100, "load is under way")
	hosts.network.cut()
	started = time.monotonic()
	until(lambda: all(sorted(host.up()) == [other.name for other in hosts if other is not host and
		other.port.side == host.port.side] for host in hosts), "each half knows that the other is gone", 4 * SILENCE_S)
	noticed = time.monotonic() - started
	time.sleep(max(0, parted_s - noticed))	# the partition itself is what has to last
	load.finish(now=True)
	left, right = hosts.digests([hosts[0], hosts[3]])
	assert left != right
	hosts.network.heal()
	started = time.monotonic()
	hosts.wait_equal()
	took = time.monotonic() - started
	figure("partition", parted_s=parted_s, noticed_s=round(noticed, 3), equal_s=round(took, 3))
	assert took < room(5)
	check(hosts, load)


def test_narrow_link(make_hosts):
	"""A link three times overloaded: the helper keeps no queue, so it does not grow, and the far end is behind by no
	more than one fix of each client takes; also of a client that is told far more often than that."""
	clients, kbit = 1000, 512
	hosts = make_hosts(2).computed().start()
	hosts.wait_linked()
	near, far = hosts.hosts
	far.port.limit(kbit)
	hosts.wait_linked(limit=60)
	rate = 3 * kbit * 1000 // 8 // LINE
	seconds = form(12, 60)
	hot = hosts.load(to=[near], rate=100, seconds=seconds, clients=1, prefix="hot-", linger=60)
	load = hosts.load(to=[near], rate=rate, seconds=seconds, clients=clients, sample=20, linger=60)
	bound_s = clients * LINE * 8 / (kbit * 1000) + 5
	rss, lags = [], []
	end = time.monotonic() + seconds
	while time.monotonic() < end:
		time.sleep(0.5)
		rss.append(near.helper.rss_kb())
		peer = near.peers()[far.name]
		assert peer["state"] == "up", peer
		lags.append(peer.get("lag_seconds", 0))
	result, hot = load.finish(), hot.finish()
	took = hosts.wait_equal(count=clients + 1, limit=2 * bound_s)
	third = rss[len(rss) // 3]
	sent = near.peers()[far.name]["fixes_out"]
	figure("512 kbit/s, three times overloaded", rss_kb=[rss[0], third, rss[-1]], lag_max_s=round(max(lags), 2), bound_s=round(bound_s, 2),
		equal_s=round(took, 2),
		hot_max_s=round(hot["spread_max_us"] / US, 2), fixes_sent=sent, fixes_told=result["acked"], **herd_hosts.spread(result))
	assert result["acked"] > 0.9 * rate * seconds and result["missing"] == 0, result
	assert sent < 0.7 * result["acked"], "it was not overloaded"
	assert max(rss) - third < 256, rss
	assert max(lags) < room(bound_s) and result["spread_max_us"] < room(bound_s) * US, (lags, result)
	assert hot["missing"] == 0 and hot["spread_max_us"] < room(bound_s) * US, hot


def test_half_open(make_hosts):
	"""Neighbours that fall silent without a word are noticed and replaced; what they are told arrives by others."""
	hosts = make_hosts(20, clients=1024).computed().start(members=0)
	hosts.wait_linked()
	one = hosts[0]
	before = set(one.neighbours())
	silent = [hosts[name] for name in sorted(before)[:3]]	# of one alone the next in its rings may be a neighbour already
	for host in [one] + silent:
		host.start_member(host.name + "-1")
	one.port.mute(*(host.port for host in silent))
	started = time.monotonic()
	until(lambda: not {host.name for host in silent} & set(one.up()), "the silent ones are noticed", 3 * REPLACE_S, 0.05)
	noticed = time.monotonic() - started
	for host in silent:
		with host.client() as teller, one.client() as reader:
			told = teller.iamat(b"kiwi").line
			until(lambda: reader.held(b"kiwi") == told, "what the silent one is told arrives", 10)
	replaced = until(lambda: stand_ins(one), lambda: "they are replaced: %r" % one.peers(), 3 * REPLACE_S, 0.05)
	took = time.monotonic() - started
	one.port.unmute(*(host.port for host in silent))
	until(lambda: before <= set(one.up()), "they are back", 90, 0.2)
	one.helper.wait_log(r"is back, and has its place again")
	figure("half-open neighbours", noticed_s=round(noticed, 2), replaced_s=round(took, 2), by=replaced)
	assert took < room(REPLACE_S)


def stand_ins(host):
	"""Whom it took in place of somebody else, and is linked with."""
	return sorted(set(re.findall(r"stays away: linking with '(\S+)' in its place", host.helper.text())) & set(host.up()))


def test_delay(make_hosts):
	"""A far host: everything arrives, later by what the way takes, and the delay is seen."""
	hosts = make_hosts(2)
	near, far = hosts.hosts
	herd_hosts.relay(near, "%s:%d" % (near.port.address, net.PORT + 1), far.address, 100)
	near.graph = "peer = %s %s:%d\n" % (far.name, near.port.address, net.PORT + 1)
	hosts.start()
	until(lambda: near.up() == [far.name] and far.up() == [near.name], "the far host is linked")
	load = hosts.load(rate=500, seconds=form(4, 20), clients=200)
	rtt = until(lambda: near.peers()[far.name].get("rtt"), "the delay is measured", 30, 0.1)
	result = load.finish()
	hosts.wait_equal(count=200)
	figure("100 ms away", rtt_s=round(rtt, 3), **herd_hosts.spread(result))
	assert result["acked"] == result["told"] and result["missing"] == 0, result
	assert 0.2 <= rtt < 2 and result["spread_p50_us"] >= 0.1 * US, (rtt, result)


def test_a_stopped_helper_disturbs_nobody(make_hosts):
	"""Its connections stay open and say nothing; the others go on, and it catches up."""
	hosts = make_hosts(3).computed().start()
	hosts.wait_linked()
	frozen, rest = hosts[2], hosts.hosts[:2]
	frozen.helper.signal(19)	# SIGSTOP
	threading.Timer(form(SILENCE_S + 2, 30), frozen.helper.signal, [18]).start()
	load = hosts.load(to=rest, rate=500, seconds=form(SILENCE_S, 25), clients=300, sample=0, record=True, reads=100)
	load.finish()
	hosts.wait_equal(rest, count=300)
	assert hosts.digests([frozen]) != hosts.digests([rest[0]])
	until(lambda: frozen.helper.sleeps(), "it goes on", 30, 0.1)
	took = hosts.wait_equal(count=300)
	figure("a stopped helper catches up", equal_s=round(took, 3))
	check(hosts, load)
