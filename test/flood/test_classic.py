"""Hill, Jaquez, Smith, Campbell and Singleton, linked as they have always been."""

import itertools
import time

import pytest

import harness
import hosts as herd_hosts
from hosts import CLASSIC, CLASSIC_LINKS, figure, form, room

LOCATION = b"+34.068930-118.445127"
HOW = ("off", "kill", "destroy")	# an orderly stop, kill -9, and with the table gone


def components(names):
	"""Which of these hosts are connected by links between them."""
	found = []
	for name in names:
		linked = [one for one in found if any({name, other} in map(set, CLASSIC_LINKS) for other in one)]
		found = [one for one in found if one not in linked] + [set([name]).union(*linked)]
	return found


def test_components():
	assert components(CLASSIC) == [set(CLASSIC)]
	assert sorted(map(sorted, components(["Hill", "Jaquez", "Campbell"]))) == [["Campbell"], ["Hill", "Jaquez"]]


def tell(host, client):
	with host.client() as connection:
		return connection.iamat(client, LOCATION).line


def held(host, client):
	with host.client() as connection:
		return connection.held(client)


@pytest.fixture
def classic(make_hosts):
	hosts = make_hosts(names=CLASSIC).drawn(CLASSIC_LINKS).start()
	linked = {name: sorted(a if b == name else b for a, b in CLASSIC_LINKS if name in (a, b)) for name in CLASSIC}
	harness.until(lambda: {h.name: h.up() for h in hosts} == linked, lambda: "links are those drawn: %r" %
		{h.name: h.up() for h in hosts})
	return hosts


def test_each_pair_stopped_in_turn(classic):
	"""The rest agree where they are connected; the stopped ones agree within a second of being back."""
	took = {}
	for number, pair in enumerate(itertools.combinations(CLASSIC, 2)):
		how = HOW[number % len(HOW)]
		for name in pair:
			getattr(classic[name], how)()
		rest = [name for name in CLASSIC if name not in pair]
		told = {}
		for name in rest:	# one that is new, and one that each of them knows otherwise
			client = b"%s-%d" % (name.encode(), number)
			told[name] = [(client, tell(classic[name], client)), (b"kiwi-" + name.encode(), tell(classic[name],
				b"kiwi-" + name.encode()))]
		apart = components(rest)
		for one in apart:
			classic.wait_equal([classic[name] for name in one])
			for reader, teller in itertools.product(one, one):
				for client, line in told[teller]:
					assert held(classic[reader], client) == line
			for reader, teller in itertools.product(one, set(rest) - one):
				assert held(classic[reader], told[teller][0][0]) is None	# nobody brought it
		for name in pair:
			classic[name].start_helper(ready=False)
			classic[name].start_member(name + "-1", ready=False)
		for name in pair:
			classic[name].ready()
		started = time.monotonic()
		classic.wait_equal()
		took["%s, %s: %s" % (pair + (how,))] = round(time.monotonic() - started, 3)
		for name in pair:
			for teller in rest:
				for client, line in told[teller]:
					assert held(classic[name], client) == line
	figure("classic five: back in agreement", worst_s=max(took.values()), each=took)
	assert max(took.values()) < room(1), took


def test_all_at_one(classic):
	"""Each is told something; all know everything, and a newer fix from anywhere wins everywhere."""
	for turn in range(form(3, 20)):
		for host in classic:
			newest = tell(host, b"kiwi")
			tell(host, b"%s-%d" % (host.name.encode(), turn))
	classic.wait_equal(count=1 + 5 * form(3, 20))
	for host in classic:
		assert held(host, b"kiwi") == newest


def test_load_on_the_classic_five(classic):
	"""Three hops at most; every update is known to all."""
	result = classic.load(rate=form(500, 1000), seconds=form(4, 30), clients=500).finish()
	classic.wait_equal(count=500)
	figure("classic five, sparse graph", **herd_hosts.spread(result))
	assert result["told"] == result["acked"] and result["missing"] == 0, result
