"""What the services may and may not do, tried from inside."""

import ast
import ctypes
import os
import re

import pytest

import machine as machines

MEMBER, HELPER = "herd@Alpha.service", "herd-flood.service"
EXPOSURE_MAX = 1.5
UNITS = ["herd@Alpha.service", "herd@Alpha.socket", "herd-udp@Alpha.socket", "herd-flood.service", "herd.target",
	"herd.slice"]


def test_exposure(shared, capsys):
	"""The figures are in the log of the run."""
	for unit in (MEMBER, HELPER):
		text = shared.run("systemd-analyze", "security", "--no-pager", unit).stdout
		figure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", text).group(1)
		with capsys.disabled():
			print("\nexposure of %s: %s" % (unit, figure))
		assert float(figure) <= EXPOSURE_MAX, text


def test_units_are_accepted(shared):
	done = shared.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=yes", *UNITS)
	assert done.stdout + done.stderr == "", done


@pytest.mark.parametrize("unit", [MEMBER, HELPER])
def test_no_privileges(shared, unit):
	pid = shared.main_pid(unit)
	with open("/proc/%d/status" % pid, encoding="ascii") as file:
		status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
	uid = int(shared.sh("id -u herd"))
	assert 0 < uid < 1000	# a system user: logind takes the shared memory of others away
	assert set(status["Uid"].split()) == {str(uid)}
	for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
		assert int(status[name], 16) == 0, (name, status[name])
	assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


PLACES = ["/", "/etc", "/etc/herd", "/usr", "/usr/bin", "/var", "/var/lib", "/var/log", "/var/cache", "/var/tmp", "/home",
	"/root", "/srv", "/opt", "/boot", "/run", "/run/systemd", "/run/lock", "/tmp", "/dev", "/dev/shm", "/dev/mqueue", "/proc",
	"/proc/sys/kernel", "/sys", "/sys/fs/cgroup", "/run/herd", "/var/lib/herd", "/var/lib/herd/members"]
PROGRAMS = ["/bin/sh", "/usr/bin/dpkg", "/usr/bin/systemctl"]


def try_places():
	"""Where a file can be made."""
	found = []
	for place in PLACES:
		path = place.rstrip("/") + "/herd-try"
		try:
			os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
		except OSError:
			continue
		found.append(place)
		os.unlink(path)
	return found


def try_programs():
	"""What can be run."""
	return [program for program in PROGRAMS if os.access(program, os.X_OK)]


def inside(machine, pid, user, function):
	"""What function() returns where that process lives, as its user and without capabilities: in a child of ours, which
	needs nothing that is run there."""
	uid, gid = (int(n) for n in machine.sh("id -u %s; id -g %s" % (user, user)).split())
	reader, writer = os.pipe()
	place = os.open("/proc/%d/ns/mnt" % pid, os.O_RDONLY)
	child = os.fork()
	if child == 0:
		try:
			if machines.libc.setns(place, 0) != 0:
				raise OSError(ctypes.get_errno(), "setns")
			os.chdir("/")
			os.setgroups([])
			os.setresgid(gid, gid, gid)
			os.setresuid(uid, uid, uid)
			os.write(writer, repr((True, function())).encode())
		except BaseException as error:	# whatever it was, this process must not come back
			os.write(writer, repr((False, repr(error))).encode())
		finally:
			os._exit(0)
	os.close(writer)
	os.close(place)
	with os.fdopen(reader, "rb") as file:
		good, value = ast.literal_eval(file.read().decode())
	os.waitpid(child, 0)
	if not good:
		raise RuntimeError(value)
	return value


def test_member_writes_table_run_and_its_budget_only(shared):
	assert inside(shared, shared.main_pid(MEMBER), "herd", try_places) == ["/dev/shm", "/run/herd", "/var/lib/herd/members"]


def test_helper_writes_its_state_as_well(shared):
	assert inside(shared, shared.main_pid(HELPER), "herd", try_places) == ["/dev/shm", "/run/herd", "/var/lib/herd", "/var/lib/herd/members"]


def test_the_trial_can_write(shared):
	"""That nothing is written above means something: root can, outside the sandbox."""
	assert {"/", "/etc", "/tmp", "/var/lib", "/run"} <= set(inside(shared, shared.leader, "root", try_places))


def test_no_shell(shared):
	"""The services can run nothing that would help an intruder."""
	for unit in (MEMBER, HELPER):
		assert inside(shared, shared.main_pid(unit), "herd", try_programs) == []
	assert inside(shared, shared.leader, "herd", try_programs) == PROGRAMS


def test_unit_socket_is_for_everybody(shared):
	"""Any user of the host may talk to a member, but herdctl's sockets are for herd and root alone."""
	mode = os.stat(shared.path("/run/herd/Alpha.sock")).st_mode & 0o777
	assert mode == 0o666
	for name in os.listdir(shared.path("/run/herd")):
		if name.startswith("herd."):
			assert os.stat(shared.path("/run/herd/" + name)).st_mode & 0o777 == 0o600, name
	done = shared.run("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "herdctl", "reload",
		status=None)
	assert done.returncode != 0, done


def test_table_is_private_to_the_user(shared):
	stat = os.stat(shared.path("/dev/shm/herd"))
	assert stat.st_mode & 0o777 == 0o600 and stat.st_uid == int(shared.sh("id -u herd"))


def test_limits_fit_the_settings(machine):
	"""Descriptors for all the connections, and as much memory as the settings let a member use."""
	machine.run("herdctl", "add", "Bravo")
	machine.write("/etc/herd/herd.conf.d/test.conf", "[member Alpha]\nconnections-max = 100000\nunsent-max = 1M\n")
	machine.systemctl("daemon-reload")
	def descriptors(pid):
		with open("/proc/%d/limits" % pid, encoding="ascii") as file:
			return int(re.search(r"^Max open files +\d+ +(\d+) ", file.read(), re.MULTILINE).group(1))

	assert machine.show(MEMBER, "LimitNOFILE") == "524288"
	assert descriptors(machine.main_pid(MEMBER)) == min(524288, descriptors(machine.leader))	# what this host has to give
	limits = [machine.show(unit, "MemoryMax") for unit in (MEMBER, "herd@Bravo.service")]
	assert all(limit.isdigit() for limit in limits), limits
	assert int(limits[0]) > int(limits[1]) > 16 << 20, limits


def test_credential(machine):
	"""A key in the credential store, readable by root alone, reaches the member and nobody else."""
	machine.write("/etc/credstore/herd.google-key", "a secret\n", 0o600)
	machine.systemctl("restart", MEMBER)
	folder = "/run/credentials/" + MEMBER
	path = folder + "/google-key"

	def read():
		with open(path, "rb") as file:
			return file.read()

	assert inside(machine, machine.main_pid(MEMBER), "herd", read) == b"a secret\n"
	for user in ("nobody", "herd"):
		with pytest.raises(RuntimeError, match="PermissionError|FileNotFoundError"):
			inside(machine, machine.leader if user == "nobody" else machine.main_pid(HELPER), user, read)
	with open("/proc/%d/environ" % machine.main_pid(MEMBER), "rb") as file:
		assert b"CREDENTIALS_DIRECTORY=" + folder.encode() in file.read().split(b"\0")


def key_of(machine, name):
	"""What the member has, seen with its own eyes."""
	path = "/run/credentials/%s/%s" % (MEMBER, name)

	def read():
		with open(path, "rb") as file:
			return file.read()
	return inside(machine, machine.main_pid(MEMBER), "herd", read)


def test_key_files_of_services(machine):
	"""Files that only root may read become credentials of members; one that others may read does not."""
	machine.write("/etc/herd/google key", "a secret\n", 0o600)
	machine.write("/etc/herd/legacy", "another\n", 0o400)
	machine.write("/etc/herd/herd.conf.d/places.conf", "[places google]\nkey-file = /etc/herd/google key\n"
		"[places google-legacy]\nkey-file = /etc/herd/legacy\n")
	machine.systemctl("daemon-reload")
	machine.systemctl("restart", MEMBER)
	assert key_of(machine, "google-key") == b"a secret\n" and key_of(machine, "google-legacy-key") == b"another\n"
	os.chmod(machine.path("/etc/herd/google key"), 0o640)
	machine.systemctl("daemon-reload")
	machine.systemctl("restart", MEMBER)
	machine.wait_journal("others may read or write '/etc/herd/google key'")
	with pytest.raises(RuntimeError, match="FileNotFoundError"):
		key_of(machine, "google-key")
	assert key_of(machine, "google-legacy-key") == b"another\n"


def test_encrypted_key(machine):
	"""As the README has it; and a key leaves no trace where others look."""
	machine.sh("mkdir -p -m 700 /etc/credstore.encrypted; mkdir -p /etc/systemd/system/herd@.service.d\n"
		"systemd-creds encrypt --name=google-key - /etc/credstore.encrypted/herd.google-key\n"
		"printf '[Service]\\nLoadCredentialEncrypted=google-key:herd.google-key\\n' >/etc/systemd/system/herd@.service.d/key.conf\n",
		stdin="AIzaSecret")
	machine.write("/etc/herd/herd.conf.d/places.conf", "[places]\nprovider = google, local\nretries = 0\n"
		"[places google]\nurl = http://127.0.0.1:1\nrequests-per-day = 500\n")
	machine.systemctl("daemon-reload")
	machine.systemctl("restart", MEMBER)
	assert key_of(machine, "google-key") == b"AIzaSecret"
	with machine.client() as client:
		client.iamat(b"someone")
		assert b'"OK"' in client.whatsat(b"someone")[1]	# of the next in the chain
	said = str(machine.journal()) + machine.run("herdctl", "status", "--json").stdout + machine.run("herdctl", "config").stdout
	assert "google" in said and "AIza" not in said
	with open("/proc/%d/environ" % machine.main_pid(MEMBER), "rb") as file:
		assert b"AIza" not in file.read()
	# What was used of the day is where only the herd reads it, and outlives the member.
	machine.systemctl("restart", MEMBER)
	assert machine.sh("stat -c '%U %a' /var/lib/herd/members").split() == ["herd", "750"]
	assert re.search(r"^used [1-9]", machine.read("/var/lib/herd/members/places-Alpha-google.budget"), re.MULTILINE)


def test_keys_of_links(machine):
	"""The key of links to other hosts, readable by root alone, reaches the helper and nobody else; what is public is read
	where it is."""
	machine.run("herdctl", "ca", "init")
	machine.run("herdctl", "ca", "issue", "Hill", "--install")
	machine.write("/etc/herd/psk %n", "a secret of at least sixteen bytes\n", 0o600)
	machine.write("/etc/herd/herd.conf.d/links.conf", "[flood]\npsk-file = /etc/herd/psk %n\n")
	machine.systemctl("daemon-reload")
	machine.systemctl("restart", HELPER)
	folder = "/run/credentials/" + HELPER

	def read(path):
		def inner():
			with open(path, "rb") as file:
				return file.read()
		return inner

	for name, path in (("flood.key", "/etc/herd/tls/host.key"), ("flood.psk", "/etc/herd/psk %n")):
		with open(machine.path(path), "rb") as file:
			key = file.read()
		assert inside(machine, machine.main_pid(HELPER), "herd", read(folder + "/" + name)) == key
		with pytest.raises(RuntimeError, match="PermissionError"):
			inside(machine, machine.main_pid(HELPER), "herd", read(path))
		with pytest.raises(RuntimeError, match="PermissionError|FileNotFoundError"):
			inside(machine, machine.main_pid(MEMBER), "herd", read(folder + "/" + name))
	for name in ("ca.crt", "ca.crl", "host.crt"):
		assert b"BEGIN" in inside(machine, machine.main_pid(HELPER), "herd", read("/etc/herd/tls/" + name))
	with pytest.raises(RuntimeError, match="PermissionError"):
		inside(machine, machine.main_pid(HELPER), "herd", read("/etc/herd/ca/ca.crt"))
	# Without them the helper starts as before, once systemd was told.
	machine.run("rm", "/etc/herd/tls/host.key", "/etc/herd/psk %n")
	machine.systemctl("daemon-reload")
	machine.systemctl("restart", HELPER)
	with open("/proc/%d/environ" % machine.main_pid(HELPER), "rb") as file:
		assert b"CREDENTIALS_DIRECTORY=" not in file.read()
