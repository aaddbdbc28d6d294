"""The rpm as packaging/build-rpm makes it: what is in it, what its scripts do, and how it is made.

It holds the files that the Debian package has. HERD_PACKAGES: the directory with both
packages and their tarball.
"""

import hashlib
import os
import re
import shutil
import stat
import subprocess
import tarfile

import pytest

import rpms
from test_package import BUILD_S, LIMIT, PACKAGES, TOP, members, deb, only, run, tarball	# noqa: F401 (fixtures)

BUILD_RPM = os.path.join(TOP, "packaging", "build-rpm")
SPEC = os.path.join(TOP, "packaging", "herd.spec")

# What only one kind of package has: notes for its tools, its license apart, names by build, folders of others that may be missing.
OF_DEB = r"/usr/share/(doc/herd|lintian)/.*"
OF_RPM = r"/usr/share/(doc|licenses)/herd(/.*)?|/usr/lib/\.build-id(/.*)?|/usr/share/(bash-completion(/completions)?|zsh(/site-functions)?)"


@pytest.fixture(scope="session")
def rpm():
	return only("herd-*[!c].rpm")


@pytest.fixture(scope="session")
def source():
	return only("herd-*.src.rpm")


def usual(name):
	"""Debian 12 has its units in /lib, which is a link to /usr/lib, and a place of its own for zsh."""
	name = name.replace("/zsh/vendor-completions/", "/zsh/site-functions/")
	return "/usr" + name if name.startswith("/lib/") else name


@pytest.fixture(scope="session")
def wanted(members):	# noqa: F811
	"""What the Debian package has, by path without a last slash, of what is the herd's own."""
	found = {usual(name.rstrip("/")): member for name, member in members.items()
		if not member.isdir() or name.startswith("/etc/herd/")}
	return {name: member for name, member in found.items() if not re.fullmatch(OF_DEB, name)}


# --- what is in it ------------------------------------------------------------

def test_rpmlint(rpm, source):
	result = run("rpmlint", "-c", os.path.join(TOP, "packaging", "rpmlint.toml"), rpm, source, SPEC)
	assert result.returncode == 0, result.stdout
	assert " 0 errors, 0 warnings" in result.stdout, result.stdout


def test_the_files_of_the_other_package(rpm, wanted):
	lines = rpms.query(rpm, r"[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME} %{FILEGROUPNAME}\n]").splitlines()
	files = {name: (int(mode, 8), user, group) for name, mode, user, group in map(str.split, lines)}
	ours = {name: what for name, what in files.items() if not re.fullmatch(OF_RPM, name)}
	assert len(wanted) > 20
	assert sorted(ours) == sorted(wanted)
	for name, (mode, user, group) in ours.items():
		assert (user, group) == ("root", "root"), name
		assert stat.S_IMODE(mode) == stat.S_IMODE(wanted[name].mode), name
		assert stat.S_ISDIR(mode) == wanted[name].isdir(), name
	assert {"/usr/share/doc/herd/README.md", "/usr/share/doc/herd/NEWS.md", "/usr/share/licenses/herd/LICENSE"} <= set(files)


def test_settings_are_the_only_configuration(rpm):
	flags = dict(line.split() for line in rpms.query(rpm, r"[%{FILENAMES} %{FILEFLAGS:fflags}|\n]").splitlines())
	assert {name: flag for name, flag in flags.items() if "c" in flag} == {"/etc/herd/herd.conf": "cn|"}


def test_hardened(rpm, tmp_path):
	"""Position independent, bound at once, with a read-only relocation table."""
	with Root(tmp_path) as root:
		root.rpm("-i", rpm)
		for program in ("bin/herdctl", "sbin/herd-member", "sbin/herd-flood"):
			header = run("readelf", "-hldW", root.path("usr/" + program)).stdout
			assert re.search(r"Type:\s+DYN", header), program
			assert re.search(r"\bGNU_RELRO\b", header), program
			assert re.search(r"\bNOW\b", header), program


# --- installed in another root ------------------------------------------------

class Root:
	"""A root with a database of its own and nothing else in it; not even a shell, so scripts do not run."""

	def __init__(self, folder):
		self.folder = folder / "root"
		self.folder.mkdir()

	def __enter__(self):
		return self

	def __exit__(self, *failure):
		shutil.rmtree(self.folder)

	def path(self, name):
		return str(self.folder / name.lstrip("/"))

	def rpm(self, *words):
		# Changing roots takes root, if only in a namespace.
		maybe = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
		debian = ["--force-debian"] if os.path.exists("/etc/debian_version") and words[0] in ("-i", "-U", "-e") else []
		alone = [] if words[0] == "-q" else ["--nodeps", "--noscripts"]
		result = run(*maybe, "rpm", "--root", str(self.folder), "--dbpath", "/var/lib/rpm", "--nosignature", *alone,
			*debian, *words)
		assert result.returncode == 0, result.stdout
		return result.stdout


@pytest.fixture
def root(tmp_path):
	with Root(tmp_path) as found:
		yield found


def test_installed_as_packed(rpm, root, wanted, deb, tmp_path):	# noqa: F811
	"""Every file with the mode and owner that the Debian package gives it; texts with the same bytes, too."""
	assert run("dpkg-deb", "-x", deb, str(tmp_path / "deb")).returncode == 0
	root.rpm("-i", rpm)
	assert root.rpm("-V", "herd") == ""
	for name, member in wanted.items():
		there = os.lstat(root.path(name))
		assert stat.S_IMODE(there.st_mode) == stat.S_IMODE(member.mode), name
		assert (there.st_uid, there.st_gid) == (os.geteuid(), os.getegid()), name
		if member.isfile() and not re.search(r"/s?bin/|-generators/", name):
			with open(root.path(name), "rb") as one, open(tmp_path / "deb" / member.name, "rb") as two:
				assert hashlib.sha256(one.read()).digest() == hashlib.sha256(two.read()).digest(), name


def test_what_is_yours_stays(rpm, root):
	"""Edited settings survive the same package once more, and removal; what you added is not touched at all."""
	root.rpm("-i", rpm)
	settings, own, data = root.path("etc/herd/herd.conf"), root.path("etc/herd/herd.conf.d/own.conf"), root.path("var/lib/herd")
	for name in (settings, own):
		with open(name, "a", encoding="utf-8") as file:
			file.write("# mine\n")
	os.makedirs(data)
	with open(os.path.join(data, "snapshot"), "wb") as file:
		file.write(b"x")
	root.rpm("-U", "--force", rpm)
	with open(settings, encoding="utf-8") as file:
		assert file.read().endswith("# mine\n")
	root.rpm("-e", "herd")
	left = {os.path.relpath(os.path.join(folder, name), root.folder) for folder, folders, names in os.walk(root.folder)
		for name in names if "/lib/rpm" not in folder}
	assert left == {"etc/herd/herd.conf.rpmsave", "etc/herd/herd.conf.d/own.conf", "var/lib/herd/snapshot"}


@pytest.fixture(scope="session")
def following(rpm, tmp_path_factory):
	"""The package of the release that follows."""
	return rpms.make_following(rpm, str(tmp_path_factory.mktemp("following")))


@pytest.mark.parametrize("edited", [True, False])
def test_upgrade_and_downgrade(rpm, following, root, edited):
	"""Edited settings stay, and those of the package lie beside them; settings that nobody edited follow the package."""
	def read(name):
		with open(root.path(name), "rb") as file:
			return file.read()

	root.rpm("-i", rpm)
	settings, news, added = "etc/herd/herd.conf", "etc/herd/herd.conf.rpmnew", "usr/share/doc/herd/NEXT"
	first, program = read(settings), read("usr/bin/herdctl")
	if edited:
		with open(root.path(settings), "ab") as file:
			file.write(b"# mine\n")
	mine = read(settings)
	root.rpm("-U", following)
	assert root.rpm("-q", "herd").strip() == rpms.query(following, "%{NVRA}")
	assert read("usr/bin/herdctl") == program + b"next" and os.path.exists(root.path(added))
	assert read(news if edited else settings) == first + b"# the next one's\n"
	assert not edited or read(settings) == mine
	root.rpm("-U", "--oldpackage", rpm)
	assert root.rpm("-q", "herd").strip() == rpms.query(rpm, "%{NVRA}")
	assert read("usr/bin/herdctl") == program and not os.path.exists(root.path(added))
	assert read(settings) == mine
	assert edited or root.rpm("-V", "herd") == ""


def test_nothing_else_stays(rpm, root):
	root.rpm("-i", rpm)
	root.rpm("-e", "herd")
	left = [name for folder, folders, names in os.walk(root.folder) for name in names if "/lib/rpm" not in folder]
	assert left == []
	assert not os.path.exists(root.path("etc/herd"))


# --- scripts ------------------------------------------------------------------

@pytest.fixture
def scripts(rpm, tmp_path):
	"""Runs a script as rpm would where systemd runs, with tools that only write down what they are asked:
	(status, what was asked, what was said). `refuses` is a unit that does not come up; with `systemd` false
	none of it is there, as in another root."""
	tools, asked, running = tmp_path / "bin", tmp_path / "asked", tmp_path / "running"
	tools.mkdir()
	running.mkdir()
	for name in ("systemctl", "systemd-sysusers", "systemd-tmpfiles", "journalctl"):
		(tools / name).write_text("""#!/bin/sh
echo "%s $*" >>"%s"
case "$*" in
"list-units "*) printf 'herd@Alpha.service loaded active running x\\nherd@Bravo.service loaded active running x\\n' ;;
*" $REFUSES") exit 1 ;;
esac
""" % (name, asked))
		(tools / name).chmod(0o755)
	for name in ("cut",):
		os.symlink(shutil.which(name), tools / name)

	def call(words, refuses="nobody", systemd=True):
		name, count = words.split()
		text = rpms.query(rpm, "%%{%s}" % name.upper())
		assert text not in ("", "(none)"), name
		text = text.replace("/run/systemd/system", str(running if systemd else tmp_path / "nothing"))
		for program in ("/usr/lib/systemd/systemd-update-helper", "/usr/bin/systemctl"):	# Fedora's macros
			text = text.replace(program, "systemctl")
		(tmp_path / "script").write_text(text)
		asked.write_text("")
		result = run("/bin/sh", str(tmp_path / "script"), count,
			env={"PATH": str(tools) if systemd else str(tmp_path), "REFUSES": refuses})
		return result.returncode, asked.read_text().splitlines(), result.stdout
	return call


STOP = ("systemctl stop herd.target herd@*.socket herd-udp@*.socket herd@*.service herd-flood.service herd.slice")
LISTED = ["systemctl daemon-reload",
	"systemctl list-units --state=active,reloading --plain --no-legend herd@*.service"]
MADE = ["systemd-sysusers herd.conf", "systemd-tmpfiles --create herd.conf", "journalctl --update-catalog"]


@pytest.mark.skipif(not os.path.exists("/etc/debian_version"), reason="the fallbacks are for where systemd's macros are not")
@pytest.mark.parametrize("words, asks", [
	("postin 1", MADE + ["systemctl --no-reload preset herd.target"]),
	("postin 2", MADE),
	("preun 1", []),
	("preun 0", [STOP, "systemctl --no-reload disable herd.target"]),
	("postun 1", ["systemctl daemon-reload"]),
	("postun 0", ["systemctl daemon-reload", "systemctl reset-failed herd@* herd-udp@* herd-flood.service"]),
	("posttrans 1", LISTED + ["systemctl try-restart herd-flood.service", "systemctl try-restart herd@Alpha.service",
		"systemctl try-restart herd@Bravo.service"]),
], ids=repr)
def test_what_scripts_do(scripts, words, asks):
	"""A preset decides what is enabled; the helper first, then members one by one; all of it stopped at once."""
	assert scripts(words) == (0, asks, "")


@pytest.mark.parametrize("words", ["postin 1", "postin 2", "preun 0", "preun 1", "postun 0", "postun 1", "posttrans 1"])
def test_scripts_without_systemd(scripts, words):
	assert scripts(words, systemd=False) == (0, [], "")


def test_an_upgrade_ends_at_the_first_that_does_not_come_up(scripts):
	status, asked, said = scripts("posttrans 1", refuses="herd@Alpha.service")
	assert status == 0
	assert asked[-2:] == ["systemctl try-restart herd-flood.service", "systemctl try-restart herd@Alpha.service"]
	assert "herd@Alpha.service did not come up" in said


# --- how it is made -----------------------------------------------------------

def test_the_same_bytes_again(rpm, source, tarball, tmp_path):	# noqa: F811
	"""With another home, time zone and place for what is temporary, and settings that others may have."""
	output, work, home = tmp_path / "out", tmp_path / "elsewhere", tmp_path / "home"
	work.mkdir()
	home.mkdir()
	(home / ".rpmmacros").write_text("%packager Somebody\n%dist .x\n")
	result = run(BUILD_RPM, "--output", str(output), "--no-check", "--tarball", tarball, limit=BUILD_S, umask=0o077,
		env=dict(os.environ, TMPDIR=str(work), HOME=str(home), TZ="Asia/Tokyo", CFLAGS="-O0", SOURCE_DATE_EPOCH="1"))
	assert result.returncode == 0, result.stdout
	assert result.stdout.splitlines()[-1] == str(output / os.path.basename(rpm))
	assert os.listdir(work) == []
	for package in (rpm, source, tarball):
		with open(package, "rb") as one, open(output / os.path.basename(package), "rb") as two:
			assert one.read() == two.read(), package


def test_the_source_is_the_release(source, tarball, tmp_path):	# noqa: F811
	"""The tarball as it is, and the spec that is in it."""
	with open(source, "rb") as file:
		unpacked = subprocess.run(["rpm2cpio"], stdin=file, stdout=subprocess.PIPE, timeout=LIMIT, check=True).stdout
	archive = tmp_path / "archive"
	archive.write_bytes(unpacked)
	with open(archive, "rb") as file:
		assert subprocess.run(["cpio", "-i", "--quiet"], stdin=file, cwd=tmp_path, timeout=LIMIT, check=False).returncode == 0
	with open(tarball, "rb") as one:
		assert (tmp_path / os.path.basename(tarball)).read_bytes() == one.read()
	with tarfile.open(tarball) as release:
		name = next(name for name in release.getnames() if name.endswith("/packaging/herd.spec"))
		assert (tmp_path / "herd.spec").read_bytes() == release.extractfile(name).read()


def test_missing_packages_are_named(tmp_path):
	for name in ("bash", "env", "dirname", "pwd", "id"):
		os.symlink(shutil.which(name), tmp_path / name)
	result = run(BUILD_RPM, "--output", str(tmp_path / "out"), env={"PATH": str(tmp_path)})
	assert result.returncode == 1
	assert re.search(r"missing: .*\brpm-build\b", result.stdout)
	assert not os.path.exists(tmp_path / "out")


@pytest.mark.parametrize("words, says", [
	(["--nonsense"], "Usage"),
	(["--output"], "--output"),
	(["--tarball", "/nowhere/herd-1.0.tar.xz"], "herd-VERSION"),
	(["--tarball", SPEC], "herd-VERSION"),
	(["--output", os.path.join(BUILD_RPM, "x")], "--output"),
], ids=repr)
def test_wrong_arguments(words, says):
	result = run(BUILD_RPM, *words)
	assert result.returncode in (1, 2)
	assert says in result.stdout


def test_another_version_is_refused(tmp_path):
	(tmp_path / "herd-9.9.tar.xz").write_bytes(b"")
	result = run(BUILD_RPM, "--output", str(tmp_path / "out"), "--tarball", str(tmp_path / "herd-9.9.tar.xz"))
	assert result.returncode == 1
	assert "herd.spec has another version" in result.stdout


def test_help():
	result = run(BUILD_RPM, "--help")
	assert result.returncode == 0 and "--no-check" in result.stdout
