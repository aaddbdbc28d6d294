"""herdctl ca: a private authority, looked at with the openssl program."""

import ctypes
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time

import pytest

import harness
from harness import LIMIT

OK, NO, FAILED, USAGE = 0, 1, 2, 64

DAY = 86400


def openssl(*words, status=0):
	done = subprocess.run(["openssl"] + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
		stderr=subprocess.STDOUT, timeout=LIMIT, check=False, encoding="utf-8")
	assert done.returncode == status, done
	return done.stdout


def mode(path):
	return stat.S_IMODE(os.stat(path).st_mode)


def seconds(text):
	"""What herdctl prints as a time, as seconds since 1970."""
	return int(subprocess.run(["date", "-u", "-d", text, "+%s"], stdout=subprocess.PIPE, check=True, timeout=LIMIT).stdout)


class Authority:
	"""A folder for an authority, and one for everything else."""

	def __init__(self, folder):
		self.folder = str(folder)
		self.dir = os.path.join(self.folder, "ca")
		self.tls = os.path.join(self.folder, "tls")
		self.config = os.path.join(self.folder, "herd.conf")
		with open(self.config, "w", encoding="ascii") as file:
			file.write("[flood]\ntls-dir = %s\n" % self.tls)

	def command(self, *words):
		return [harness.program("herdctl"), "--config", self.config, "ca", words[0], "--dir", self.dir] + list(words[1:])

	def run(self, *words, **options):
		done = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			stderr=subprocess.PIPE, timeout=LIMIT, check=False, encoding="utf-8", **options)
		assert not harness.REPORT.search(done.stderr), done.stderr
		return done

	def ok(self, *words, **options):
		"""JSON, parsed."""
		done = self.run(*words, "--json", **options)
		assert done.returncode == OK and done.stderr == "", done
		return json.loads(done.stdout)

	def fails(self, status, *words, **options):
		done = self.run(*words, **options)
		assert done.returncode == status and done.stdout == "" and done.stderr.startswith("herdctl: "), done
		assert "PRIVATE" not in done.stderr
		return done.stderr

	def path(self, *names):
		return os.path.join(self.dir, *names)

	def host(self, name, file="host.crt"):
		return self.path("hosts", name, file)

	def verify(self, certificate, crl=None, status=0, purpose="sslserver"):
		return openssl("verify", "-x509_strict", "-purpose", purpose, "-crl_check", "-CAfile", self.path("ca.crt"),
			"-CRLfile", crl or self.path("ca.crl"), certificate, status=status)

	def states(self):
		return [(entry["name"], entry["state"]) for entry in self.ok("list")["issued"]]

	def everything(self):
		"""{path: (mode, bytes)}"""
		found = {}
		for where, _, names in os.walk(self.folder):
			for name in names:
				path = os.path.join(where, name)
				with open(path, "rb") as file:
					found[os.path.relpath(path, self.folder)] = (mode(path), file.read())
		return found


@pytest.fixture
def empty(tmp_path):
	return Authority(tmp_path)


@pytest.fixture
def ca(empty):
	empty.ok("init")
	return empty


# --- what comes out -------------------------------------------------------------------

def test_init(empty):
	old = os.umask(0)
	try:
		got = empty.ok("init")
	finally:
		os.umask(old)
	assert got["dir"] == empty.dir and len(got["next"]) == 2
	assert abs(seconds(got["expires"]) - time.time() - 3652 * DAY) < 100
	assert mode(empty.dir) == 0o700
	assert {name: mode(empty.path(name)) for name in os.listdir(empty.dir)} == {
		"ca.key": 0o600, "ca.crt": 0o644, "ca.crl": 0o644, "issued": 0o600}
	text = openssl("x509", "-in", empty.path("ca.crt"), "-noout", "-text", "-fingerprint", "-sha256")
	assert "sha256 Fingerprint=" + got["sha256"] in text
	for line in ("CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "prime256v1", "ecdsa-with-SHA256",
			"Subject: CN = Herd authority of herd"):
		assert line in text, text
	assert text.count("critical") == 2
	assert "Private-Key: (256 bit)" in openssl("pkey", "-in", empty.path("ca.key"), "-noout", "-text")
	crl = openssl("crl", "-in", empty.path("ca.crl"), "-noout", "-text", "-CAfile", empty.path("ca.crt"))
	assert "verify OK" in crl and "No Revoked Certificates" in crl and "CRL Number" in crl


def test_issue(ca):
	got = ca.ok("issue", "Hill")
	assert got["dir"] == ca.path("hosts", "Hill") and got["new_key"] is True
	assert "scp -p %s/* root@Hill:/etc/herd/tls/" % got["dir"] in got["next"]
	assert abs(seconds(got["expires"]) - time.time() - 825 * DAY) < 100
	assert mode(got["dir"]) == 0o700
	assert {name: mode(ca.host("Hill", name)) for name in os.listdir(got["dir"])} == {
		"ca.crt": 0o644, "ca.crl": 0o644, "host.crt": 0o644, "host.key": 0o600}
	for purpose in ("sslserver", "sslclient"):
		assert ca.verify(ca.host("Hill"), purpose=purpose).endswith(": OK\n")
	text = openssl("x509", "-in", ca.host("Hill"), "-noout", "-text", "-ext",
		"subjectAltName,extendedKeyUsage,keyUsage,basicConstraints,subjectKeyIdentifier,authorityKeyIdentifier")
	for line in ("DNS:Hill\n", "TLS Web Server Authentication, TLS Web Client Authentication\n", "CA:FALSE\n",
			"Digital Signature\n", "Subject: CN = Hill\n"):
		assert line in text, text
	serial = openssl("x509", "-in", ca.host("Hill"), "-noout", "-serial").strip().lower()
	assert int(serial.partition("=")[2], 16) == int(got["serial"], 16)
	assert openssl("pkey", "-in", ca.host("Hill", "host.key"), "-pubout") == \
		openssl("x509", "-in", ca.host("Hill"), "-noout", "-pubkey")
	for name in ("ca.crt", "ca.crl"):
		with open(ca.path(name), "rb") as mine, open(ca.host("Hill", name), "rb") as theirs:
			assert mine.read() == theirs.read()
	# It began an hour ago, so that a clock that is behind does no harm.
	begin = re.search(r"Not Before: (.*)", text).group(1)
	assert 3500 < time.time() - seconds(begin) < 3700


def test_a_certificate_is_good_for_tls(ca):
	"""What openssl itself says to both ends, and to one without a certificate."""
	ca.ok("issue", "Hill")
	ca.ok("issue", "Jaquez")

	def end(name):
		return ["-cert", ca.host(name), "-key", ca.host(name, "host.key"), "-CAfile", ca.path("ca.crt"), "-tls1_3"]

	server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-naccept", "2", "-Verify", "1",
		"-verify_return_error"] + end("Hill"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
	try:
		while True:
			line = server.stdout.readline().decode()
			assert line, "no address"
			where = re.match(r"ACCEPT (\S+)", line)
			if where:
				break
		done = subprocess.run(["openssl", "s_client", "-connect", where.group(1), "-verify_hostname", "Hill",
			"-verify_return_error"] + end("Jaquez"), input=b"Q\n", stdout=subprocess.PIPE,
			stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
		assert done.returncode == 0 and b"Verify return code: 0 (ok)" in done.stdout, done.stdout
		done = subprocess.run(["openssl", "s_client", "-connect", where.group(1), "-verify_hostname", "Smith",
			"-verify_return_error"] + end("Jaquez"), input=b"Q\n", stdout=subprocess.PIPE,
			stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
		assert done.returncode != 0 and b"hostname mismatch" in done.stdout, done.stdout
	finally:
		server.kill()
		server.communicate(timeout=LIMIT)


def test_out_and_days(ca, tmp_path):
	out = str(tmp_path / "for Jaquez")
	got = ca.ok("issue", "Jaquez", "--out", out, "--days", "30")
	assert got["dir"] == out and mode(out) == 0o700
	assert abs(seconds(got["expires"]) - time.time() - 30 * DAY) < 100
	assert sorted(os.listdir(out)) == ["ca.crl", "ca.crt", "host.crt", "host.key"]
	assert not os.path.exists(ca.path("hosts"))
	ca.verify(os.path.join(out, "host.crt"))


def test_no_longer_than_the_authority(empty):
	authority = empty.ok("init", "--days", "10")
	got = empty.ok("issue", "Hill", "--days", "30")
	assert got["expires"] == authority["expires"]
	assert empty.ok("crl")["crl_expires"] == authority["expires"]
	empty.verify(empty.host("Hill"))


def test_install(ca):
	"""To where the settings say that this host's helper reads it."""
	old = os.umask(0o077)
	try:
		got = ca.ok("issue", "Hill", "--install")
	finally:
		os.umask(old)
	assert got["dir"] == ca.tls and mode(ca.tls) == 0o755
	assert {name: mode(os.path.join(ca.tls, name)) for name in os.listdir(ca.tls)} == {
		"ca.crt": 0o644, "ca.crl": 0o644, "host.crt": 0o644, "host.key": 0o600}
	assert got["next"] == ["here: systemctl daemon-reload && systemctl restart herd-flood"]
	got = ca.ok("issue", "Hill", "--install", "--renew")
	assert got["next"] == ["here: systemctl reload herd-flood"]
	assert "exclude" in ca.fails(USAGE, "issue", "Smith", "--install", "--out", ca.tls)


# --- renewing ----------------------------------------------------------------------------

def test_renew(ca):
	first = ca.ok("issue", "Hill", "--days", "30")
	with open(ca.host("Hill", "host.key"), "rb") as file:
		key = file.read()
	public = openssl("x509", "-in", ca.host("Hill"), "-noout", "-pubkey")
	second = ca.ok("issue", "Hill", "--renew")
	assert second["serial"] != first["serial"] and second["new_key"] is False
	assert not any("host.key" in line or "/* " in line for line in second["next"])
	assert openssl("x509", "-in", ca.host("Hill"), "-noout", "-pubkey") == public
	with open(ca.host("Hill", "host.key"), "rb") as file:
		assert file.read() == key
	ca.verify(ca.host("Hill"))
	assert ca.states() == [("Hill", "good"), ("Hill", "good")]


def test_renew_without_the_key(ca, tmp_path):
	"""It stays where it is: the authority remembers the public half."""
	ca.ok("issue", "Hill")
	public = openssl("x509", "-in", ca.host("Hill"), "-noout", "-pubkey")
	shutil.rmtree(ca.path("hosts"))
	out = str(tmp_path / "out")
	ca.ok("issue", "Hill", "--renew", "--out", out)
	assert sorted(os.listdir(out)) == ["ca.crl", "ca.crt", "host.crt"]
	assert openssl("x509", "-in", os.path.join(out, "host.crt"), "-noout", "-pubkey") == public


def test_renew_what_cannot_be(ca):
	assert "nothing to renew" in ca.fails(NO, "issue", "Hill", "--renew")
	ca.ok("issue", "Hill")
	ca.ok("issue", "Jaquez")
	shutil.copy(ca.host("Jaquez", "host.key"), ca.host("Hill", "host.key"))
	before = ca.everything()
	assert "is not the key" in ca.fails(FAILED, "issue", "Hill", "--renew")
	assert ca.everything() == before
	os.unlink(ca.host("Hill", "host.key"))
	ca.ok("revoke", "Hill")
	assert "was revoked" in ca.fails(FAILED, "issue", "Hill", "--renew")


# --- revoking ------------------------------------------------------------------------------

def test_revoke(ca):
	ca.ok("issue", "Hill")
	ca.ok("issue", "Jaquez")
	ca.ok("issue", "Hill", "--renew")
	before = ca.host("Hill", "ca.crl")
	got = ca.ok("revoke", "Hill")
	assert (got["name"], got["revoked"], got["revoked_ever"], got["crl"]) == ("Hill", 2, 2, ca.path("ca.crl"))
	assert abs(seconds(got["crl_expires"]) - time.time() - 3652 * DAY) < 100
	assert "certificate revoked" in ca.verify(ca.host("Hill"), status=2)
	ca.verify(ca.host("Hill"), crl=before)	# what was handed out before says nothing yet
	ca.verify(ca.host("Jaquez"))
	assert ca.states() == [("Hill", "revoked"), ("Jaquez", "good"), ("Hill", "revoked")]
	got = ca.ok("revoke", "Hill")
	assert (got["revoked"], got["revoked_ever"]) == (0, 2)
	new = ca.ok("issue", "Hill", "--force")
	assert new["new_key"] is True
	ca.verify(ca.host("Hill"))


def test_revoke_one_of_them(ca):
	first = ca.ok("issue", "Hill")
	old = ca.path("old.crt")
	shutil.copy(ca.host("Hill"), old)
	ca.ok("issue", "Hill", "--renew")
	assert ca.ok("revoke", "Hill", "--serial", first["serial"].upper())["revoked"] == 1
	ca.verify(ca.host("Hill"))
	ca.verify(old, status=2)
	assert ca.states() == [("Hill", "revoked"), ("Hill", "good")]


def test_revoke_what_is_not_there(ca):
	ca.ok("issue", "Hill")
	before = ca.everything()
	assert "herdctl ca list" in ca.fails(NO, "revoke", "Jaquez")
	ca.fails(NO, "revoke", "hill")
	ca.fails(NO, "revoke", "Hill", "--serial", "1" * 16)
	ca.fails(USAGE, "revoke", "Hill", "--serial", "1")
	ca.fails(USAGE, "revoke", "Hill", "--serial", "0" * 16)
	assert ca.everything() == before


def test_crl(ca):
	def number():
		return int(openssl("crl", "-in", ca.path("ca.crl"), "-noout", "-crlnumber").strip().partition("=0x")[2], 16)

	ca.ok("issue", "Hill")
	ca.ok("revoke", "Hill")
	first = number()
	got = ca.ok("crl", "--days", "7")
	assert abs(seconds(got["crl_expires"]) - time.time() - 7 * DAY) < 100
	assert number() > first and got["revoked_ever"] == 1
	ca.verify(ca.host("Hill"), status=2)


def test_install_the_revocation_list(ca):
	ca.ok("issue", "Hill", "--install")
	ca.ok("issue", "Jaquez")
	ca.ok("revoke", "Jaquez", "--install")
	ca.verify(ca.host("Jaquez"), crl=os.path.join(ca.tls, "ca.crl"), status=2)
	ca.ok("crl", "--install", "--days", "5")
	with open(ca.path("ca.crl"), "rb") as mine, open(os.path.join(ca.tls, "ca.crl"), "rb") as installed:
		assert mine.read() == installed.read()


def test_the_list_is_what_counts(ca):
	"""A revocation list that is gone, or that nobody made after a kill, comes back."""
	ca.ok("issue", "Hill")
	ca.ok("revoke", "Hill")
	os.unlink(ca.path("ca.crl"))
	ca.ok("crl")
	ca.verify(ca.host("Hill"), status=2)


# --- nothing is overwritten -------------------------------------------------------------------

def test_init_twice(ca):
	before = ca.everything()
	assert "--force" in ca.fails(FAILED, "init")
	assert ca.everything() == before
	ca.ok("issue", "Hill")
	old = ca.everything()
	ca.ok("init", "--force")
	new = ca.everything()
	for name in ("ca.key", "ca.crt", "ca.crl", "issued"):
		assert new["ca/%s.old" % name] == old["ca/" + name]
		assert new["ca/" + name] != old["ca/" + name]
	assert ca.states() == []
	ca.verify(ca.host("Hill"), status=2)
	ca.fails(NO, "issue", "Hill", "--renew")
	again = ca.everything()
	assert "move away" in ca.fails(FAILED, "init", "--force")
	assert ca.everything() == again


def test_issue_twice(ca):
	ca.ok("issue", "Hill")
	before = ca.everything()
	assert "--renew" in ca.fails(FAILED, "issue", "Hill")
	ca.fails(FAILED, "issue", "HILL")	# TLS takes it for the same
	assert ca.everything() == before
	ca.ok("issue", "Hill", "--force")
	assert ca.states() == [("Hill", "good"), ("Hill", "good")]
	ca.verify(ca.host("Hill"))


def test_files_are_there(ca, tmp_path):
	out = tmp_path / "out"
	out.mkdir()
	for name in ("host.key", "host.crt"):
		(out / name).write_text("mine\n")
		before = ca.everything()
		assert name in ca.fails(FAILED, "issue", "Hill", "--out", str(out))
		assert ca.everything() == before
		(out / name).unlink()
	(out / "ca.crt").write_text("another's\n")
	before = ca.everything()
	assert "another authority" in ca.fails(FAILED, "issue", "Hill", "--out", str(out))
	assert ca.everything() == before
	ca.ok("issue", "Hill", "--out", str(out), "--force")
	assert openssl("verify", "-CAfile", str(out / "ca.crt"), str(out / "host.crt"))


def test_two_authorities_in_one_file(ca, tmp_path):
	"""While a herd goes from one to the other, ca.crt and ca.crl are what the operator put together."""
	ca.ok("issue", "Hill", "--install")
	other = Authority(tmp_path / "ca")
	other.dir = str(tmp_path / "other")
	other.ok("init")
	for name in ("ca.crt", "ca.crl"):
		with open(os.path.join(ca.tls, name), "a", encoding="ascii") as file, open(other.path(name), encoding="ascii") as more:
			file.write(more.read())
	before = {name: open(os.path.join(ca.tls, name), "rb").read() for name in ("ca.crt", "ca.crl")}
	done = ca.run("issue", "Hill", "--install", "--renew")
	assert done.returncode == OK and "several authorities" in done.stderr
	assert before == {name: open(os.path.join(ca.tls, name), "rb").read() for name in ("ca.crt", "ca.crl")}


# --- what is wrong -----------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["", ".", "..", "-x", ".x", "a b", "a/b", "*", "*.example", "a" * 64, "a\n", "ä", "a_b"])
def test_names(ca, name):
	before = ca.everything()
	assert "is no host" in ca.fails(USAGE, "issue", "--", name)
	assert ca.everything() == before


@pytest.mark.parametrize("days", ["0", "-1", "x", "", "3653", "99999999999999999999"])
def test_days(ca, days):
	before = ca.everything()
	for words in (("issue", "Hill"), ("crl",), ("init", "--force")):
		assert "days" in ca.fails(USAGE, *words, "--days", days)
	assert ca.everything() == before


def test_no_authority(empty):
	for words in (("issue", "Hill"), ("revoke", "Hill"), ("crl",), ("list",)):
		assert "herdctl ca init" in empty.fails(FAILED, *words)
		assert not os.path.exists(empty.dir)
	os.mkdir(empty.dir)
	for words in (("issue", "Hill"), ("revoke", "Hill"), ("crl",), ("list",)):
		assert "herdctl ca init" in empty.fails(FAILED, *words)
		assert os.listdir(empty.dir) == []
	empty.fails(USAGE, "issue")
	empty.fails(USAGE, "issue", "a", "b")


@pytest.mark.parametrize("bits", [0o644, 0o640, 0o620, 0o602, 0o604])
def test_a_key_that_others_may_read(ca, bits):
	os.chmod(ca.path("ca.key"), bits)
	assert "chmod 600" in ca.fails(FAILED, "issue", "Hill")
	ca.ok("list")	# which needs no key


def test_files_that_are_damaged(ca):
	ca.ok("issue", "Hill")
	for name, words in (("ca.key", ("issue", "Jaquez")), ("ca.crt", ("list",)), ("issued", ("revoke", "Hill")),
			("certs/Hill.crt", ("issue", "Hill", "--renew"))):
		with open(ca.path(name), "rb") as file:
			good = file.read()
		for bad in (b"", b"junk\n", good[:len(good) // 2], good[:100] + b"\0\xff" + good[102:]):
			with open(ca.path(name), "wb") as file:
				file.write(bad)
			before = ca.everything()
			ca.fails(FAILED, *words)
			assert ca.everything() == before
		with open(ca.path(name), "wb") as file:
			file.write(good)
	ca.ok("issue", "Hill", "--renew")


def test_a_key_of_another_authority(ca, tmp_path):
	other = Authority(tmp_path / "ca")
	other.dir = str(tmp_path / "other")
	other.ok("init")
	shutil.copy(other.path("ca.key"), ca.path("ca.key"))
	assert "belong together" in ca.fails(FAILED, "issue", "Hill")


def test_an_authority_that_has_expired(empty):
	os.mkdir(empty.dir, 0o700)
	openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", empty.path("ca.key"))
	openssl("req", "-new", "-key", empty.path("ca.key"), "-subj", "/CN=x", "-out", empty.path("req"))
	openssl("x509", "-req", "-days", "-1", "-in", empty.path("req"), "-signkey", empty.path("ca.key"), "-out", empty.path("ca.crt"))
	with open(empty.path("issued"), "w", encoding="ascii") as file:
		file.write("# nothing\n")
	assert "has expired" in empty.fails(FAILED, "issue", "Hill")


def test_a_key_with_a_passphrase(ca):
	"""Without a terminal nobody can be asked, and nobody waits."""
	openssl("pkey", "-aes256", "-passout", "pass:secret", "-in", ca.path("ca.key"), "-out", ca.path("ca.key.new"))
	os.replace(ca.path("ca.key.new"), ca.path("ca.key"))
	assert "passphrase" in ca.fails(FAILED, "issue", "Hill", start_new_session=True)


def test_bad_settings(empty):
	"""Revoking must not wait until somebody has corrected them."""
	with open(empty.config, "a", encoding="ascii") as file:
		file.write("[herd]\nno-such = 1\n")
	for words in (("init",), ("list",), ("crl",)):
		assert empty.run(*words).returncode == OK
	assert empty.run("issue", "Hill").returncode == 78


def test_a_full_disk(ca):
	"""A limit on the size of files stands for a full disk: nothing is left half."""
	ca.ok("issue", "Hill")
	before = ca.everything()
	for words in (("revoke", "Hill"), ("crl",), ("issue", "Jaquez", "--out", ca.path("hosts", "Hill"), "--force")):
		done = subprocess.run(["sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"] + ca.command(*words),
			stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
		assert done.returncode == FAILED and b"File too large" in done.stderr, done
		assert ca.everything() == before


def test_text(ca):
	shown = ca.run("issue", "Hill").stdout
	assert re.search(r"^name +Hill$", shown, re.M) and re.search(r"^next +scp -p ", shown, re.M)
	lines = ca.run("list").stdout.splitlines()
	assert lines[-2].split() == ["NAME", "STATE", "ISSUED", "EXPIRES", "SERIAL"]
	assert all(len(line) <= 80 for line in lines[-2:])
	assert "PRIVATE" not in shown


def test_json_of_the_list(ca):
	first = ca.ok("issue", "Hill")
	ca.ok("revoke", "Hill")
	got = ca.ok("list")
	assert set(got) == {"dir", "expires", "sha256", "issued"}
	entry, = got["issued"]
	assert set(entry) == {"name", "state", "issued", "expires", "revoked", "serial"}
	assert entry["serial"] == first["serial"] and entry["expires"] == first["expires"]
	assert abs(seconds(entry["revoked"]) - time.time()) < 100


def test_no_key_is_ever_shown(ca):
	"""Settings say where keys are, and nobody says what is in them."""
	ca.ok("issue", "Hill", "--install")
	psk = os.path.join(ca.folder, "psk")
	with open(psk, "w", encoding="ascii") as file:
		file.write("hush-hush-hush-hush\n")
	os.chmod(psk, 0o600)
	with open(ca.config, "a", encoding="ascii") as file:
		file.write("psk-file = %s\n" % psk)
	with open(os.path.join(ca.tls, "host.key"), encoding="ascii") as file:
		key = file.read().splitlines()[1]
	for words in (("config",), ("config", "--json"), ("config", "psk-file"), ("config", "tls-dir"), ("ca", "list", "--dir", ca.dir),
			("--check-config",)):
		done = subprocess.run([harness.program("herdctl"), "--config", ca.config] + list(words), stdin=subprocess.DEVNULL,
			stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT, check=False, encoding="utf-8")
		assert done.returncode == OK and "hush" not in done.stdout and key not in done.stdout, done
		if words == ("config", "psk-file"):
			assert psk in done.stdout


# --- several at once ------------------------------------------------------------------------------

def test_many_at_once(ca):
	names = ["host%d" % i for i in range(12)]
	started = [subprocess.Popen(ca.command("issue", name), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
		stderr=subprocess.PIPE) for name in names]
	for process in started:
		_, said = process.communicate(timeout=LIMIT)
		assert process.returncode == OK, said
	assert sorted(ca.states()) == sorted((name, "good") for name in names)
	assert len({entry["serial"] for entry in ca.ok("list")["issued"]}) == len(names)
	for name in names:
		ca.verify(ca.host(name))


def test_the_same_at_once(ca):
	started = [subprocess.Popen(ca.command("issue", "Hill"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
		stderr=subprocess.DEVNULL) for _ in range(6)]
	assert sorted(process.wait(LIMIT) for process in started) == [OK] + 5 * [FAILED]
	assert ca.states() == [("Hill", "good")]


def test_two_inits_at_once(empty):
	started = [subprocess.Popen(empty.command("init"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
		stderr=subprocess.DEVNULL) for _ in range(6)]
	assert sorted(process.wait(LIMIT) for process in started) == [OK] + 5 * [FAILED]
	empty.ok("issue", "Hill")


# --- killed at any moment ----------------------------------------------------------------------------

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_SETOPTIONS, EXITKILL = 0, 24, 0x4200, 0x100000


def traced(command, stops):
	"""Runs the command until it has entered or left the kernel so many times, then kills it. How many it took to end,
	if it has."""
	env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")	# which needs ptrace itself
	null = os.open(os.devnull, os.O_RDWR)
	pid = os.fork()
	if pid == 0:
		try:
			for fd in range(3):
				os.dup2(null, fd)
			libc.ptrace(PTRACE_TRACEME, 0, None, None)
			os.execve(command[0], command, env)
		finally:
			os._exit(127)
	os.close(null)
	ended = False
	try:
		_, status = os.waitpid(pid, 0)
		assert os.WIFSTOPPED(status)
		libc.ptrace(PTRACE_SETOPTIONS, pid, None, ctypes.c_void_p(EXITKILL))
		for n in range(stops):
			if libc.ptrace(PTRACE_SYSCALL, pid, None, None) < 0:
				raise OSError(ctypes.get_errno(), "ptrace")
			_, status = os.waitpid(pid, 0)
			if not os.WIFSTOPPED(status):
				ended = True
				return n
		return None
	finally:
		if not ended:
			os.kill(pid, signal.SIGKILL)
			os.waitpid(pid, 0)


def each_moment(ca, words, prepare, judge, most=1 << 20):
	"""Kills the command at each system call from the first change on; every state must be one that can be gone on from."""
	prepare()
	whole = traced(ca.command(*words), 1 << 20)
	prepare()
	before = ca.everything()
	low, high = 0, whole	# the first stop after which something is different
	while high - low > 1:
		middle = (low + high) // 2
		prepare()
		before = ca.everything()
		traced(ca.command(*words), middle)
		low, high = (low, middle) if set(ca.everything()) != set(before) else (middle, high)
	for stops in range(low, whole, max(1, (whole - low) // most)):
		prepare()
		traced(ca.command(*words), stops)
		judge()
		for path, (bits, data) in ca.everything().items():
			if b"PRIVATE KEY" in data:
				assert bits == 0o600, path


def test_killed_init(empty):
	def prepare():
		shutil.rmtree(empty.dir, ignore_errors=True)
		os.mkdir(empty.dir)

	def judge():
		if os.path.exists(empty.path("ca.crt")):
			empty.ok("issue", "Hill")
			empty.verify(empty.host("Hill"))
			return
		empty.fails(FAILED, "issue", "Hill")
		if empty.run("init").returncode != OK:
			empty.ok("init", "--force")
		empty.ok("issue", "Hill")
		empty.verify(empty.host("Hill"))

	each_moment(empty, ("init",), prepare, judge, 40)


def test_killed_issue(ca):
	whole = ca.folder + "-whole"
	ca.ok("issue", "Jaquez")
	shutil.copytree(ca.folder, whole)

	def prepare():
		shutil.rmtree(ca.folder)
		shutil.copytree(whole, ca.folder)

	def judge():
		listed = {entry["serial"] for entry in ca.ok("list")["issued"]}
		if os.path.exists(ca.host("Hill")):
			serial = openssl("x509", "-in", ca.host("Hill"), "-noout", "-serial").strip().partition("=")[2]
			assert serial.lower().rjust(16, "0") in listed	# so that it can be revoked
		assert ca.run("revoke", "Hill").returncode in (OK, NO)
		ca.ok("issue", "Hill", "--force")
		ca.verify(ca.host("Hill"))
		ca.verify(ca.host("Jaquez"))

	each_moment(ca, ("issue", "Hill"), prepare, judge, 40)


def test_killed_revoke(ca):
	whole = ca.folder + "-whole"
	ca.ok("issue", "Hill")
	ca.ok("issue", "Jaquez")
	shutil.copytree(ca.folder, whole)

	def prepare():
		shutil.rmtree(ca.folder)
		shutil.copytree(whole, ca.folder)

	def judge():
		if "revoked" in dict(ca.states())["Hill"]:
			ca.ok("crl")
		else:
			ca.verify(ca.host("Hill"))
			ca.ok("revoke", "Hill")
		ca.verify(ca.host("Hill"), status=2)
		ca.verify(ca.host("Jaquez"))

	each_moment(ca, ("revoke", "Hill"), prepare, judge, 40)
