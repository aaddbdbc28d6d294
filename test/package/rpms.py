"""rpms for tests: what is in one, and the one of the release that follows it."""

import os
import stat
import subprocess

BUILD_S = 600
SCRIPTS = (("post", "postin"), ("preun", "preun"), ("postun", "postun"), ("posttrans", "posttrans"))	# in a spec, in a query

NEXT = """Name: herd
Version: %(version)s
Release: 2
Summary: The one after
License: MIT
BuildArch: %(arch)s
%%description
The files of the package, of which one program and the settings have changed and one file is new.
%%install
cp -a %(content)s/. %%{buildroot}
%(scripts)s
%%files
%%defattr(-,root,root)
%(files)s
"""


def query(package, form):
	return subprocess.run(["rpm", "-qp", "--nosignature", "--qf", form, package], stdin=subprocess.DEVNULL,
		stdout=subprocess.PIPE, timeout=60, check=True, encoding="utf-8").stdout


def unpack(package, folder):
	with open(package, "rb") as file:
		archive = subprocess.run(["rpm2cpio"], stdin=file, stdout=subprocess.PIPE, timeout=60, check=True).stdout
	subprocess.run(["cpio", "-idm", "--quiet"], input=archive, cwd=folder, timeout=60, check=True)


def make_following(package, folder):
	"""Made from the package without building it, with the same scripts. The path of it, in the folder."""
	content = os.path.join(folder, "content")
	os.mkdir(content)
	unpack(package, content)
	listed = [line.split(" ", 1) for line in query(package, r"[%{FILEMODES:octal} %{FILENAMES}\n]").splitlines()]
	names = ["%dir " + name if stat.S_ISDIR(int(mode, 8)) else name for mode, name in listed]
	names = ["%config(noreplace) " + name if name == "/etc/herd/herd.conf" else name for name in names] + ["/usr/share/doc/herd/NEXT"]
	for name, text in (("etc/herd/herd.conf", "# the next one's\n"), ("usr/share/doc/herd/NEXT", "next\n"), ("usr/bin/herdctl", "next")):
		with open(os.path.join(content, name), "a", encoding="utf-8") as file:
			file.write(text)
	scripts = "\n".join("%%%s\n%s" % (name, query(package, "%%{%s}" % tag.upper()).replace("%", "%%")) for name, tag in SCRIPTS)
	spec = os.path.join(folder, "herd.spec")
	with open(spec, "w", encoding="utf-8") as file:
		file.write(NEXT % {"version": query(package, "%{VERSION}"), "arch": query(package, "%{ARCH}"), "content": content,
			"scripts": scripts, "files": "\n".join(names)})
	done = subprocess.run(["rpmbuild", "-bb", "--define", "_topdir %s" % folder, "--define", "__os_install_post %{nil}",
		"--define", "_build_id_links none", "--define", "debug_package %{nil}", spec], stdin=subprocess.DEVNULL,
		stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=BUILD_S, check=False, encoding="utf-8", errors="replace")
	assert done.returncode == 0, done.stdout
	made = [os.path.join(where, name) for where, _, found in os.walk(os.path.join(folder, "RPMS")) for name in found]
	assert len(made) == 1, made
	return made[0]
