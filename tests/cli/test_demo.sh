#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo on a directory of few files: test_demo.sh MOB JSONCHECK
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

demo=$(dirname "$mob")/mob-demo

# demo CODE ARGUMENT...: runs it; out and err have what it printed.
demo() {
	local want=$1 code
	shift
	"$demo" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
	if [ "$code" -ne "$want" ]; then
		fail "mob-demo $*: exit $code, expected $want"
		sed 's/^/    /' "$tmp/out" "$tmp/err"
	fi
}

demo 0 --help
demo 2 --nothing
demo 1 "$tmp/not-there"
says "'$tmp/not-there': No such file or directory"
demo 1 "$mob"
says "not a directory"
mkdir "$tmp/empty"
demo 1 "$tmp/empty"
says "no file below '$tmp/empty' can be read"

# ---- everything, on the scripts of the tests and a file of words ----
mkdir "$tmp/files"
cp "$here"/*.sh "$tmp/files"
for i in {1..20000}; do
	echo "word$((i % 997)) and $((i % 89))"
done >"$tmp/files/words"
demo 0 "$tmp/files"
prints "so that tasks queue up"
grep -Eq '^swap: ws -> lifo, generation [0-9]+, with [0-9]{3,} tasks queued and [1-9]' \
	"$tmp/out" || fail "no line of a swap with 100 tasks queued and one running"
grep -Eq '^kill: worker [0-9]+ was killed by signal 9 in task count_words, attempt [0-9]+; the task was run again$' \
	"$tmp/out" || fail "no line of a kill"
[ "$(grep -c ' yes$' "$tmp/out")" -eq 8 ] || fail "not 8 runs checked"
for run in 'quicksort, sequential' 'word count, sequential' \
	'quicksort, distributed *ws' 'quicksort, distributed *lifo' \
	'word count *ws' 'word count *lifo' 'word count, swap' \
	'word count, kill -9'; do
	grep -Eq "^$run" "$tmp/out" || fail "no row of $run"
done
report
