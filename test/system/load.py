"""Clients under way while things break, and the record that is held against them after.

Each client thread owns its ids: it tells fixes with growing times, and writes down what
was acknowledged. A connection may break, since the process behind it was killed; it must
never be refused, a reply must be the right one, and no read, during or after, may return
less than what was acknowledged before.
"""

import threading
import time

import machine as machines
from harness import At, Closed, now_text, time_ns

PAUSE_S = 0.002	# between commands: the machines share two processors with other tests
IDS = 20	# per client


class Client(threading.Thread):
	"""One client, which goes round a list of doors (addresses or socket paths)."""

	def __init__(self, load, number):
		super().__init__(daemon=True)
		self.load = load
		self.number = number
		self.connection = None
		self.told = {}	# id: time of the newest fix acknowledged
		self.acknowledged = self.broken = self.reads = 0
		self.worst_s = 0.0
		self.wrong = []

	def run(self):
		turn = 0
		while not self.load.enough.is_set():
			started = time.monotonic()
			try:
				self.turn(turn)
				self.worst_s = max(self.worst_s, time.monotonic() - started)
			except (Closed, ConnectionResetError, BrokenPipeError):
				self.broken += 1
				self.hang_up()
			except ConnectionRefusedError as error:
				if not self.load.ending:
					self.wrong.append("refused: %s" % error)
				self.hang_up()
			except Exception as error:	# whatever it was, the test has to hear of it
				self.wrong.append(repr(error))
				self.hang_up()
			turn += 1
			time.sleep(PAUSE_S)
		self.hang_up()

	def hang_up(self):
		if self.connection:
			self.connection.close()
			self.connection = None

	def turn(self, turn):
		if self.connection is None or turn % 50 == 49:
			self.hang_up()
			doors = self.load.doors
			self.connection = self.load.machine.client(doors[(self.number + turn // 50 + self.broken) % len(doors)],
				limit=self.load.reply_s)
		name = b"load-%d-%d" % (self.number, turn % IDS)
		if turn % 3 == 2 and name in self.told:
			self.reads += 1
			self.load.compare(name, self.told[name], self.connection.held(name), self.wrong)
			return
		reply = self.connection.iamat(name, at=now_text())
		self.told[name] = time_ns(reply.time)
		self.acknowledged += 1


class Load:
	"""with Load(machine, doors): the clients run meanwhile, and are checked at the end."""

	def __init__(self, machine, doors, clients=4, reply_s=30.0):
		self.machine = machine
		self.doors = doors
		self.reply_s = reply_s
		self.enough = threading.Event()
		self.ending = False	# set to True: from now on nobody may be there
		self.clients = [Client(self, n) for n in range(clients)]

	def __enter__(self):
		for client in self.clients:
			client.start()
		self.progress()
		return self

	def __exit__(self, kind, *exception):
		self.enough.set()
		for client in self.clients:
			client.join(2 * self.reply_s)
			assert not client.is_alive(), "a client is stuck"
		if kind is None and not self.ending:
			self.check()

	def acknowledged(self):
		return sum(c.acknowledged for c in self.clients)

	def broken(self):
		return sum(c.broken for c in self.clients)

	def progress(self, commands=20):
		"""Waits until every client has had some more fixes acknowledged."""
		goals = [c.acknowledged + commands for c in self.clients]
		machines.until(lambda: all(c.acknowledged >= g for c, g in zip(self.clients, goals)) or self.wrong(),
			lambda: "clients are served; they are at %r of %r" % ([c.acknowledged for c in self.clients], goals))
		assert not self.wrong(), self.wrong()

	def wrong(self):
		return [w for c in self.clients for w in c.wrong][:10]

	@staticmethod
	def compare(name, told, line, wrong):
		if line is None:
			wrong.append("%s: acknowledged fix is gone" % name.decode())
		else:
			at = At(line)
			if at.client != name or time_ns(at.time) < told:
				wrong.append("%s: told %d, but held is %r" % (name.decode(), told, line))

	def check(self, told=None):
		"""Nothing went wrong, and every acknowledged fix, or those of `told`, is at every door."""
		assert not self.wrong(), self.wrong()
		told = told or self.told()
		assert told, "nothing was told"
		wrong = []
		for door in self.doors:
			with self.machine.client(door) as client:
				for name, at in told.items():
					self.compare(name, at, client.held(name), wrong)
		assert not wrong, (len(wrong), wrong[:5])

	def told(self):
		"""{id: time of the newest fix acknowledged}"""
		return {name: at for c in self.clients for name, at in dict(c.told).items()}
