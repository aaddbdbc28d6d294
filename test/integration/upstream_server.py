#!/usr/bin/python3
"""The program behind upstream.py: an HTTPS server that plays places services.

    upstream_server.py FOLDER

FOLDER holds NAME.crt and NAME.key of the certificates it can show. It listens
on a port of the kernel's choosing on 127.0.0.1 and says so on standard output;
a line of JSON on the unix socket FOLDER/control gets a line of JSON back: see
Server.do_*. Faults are switched there, and counters read.
"""

import asyncio
import gzip
import json
import os
import socket
import ssl
import sys
import zlib

from upstream_services import KEYS, SERVICES, Refused
from upstream_wire import Gone, WireEither

CERTIFICATES = ("good", "wrong-name", "expired", "other")
QUESTIONS_MAX = 20000	# kept for whoever asks what was asked


def bomb(size=1 << 30):
	"""A GiB of blanks in a MB."""
	packer = zlib.compressobj(9, zlib.DEFLATED, 31)
	blanks = b" " * (1 << 20)
	return b"".join([packer.compress(blanks) for _ in range(size >> 20)] + [packer.flush()])


class Count:
	"""Of one service."""

	def __init__(self):
		self.requests = self.answered = self.in_flight = self.in_flight_max = self.cancelled = self.http2 = 0
		self.times = []
		self.questions = []


class Server:
	def __init__(self, folder):
		self.folder = folder
		self.wires = set()
		self.connections = self.connections_max = 0
		self.violations = []
		self.strays = []	# requests for nothing that is here: where a redirect led to
		self.counts = {name: Count() for name in SERVICES}
		self.faults = []	# the first one that fits a request is done to it
		self.released = asyncio.Event()
		self.streams_max = 100
		self.certificate, self.http2, self.accept_delay = "good", True, 0
		self.contexts = {(name, two): self.context(name, two) for name in CERTIFICATES for two in (False, True)}
		self.door = self.context("good", True)
		self.door.sni_callback = self.choose
		self.listener = None
		self.held = set()	# tasks, so that nobody collects them
		self.bomb = None

	# Connections -----------------------------------------------------------------

	def context(self, name, two):
		context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		context.load_cert_chain(os.path.join(self.folder, name + ".crt"), os.path.join(self.folder, name + ".key"))
		context.set_alpn_protocols(["h2", "http/1.1"] if two else ["http/1.1"])
		return context

	def choose(self, tls, name, context):
		"""Each handshake gets the certificate and the versions of the moment."""
		tls.context = self.contexts[self.certificate, self.http2]

	def listen(self, port=0):
		self.listener = socket.socket()
		self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		self.listener.bind(("127.0.0.1", port))
		self.listener.listen(4096)
		self.listener.setblocking(False)
		self.keep(self.accept(self.listener))
		return self.listener.getsockname()[1]

	def keep(self, coroutine):
		task = asyncio.get_running_loop().create_task(coroutine)
		self.held.add(task)
		task.add_done_callback(self.held.discard)

	async def accept(self, listener):
		loop = asyncio.get_running_loop()
		while listener.fileno() >= 0:
			sock, _ = await loop.sock_accept(listener)
			sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
			self.connections += 1
			self.keep(self.welcome(sock))

	async def welcome(self, sock):
		loop = asyncio.get_running_loop()
		if self.accept_delay:
			await asyncio.sleep(self.accept_delay)
		try:
			first = b""
			while not first:	# TLS begins with 22; all else is without
				first = await self.peek(sock)
			await loop.connect_accepted_socket(lambda: WireEither(self), sock, ssl=self.door if first == b"\x16" else None)
		except (OSError, ssl.SSLError, asyncio.CancelledError):
			sock.close()

	async def peek(self, sock):
		loop, ready = asyncio.get_running_loop(), asyncio.Event()
		loop.add_reader(sock, ready.set)
		try:
			await ready.wait()
		finally:
			loop.remove_reader(sock)
		first = sock.recv(1, socket.MSG_PEEK)
		if not first:
			raise OSError("closed")
		return first

	def opened(self, wire):
		self.wires.add(wire)
		self.connections_max = max(self.connections_max, len(self.wires))

	def closed(self, wire):
		self.wires.discard(wire)

	def violation(self, service, why):
		if len(self.violations) < 100:
			self.violations.append("%s: %s" % (service, why))

	# Requests ----------------------------------------------------------------------

	async def serve(self, request, reply):
		service = next((one for one in SERVICES.values() if one.path == request.path), None)
		if not service:
			self.strays.append("%s %s" % (request.method, request.path))
			await self.send(reply, 404, "text/html", b"<html>nothing here</html>")
			return
		count = self.counts[service.name]
		count.requests += 1
		count.http2 += request.version == 2
		count.in_flight += 1
		count.in_flight_max = max(count.in_flight_max, count.in_flight)
		if len(count.times) < QUESTIONS_MAX:
			count.times.append(asyncio.get_running_loop().time())
		try:
			await self.answer(service, count, request, reply)
			count.answered += 1
		except Gone:
			count.cancelled += 1
		except asyncio.CancelledError:
			count.cancelled += 1
			raise
		finally:
			count.in_flight -= 1

	async def answer(self, service, count, request, reply):
		try:
			if service.name == "overpass" and count.in_flight > 1:
				raise Refused("rate_limited: %d at a time" % count.in_flight, status=429)
			question = service.ask(request)
		except Refused as refused:
			self.violation(service.name, refused.why)
			await self.send(reply, *service.failure(refused.status, refused.why, refused.reason))
			return
		if len(count.questions) < QUESTIONS_MAX:
			count.questions.append(question.told())
		fault = self.next_fault(service)
		if fault:
			await getattr(self, "fault_" + fault["kind"].replace("-", "_"))(fault, service, question, reply)
		else:
			await self.send(reply, 200, "application/json; charset=UTF-8", service.answer(question))

	async def send(self, reply, status, content_type, body, *more, length=None):
		headers = [("Content-Type", content_type), ("Content-Length", str(len(body) if length is None else length))]
		reply.head(status, headers + list(more))
		await reply.write(body)
		if length is None:
			reply.end()

	# Faults ------------------------------------------------------------------------

	def next_fault(self, service):
		for fault in self.faults:
			if fault.get("service", service.name) == service.name and fault.get("times", 1) > 0:
				if "times" in fault:
					fault["times"] -= 1
				return fault
		return None

	async def proper(self, service, question, reply):
		await self.send(reply, 200, "application/json; charset=UTF-8", service.answer(question))

	async def fault_none(self, fault, service, question, reply):
		"""Nothing is wrong: so many times, before what comes next."""
		await self.proper(service, question, reply)

	async def fault_delay(self, fault, service, question, reply):
		await asyncio.sleep(fault["seconds"])
		await self.proper(service, question, reply)

	async def fault_hold(self, fault, service, question, reply):
		"""Until somebody says `release`."""
		await self.released.wait()
		await self.proper(service, question, reply)

	async def fault_stall(self, fault, service, question, reply):
		"""Half of an answer, and then nothing."""
		body = service.answer(question)
		await self.send(reply, 200, "application/json", body[:len(body) // 2], length=len(body))
		await self.released.wait()

	async def fault_drip(self, fault, service, question, reply):
		body = service.answer(question)
		await self.send(reply, 200, "application/json", b"", length=len(body))
		for byte in body:
			await reply.write(bytes([byte]))
			await asyncio.sleep(fault.get("seconds", 1))
		reply.end()

	async def fault_status(self, fault, service, question, reply):
		status, kind, body = service.failure(fault["status"], fault.get("message", "not now"), fault.get("reason"))
		more = [("Retry-After", str(fault["retry_after"]))] if "retry_after" in fault else []
		status = fault["status"] if fault.get("bare", True) else status	# what stands before a service knows no words of its own
		await self.send(reply, status, kind, body, *more)

	async def fault_say(self, fault, service, question, reply):
		"""Whatever the test wants."""
		await self.send(reply, fault.get("status", 200), fault.get("type", "application/json"), fault["body"].encode())

	async def fault_echo(self, fault, service, question, reply):
		"""An error message that tells the key."""
		key = KEYS.get(service.name, "no key")
		status, kind, body = service.failure(fault.get("status", 403), "The key '%s' may not do this (key=%s)." % (key, key))
		await self.send(reply, status, kind, body)

	async def fault_reset(self, fault, service, question, reply):
		reply.reset()

	async def fault_reset_body(self, fault, service, question, reply):
		body = service.answer(question)
		await self.send(reply, 200, "application/json", body[:len(body) // 2], length=len(body))
		await asyncio.sleep(0.05)	# so that it leaves
		reply.reset()

	async def fault_short(self, fault, service, question, reply):
		body = service.answer(question)
		await self.send(reply, 200, "application/json", body[:len(body) // 2], length=len(body))
		reply.cut()

	async def fault_empty(self, fault, service, question, reply):
		await self.send(reply, 200, "application/json", b"")

	async def fault_garbage(self, fault, service, question, reply):
		await self.send(reply, 200, "application/json", os.urandom(5000))

	async def fault_not_http(self, fault, service, question, reply):
		reply.raw(b"\0\xff\xfe SSH-2.0-OpenSSH_9.2p1 \n\n" + os.urandom(500))
		await asyncio.sleep(0.05)
		reply.cut()

	async def fault_html(self, fault, service, question, reply):
		await self.send(reply, 200, "text/html", b"<!DOCTYPE html><html><body>Welcome to the hotel's network</body></html>")

	async def fault_shape(self, fault, service, question, reply):
		"""JSON, and not what was promised."""
		bodies = [b"[1,2,3]", b"null", b'"OK"', b'{"places":"none","results":7,"elements":{}}',
			b'{"places":[{"id":5}],"results":[{"geometry":9}],"status":[],"elements":[[]]}']
		await self.send(reply, 200, "application/json", bodies[fault.get("which", 3)])

	async def fault_redirect(self, fault, service, question, reply):
		host, port = self.listener.getsockname()
		await self.send(reply, fault.get("status", 302), "text/html", b"elsewhere", ("Location", "https://localhost:%d/elsewhere" % port))

	async def fault_big(self, fault, service, question, reply):
		body = b'{"junk":"' + b"x" * fault.get("bytes", 30 << 20) + b'"}'
		await self.send(reply, 200, "application/json", body)

	async def fault_endless(self, fault, service, question, reply):
		"""Nobody said how long it is, and it is long."""
		reply.head(200, [("Content-Type", "application/json")])
		for _ in range(30):
			await reply.write(b" " * (1 << 20))
		reply.end()
		reply.cut()

	async def fault_bomb(self, fault, service, question, reply):
		self.bomb = self.bomb or bomb()
		await self.send(reply, 200, "application/json", self.bomb, ("Content-Encoding", "gzip"))

	async def fault_gzip(self, fault, service, question, reply):
		"""No fault: a compressed answer."""
		await self.send(reply, 200, "application/json", gzip.compress(service.answer(question)), ("Content-Encoding", "gzip"))

	async def fault_deep(self, fault, service, question, reply):
		depth = fault.get("depth", 200000)
		await self.send(reply, 200, "application/json", b'{"places":' + b"[" * depth + b"]" * depth + b"}")

	# Control -------------------------------------------------------------------------

	def do_fault(self, fault):
		"""Adds one: kind, service (else all), times (else always) and what the kind wants."""
		assert hasattr(self, "fault_" + fault["kind"].replace("-", "_")), fault
		self.faults.append(fault)

	def do_well(self, _):
		"""No fault any more."""
		self.faults.clear()
		self.certificate, self.http2, self.accept_delay = "good", True, 0

	def do_release(self, _):
		"""Who was held is answered."""
		self.released.set()
		self.released = asyncio.Event()

	def do_door(self, how):
		"""What the next connections find. Those there are now end."""
		self.certificate = how.get("certificate", self.certificate)
		self.http2 = how.get("http2", self.http2)
		self.accept_delay = how.get("accept_delay", self.accept_delay)
		self.streams_max = how.get("streams_max", self.streams_max)
		self.do_hang_up(None)

	def do_hang_up(self, _):
		for wire in list(self.wires):
			wire.close()

	def do_refuse(self, _):
		"""Nobody listens any more; do_listen puts that right."""
		port = self.listener.getsockname()[1]
		asyncio.get_running_loop().remove_reader(self.listener)
		self.listener.close()
		self.do_hang_up(None)
		return port

	def do_listen(self, port):
		self.listen(port)

	def do_forget(self, _):
		"""Counts from here on."""
		self.counts = {name: self.kept(count) for name, count in self.counts.items()}
		self.violations, self.strays = [], []
		self.connections, self.connections_max = 0, len(self.wires)

	def kept(self, old):
		old.requests = old.answered = old.cancelled = old.http2 = 0
		old.in_flight_max = old.in_flight
		old.times, old.questions = [], []
		return old

	def do_counts(self, _):
		return {"services": {name: {key: value for key, value in vars(count).items() if key not in ("questions", "times")}
				for name, count in self.counts.items()},
			"connections": self.connections, "open": len(self.wires), "open_max": self.connections_max,
			"violations": self.violations, "strays": self.strays}

	def do_asked(self, service):
		return {"questions": self.counts[service].questions, "times": self.counts[service].times}

	async def control(self, reader, writer):
		while True:
			line = await reader.readline()
			if not line:
				break
			word, argument = json.loads(line)
			try:
				done = getattr(self, "do_" + word)(argument)
			except Exception as error:	# told to the test, which fails
				done = {"error": repr(error)}
			writer.write(json.dumps(done).encode() + b"\n")
			await writer.drain()
		writer.close()


async def main(folder):
	server = Server(folder)
	port = server.listen()
	await asyncio.start_unix_server(server.control, os.path.join(folder, "control"))
	print("Listening on %d" % port, flush=True)
	await asyncio.Event().wait()


if __name__ == "__main__":
	asyncio.run(main(sys.argv[1]))
