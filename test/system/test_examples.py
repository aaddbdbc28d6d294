"""Every example of the manual pages and of the README, on a machine with the package.

Sessions are played, settings are checked by the program that reads them, commands are run.
What cannot be run here is in SHOWN with its reason; an example that is nowhere fails.
"""

import re
import shlex

import pytest

import examples
from machine import until

TELL = "herdctl iamat kiwi.cs.ucla.edu +34.068930-118.445127; herdctl iamat me +48.8584+2.2945"
BRAVO = "herdctl add Bravo"
# A row of GeoNames: 19 columns.
CITY = r"printf '1\tUCLA\tUCLA\t\t34.06893\t-118.44513\tS\tUNIV\tUS\t\tCA\t\t\t\t0\t\t\t\t2024-01-01\n' >"
HOSTS = "printf 'Hill 10.0.0.1:12400\\nJaquez 10.0.0.2:12400\\n' >/etc/herd/hosts\n" \
	"printf '[flood]\\nlisten = 0.0.0.0:12400\\nhosts = /etc/herd/hosts\\nname = %s\\n' >/etc/herd/herd.conf.d/flood.conf"
KEY = "cd /root; printf AIzaTest >key; mkdir -p /etc/systemd/system/herd@.service.d\n" \
	"printf '[Service]\\nLoadCredentialEncrypted=google-key:herd.google-key\\n' >/etc/systemd/system/herd@.service.d/key.conf"
# A terminal that types the key; programs that a herd's machine need not have.
ASK = "printf '#!/bin/sh\\necho AIzaTest\\n' >/usr/local/bin/systemd-ask-password; chmod +x /usr/local/bin/systemd-ask-password"
STUB = "printf '#!/bin/sh\\ncat >/tmp/%(name)s.in\\n' >/usr/local/bin/%(name)s; chmod +x /usr/local/bin/%(name)s"


class Run:
	"""How a block of commands is run, and what must be true after it."""

	def __init__(self, before="", after="", ends=(), again=False, endless=(), is_typed=False):
		self.before = before	# a shell's commands
		self.after = after	# the same: has to succeed
		self.ends = dict(ends)	# steps that do not end with 0: {number: status}
		self.again = again	# the last step is for a human who waits until the ones before have come up
		self.endless = endless	# steps that go on until they are interrupted
		self.is_typed = is_typed	# takes a terminal


RUN = {
	("herd-flood.8", "herdctl ca init"): Run(HOSTS % "Hill", "test -s /etc/herd/tls/host.key"),
	("herd-flood.8", "herdctl ca issue Jaquez"): Run(HOSTS % "Hill" + "\nherdctl ca init\n"
		"printf '#!/bin/sh\\nset -e; eval last=\\${$#}; test \"$last\" = root@Jaquez:/etc/herd/tls/; test -s \"$2\"\\n'"
		" >/usr/local/bin/scp; chmod +x /usr/local/bin/scp", "test ! -e /etc/herd/ca/hosts/Jaquez/host.key"),
	("herd-flood.8", "(umask 077 && openssl rand -hex 32 >/etc/herd/psk)"): Run("", "test $(stat -c %a-%s /etc/herd/psk) = 600-65"),
	("herd-flood.8", "$ herd-flood --shm /a --name a --set host-id=$(openssl rand -hex 16) \\"): Run(again=True),
	("herd-generator.8", "$ /lib/systemd/system-generators/herd-generator --check >/dev/null"): Run(
		"printf '# Two\\n#\\n#\\n[member Alpha]\\nlisten = 127.0.0.1:12000\\n\\n\\n[member Bravo]\\nlisten = 127.0.0.1:12000\\n'"
		" >/etc/herd/herd.conf", ends={0: 78}),
	("herd-member.8", "$ herd-member --name Alpha --listen 127.0.0.1:12000 &"): Run("systemctl stop herd.target 'herd@*' 'herd-flood*'",
		again=True),
	("herd-places.5", "herdctl places import cities500.txt"): Run(CITY + "cities500.txt", "herdctl places query 34.07 -118.44 5 5 | grep UCLA"),
	("herd-places.5", "$ unzip -p US.zip US.txt | herdctl places import --format geonames -"): Run(CITY + "US.txt\n"
		"printf '#!/bin/sh\\ntest \"$1 $2\" = \"-p US.zip\" && cat \"$3\"\\n' >/usr/local/bin/unzip; chmod +x /usr/local/bin/unzip",
		"herdctl places query 34.07 -118.44 5 5 | grep UCLA"),
	("herd-places.5", "$ cat mine.csv"): Run("printf 'name,lat,lon,type,prominence,address\\n\"Lab, third floor\",34.06893,-118.44513,"
		"point_of_interest,9,Engineering VI\\n' >mine.csv", "herdctl places query 34.07 -118.44 5 5 | grep 'Lab, third floor'"),
	("herd.7", "# systemctl status herd@Alpha"): Run(),
	("herd.7", "# herdctl iamat me +48.8584+2.2945"): Run(),
	("herd.7", "# herdctl add Bravo"): Run("", "herdctl members | grep Bravo"),
	("herd.7", "# herdctl watch"): Run(TELL, endless=(0,)),
	("herd.7", "# herdctl --check-config"): Run(),
	("herd.7", "# herdctl restart --rolling"): Run(BRAVO),
	("herd.7", "# herdctl places import cities15000.txt"): Run(CITY + "cities15000.txt"),
	("herd.7", "# herdctl ca init"): Run(HOSTS % "hill", "test -s /etc/herd/ca/hosts/jaquez/host.key"),
	("herd.7", "# herdctl peers"): Run(HOSTS % "hill" + "\nherdctl ca init; herdctl ca issue hill --install\n"
		"systemctl daemon-reload; systemctl restart herd-flood", ends={0: 1}, again=True),	# jaquez is down
	("herd.7", "# herdctl drain Bravo"): Run(BRAVO, "! systemctl is-active herd@Bravo.service herd@Bravo.socket"),
	("herd.7", "# systemctl stop herd.target"): Run(BRAVO, "! systemctl is-active herd@Alpha.service; ! systemctl is-active herd@Bravo.service"
		"; ! systemctl is-active herd-flood.service; systemctl start herd.target; systemctl is-active herd@Bravo.service"),
	("herd.conf.5", "$ herd-flood --check-config"): Run("printf '[herd]\\nsend-timeout = 1m\\n' >/etc/herd/herd.conf", ends={0: 78, 1: 78}),
	("herd@.service.8", "systemctl start herd@Alpha"): Run(),
	("herd@.service.8", "systemctl daemon-reload\nsystemctl start herd@Bravo"): Run(
		"printf '[member Bravo]\\nlisten = 127.0.0.1:12001\\n' >/etc/herd/herd.conf.d/b.conf", "systemctl is-active herd@Bravo"),
	("herd@.service.8", "systemctl daemon-reload\nsystemctl restart herd@Alpha.socket"): Run(
		"printf '[member Alpha]\\nlisten = 127.0.0.1:12009\\n' >/etc/herd/herd.conf", "systemctl show -p Listen herd@Alpha.socket | grep 12009"),
	("herd@.service.8", "journalctl -u 'herd@*' -u herd-flood -p warning -x"): Run(),
	("herd@.service.8", "# mkdir -p -m 700 /etc/credstore.encrypted"): Run(KEY,
		"systemctl daemon-reload; systemctl restart herd@Alpha; systemctl is-active herd@Alpha"),
	("herd@.service.8", "systemctl edit herd@Alpha        # one member"): Run(
		"printf '#!/bin/sh\\nsed -i \"3i [Service]\\\\nNice=3\" \"$1\"\\n' >/usr/local/bin/editor; chmod +x /usr/local/bin/editor",
		"test $(systemctl show --value -p Nice herd@Alpha.service) = 3", is_typed=True),
	("herd@.service.8", "herdctl add Bravo --listen 0.0.0.0:12001"): Run("", "systemctl is-active herd@Bravo"),
	("herdctl.1", "$ herdctl iamat kiwi.cs.ucla.edu +34.068930-118.445127"): Run(),
	("herdctl.1", "$ herdctl whatsat kiwi.cs.ucla.edu 10 5 --json |"): Run(TELL),
	("herdctl.1", "$ herdctl fixes --count '*.cs.ucla.edu'"): Run(TELL),
	("herdctl.1", "$ herdctl trace kiwi.cs.ucla.edu"): Run(TELL),
	("herdctl.1", "$ herdctl bench --member Alpha --connections 50"): Run("", "herdctl fixes --count 'herdctl-bench-*' | grep 100"),
	("herdctl.1", "$ herdctl bench --rate 2000 --connections 50"): Run("", "herdctl fixes --count 'herdctl-bench-*' | grep 100"),
	("herdctl.1", "$ herdctl top --count 5"): Run(),
	("herdctl.1", "# herdctl reload && herdctl status"): Run(),
	("herdctl.1", "herdctl status >/tmp/status || mail -s \"herd: $?\" root </tmp/status"): Run(
		STUB % {"name": "mail"} + "; herdctl status; systemctl kill -s STOP herd@Alpha",
		"grep Alpha /tmp/mail.in; systemctl kill -s CONT herd@Alpha"),
	("herdctl.1", "# herdctl places import --format geonames US.txt"): Run(CITY + "US.txt"),
	("herdctl.1", "# herdctl add Bravo --listen 0.0.0.0:12001 --listen [::]:12001"): Run("", "! systemctl is-active herd@Bravo"),
	("herdctl.1", "# herdctl drain Bravo --timeout 10min"): Run(BRAVO, "systemctl is-active herd@Bravo"),
	("herdctl.1", "$ herdctl flood graph --dot | dot -Tsvg >herd.svg"): Run(STUB % {"name": "dot"} + "\n" + HOSTS % "Hill" +
		"\nherdctl ca init; herdctl ca issue Hill --install; systemctl daemon-reload; systemctl restart herd-flood",
		"grep Jaquez /tmp/dot.in"),
	("herdctl.1", "# herdctl ca init"): Run(HOSTS % "Hill", "herdctl ca list | grep -i revoked"),
	("README.md", "herdctl add Bravo                               # 127.0.0.1, the first free port from 12000 on"): Run("",
		"systemctl is-active herd@Charlie; ! systemctl is-active herd@Bravo"),
	("README.md", "systemd-sysusers && systemctl daemon-reload && systemctl start herd.target"): Run(TELL + "\n" + BRAVO,
		"! systemctl is-active herd@Bravo", endless=(5,)),
	("README.md", "herdctl ca init"): Run(HOSTS % "hill", "test -s /etc/herd/tls/host.key"),
	("README.md", "herdctl places import cities15000.txt"): Run(CITY + "cities15000.txt"),
	("README.md", "mkdir -p -m 700 /etc/credstore.encrypted"): Run(ASK,
		"systemctl daemon-reload; herdctl restart --rolling; systemctl is-active herd@Alpha"),
	("README.md", "mkdir -p -m 700 /etc/credstore"): Run(ASK, "systemctl daemon-reload; herdctl restart --rolling\n"
		"test $(stat -c %a /etc/credstore/herd.google-key) = 600"),
}

SHOWN = {
	("herd-flood.8", "HERD-SNAPSHOT 1 42 1795392123.004817000 /herd 6f0c5a1b2e3d4c5f"): "a file that the helper writes: test_snapshot",
	("herd-flood.8", "Hill      hill.example:12400       site=west"): "a list of hosts; those of test_three_machines are like it",
	("herd-generator.8", "64 MiB"): "a sum that test_generator computes",
	("herd-generator.8", "+ places.cache-size"): "the same",
	("herd-places.5", "Contains data from GeoNames (https://www.geonames.org), CC BY 4.0"): "a text that test_places finds in answers",
	("herd-places.5", "scp places.herd host:/var/lib/herd/places.herd.new"): "copies a file to another machine",
	("herd.7", "hill    10.0.0.1:12400"): "a list of hosts, which the commands behind it have here",
	("herd.conf.5", "  places.id,places.displayName,places.location,places.viewport,"): "a default, which check-docs compares",
	("herd@.service.8", "[Socket]"): "a drop-in that test_sandbox has",
	("README.md", "./quickstart"): "test_quickstart, on another machine",
	("README.md", "A helper and 5 members are up: Alpha Bravo Charlie Delta Echo"): "what that test reads",
	("README.md", "build/herdctl --config build/run-12000/herd.conf status"): "the same test",
	("README.md", "build/herd-member --config build/run-12000/herd.conf --name Foxtrot --listen 127.0.0.1:12005"): "the same test",
	("README.md", "packaging/build-deb                  # names the packages it lacks; prints the path of the one it made"): "test_package",
	("README.md", "packaging/build-rpm                  # rpm-build and the spec's BuildRequires; prints the path of the rpm it made"):
		"test_rpm; a Fedora takes more than this machine",
	("README.md", "herdctl ca issue jaquez"): "test_three_machines, with files copied instead of scp",
	("README.md", "host    hill"): "what test_three_machines asks for as JSON",
}

ALL = examples.examples()
SESSIONS = [(page, text) for page, text in ALL if examples.is_session(text)]
SETTINGS = [(page, text) for page, text in ALL if examples.settings_in(text)]
OTHERS = [(page, text) for page, text in ALL if not examples.is_session(text) and not examples.settings_in(text)]


def key_of(table, page, text):
	"""The longest key that the example begins with."""
	return max((key for key in table if key[0] == page and text.startswith(key[1] + "\n")), key=lambda key: len(key[1]), default=None)


def name_of(example):
	return "%s:%s" % (example[0], re.sub(r"\W+", "-", example[1])[:40])


def test_each_example_is_run_or_has_a_reason():
	assert len(SESSIONS) >= 5 and len(SETTINGS) >= 8
	ran = [key_of(RUN, *example) for example in OTHERS]
	shown = [key_of(SHOWN, *example) for example in OTHERS]
	assert [example for example, a, b in zip(OTHERS, ran, shown) if bool(a) == bool(b)] == []
	assert set(RUN) - set(ran) == set() and set(SHOWN) - set(shown) == set()
	assert len({key for key in ran if key}) == sum(1 for key in ran if key), "two examples are run as one"


# --- sessions -------------------------------------------------------------

def pattern_of(line):
	"""A reply: times differ, and what is left out may be anything."""
	text = re.escape(line).replace(re.escape("..."), ".*")
	return re.sub(r"^(AT\\? Alpha\\? )\S+", r"\1[+-][0-9]+[.][0-9]{9}", text)


@pytest.mark.parametrize("example", SESSIONS, ids=name_of)
def test_sessions(machine, example):
	sent, replies, answered = [], [], True
	for line in example[1].splitlines()[1:]:
		# AT is a reply to a command that has none yet; else a client said it.
		if re.match(r"(\? |\{)", line) or not line or (line.startswith("AT ") and not answered):
			replies.append(line)
			answered = True
		else:
			sent.append(line)
			answered = False
	assert sent and len(replies) >= len(sent)
	out = machine.run("nc", "-N", "127.0.0.1", "12000", stdin="\n".join(sent) + "\n").stdout
	assert re.fullmatch("".join(pattern_of(line) + "\n" for line in replies), out), (replies, out)


# --- settings -------------------------------------------------------------

@pytest.mark.parametrize("example", SETTINGS, ids=name_of)
def test_settings(shared, example):
	hosts, other = examples.hosts_in(example[1])
	assert other == [], "what stands before the settings is run by nobody"
	shared.write("/etc/herd/hosts", "\n".join(hosts or ["hill 10.0.0.1:12400"]) + "\n")
	shared.write("/root/example.conf", examples.settings_in(example[1]))
	shared.run("herdctl", "--config", "/root/example.conf", "--check-config")


def test_a_command_before_settings_is_seen():
	text = "# /etc/herd/hosts\nhill 10.0.0.1:12400\n\n# herdctl reload\n$ true\n[herd]\nfix-ttl = 1d\n"
	assert examples.hosts_in(text) == (["hill 10.0.0.1:12400"], ["# herdctl reload", "$ true"])


def test_a_bad_setting_is_seen(shared):
	shared.write("/root/example.conf", "[herd]\nfix-ttl = 1d\nnonsense = 1\n")
	shared.run("herdctl", "--config", "/root/example.conf", "--check-config", status=78)


# --- commands -------------------------------------------------------------

def told(text):
	return re.sub(r"\s+", " ", text).strip()


@pytest.mark.parametrize("example", [example for example in OTHERS if key_of(RUN, *example)], ids=name_of)
def test_commands(machine, example):
	how = RUN[key_of(RUN, *example)]
	machine.sh("cd /root\n" + how.before)
	steps = examples.steps(example[1])
	background = ""
	for number, (command, says) in enumerate(steps):
		if command.endswith(" &"):
			background += "%s >/dev/null 2>&1 &\n" % command[:-len(" &")]
			continue
		if number in how.endless:
			command = "timeout -s INT 1 %s\ntest $? -le 130" % command
		if how.is_typed:
			command = "TERM=dumb script -qec %s /dev/null" % shlex.quote(command)
		if background:	# lives in the shell that tries the last step
			script = "%sstatus=1\nfor i in $(seq 100); do if out=$(%s) && [ -n \"$out\" ]; then status=0; break; fi; sleep 0.1; done\n" \
				"kill $(jobs -p); echo \"$out\"; exit $status" % (background, command)
			machine.run("bash", "-c", "cd /root\n" + script)
			continue

		def tried():
			done = machine.run("bash", "-c", "cd /root\n" + command, status=None)
			return done if done.returncode == how.ends.get(number, 0) else None

		if how.again and number == len(steps) - 1:
			done = until(tried, "%r ends well" % command, 20, 0.2)
		else:
			done = tried()
			assert done, (command, machine.run("bash", "-c", "cd /root\n" + command, status=None))
		assert told(says) in told(done.stdout + done.stderr), (says, done)
	machine.sh("cd /root\n" + how.after)
