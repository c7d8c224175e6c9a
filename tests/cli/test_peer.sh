#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/bench-peers with one peer: every case it has, in a tiny count, and its end
# by a signal: test_peer.sh PEER TOP BUILD. Skips, with 77, where the peer is not
# installed (tools/install-deps peers).
set -u
peer=$1
top=$2
build=$3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failures=0

fail() {
	echo "FAILED: $*"
	sed 's/^/    /' "$tmp/out" "$tmp/err"
	failures=$((failures + 1))
}

skip() {
	echo "skipped: $peer: $1"
	exit 77
}

kind=store
cases="put_100b put_100b_kept put_100b_2proc get put_1mib put_1gib"
# Cases that run beside a raw primitive.
raw="put_100b_2proc put_1mib put_1gib"
long=put_100b_kept # one that is not over soon
case $peer in
lmdb)
	program="peer-lmdb"
	server='^$' # none
	cases+=" list put_100b_kept.in.batches"
	;;
redis)
	command -v redis-server >/dev/null || skip "no redis-server"
	pkg-config --exists hiredis || skip "no libhiredis-dev"
	program="peer-redis"
	server=redis-server
	cases+=" list put_100b_kept.in.batches wake"
	raw+=" wake"
	;;
plasma)
	"$top/build/peers/plasma/bin/python" -W ignore \
		-c 'import pyarrow.plasma' 2>/dev/null ||
		skip "no pyarrow 11 in build/peers/plasma"
	program=plasma_cases.py
	server=plasma_store
	cases+=" list.of.100,000 wake"
	raw+=" wake"
	;;
dask)
	"$top/build/peers/dask/bin/python" -W ignore \
		-c 'import distributed' 2>/dev/null ||
		skip "no distributed in build/peers/dask"
	kind=task
	program=dask_cases.py
	server='^$'
	cases="sync async wait_1k args_10k chain nested_10 metg"
	raw=""
	long=async
	;;
tbb | openmp | starpu)
	kind=task
	program=peer-$peer
	server='^$'
	cases="sync_hot async chain metg"
	[ "$peer" = starpu ] || cases+=" nested_10 fanout_tree"
	raw=""
	long=metg
	;;
esac
case $peer in
tbb)
	pkg-config --exists tbb || skip "no libtbb-dev"
	command -v c++ >/dev/null || skip "no compiler of C++"
	;;
starpu) pkg-config --exists starpu-1.3 || skip "no libstarpu-dev" ;;
openmp)
	cmake --build "$build" --target help | grep -q peer-openmp ||
		skip "the compiler has no OpenMP"
	cases+=" sync"
	;;
esac
targets=(mob)
[ "$peer" = plasma ] || [ "$peer" = dask ] || targets+=("$program")
if ! cmake --build "$build" --target "${targets[@]}" \
	>"$tmp/out" 2>"$tmp/err"; then
	fail "it is not built"
	exit 1
fi

gone() {
	local i
	for ((i = 0; i < 100; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.05
	done
	return 1
}

# Every case is printed beside ours, with a spread; and nothing stays.
every_case() {
	local name place
	"$top/tools/bench-peers" "$peer" --quick --rounds 2 \
		--bin "$build/bin" >"$tmp/out" 2>"$tmp/err" ||
		fail "bench-peers $peer --quick: exit $?"
	for name in $cases; do
		grep -Eq "^$kind\.$name +[0-9.]+ .* [0-9]+% .*[0-9]%.*x" "$tmp/out" ||
			fail "$peer: $kind.$name is not printed beside ours"
	done
	for name in $raw; do
		grep -Eq "^$kind\.$name .*x  [0-9.]+, [0-9.]+$" "$tmp/out" ||
			fail "$peer: $kind.$name is not beside a raw primitive"
	done
	for name in machine commit build rounds; do
		grep -q "^$name: ." "$tmp/out" || fail "no $name is printed"
	done
	place=$(sed -n 's/^place: //p' "$tmp/err")
	if [ -z "$place" ] || [ -e "$place" ]; then
		fail "$peer leaves '$place' behind"
	fi
}

# children PID: those below it, all the way down.
children() {
	local i
	for i in $(pgrep -P "$1"); do
		echo "$i"
		children "$i"
	done
}

# Ended by a signal in the middle: its program, server and place go with it.
ended() {
	local script running="" place all i rc=0
	"$top/tools/bench-peers" "$peer" --rounds 100 \
		--case "$kind.$long" --bin "$build/bin" \
		>"$tmp/out" 2>"$tmp/err" &
	script=$!
	for ((i = 0; i < 1200; i++)); do
		running=$(pgrep -P "$script" -f "$program") && break
		kill -0 "$script" 2>/dev/null || break
		sleep 0.05
	done
	place=$(sed -n 's/^place: //p' "$tmp/err")
	if [ -z "$running" ] || [ ! -d "$place" ]; then
		fail "$peer did not come to run anything"
	fi
	if [ "$server" != '^$' ] && ! pgrep -P "$script" -f "$server" >/dev/null
	then
		fail "$peer runs without a server"
	fi
	all=$(children "$script")
	kill -s "$1" "$script"
	if ! gone "$script"; then
		fail "bench-peers $peer does not end at SIG$1"
		kill -s KILL "$script"
	fi
	wait "$script" 2>/dev/null || rc=$?
	[ $rc -eq "$2" ] || fail "$peer at SIG$1: exit $rc, expected $2"
	for i in $all; do
		gone "$i" || {
			fail "SIG$1 leaves process $i of $peer"
			kill -s KILL "$i"
		}
	done
	if [ -n "$place" ] && [ -e "$place" ]; then
		fail "SIG$1 leaves $place"
		rm -rf "$place"
	fi
}

every_case
ended TERM 143
ended HUP 129
echo "$failures failures"
[ $failures -eq 0 ]
