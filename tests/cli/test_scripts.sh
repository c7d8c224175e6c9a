#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What tools/install-deps and tools/bench-peers refuse, and say: test_scripts.sh TOP BUILD
# Runs the peers that are here for a round.
set -u
top=$1
build=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failures=0

# expect STATUS COMMAND...
expect() {
	local want=$1 got=0
	shift
	"$@" >"$tmp/out" 2>"$tmp/err" || got=$?
	if [ "$got" -ne "$want" ]; then
		echo "FAILED: $*: exit $got, expected $want"
		sed 's/^/    /' "$tmp/err"
		failures=$((failures + 1))
	fi
}

says() {
	if ! grep -qF -- "$1" "$tmp/err"; then
		echo "FAILED: stderr lacks: $1"
		failures=$((failures + 1))
	fi
}

deps=$top/tools/install-deps
expect 0 "$deps" --print build
expect 2 "$deps" nonsense
says "no set 'nonsense'"
# Who may not install is told the line. Everything is missing to this dpkg-query.
mkdir "$tmp/bin"
printf '#!/bin/sh\nexit 1\n' >"$tmp/bin/dpkg-query"
printf '#!/bin/sh\necho 1000\n' >"$tmp/bin/id"
printf '#!/bin/sh\nexit 1\n' >"$tmp/bin/sudo"
chmod +x "$tmp"/bin/*
PATH=$tmp/bin:$PATH expect 2 "$deps" build
says "may not"
if ! grep -q '^apt-get update && apt-get install .*liblmdb-dev' "$tmp/out"; then
	echo "FAILED: the line to run is not printed"
	failures=$((failures + 1))
fi
PATH=$tmp/bin:$PATH expect 0 "$deps" --print build
if ! grep -qx liblz4-dev "$tmp/out"; then
	echo "FAILED: --print does not print what is missing"
	failures=$((failures + 1))
fi

peers=$top/tools/bench-peers
for args in "" "nobody" "lmdb --rounds 0" "lmdb --rounds x" "lmdb --rounds" \
	"lmdb --what"; do
	# shellcheck disable=SC2086 # words of their own
	expect 2 "$peers" $args
	says "tools/bench-peers ray|plasma|redis|lmdb"
done

expect 2 "$peers" lmdb --rounds 101
says "--rounds is '101'; give a whole number from 1 to 100"
expect 2 "$peers" lmdb --bin "$tmp"
says "there is no program mob in it"

gone() {
	local i
	for ((i = 0; i < 100; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.05
	done
	return 1
}

# A short round: both sides are printed, and nothing stays.
short_round() {
	local place
	expect 0 "$peers" "$1" --rounds 1 --case store.put_1mib --bin "$build/bin"
	if ! grep -q '^store.put_1mib .*x$' "$tmp/out"; then
		echo "FAILED: $1: the case is not printed beside ours"
		failures=$((failures + 1))
	fi
	place=$(sed -n 's/^place: //p' "$tmp/err")
	if [ -z "$place" ] || [ -e "$place" ]; then
		echo "FAILED: $1 leaves '$place' behind"
		failures=$((failures + 1))
	fi
}

# Ended by a signal in the middle: its program, server and place go with it.
ended() {
	local script program="" place server i rc=0
	"$peers" "$1" --rounds 100 --case store.put_100b_kept \
		--bin "$build/bin" >"$tmp/out" 2>"$tmp/err" &
	script=$!
	for ((i = 0; i < 1200; i++)); do
		program=$(pgrep -P "$script" -x "peer-$1") && break
		program=$(pgrep -P "$script" -x mob) && break
		sleep 0.05
	done
	place=$(sed -n 's/^place: //p' "$tmp/err")
	server=$(pgrep -P "$script" -x "$1-server")
	if [ -z "$program" ] || [ ! -d "$place" ]; then
		echo "FAILED: $1 did not come to run anything"
		sed 's/^/    /' "$tmp/err"
		failures=$((failures + 1))
	fi
	kill -s "$2" "$script"
	if ! gone "$script"; then
		echo "FAILED: bench-peers $1 does not end at SIG$2"
		kill -s KILL "$script"
		failures=$((failures + 1))
	fi
	wait "$script" 2>/dev/null || rc=$?
	[ $rc -eq "$3" ] || {
		echo "FAILED: bench-peers $1 at SIG$2: exit $rc, expected $3"
		failures=$((failures + 1))
	}
	for i in $program $server; do
		gone "$i" || {
			echo "FAILED: SIG$2 leaves process $i of $1"
			kill -s KILL "$i"
			failures=$((failures + 1))
		}
	done
	if [ -n "$place" ] && [ -e "$place" ]; then
		echo "FAILED: SIG$2 leaves $place"
		rm -rf "$place"
		failures=$((failures + 1))
	fi
}

for peer in lmdb redis; do
	if [ $peer = redis ] && { ! command -v redis-server >/dev/null ||
		! pkg-config --exists hiredis; }; then
		echo "skipped: redis: no redis-server, or no libhiredis-dev"
		continue
	fi
	expect 0 cmake --build "$build" --target mob "peer-$peer"
	short_round $peer
	if [ $peer = lmdb ]; then
		expect 0 "$peers" lmdb --rounds 1 --case 'store.put_100b_kept*' \
			--bin "$build/bin"
		if ! grep -q '^store.put_100b_kept in batches .*x$' "$tmp/out"; then
			echo "FAILED: lmdb in batches is not beside ours"
			failures=$((failures + 1))
		fi
	fi
	ended $peer TERM 143
	ended $peer HUP 129
done

echo "$failures failures"
[ $failures -eq 0 ]
