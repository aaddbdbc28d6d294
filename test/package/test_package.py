"""The Debian package as packaging/build-deb makes it: what is in it, and how it is made.

What it does to a machine is for the booted tests. HERD_PACKAGES: the directory
with the package of this tree and its tarball. HERD_BUILD: a build of the tree.
"""

import glob
import os
import re
import shutil
import stat
import subprocess
import tarfile

import pytest

TOP = os.environ.get("HERD_TOP") or os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("HERD_BUILD") or os.path.join(TOP, "build-test", "gcc")
PACKAGES = os.environ.get("HERD_PACKAGES") or os.path.join(TOP, "build-test", "package")
BUILD_DEB = os.path.join(TOP, "packaging", "build-deb")
BUILD_S = 40 * 60
LIMIT = 60

# Where the package may put files; directories above them come with them.
PLACES = [
	r"/etc/herd/herd\.conf(\.d/)?",
	r"/etc/herd/tls/",
	r"/(usr/)?lib/systemd/system/herd[a-z@-]*\.(service|socket|target|slice)",
	r"/(usr/)?lib/systemd/system-generators/herd-[a-z]+",
	r"/usr/lib/systemd/catalog/herd\.catalog",
	r"/usr/lib/(sysusers|tmpfiles)\.d/herd\.conf",
	r"/usr/bin/herdctl",
	r"/usr/sbin/herd-(member|flood)",
	r"/usr/share/man/man[1578]/herd[a-z@.-]*\.[1578]\.gz",
	r"/usr/share/bash-completion/completions/herdctl",
	r"/usr/share/zsh/vendor-completions/_herdctl",
	r"/usr/share/doc/herd/[A-Za-z.]+",
	r"/usr/share/lintian/overrides/herd",
]


def run(*command, limit=LIMIT, **options):
	return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
		universal_newlines=True, timeout=limit, check=False, **options)


def only(pattern):
	found = glob.glob(os.path.join(PACKAGES, pattern))
	assert len(found) == 1, found
	return found[0]


@pytest.fixture(scope="session")
def deb():
	return only("herd_*.deb")


@pytest.fixture(scope="session")
def tarball():
	return only("herd-*.tar.xz")


@pytest.fixture(scope="session")
def members(deb):
	"""What is in it, by path: tarfile's idea of each."""
	data = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
	with tarfile.open(fileobj=data.stdout, mode="r|") as archive:
		found = {member.name[1:] + ("/" if member.isdir() else ""): member for member in archive}
	assert data.wait(LIMIT) == 0
	return found


def control(deb, name):
	result = run("dpkg-deb", "--info", deb, name)
	assert result.returncode == 0, result.stdout
	return result.stdout


def test_lintian(deb):
	"""Neither an error nor a warning; what it merely remarks is shown."""
	changes = deb.rsplit("_", 1)[0] + "_*.changes"
	result = run("lintian", "--allow-root", "--fail-on", "error,warning", "--display-info", "--pedantic",
		only(os.path.basename(changes)), limit=600)
	print(result.stdout)
	assert result.returncode == 0, result.stdout
	assert "alternative-init" not in result.stdout	# the one override that depends on the release


def test_nothing_lies_elsewhere(members):
	above = set()
	for name in members:
		if any(re.fullmatch(place, name) for place in PLACES):
			above.update(name[:end.start() + 1] for end in re.finditer("/", name[:-1]))
	strange = [name for name in members if name not in above and name != "/"
		and not any(re.fullmatch(place, name) for place in PLACES)]
	assert strange == []


def test_all_that_is_installed_is_in_it(members, tmp_path):
	"""make install and the package agree, whatever the directories are called."""
	result = run("make", "-s", "-C", BUILD, "install", "DESTDIR=%s" % tmp_path, limit=600)
	assert result.returncode == 0, result.stdout
	installed = {name for folder, folders, names in os.walk(tmp_path) for name in names}
	packed = {re.sub(r"\.gz$", "", os.path.basename(name)) for name in members}
	assert len(installed) > 10
	assert installed - packed == set()


def test_owners_and_modes(members):
	for name, member in members.items():
		assert (member.uid, member.gid) == (0, 0), name
		if not member.issym():
			executable = member.isdir() or "/bin/" in name or "/sbin/" in name or "/system-generators/" in name
			assert stat.S_IMODE(member.mode) == (0o755 if executable else 0o644), name


def test_settings_are_the_only_conffile(deb, members):
	assert control(deb, "conffiles").split() == ["/etc/herd/herd.conf"]
	assert [name for name in members if name.startswith("/etc/") and not name.endswith("/")] == ["/etc/herd/herd.conf"]


@pytest.fixture
def scripts(deb, tmp_path):
	"""Runs a maintainer script as if systemd ran here, with tools that only write down what they are asked:
	(status, what was asked, what was said). The herd.target they tell of is `target`; `refuses` is a unit that
	does not come up."""
	folder, tools, asked = tmp_path / "scripts", tmp_path / "bin", tmp_path / "asked"
	assert run("dpkg-deb", "--control", deb, str(folder)).returncode == 0
	running = tmp_path / "running"
	running.mkdir()
	for name in ("postinst", "prerm", "postrm"):
		text = (folder / name).read_text()
		assert "/run/systemd/system" in text, name
		(folder / name).write_text(text.replace("/run/systemd/system", str(running)))
	tools.mkdir()
	for name in ("deb-systemd-helper", "deb-systemd-invoke", "systemctl", "systemd-sysusers", "systemd-tmpfiles"):
		(tools / name).write_text("""#!/bin/sh
echo "%s $*" >>"%s"
case "%s $*" in
"systemctl list-units "*) printf 'herd@Alpha.service loaded active running x\\nherd@Bravo.service loaded active running x\\n' ;;
"systemctl is-active "*) echo "$TARGET" ;;
*" $REFUSES") exit 1 ;;
esac
""" % (name, asked, name))
	# Whatever becomes of the scripts, these tests remove nothing of the machine they run on.
	(tools / "rm").write_text("""#!/bin/sh
for word; do
	case $word in -* | "%s"/*) ;; *) echo "would remove $word"; exit 1 ;; esac
done
exec /bin/rm "$@"
""" % tmp_path)
	(tools / "find").write_text("#!/bin/sh\n")
	for tool in tools.iterdir():
		tool.chmod(0o755)

	def call(words, root="", target="active", refuses="nobody"):
		script, *rest = words.split()
		asked.write_text("")
		result = run(str(folder / script), *rest, env=dict(os.environ, PATH="%s:%s" % (tools, os.environ["PATH"]),
			DPKG_ROOT=root, TARGET=target, REFUSES=refuses))
		wanted = [line[len("deb-systemd-invoke "):] for line in asked.read_text().splitlines()
			if line.startswith("deb-systemd-invoke ")]
		return result.returncode, wanted, result.stdout
	return call


@pytest.mark.parametrize("words", ["postinst configure", "postinst configure 0.0.1-1", "postinst abort-remove",
	"postinst abort-upgrade 2", "prerm remove", "prerm upgrade 2", "prerm deconfigure in-favour x 1", "postrm remove",
	"postrm upgrade 2", "postrm purge", "postrm abort-install", "postrm disappear x 1"])
def test_scripts_leave_services_alone_in_another_root(scripts, tmp_path, words):
	root = tmp_path / "root"
	root.mkdir()
	assert scripts(words, root=str(root), target="inactive")[:2] == (0, [])


def test_purging_another_root_removes_what_is_there(scripts, tmp_path):
	for name in ("etc/herd/herd.conf.d", "var/lib/herd", "etc/credstore"):
		(tmp_path / "root" / name).mkdir(parents=True)
		(tmp_path / "root" / name / "file").write_text("x")
	assert scripts("postrm purge", root=str(tmp_path / "root"))[0] == 0
	left = sorted(str(path.relative_to(tmp_path / "root")) for path in (tmp_path / "root").rglob("*") if path.is_file())
	assert left == ["etc/credstore/file"]


def test_removing_forgets_failures(scripts):
	assert scripts("postrm remove")[1] == ["reset-failed herd@* herd-udp@* herd-flood.service"]


@pytest.mark.parametrize("words, target, wanted", [
	("postinst configure", "inactive", ["start herd.target"]),
	("postinst configure 0.0.1-1", "active",
		["try-restart herd-flood.service", "try-restart herd@Alpha.service", "try-restart herd@Bravo.service"]),
	("postinst abort-upgrade 2", "active", []),
	("postinst abort-remove", "inactive", ["start herd.target"]),
	("prerm upgrade 2", "active", []),
	("prerm remove", "active",
		["stop herd.target herd@*.socket herd-udp@*.socket herd@*.service herd-flood.service herd.slice"]),
], ids=repr)
def test_what_scripts_do_to_services(scripts, words, target, wanted):
	"""The helper first, then members one by one, restarted and never stopped; all of it stopped at once."""
	assert scripts(words, target=target)[:2] == (0, wanted)


def test_an_upgrade_ends_at_the_first_that_does_not_come_up(scripts):
	status, wanted, said = scripts("postinst configure 0.0.1-1", refuses="herd@Alpha.service")
	assert status == 0	# the package is installed all the same
	assert wanted == ["try-restart herd-flood.service", "try-restart herd@Alpha.service"]
	assert "herd@Alpha.service did not come up" in said


def test_hardened(deb, tmp_path):
	"""Position independent, bound at once, with a read-only relocation table."""
	assert run("dpkg-deb", "-x", deb, str(tmp_path)).returncode == 0
	programs = [str(tmp_path / "usr" / name) for name in ("bin/herdctl", "sbin/herd-member", "sbin/herd-flood")]
	for program in programs:
		header = run("readelf", "-hldW", program).stdout
		assert re.search(r"Type:\s+DYN", header), program
		assert re.search(r"\bGNU_RELRO\b", header), program
		assert re.search(r"\bNOW\b", header), program


# --- the tarball --------------------------------------------------------------

def tree():
	"""The files of the source. Without git: what is there but was not made there."""
	result = run("git", "-c", "safe.directory=*", "-C", TOP, "ls-files")
	if result.returncode == 0 and result.stdout:
		return [name for name in result.stdout.splitlines() if os.path.exists(os.path.join(TOP, name))]
	names = []
	for folder, folders, files in os.walk(TOP):
		folders[:] = [f for f in folders if not f.startswith(("build", ".git", ".deps", "autom4te", "__pycache__", ".pytest"))]
		names += [os.path.relpath(os.path.join(folder, f), TOP) for f in files]
	return [name for name in names if not re.search(r"~$|^config\.(log|status|h)$|^stamp-h1$|^Makefile$|\.[oa]$", name)]


def test_the_tarball_is_complete(tarball):
	with tarfile.open(tarball) as archive:
		packed = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
	assert {"configure", "Makefile.in", "test/run", "packaging/build-deb", "packaging/build-rpm", "packaging/debian/rules"} <= packed
	missing = [name for name in tree() if name not in packed and name not in (".gitignore", ".editorconfig")]
	assert missing == []


def test_the_tarball_has_nothing_that_was_built(tarball):
	with tarfile.open(tarball) as archive:
		names = archive.getnames()
	assert [name for name in names if re.search(r"\.(o|a|log|trs|pyc|deb|rpm)$|/(\.git|\.deps|__pycache__|build)(/|$)", name)] == []


# --- how it is made -----------------------------------------------------------

def test_the_same_bytes_again(deb, tmp_path):
	"""From a source that cannot be written, in another place, without the tests: bit by bit the same."""
	source, output, work = tmp_path / "a source", tmp_path / "out", tmp_path / "elsewhere"
	work.mkdir()
	with tarfile.open(only("herd-*.tar.xz")) as archive:
		archive.extractall(source)
	top = glob.glob(str(source / "herd-*"))[0]
	for folder, folders, names in os.walk(source):
		for name in folders + names:
			path = os.path.join(folder, name)
			os.chmod(path, os.stat(path).st_mode & ~0o222)
	before = sorted((folder, sorted(names)) for folder, folders, names in os.walk(source))
	try:
		result = run(os.path.join(top, "packaging", "build-deb"), "--output", str(output), limit=BUILD_S, umask=0o077,
			env=dict(os.environ, TMPDIR=str(work), DEB_BUILD_OPTIONS="nocheck", DEB_BUILD_PROFILES="nocheck", TZ="Asia/Tokyo"))
		assert result.returncode == 0, result.stdout
		assert result.stdout.splitlines()[-1] == str(output / os.path.basename(deb))
		assert sorted((folder, sorted(names)) for folder, folders, names in os.walk(source)) == before
	finally:
		run("chmod", "-R", "u+w", str(source))
	assert os.listdir(work) == []
	for made in (deb, only("herd-*.tar.xz")):
		with open(made, "rb") as one, open(output / os.path.basename(made), "rb") as two:
			assert one.read() == two.read(), made


def test_missing_packages_are_named(tmp_path):
	for name in ("bash", "env", "dirname", "pwd", "id"):
		os.symlink(shutil.which(name), tmp_path / name)
	result = run(BUILD_DEB, "--output", str(tmp_path / "out"), env={"PATH": str(tmp_path)})
	assert result.returncode == 1
	assert re.search(r"missing: .*\bdebhelper\b", result.stdout) and "dpkg-dev" in result.stdout
	assert not os.path.exists(tmp_path / "out")


@pytest.mark.parametrize("words, says", [
	(["--nonsense"], "Usage"),
	(["--output"], "--output"),
	(["--version-suffix", "a b"], "suffix"),
	(["--version-suffix=-1"], "suffix"),
	(["--output", os.path.join(BUILD_DEB, "x")], "--output"),
], ids=repr)
def test_wrong_arguments(words, says):
	result = run(BUILD_DEB, *words)
	assert result.returncode in (1, 2)
	assert says in result.stdout


def test_help():
	result = run(BUILD_DEB, "--help")
	assert result.returncode == 0 and "--version-suffix" in result.stdout
