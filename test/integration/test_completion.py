"""What shells offer for herdctl, asked of the shells themselves, at a terminal, key by key."""

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time

import pytest

import harness
from harness import LIMIT

TOP = os.environ.get("HERD_TOP") or os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
FOLDER = os.path.join(TOP, "share", "completion")

# Both get keys for "insert all that fits" (Ctrl-X a) and "print the line" (Ctrl-X p).
BASH = r"""
PS1=
. "$COMPLETION/herdctl"
bind '"\C-xa": insert-completions' 'set enable-bracketed-paste off' 'set horizontal-scroll-mode off'
bind -x '"\C-xp": printf "\n<%s>\n" "$READLINE_LINE"'
echo "rea""dy"
"""
ZSH = r"""
PS1= PROMPT_EOL_MARK= zle_bracketed_paste=()
fpath=("$COMPLETION" $fpath)
autoload -Uz compinit && compinit -u -D
zstyle ':completion:*' menu no
zstyle ':completion:every:*' completer _all_matches _complete
zstyle ':completion:every:*' insert yes
setopt no_auto_menu no_list_beep no_auto_list
bindkey -e
zle -C every complete-word _generic
bindkey '^Xa' every
print_line() { print -rn -- $'\n<'"$BUFFER"$'>\n' }
zle -N print_line
bindkey '^Xp' print_line
echo "rea""dy"
"""


class Shell:
	"""An interactive shell on a terminal of its own."""

	def __init__(self, name, folder):
		self.name = name
		self.folder = folder
		rc = folder / ".rc"
		rc.write_text(BASH if name == "bash" else ZSH)
		(folder / "empty").write_text("")
		env = {"PATH": os.path.dirname(harness.program("herdctl")) + ":/usr/bin:/bin", "HOME": str(folder), "TERM": "dumb",
			"LC_ALL": "C.UTF-8", "COMPLETION": FOLDER, "INPUTRC": str(folder / "empty"), "ZDOTDIR": str(folder)}
		env.update({key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")})
		argv = ["bash", "--norc", "--noprofile", "-i"] if name == "bash" else ["zsh", "-f", "-i"]
		self.terminal, slave = pty.openpty()
		fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 4000, 0, 0))

		def own_terminal():
			os.setsid()
			fcntl.ioctl(0, termios.TIOCSCTTY, 0)

		self.process = subprocess.Popen([shutil.which(argv[0])] + argv[1:], stdin=slave, stdout=slave, stderr=slave,
			cwd=str(folder), env=env, preexec_fn=own_terminal)
		os.close(slave)
		os.write(self.terminal, b". ./.rc\n")
		self.until(r"(?m)^ready\r?$")

	def until(self, pattern):
		seen, end = "", time.monotonic() + LIMIT
		while not re.search(pattern, seen):
			left = end - time.monotonic()
			assert left > 0 and select.select([self.terminal], [], [], left)[0], seen
			seen += os.read(self.terminal, 65536).decode("utf-8", "replace")
		return re.search(pattern, seen)

	def type(self, line, key):
		"""What the line is after it was typed and this key was pressed."""
		os.write(self.terminal, b"\x05\x15" + line.encode() + key + b"\x18p")
		return self.until(r"\n<(.*)>\r?\n").group(1)

	def every(self, line):
		"""All that the last word of the line could be."""
		whole = self.type(line, b"\x18a")
		known = line[:line.rfind(" ") + 1]
		assert whole.startswith(known), whole
		found = whole[len(known):].split(" ")
		return set(word for word in found if word)

	def tab(self, line):
		return self.type(line, b"\t")

	def end(self):
		os.close(self.terminal)
		try:
			self.process.send_signal(signal.SIGHUP)
			self.process.wait(LIMIT)
		finally:
			self.process.kill()
			self.process.wait(LIMIT)


@pytest.fixture(scope="module", params=["bash", "zsh"])
def shell(request, tmp_path_factory):
	one = Shell(request.param, tmp_path_factory.mktemp("shell"))
	yield one
	one.end()


@pytest.fixture(autouse=True)
def herdctl_runs():
	"""Shells say nothing of a program that fails when it is asked."""
	assert herdctl("--version")


def herdctl(*words):
	done = subprocess.run([harness.program("herdctl")] + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
		timeout=LIMIT, check=True)
	return done.stdout.decode()


def commands():
	text = herdctl("--help").split("Commands:\n", 1)[1].split("\n\n", 1)[0]
	found = [re.match(r"  (.*?)  ", line).group(1) for line in text.splitlines()]
	assert len(found) > 20
	return found


def options(*command):
	return set(re.findall(r"^  (--[a-z-]+)", herdctl(*command, "--help"), re.MULTILINE))


def without_equals(words):
	"""zsh inserts the = of an option that takes a value."""
	return {word.rstrip("=") for word in words}


def test_commands(shell):
	names = commands()
	assert shell.every("herdctl ") == {name.split()[0] for name in names} | {"help"}
	assert shell.every("herdctl help ") == {name.split()[0] for name in names}
	assert shell.every("herdctl --config /nowhere --json re") == {n for n in names if n.startswith("re")}
	for group in {name.split()[0] for name in names if " " in name}:
		wanted = {name.split()[1] for name in names if name.startswith(group + " ")}
		assert shell.every("herdctl %s " % group) == wanted, group
		assert shell.every("herdctl help %s " % group) == wanted, group


def test_options(shell):
	assert without_equals(shell.every("herdctl --")) == options()
	for name in commands():
		assert without_equals(shell.every("herdctl %s --" % name)) == options() | options(*name.split()), name


def test_one_tab(shell):
	assert shell.tab("herdctl stat") == "herdctl status "
	assert shell.tab("herdctl places im") == "herdctl places import "
	assert shell.tab("herdctl members --js") == "herdctl members --json "
	assert shell.tab("herdctl restart --rol") == "herdctl restart --rolling "
	assert shell.tab("herdctl nonsense st") == "herdctl nonsense st"


def test_words_of_options(shell):
	"""--help says what they may be."""
	for command, option in (("places import", "format"), ("places query", "rank")):
		line = re.search(r"--%s [A-Z]+ +(.*?)(?: \(|$)" % option, herdctl(*command.split(), "--help")).group(1)
		wanted = set(re.split(r", | or ", line))
		assert len(wanted) > 1
		assert shell.every("herdctl %s --%s " % (command, option)) == wanted
	assert shell.tab("herdctl places query --rank=d") .rstrip() == "herdctl places query --rank=distance"


def test_settings(shell):
	every = json.loads(herdctl("--json", "config"))["settings"]
	plain = {"%s.%s" % (s["section"], s["name"]) for s in every if " " not in s["section"]}
	flood = {name for name in plain if name.startswith("flood.")}
	assert shell.every("herdctl config flood.") == flood
	assert shell.tab("herdctl config herd.fix") == "herdctl config herd.fix-ttl "
	assert shell.tab("herdctl --set herd.fix") == "herdctl --set herd.fix-ttl="
	assert shell.tab("herdctl config 'places google.fi" if shell.name == "zsh" else "herdctl config places\\ google.fi") \
		.replace("'", "").replace("\\", "").rstrip() == "herdctl config places google.field-mask"


def test_members(shell, shared):
	"""Those of the herd that the line names."""
	names = {"Alpha", "Bravo", "Charlie"}
	where = "herdctl --config %s --shm %s" % (shared.config, shared.shm)
	assert shell.every(where + " reload ") == names
	assert shell.every(where + " reload Alpha ") == names
	assert shell.every(where + " whatsat --member ") == names
	assert shell.tab(where + " remove Br") == where + " remove Bravo "
	assert shell.tab("herdctl --config=%s --shm=%s iamat --member=Ch" % (shared.config, shared.shm)).rstrip() == \
		"herdctl --config=%s --shm=%s iamat --member=Charlie" % (shared.config, shared.shm)
	assert shell.every("herdctl --shm /herd-nobody reload ") == set()


def test_files(shell):
	folder = shell.folder / "with files"
	folder.mkdir(exist_ok=True)
	(folder / "cities.csv").write_text("")
	(folder / "sub").mkdir(exist_ok=True)
	assert shell.tab("herdctl places import with\\ files/ci") == "herdctl places import with\\ files/cities.csv "
	assert shell.tab("herdctl --config with\\ files/ci") == "herdctl --config with\\ files/cities.csv "
	assert shell.tab("herdctl --config=with\\ files/ci") == "herdctl --config=with\\ files/cities.csv "
	assert shell.tab("herdctl ca init --dir with\\ files/") == "herdctl ca init --dir with\\ files/sub/"
	assert shell.tab("herdctl status ci") == "herdctl status ci"
