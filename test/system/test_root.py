"""The cache of roots itself: what a killed run left is no trouble to the next."""

import os
import tempfile

import root


def killed_run():
	"""A folder as a run leaves it that was killed: its lock is there, and nobody holds it."""
	os.makedirs(root.CACHE, exist_ok=True)
	folder = tempfile.mkdtemp(prefix="run-", dir=root.CACHE)
	with open(folder + ".lock", "w", encoding="utf-8"):
		pass
	return folder


def test_a_mount_that_a_killed_run_left():
	root.check_tools()
	with root.locked("making"):
		folder = killed_run()
		place = os.path.join(folder, "with a space/dev")
		os.makedirs(place)
		root.command(["mount", "-t", "tmpfs", "none", place], 60)
		inner = os.path.join(place, "shm")
		os.mkdir(inner)
		root.command(["mount", "-t", "tmpfs", "none", inner], 60)
		with open(os.path.join(inner, "in use"), "w", encoding="utf-8"):
			assert root.mounted_below(folder) == [inner, place]
			root.sweep()
	assert root.mounted_below(folder) == []
	assert not os.path.exists(folder) and not os.path.exists(folder + ".lock")


def test_what_cannot_be_removed_stops_nobody(monkeypatch, capsys):
	def fails(folder):
		raise RuntimeError("busy: " + folder)

	with root.locked("making"):
		folder = killed_run()
		with monkeypatch.context() as patch:
			patch.setattr(root, "remove", fails)
			root.sweep()
		assert os.path.exists(folder + ".lock")	# so that the next one tries again
		root.sweep()
	assert not os.path.exists(folder) and not os.path.exists(folder + ".lock")
	assert folder + " stays: busy" in capsys.readouterr().err
