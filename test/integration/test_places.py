"""A new places file is picked up by running members, a bad one is not."""

import json
import os

import pytest

from harness import fresh, until

FORMATS = {
	"csv": "name,latitude,longitude,type,population\nFirst,10.001,20.001,park,5\nSecond,10.002,20.002,museum,7\nBad,north,20,park,1\n",
	"geojson": json.dumps({"type": "FeatureCollection", "features": [
		{"type": "Feature", "geometry": {"type": "Point", "coordinates": [20.001, 10.001]}, "properties": {"name": "First"}},
		{"type": "Feature", "geometry": {"type": "Point", "coordinates": [20.002, 10.002]}, "properties": {"name": "Second"}},
		{"type": "Feature", "geometry": {"type": "Point", "coordinates": [20.002, 910.002]}, "properties": {"name": "Bad"}}]}),
	"geonames": "".join("%d\t%s\t%s\t\t%s\t%s\tS\tPRK\tXX\t\t\t\t\t\t%d\t\t0\tUTC\t2020-01-01\n" % row for row in [
		(1, "First", "First", "10.001", "20.001", 5), (2, "Second", "Second", "10.002", "20.002", 7),
		(3, "Bad", "Bad", "x", "20.002", 7)]),
}


def names(connection, client, radius=b"50", bound=b"20"):
	return sorted(p["name"] for p in json.loads(connection.whatsat(client, radius, bound)[1])["results"])


@pytest.fixture
def asked(herd):
	"""A member with a client where the built-in file knows nothing: (connection, id)."""
	herd.flood()
	with herd.member("Alpha").client() as connection:
		id = fresh()
		connection.iamat(id, location=b"+10+20")
		assert names(connection, id) == []
		yield connection, id


def write(herd, name, text):
	path = os.path.join(herd.folder, name)
	with open(path, "w", encoding="utf-8") as file:
		file.write(text)
	return path


@pytest.mark.parametrize("format", FORMATS)
def test_an_import_is_picked_up(herd, asked, format):
	connection, id = asked
	done = herd.run_ctl("places", "import", "--format", format, write(herd, "rows." + format, FORMATS[format]))
	assert done.returncode == 0, done
	assert "rows.%s:" % format in done.stderr	# the bad row, with its line
	until(lambda: names(connection, id) == ["First", "Second"], "the new places")
	assert connection.exactly(b"x\n") == b"? x\n"


def test_one_import_after_the_other(herd, asked):
	connection, id = asked
	for n in range(5):
		path = write(herd, "rows.csv", "name,latitude,longitude\nPlace %d,10.1,20.1\n" % n)
		assert herd.run_ctl("places", "import", path).returncode == 0
		until(lambda: names(connection, id) == ["Place %d" % n], "the new places")


def test_an_import_without_a_good_row_changes_nothing(herd, asked):
	connection, id = asked
	path = write(herd, "rows.csv", FORMATS["csv"])
	assert herd.run_ctl("places", "import", path).returncode == 0
	until(lambda: names(connection, id) == ["First", "Second"], "the new places")
	before = os.stat(herd.places)
	for text in ("", "name,latitude,longitude\n", "name,latitude,longitude\nx,y,z\n", "\0" * 1000):
		done = herd.run_ctl("places", "import", "--format", "csv", write(herd, "bad.csv", text))
		assert done.returncode not in (0, 64, 70) and done.stderr.strip(), done
		assert os.stat(herd.places).st_ino == before.st_ino
	assert names(connection, id) == ["First", "Second"]


@pytest.mark.parametrize("damage", ["garbage", "empty", "short", "removed"])
def test_a_damaged_file_is_survived(herd, asked, damage):
	connection, id = asked
	path = write(herd, "rows.csv", FORMATS["csv"])
	assert herd.run_ctl("places", "import", path).returncode == 0
	until(lambda: names(connection, id) == ["First", "Second"], "the new places")
	size = os.path.getsize(herd.places)
	if damage == "garbage":	# put in its place, as a careless copy would
		with open(herd.places + ".new", "wb") as file:
			file.write(os.urandom(size))
		os.rename(herd.places + ".new", herd.places)
	elif damage == "empty":
		os.truncate(herd.places, 0)
	elif damage == "short":
		os.truncate(herd.places, size // 2)
	else:
		os.unlink(herd.places)
	for _ in range(200):
		reply = json.loads(connection.whatsat(id, b"50", b"20")[1])
		assert isinstance(reply["results"], list) and reply["status"]
	assert herd.run_ctl("places", "import", path).returncode == 0
	until(lambda: names(connection, id) == ["First", "Second"], "the places are back")


def test_prominence_and_distance(herd):
	text = "name,latitude,longitude,population\n" + "".join("P%d,10.%03d,20.0,%d\n" % (n, n, n) for n in range(100))
	assert herd.run_ctl("places", "import", write(herd, "rows.csv", text)).returncode == 0
	near, known = herd.member("Near", settings={"places.rank": "distance"}), herd.member("Known")
	id = fresh()
	with near.client() as one, known.client() as two:
		one.iamat(id, location=b"+10+20")

		def order(connection):
			return [p["name"] for p in json.loads(connection.whatsat(id, b"50", b"3")[1])["results"]]
		until(lambda: order(one) == ["P0", "P1", "P2"], "the nearest first")
		until(lambda: order(two) == ["P99", "P98", "P97"], "the best known first")
