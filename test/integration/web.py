"""A herd whose members ask places services: ours (upstream.py)."""

import json
import math
import os
import select
import time

from harness import fresh, now_text, until
from upstream import CONTACT, KEYS

SPOT = (34.06893, -118.445127)	# where people are unless a test says otherwise
SPREAD_DEGREES = 0.05	# between people who are to be at different places, for every cell size
LOCAL = "A place of the file"
EARTH_M = 6371008.8


def iso(lat, lon):
	return b"%+.6f%+.6f" % (lat, lon)


def spot(number):
	"""So many places, far enough from each other."""
	return SPOT[0] - SPREAD_DEGREES * (number // 50), SPOT[1] + SPREAD_DEGREES * (number % 50)


def distance_m(lat1, lon1, lat2, lon2):
	lat1, lon1, lat2, lon2 = map(math.radians, (lat1, lon1, lat2, lon2))
	h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
	return 2 * EARTH_M * math.asin(math.sqrt(h))


def names(answer):
	return [place["name"] for place in answer["results"]]


class Web:
	"""The herd, its settings, and what its members answer."""

	def __init__(self, herd, upstream):
		self.herd, self.upstream = herd, upstream
		self.state_dir = os.path.join(herd.folder, "state")
		os.mkdir(self.state_dir)
		self.keys = {service: self.write_key(service, key) for service, key in KEYS.items()}
		self.settings = {}

	def write_key(self, name, key, mode=0o600):
		path = os.path.join(self.herd.folder, "key-" + name)
		if os.path.exists(path):
			os.unlink(path)
		with open(path, "w", encoding="ascii") as file:
			os.fchmod(file.fileno(), mode)
			file.write(key + "\n")
		return path

	def configure(self, chain, **settings):
		"""The configuration file. Settings: name, or SERVICE__name of one service, with _ for -; None: left out."""
		sections = {"places": {"provider": chain, "ca-file": self.upstream.ca, "state-dir": self.state_dir, "timeout": "20s",
			"breaker-failures": "0"}}
		for service in ("google", "google-legacy", "overpass"):
			sections["places " + service] = {"url": self.upstream.url(service), "requests-per-second": "0"}
			if service in self.keys:
				sections["places " + service]["key-file"] = self.keys[service]
			else:
				sections["places " + service]["contact"] = CONTACT
		for name, value in settings.items():
			service, mark, rest = name.rpartition("__")
			section = "places " + service.replace("_", "-") if mark else "places"
			sections[section][rest.replace("_", "-")] = value
		self.herd.configure("".join("[%s]\n%s" % (section, "".join("%s = %s\n" % item for item in values.items() if item[1] is not None))
			for section, values in sections.items()))

	def member(self, name="Alpha", **options):
		member = self.herd.member(name, **options)
		member.web = self
		return member

	def start(self, chain, settings=None, process=None, **web):
		"""A helper and a member with this chain."""
		self.configure(chain, **web)
		if not any(one.name == "flood" and one.alive() for one in self.herd.processes):
			self.herd.flood()
		return self.member(settings=settings, **(process or {}))

	def reload(self, member, chain, **settings):
		self.configure(chain, **settings)
		self.herd.ctl("reload", "Alpha" if member is None else member.name)

	def import_local(self, lat=SPOT[0], lon=SPOT[1]):
		"""Gives the local file one place."""
		path = os.path.join(self.herd.folder, "rows.csv")
		with open(path, "w", encoding="utf-8") as file:
			file.write("name,latitude,longitude\n%s,%.6f,%.6f\n" % (LOCAL, lat, lon))
		done = self.herd.run_ctl("places", "import", path)
		assert done.returncode == 0, done

	def states(self, member):
		"""Of each provider, as herdctl tells it."""
		done = self.herd.run_ctl("--json", "status")
		listed = [one for one in json.loads(done.stdout)["places"] if one["member"] == member.name]
		return {one["provider"]: one for one in listed}

	def state(self, member, provider):
		return self.states(member)[provider]


def people(connection, count, where=None):
	"""So many, each at a place of its own, or all at one."""
	ids = [fresh("phone") for _ in range(count)]
	connection.send(b"".join(b"IAMAT %s %s %s\n" % (id, iso(*(where or spot(n))), now_text()) for n, id in enumerate(ids)))
	for id in ids:
		line = connection.line()
		assert line.startswith(b"AT ") and b" %s " % id in line, line
	return ids


def take(connection, id):
	"""The next reply, which is that to a WHATSAT about id: the answer."""
	first = connection.line()
	assert first.startswith(b"AT ") and b" %s " % id in first, first
	body = connection.until(b"\n\n")
	assert body.count(b"\n") == 2, body	# one line, and the empty one
	answer = json.loads(body)
	assert isinstance(answer["html_attributions"], list) and isinstance(answer["results"], list), answer
	assert isinstance(answer["status"], str) and (answer["results"] == []) == (answer["status"] != "OK"), answer
	return answer


def ask(connection, id, radius=b"10", bound=b"5"):
	connection.send(b"WHATSAT %s %s %s\n" % (id, radius, bound))
	return take(connection, id)


def failed(answer, *words):
	"""A failure has one of these status words, and says why."""
	return answer["results"] == [] and answer["status"] in words and answer.get("error_message")


class Others:
	"""Somebody else on the same member, who must not notice."""

	def __init__(self, member):
		self.connection = member.client()
		self.id = fresh("other")
		self.slowest = 0.0

	def __enter__(self):
		return self

	def __exit__(self, *exception):
		self.connection.close()

	def live(self):
		before = time.monotonic()
		self.connection.iamat(self.id)
		self.slowest = max(self.slowest, time.monotonic() - before)

	def live_until(self, condition, what, limit=30):
		"""Goes on telling where it is until something is so."""
		def lives():
			self.live()
			return condition()
		until(lives, what, limit)


def has_input(client):
	"""A reply, or the end, is there."""
	return bool(client.rest or select.select([client.socket], [], [], 0)[0])
