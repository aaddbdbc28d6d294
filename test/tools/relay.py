#!/usr/bin/python3
"""Passes TCP connections on, and holds every byte back for a while, each way.

    relay.py ADDR:PORT ADDR:PORT --delay-ms 50

Kernels without netem have no other way to make a network slow to answer. Bytes keep
their order and are never lost; there is room for a few megabytes on the way, then the
sender has to wait as on any other line. Stopping this process freezes all connections.
"""

import argparse
import asyncio
import os
import signal
import time

CHUNK = 1 << 16
ON_THE_WAY = 64	# chunks


async def carry(reader, writer, delay_s):
	"""One direction: what came is written when its time has come."""
	queue = asyncio.Queue(ON_THE_WAY)

	async def read():
		while True:
			data = await reader.read(CHUNK)
			await queue.put((time.monotonic() + delay_s, data))
			if not data:
				return

	task = asyncio.ensure_future(read())
	try:
		while True:
			due, data = await queue.get()
			await asyncio.sleep(max(0, due - time.monotonic()))
			if not data:
				writer.write_eof()
				return
			writer.write(data)
			await writer.drain()
	finally:
		task.cancel()


async def connection(reader, writer, target, delay_s):
	writers = [writer]
	try:
		far_reader, far_writer = await asyncio.open_connection(*target)
		writers.append(far_writer)
		ways = [asyncio.ensure_future(carry(reader, far_writer, delay_s)), asyncio.ensure_future(carry(far_reader, writer, delay_s))]
		done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
		for way in ways:
			way.cancel()
		for way in done:
			way.exception()	# a connection that broke is no news
	except OSError:
		pass
	finally:
		for one in writers:
			one.transport.abort()


def address(text):
	host, port = text.rsplit(":", 1)
	return host, int(port)


async def main():
	parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
	parser.add_argument("listen", type=address)
	parser.add_argument("target", type=address)
	parser.add_argument("--delay-ms", type=float, default=0)
	options = parser.parse_args()
	server = await asyncio.start_server(lambda r, w: connection(r, w, options.target, options.delay_ms / 1000), *options.listen)
	asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
	print("Listening on %s:%d" % server.sockets[0].getsockname()[:2], flush=True)
	await server.serve_forever()


if __name__ == "__main__":
	asyncio.run(main())
