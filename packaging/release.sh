#!/usr/bin/env bash
# What build-deb and build-rpm have in common; they set `top` and read this file. One
# log, one temporary directory that is gone at the end, and the tarball of a release.
: "${top:?}"
umask 022
export LC_ALL=C.UTF-8 TZ=UTC
unset SOURCE_DATE_EPOCH # the changelog's date is the one that counts
exec </dev/null

prepare_s=600 # autoreconf, configure and make dist, each

work=
log=
busy= # pid of the command we wait for

say()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die()
{
	say "$*"
	exit 1
}

on_exit()
{
	local status=$?
	trap '' INT TERM HUP
	if [ -n "$busy" ]; then
		kill -TERM "$busy" 2>/dev/null
		wait "$busy" 2>/dev/null
	fi
	[ -z "$work" ] || rm -rf "$work"
	exit "$status"
}

# Runs a command with its output in the log; a failure shows the log's end.
step() # WHAT SECONDS COMMAND...
{
	local what=$1 limit=$2 status=0
	shift 2
	timeout -k 10 "$limit" "$@" >>"$log" 2>&1 &
	busy=$!
	wait "$busy" || status=$?
	busy=
	[ "$status" -ne 0 ] || return 0
	[ "$status" -ne 124 ] || say "gave up after $limit s"
	tail -n 30 "$log" | sed 's/^/    /' >&2
	die "$what failed, all of it is in $log"
}

# Makes sure that there is a place for what is built (`output`), its log and what comes between.
begin() # OUTPUT
{
	output=$1
	if ! mkdir -p "$output" || ! output=$(cd "$output" && pwd -P) || [ ! -w "$output" ]; then
		die "cannot write ${output:-there}: choose another place with --output DIR"
	fi
	trap on_exit EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/herd-${0##*/}.XXXXXX") || exit 1
	log=$output/${0##*/}.log
	: >"$log" || exit 1
}

copy_source()
{
	# Without what a build in the source may have left: configure would refuse to build elsewhere.
	tar -C "$top" --anchored --exclude=./.git --exclude='./build*' --exclude=./autom4te.cache \
		--exclude=./config.status --exclude=./Makefile --no-anchored --exclude='*.o' --exclude='*.a' \
		--exclude=.deps --exclude=__pycache__ -cf - . | tar -C "$work/source" -xf - ||
		die "cannot copy the source to $work"
	chmod -R u+w "$work/source" || die "cannot make the copy writable"
}

# A release as it would be published: `tarball`.
make_tarball()
{
	local configured=$work/configured

	mkdir "$work/source" "$configured" || die "cannot write to $work"
	copy_source
	step "autoreconf" "$prepare_s" env -C "$work/source" autoreconf -fi
	step "configure" "$prepare_s" env -C "$configured" ../source/configure -q
	step "make dist" "$prepare_s" make -s -C "$configured" dist
	tarball=$(echo "$configured"/herd-*.tar.xz)
	[ -f "$tarball" ] || die "make dist made no tarball"
}
