"""A places service of our own: what the tests of network lookups stand on.

Upstream starts upstream_server.py in a process of its own, with certificates
of an authority made by openssl, and talks to its control socket. A test that
ends with a violation on record (a request that is not exactly as the services'
documentation has it, upstream_services.py) has failed.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

from harness import LIMIT, Process, until
from upstream_services import CONTACT, KEYS, SERVICES

PROGRAM = os.path.join(os.path.dirname(os.path.realpath(__file__)), "upstream_server.py")


def openssl(folder, *words):
	done = subprocess.run(["openssl"] + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
		stderr=subprocess.STDOUT, cwd=folder, timeout=LIMIT, check=False)
	assert done.returncode == 0, (words, done.stdout)


class Certificates:
	"""Two authorities and what they signed: good, wrong-name, expired; other is the second one's."""

	def __init__(self, folder):
		self.folder = str(folder)
		for authority in ("ca", "other-ca"):
			openssl(self.folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
				"-subj", "/CN=herd test %s" % authority, "-keyout", authority + ".key", "-out", authority + ".crt")
			open(os.path.join(self.folder, authority + ".index"), "w", encoding="ascii").close()
		with open(os.path.join(self.folder, "ca.cnf"), "w", encoding="ascii") as file:
			for authority in ("ca", "other-ca"):
				file.write("[%s]\ndatabase = %s.index\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\n"
					"policy = any\ncertificate = %s.crt\nprivate_key = %s.key\n" % ((authority,) * 4))
			file.write("[any]\ncommonName = supplied\n[here]\nsubjectAltName = DNS:localhost, IP:127.0.0.1\n"
				"[elsewhere]\nsubjectAltName = DNS:elsewhere.example\n")
		self.issue("good")
		self.issue("wrong-name", names="elsewhere")
		self.issue("expired", dates=("20200101000000Z", "20200201000000Z"))
		self.issue("other", authority="other-ca")

	def issue(self, name, authority="ca", names="here", dates=None):
		openssl(self.folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name,
			"-keyout", name + ".key", "-out", name + ".csr")
		valid = ["-startdate", dates[0], "-enddate", dates[1]] if dates else ["-days", "30"]
		openssl(self.folder, "ca", "-batch", "-notext", "-config", "ca.cnf", "-name", authority, "-extensions", names,
			"-in", name + ".csr", "-out", name + ".crt", *valid)

	def path(self, name):
		return os.path.join(self.folder, name)


class Upstream:
	def __init__(self, certificates):
		self.folder = tempfile.mkdtemp(prefix="herd-up-")	# short: a socket's path has 107 bytes
		for name in os.listdir(certificates.folder):
			if name.endswith((".crt", ".key")):
				shutil.copy(certificates.path(name), self.folder)
		self.ca = os.path.join(self.folder, "ca.crt")
		self.process = Process("upstream", [sys.executable, PROGRAM, self.folder], self.folder)
		self.port = int(self.process.wait_log(r"Listening on (\d+)").group(1))
		self.control = socket.socket(socket.AF_UNIX)
		self.control.settimeout(LIMIT)
		self.control.connect(os.path.join(self.folder, "control"))
		self.reader = self.control.makefile("rb")

	def do(self, word, argument=None):
		self.control.sendall(json.dumps([word, argument]).encode() + b"\n")
		line = self.reader.readline()
		assert line, self.process.text()
		done = json.loads(line)
		assert not (isinstance(done, dict) and "error" in done), done
		return done

	def url(self, service, scheme="https", host="localhost"):
		return "%s://%s:%d%s" % (scheme, host, self.port, SERVICES[service].path if service == "overpass" else "")

	def fault(self, kind, **more):
		self.do("fault", dict(more, kind=kind))

	def well(self):
		self.do("well")

	def release(self):
		self.do("release")

	def door(self, **how):
		self.do("door", how)

	def counts(self):
		return self.do("counts")

	def count(self, service):
		return self.counts()["services"][service]

	def asked(self, service):
		"""Questions, oldest first."""
		return self.do("asked", service)["questions"]

	def times(self, service):
		"""When they came, by the monotonic clock."""
		return self.do("asked", service)["times"]

	def wait_held(self, service, number, limit=LIMIT):
		"""Waits until so many requests are there and not answered."""
		until(lambda: self.count(service)["in_flight"] == number,
			lambda: "%d in flight: %r" % (number, self.count(service)), limit)

	def check(self):
		"""Nothing but documented requests came."""
		text = self.process.text()
		assert "Traceback" not in text, text[-3000:]
		self.process.check()
		counts = self.counts()
		assert not counts["violations"], counts["violations"]
		assert not counts["strays"], counts["strays"]

	def end(self):
		self.control.close()
		self.process.end()
		shutil.rmtree(self.folder, ignore_errors=True)


__all__ = ["CONTACT", "KEYS", "Certificates", "Upstream"]
