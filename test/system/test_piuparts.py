"""The package as Debian's archive tries it: piuparts installs, removes and purges it in a root of its own and compares
all that is left with what was there. No systemd runs there, so this is also the package in a container or an image
that is being made."""

import os
import re

import root

LIMIT = 600


def test_piuparts(images):
	folder = os.path.join(images.folder, "piuparts")
	os.mkdir(folder)
	# The base root is copied. What is not in the archive has no version there to upgrade from. What it mounts goes
	# with it, however it ends.
	said = root.command(["unshare", "--mount", "--propagation", "private", "piuparts", "--existing-chroot", images.base, "--distribution", root.SUITE,
		"--mirror", root.mirror() + " main", "--no-eatmydata", "--tmpdir", folder, images.deb], LIMIT)
	assert re.search(r"INFO: PASS: Installation and purging test\.", said), said[-4000:]
	assert re.search(r"INFO: PASS: All tests\.", said), said[-4000:]
	# What is wrong but no failure to it. The base root has links of its own that lead nowhere, and says so.
	for what in re.findall(r"(?:WARN|FAIL|ERROR): (.*(?:\n .*)*)", said):
		assert "herd" not in what, what
