"""HTTP as a server speaks it: 1.1 and 2 on asyncio, with a way to misbehave.

A connection reads whole requests and hands each, with a Reply, to the owner's
`serve(request, reply)` coroutine, which is cancelled when the client goes. A
reply is sent piece by piece, so that it may be slow, cut short or wrong.
"""

import asyncio
import socket
import struct

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from upstream_services import Request

REQUEST_MAX = 1 << 20


class Gone(Exception):
	"""The client took its connection or its stream away."""


class Wire(asyncio.Protocol):
	"""What both versions have in common: requests under way, pressure back."""

	def __init__(self, owner):
		self.owner = owner
		self.transport = None
		self.tasks = set()
		self.writable = asyncio.Event()
		self.writable.set()

	def connection_made(self, transport):
		self.transport = transport
		self.owner.opened(self)

	def connection_lost(self, error):
		self.writable.set()
		for task in list(self.tasks):
			task.cancel()
		self.owner.closed(self)

	def pause_writing(self):
		self.writable.clear()

	def resume_writing(self):
		self.writable.set()

	def start(self, request, reply):
		task = asyncio.get_running_loop().create_task(self.owner.serve(request, reply))
		self.tasks.add(task)
		task.add_done_callback(self.tasks.discard)
		return task

	def reset(self):
		"""Ends the connection with a TCP reset."""
		sock = self.transport.get_extra_info("socket")
		sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		self.transport.abort()

	def close(self):
		self.transport.close()


# --- 1.1 ------------------------------------------------------------------------

class Wire1(Wire):
	def __init__(self, owner):
		super().__init__(owner)
		self.rest = b""
		self.task = None

	def data_received(self, data):
		self.rest += data
		self.next()

	def next(self):
		"""One request after the other; what is not HTTP ends the connection."""
		if self.task and not self.task.done():
			return
		head, mark, body = self.rest.partition(b"\r\n\r\n")
		if not mark:
			if len(self.rest) > REQUEST_MAX:
				self.bad("an endless head")
			return
		try:
			request, length = self.take_head(head.decode("ascii"))
		except ValueError as error:
			self.bad("%s in %r" % (error, head[:100]))
			return
		if length > REQUEST_MAX:
			self.bad("a body of %d bytes" % length)
		elif len(body) >= length:
			request.body, self.rest = body[:length], body[length:]
			self.task = self.start(request, Reply1(self))
			self.task.add_done_callback(lambda task: task.cancelled() or self.transport.is_closing() or self.next())

	def bad(self, why):
		self.owner.violation("http", why)
		self.close()

	def take_head(self, text):
		lines = text.split("\r\n")
		method, target, version = lines[0].split(" ")
		if version != "HTTP/1.1":
			raise ValueError("version %s" % version)
		headers = []
		for line in lines[1:]:
			name, colon, value = line.partition(": ")
			if not colon or name != name.strip() or value != value.strip():
				raise ValueError("header line %r" % line)
			headers.append((name.lower(), value))
		names = [name for name, _ in headers]
		if names.count("host") != 1 or "transfer-encoding" in names or names.count("content-length") > 1:
			raise ValueError("host, length or encoding")
		return Request(method, target, headers, b"", 1), int(dict(headers).get("content-length", 0))


class Reply1:
	def __init__(self, wire):
		self.wire = wire

	def head(self, status, headers):
		lines = ["HTTP/1.1 %d Whatever" % status] + ["%s: %s" % header for header in headers]
		self.wire.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

	async def write(self, data):
		for at in range(0, len(data), 1 << 16):
			await self.wire.writable.wait()
			if self.wire.transport.is_closing():
				raise Gone
			self.wire.transport.write(data[at:at + (1 << 16)])

	def end(self):
		pass	# the length said it

	def raw(self, data):
		self.wire.transport.write(data)

	def cut(self):
		self.wire.close()

	def reset(self):
		self.wire.reset()


# --- 2 ----------------------------------------------------------------------------

class Wire2(Wire):
	def __init__(self, owner):
		super().__init__(owner)
		self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="ascii"))
		self.streams = {}	# number: (headers, pieces of the body)
		self.replies = {}	# number: (reply, task)
		self.window = asyncio.Event()	# set and replaced whenever one may have grown

	def connection_made(self, transport):
		super().connection_made(transport)
		self.connection.local_settings.update({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.owner.streams_max})
		self.connection.initiate_connection()
		self.flush()

	def flush(self):
		data = self.connection.data_to_send()
		if data and not self.transport.is_closing():
			self.transport.write(data)

	def data_received(self, data):
		try:
			events = self.connection.receive_data(data)
		except h2.exceptions.ProtocolError as error:
			self.owner.violation("http", "HTTP/2: %r" % error)
			self.flush()
			self.close()
			return
		for event in events:
			self.take(event)
		self.flush()

	def take(self, event):
		number = getattr(event, "stream_id", None)
		if isinstance(event, h2.events.RequestReceived):
			self.streams[number] = (event.headers, [])
		elif isinstance(event, h2.events.DataReceived):
			self.streams[number][1].append(event.data)
			self.connection.acknowledge_received_data(event.flow_controlled_length, number)
		elif isinstance(event, h2.events.StreamEnded):
			self.take_request(number, *self.streams.pop(number))
		elif isinstance(event, h2.events.StreamReset):
			self.streams.pop(number, None)
			if number in self.replies:
				self.replies[number].cancel()
		elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
			self.window.set()
			self.window = asyncio.Event()
		elif isinstance(event, h2.events.ConnectionTerminated):
			self.close()

	def take_request(self, number, headers, pieces):
		pseudo = {name: value for name, value in headers if name.startswith(":")}
		plain = [("host", pseudo.get(":authority", ""))] + [(n, v) for n, v in headers if not n.startswith(":")]
		request = Request(pseudo[":method"], pseudo[":path"], plain, b"".join(pieces), 2)
		if pseudo[":scheme"] != "https":
			self.owner.violation("http", ":scheme %r" % pseudo[":scheme"])
		task = self.start(request, Reply2(self, number))
		self.replies[number] = task
		task.add_done_callback(lambda task: self.replies.pop(number, None))


class Reply2:
	def __init__(self, wire, number):
		self.wire, self.number = wire, number

	def do(self, method, *arguments, **named):
		try:
			getattr(self.wire.connection, method)(self.number, *arguments, **named)
		except (h2.exceptions.ProtocolError, KeyError):
			raise Gone from None
		self.wire.flush()

	def head(self, status, headers):
		self.do("send_headers", [(":status", str(status))] + [(name.lower(), value) for name, value in headers])

	async def write(self, data):
		while data:
			await self.wire.writable.wait()
			connection = self.wire.connection
			try:
				room = min(connection.local_flow_control_window(self.number), connection.max_outbound_frame_size, len(data))
			except h2.exceptions.ProtocolError:
				raise Gone from None
			if self.wire.transport.is_closing():
				raise Gone
			if room == 0:
				await self.wire.window.wait()
				continue
			self.do("send_data", data[:room])
			data = data[room:]

	def end(self):
		self.do("end_stream")

	def raw(self, data):
		self.wire.transport.write(data)

	def cut(self):
		self.wire.close()

	def reset(self):
		self.wire.reset()


class WireEither(asyncio.Protocol):
	"""Finds out which version was agreed upon, and becomes it."""

	def __init__(self, owner):
		self.owner = owner
		self.wire = None

	def connection_made(self, transport):
		tls = transport.get_extra_info("ssl_object")
		two = tls is not None and tls.selected_alpn_protocol() == "h2"
		self.wire = (Wire2 if two else Wire1)(self.owner)
		transport.set_protocol(self.wire)
		self.wire.connection_made(transport)
