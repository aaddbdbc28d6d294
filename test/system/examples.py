"""What the manual pages and the README show: each literal block, and each run of lines shown alone."""

import glob
import os
import re

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
ROFF = {r"\e": "\\", r"\&": "", r"\-": "-", r"\(aq": "'", r"\(dq": '"'}
HOST = re.compile(r"^[A-Za-z0-9._-]+ +[0-9.]+:[0-9]+( +site=\S+)?$")
SETTINGS = re.compile(r"^\[(herd|flood|member .*|places.*)\]$", re.MULTILINE)


def read(name):
	with open(os.path.join(TOP, name), encoding="utf-8") as file:
		return file.read()


def unescape(line):
	return re.sub(r"\\(?:\(..|.)", lambda found: ROFF[found.group()], line)


def of_page(text):
	"""Texts of .Bd blocks, and of .Dl lines that follow each other."""
	found, lines, is_block = [], None, False
	for line in text.splitlines():
		if is_block and line == ".Ed":
			found.append(lines)
			lines, is_block = None, False
		elif is_block:
			lines.append(unescape(line))
		elif line.startswith((".Bd ", ".Dl ")):
			is_block = line.startswith(".Bd ")
			lines = (lines or []) + ([] if is_block else [unescape(line[len(".Dl "):])])
		elif lines is not None:
			found.append(lines)
			lines = None
	return ["\n".join(lines) + "\n" for lines in found]


def of_readme(text):
	assert "```" not in text, "blocks are indented here"
	blocks = [block.strip("\n") for block in re.findall(r"(?:^    .*\n|^\n)+", text, re.MULTILINE)]
	return [re.sub(r"^    ", "", block, flags=re.MULTILINE) + "\n" for block in blocks if block]


def examples():
	"""All of them: (page, text)."""
	pages = sorted(glob.glob(os.path.join(TOP, "man", "*.[1-9]")))
	found = [(os.path.basename(page), text) for page in pages for text in of_page(read(page))]
	return found + [("README.md", text) for text in of_readme(read("README.md"))]


def is_session(text):
	return text.startswith("$ nc -N 127.0.0.1 12000\n")


def settings_in(text):
	"""What would be written into a file; empty: nothing of it."""
	at = SETTINGS.search(text)
	return text[at.start():] if at else ""


def hosts_in(text):
	"""(hosts, other): what an example shows before its settings, less comments, which begin with a capital or a file's name."""
	before = text[:len(text) - len(settings_in(text))]
	lines = [line for line in before.splitlines() if line and not re.match("# [A-Z/]", line)]
	hosts = [line for line in lines if HOST.match(line)]
	return hosts, [line for line in lines if line not in hosts]


def steps(text):
	"""[(command, what it says)] of a block: lines behind a prompt, or all lines where there is none."""
	lines = re.sub(r" \\\n *", " ", text).splitlines()
	if not any(re.match(r"[$#] ", line) for line in lines):
		return [(line, "") for line in lines]
	found = []
	for line in lines:
		if re.match(r"[$#] ", line):
			found.append([line[2:], ""])
		elif found and re.search(r"\|$", found[-1][0]):
			found[-1][0] += " " + line.strip()
		else:
			found[-1][1] += line + "\n"
	return [tuple(step) for step in found]
