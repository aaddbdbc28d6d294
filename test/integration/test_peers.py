"""herdctl peers and herdctl flood graph, with a helper of our own at the control socket."""

import json
import os
import re
import socket
import threading
import time

import pytest

from harness import LIMIT

OK, NO, FAILED, NO_HERD, USAGE = 0, 1, 2, 3, 64

HOST_ID = "0123456789abcdef" * 2


def up(host, **more):
	peer = {"host": host, "address": "10.0.0.1:12400", "site": "west", "state": "up", "why": "neighbour", "dialled": True,
		"tls": True, "since": time.time() - 60, "rtt": 0.000412, "lag_changes": 0, "lag_seconds": 0.0, "behind_ack": 0,
		"lines_in": 123456789, "lines_out": 9999, "bytes_in": 1, "bytes_out": 2, "fixes_in": 3, "fixes_out": 4,
		"duplicates": 10000, "resync": {"ended": time.time() - 120, "took": 0.01, "lines_in": 1, "lines_out": 2,
		"buckets": 3, "diverged": False}}
	return dict(peer, **more)


def down(host, **more):
	return dict({"host": host, "address": "10.0.0.2:12400", "site": "", "state": "down", "why": "neighbour", "dialled": True,
		"retry": 3.2, "error": "Connection refused"}, **more)


class Helper:
	"""Answers requests at the helper's control socket with what a test says."""

	def __init__(self, herd):
		self.base = {"ok": True, "role": "helper", "shm": herd.shm, "pid": os.getpid(), "version": "0"}
		self.replies = {}	# by request: an object, or bytes as they are
		self.asked = []
		self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		self.socket.bind(os.path.join(herd.control, herd.shm[1:] + ":flood"))
		self.socket.listen(8)
		self.thread = threading.Thread(target=self.serve, daemon=True)
		self.thread.start()

	def serve(self):
		while True:
			try:
				client, _ = self.socket.accept()
			except OSError:
				return
			with client:
				client.settimeout(LIMIT)
				request = b""
				while not request.endswith(b"\n"):
					data = client.recv(1000)
					if not data:
						break
					request += data
				self.asked.append(request.decode().rstrip("\n"))
				reply = self.replies.get(self.asked[-1], {"ok": False, "messages": ["there is no such verb here"]})
				if isinstance(reply, dict):
					reply = (json.dumps(dict(self.base, **reply)) + "\n").encode()
				try:
					client.sendall(reply)
				except OSError:
					pass

	def peers(self, *peers, **more):
		self.replies["peers"] = dict({"host": "Hill", "host_id": HOST_ID, "herd": "herd", "name_conflicts": 0,
			"peers": list(peers)}, **more)

	def graph(self, hosts, drawn=False, page=3):
		for start in range(0, max(1, len(hosts)), page):
			reply = {"drawn": drawn, "hosts": hosts[start:start + page]}
			if start + page < len(hosts):
				reply["next"] = start + page
			self.replies["graph %d" % start] = reply

	def close(self):
		self.socket.shutdown(socket.SHUT_RDWR)
		self.socket.close()
		self.thread.join(LIMIT)


@pytest.fixture
def helper(herd):
	server = Helper(herd)
	yield server
	server.close()


# --- peers --------------------------------------------------------------------------------

def test_json_is_what_the_helper_says(herd, helper):
	peers = [up("Jaquez", news="of a later version"), down("Smith")]
	helper.peers(*peers)
	assert json.loads(herd.ctl("peers", "--json")) == {"host": "Hill", "host_id": HOST_ID, "herd": "herd",
		"name_conflicts": 0, "peers": peers}


def test_table(herd, helper):
	helper.peers(up("Jaquez"), up("Singleton", site="east", lag_seconds=12.5, lag_changes=70000, behind_ack=1), down("Smith"),
		up("Campbell", why="guest", state="up", site=""))
	shown = herd.ctl("peers")
	lines = shown.splitlines()
	assert [line.split() for line in lines[:4]] == [["host", "Hill"], ["herd", "herd"], ["up", "2"], ["wanted", "3"]]
	assert re.search(r"^problem +Smith is down: Connection refused; again in 4 s$", shown, re.M)
	rows = [line.split("  ") for line in lines]
	heading = next(n for n, line in enumerate(lines) if line.startswith("HOST"))
	assert lines[heading].split() == ["HOST", "SITE", "STATE", "RTT", "LAG", "BEHIND", "IN", "OUT", "DUP", "RESYNC"]
	rows = {line.split()[0]: re.split(r"  +", line) for line in lines[heading + 1:]}
	assert rows["Jaquez"] == ["Jaquez", "west", "up", "0.4 ms", "0.0 ms", "0", "123M", "9999", "10.0k", "2.0 min"]
	assert rows["Singleton"][4:6] == ["12.5 s", "70.0k"]
	assert rows["Smith"] == ["Smith", "-", "down", "-", "-", "0", "0", "0", "0", "-"]
	assert all(len(line) <= 80 for line in lines), shown


def test_nobody_is_wanted(herd, helper):
	helper.peers()
	assert "wanted  0" in herd.ctl("peers")
	assert json.loads(herd.ctl("peers", "--json"))["peers"] == []


@pytest.mark.parametrize("peers, status", [
	([down("Smith")], NO),
	([down("Smith"), up("Jaquez", why="guest")], NO),
	([down("Smith"), up("Jaquez", why="stand-in")], OK),
	([up("Jaquez", state="dialling")], NO),
	([up("Jaquez", why="guest", state="down")], OK),
])
def test_exit_code(herd, helper, peers, status):
	helper.peers(*peers)
	herd.ctl("peers", status=status)
	herd.ctl("peers", "--json", status=status)


def test_conflicts_of_names(herd, helper):
	helper.peers(up("Jaquez"), name_conflicts=2)
	assert re.search(r"^problem +names of members on more than one host: 2", herd.ctl("peers"), re.M)


def test_a_peer_without_a_name(herd, helper):
	helper.peers(down("", state="dialling"))
	assert "10.0.0.2:12400 is dialling: Connection refused" in herd.ctl("peers", status=NO)


@pytest.mark.parametrize("peers", [
	None, {}, "x", [None], [1, "x", [], {}], [{"host": 1, "state": None, "why": [], "rtt": "x", "resync": [], "lines_in": -5,
	"lag_seconds": 1e300, "lag_changes": 1e300, "retry": -1, "error": {}}], [up("\x1b[31mred\n", error="\x07")] * 100,
	[down("x" * 3000, error="y" * 3000)] * 10, [up("a", lines_in=2**64 - 1, duplicates=2**63)],
], ids=lambda peers: str(peers)[:30])
def test_a_helper_that_talks_nonsense(herd, helper, peers):
	helper.peers()
	helper.replies["peers"]["peers"] = peers
	for words in ((), ("--json",)):
		done = herd.run_ctl("peers", *words)
		assert done.returncode in (OK, NO) and done.stderr == "", done


@pytest.mark.parametrize("reply", [b"", b"x\n", b"[]\n", b"{}\n", b"{\"ok\":true}\n", b"x" * 300000, b"\xff\n"],
	ids=lambda reply: str(reply[:12]))
def test_a_helper_that_is_none(herd, helper, reply):
	helper.replies["peers"] = helper.replies["graph 0"] = reply
	for words in (("peers",), ("flood", "graph")):
		done = herd.run_ctl(*words)
		assert done.returncode == FAILED and done.stdout == "" and done.stderr.startswith("herdctl: helper"), done


def test_a_helper_of_an_older_version(herd, helper):
	for words in (("peers",), ("flood", "graph")):
		done = herd.run_ctl(*words)
		assert done.returncode == FAILED and "no such verb" in done.stderr, done


def test_no_helper(herd):
	for words in (("peers",), ("flood", "graph")):
		done = herd.run_ctl(*words)
		assert done.returncode == NO_HERD and done.stdout == "" and "does not run" in done.stderr, done


# --- graph ----------------------------------------------------------------------------------

FIVE = [
	{"name": "Campbell", "site": "east", "neighbours": ["Singleton", "Smith"]},
	{"name": "Hill", "site": "west", "neighbours": ["Jaquez", "Smith"]},
	{"name": "Jaquez", "site": "west", "neighbours": ["Hill", "Singleton"]},
	{"name": "Singleton", "site": "east", "neighbours": ["Campbell", "Jaquez", "Smith"]},
	{"name": "Smith", "site": "", "neighbours": ["Campbell", "Hill", "Singleton"]},
]


def test_graph(herd, helper):
	helper.graph(FIVE)
	assert json.loads(herd.ctl("flood", "graph", "--json")) == {"drawn": False,
		"hosts": [dict(host, links=len(host["neighbours"])) for host in FIVE]}
	assert helper.asked == ["graph 0", "graph 3"]
	shown = herd.ctl("flood", "graph")
	lines = shown.splitlines()
	assert lines[0].split() == ["drawn", "computed", "from", "the", "hosts"]
	assert lines[2].split() == ["NAME", "SITE", "LINKS", "NEIGHBOURS"]
	assert lines[6].split() == ["Singleton", "east", "3", "Campbell", "Jaquez", "Smith"]


def test_dot(herd, helper):
	helper.graph(FIVE)
	assert herd.ctl("flood", "graph", "--dot") == """graph herd {
  "Smith";
  subgraph cluster_1 { label="east";
    "Campbell";
    "Singleton";
  }
  subgraph cluster_3 { label="west";
    "Hill";
    "Jaquez";
  }
  "Campbell" -- "Singleton";
  "Campbell" -- "Smith";
  "Hill" -- "Jaquez";
  "Hill" -- "Smith";
  "Jaquez" -- "Singleton";
  "Singleton" -- "Smith";
}
"""
	herd.ctl("flood", "graph", "--dot", "--json", status=USAGE)


def test_dot_of_one_end(herd, helper):
	"""What only one end tells of is a link all the same, and quotes stay inside of quotes."""
	helper.graph([{"name": "b", "site": "", "neighbours": ["a", 'c"\\']}, {"name": "a", "site": "", "neighbours": []}], drawn=True)
	assert herd.ctl("flood", "graph", "--dot") == 'graph herd {\n  "a";\n  "b";\n  "b" -- "a";\n  "b" -- "c\\"\\\\";\n}\n'
	assert json.loads(herd.ctl("flood", "graph", "--json"))["drawn"] is True


def test_many_hosts(herd, helper):
	names = ["host%04d" % i for i in range(4096)]
	helper.graph([{"name": name, "site": "", "neighbours": [names[(i + d) % 4096] for d in (-4, -3, -2, -1, 1, 2, 3, 4)]}
		for i, name in enumerate(names)], page=600)
	begin = time.monotonic()
	shown = herd.ctl("flood", "graph", "--dot")
	assert shown.count(" -- ") == 4 * 4096
	assert time.monotonic() - begin < 20
	assert len(json.loads(herd.ctl("flood", "graph", "--json"))["hosts"]) == 4096


def test_nobody_to_be_linked_with(herd, helper):
	helper.graph([])
	herd.ctl("flood", "graph", status=NO)
	assert herd.ctl("flood", "graph", "--dot", status=NO) == "graph herd {\n}\n"


@pytest.mark.parametrize("reply", [{"hosts": []}, {"hosts": "x", "next": 0}, {"hosts": [1, {}, {"name": 1, "neighbours": [1]}]}])
def test_a_graph_that_is_nonsense(herd, helper, reply):
	helper.replies["graph 0"] = reply
	for words in ((), ("--json",), ("--dot",)):
		assert herd.run_ctl("flood", "graph", *words).returncode in (OK, NO)


def test_a_graph_without_an_end(herd, helper):
	helper.replies["graph 0"] = {"hosts": [], "next": 5}
	helper.replies["graph 5"] = {"hosts": [], "next": 5}
	herd.ctl("flood", "graph", status=FAILED)


# --- top ----------------------------------------------------------------------------------

def growing(helper, *looks):
	"""Replies to one look after the other, the last one again and again."""
	replies = iter(looks)
	last = [None]

	class Replies(dict):
		def get(self, key, default=None):
			last[0] = next(replies, last[0])
			helper.peers(*last[0])
			return super().get(key, default)

	helper.replies = Replies()


def test_top_has_rates_of_links(herd, helper):
	herd.member("Alpha")
	growing(helper, [up("Jaquez", lines_in=1000, lines_out=50), up("Smith", lines_in=9)],
		[up("Jaquez", lines_in=1400, lines_out=50, lag_changes=7, lag_seconds=0.25), up("Smith", lines_in=3), down("Campbell")])
	first, = [json.loads(line) for line in herd.ctl("top", "--json", "--interval", "200ms", "--count", "1").splitlines()]
	peers = {peer["host"]: peer for peer in first["peers"]}
	assert peers["Jaquez"]["out_per_s"] == 0 and 500 < peers["Jaquez"]["in_per_s"] <= 2000	# 400 in 0.2 s or a little more
	assert (peers["Jaquez"]["behind"], peers["Jaquez"]["lag"]) == (7, 0.25)
	assert peers["Smith"]["in_per_s"] is None	# a new link: it counts from zero
	assert peers["Campbell"] == {"host": "Campbell", "state": "down", "lag": None, "behind": 0, "in_per_s": None, "out_per_s": None}


@pytest.mark.parametrize("reply", [b"", b"nonsense\n", b'{"ok":true}\n', b'{"ok":true,"role":"helper","peers":{}}\n'])
def test_top_believes_no_helper(herd, helper, reply):
	herd.member("Alpha")
	helper.replies["peers"] = reply
	assert json.loads(herd.ctl("top", "--json", "--interval", "200ms", "--count", "1"))["peers"] == []
