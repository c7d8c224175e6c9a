#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Commands on a store without a scheduler: test_store.sh MOB JSONCHECK
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# ---- create ----
expect 2 store create demo --bytes 1K
says "hint: "
expect 2 store create .hidden --bytes 64M
expect 0 store create demo --bytes 64M
expect 4 store create demo --bytes 64M

# ---- the only session is taken, two are a question ----
expect 0 store stat
prints "demo"
expect 0 store stat demo --json
json name arena_bytes arena_used_bytes objects clients catalogue_rows \
	catalogue_lag_ms reaps huge_page_bytes huge_pages eviction
grep -Eq '"huge_pages":"[^"]*(huge=|shmem_enabled|kernel)' "$tmp/out" ||
	fail "stat does not say why there are huge pages or not"
grep -q '"eviction":"sieve"' "$tmp/out" || fail "not the default policy"
expect 0 store create other --bytes 64M
expect 2 store stat
says "which session? there are demo, other"
expect 0 session list --json
json name state path age_ns file_bytes
prints '"state":"store"'
expect 0 session show demo
prints demo
expect 0 store remove other
expect 3 store remove other

# ---- put, from a file and from standard input ----
printf 'hello\nworld\n' >"$tmp/file"
"$mob" object put "$tmp/file" --json >"$tmp/ref" 2>"$tmp/put.err" &
put=$!
started+=("$put")
until_true test -s "$tmp/ref"
"$jsoncheck" ref size_bytes <"$tmp/ref" || fail "put prints no JSON"
ref=$(sed 's/.*"ref":"\([^"]*\)".*/\1/' "$tmp/ref")
printf 'from stdin' | "$mob" object put --no-header >"$tmp/ref2" 2>/dev/null &
started+=($!)
until_true test -s "$tmp/ref2"
ref2=$(cut -d' ' -f1 <"$tmp/ref2")

# ---- list, show, get, wait ----
expect 0 object list --sync --json
json ref state size_bytes type creator born_ms
prints "\"ref\":\"$ref\""
prints "\"ref\":\"$ref2\""
says "objects: 2;"
expect 0 object list --sync --limit 1 --no-header
[ "$(wc -l <"$tmp/out")" -eq 1 ] || fail "--limit 1 prints more"
says "objects: 1 and more;"
expect 0 object list --sync --min-size 11 --max-size 1K --json
prints "\"ref\":\"$ref\""
says "objects: 1;"
expect 0 object list --state sealed --younger 1h --no-header
says "objects: 2;"
expect 0 object list --state failed --no-header
no_data
expect 0 object list --older 1h --no-header
no_data
expect 2 object list --creator 64
says "--creator is 64; a process has a number from 1 to 63"
expect 2 object list --state pending
expect 0 object show "$ref"
prints sealed
prints "12 B"
expect 0 object get "$ref"
cmp -s "$tmp/file" "$tmp/out" || fail "get gives other bytes"
expect 0 object get "$ref" --output "$tmp/copy"
cmp -s "$tmp/file" "$tmp/copy" || fail "get -o writes other bytes"
no_data
expect 0 object get "$ref2"
[ "$(cat "$tmp/out")" = "from stdin" ] || fail "get of stdin's object"
expect 1 object get "$ref" --output "$tmp/no/such/dir"
expect 0 object wait "$ref" "$ref2" --json
json ref state ready
expect 2 object wait "$ref" --count 2
says "--count is 2, with 1 refs it is 1 to 1"
expect 2 object wait "$ref" --count 0
expect 0 store check
says "nothing wrong"
expect 4 store remove demo

# ---- top ----
expect 2 store top demo --interval 1ms
says "--interval is '1ms'; 10ms to 24h"
expect 2 store top demo --batch 0
expect 2 store top demo --sort nothing
expect 3 store top no-such-store
expect 0 store top demo --once --interval 50ms --json
json row name objects memory_bytes gets_per_s put_bytes_per_s made_per_s \
	freed_per_s spills_per_s restores_per_s sleeps_per_s room_waits_per_s \
	catalogue_lag_ms number pid state held_objects held_bytes viewed_bytes \
	locks
prints '"row":"store","name":"demo","objects":2,'
prints "\"pid\":$put,\"state\":\"runs\",\"held_objects\":1,"
expect 0 store top demo --batch 3 --interval 20ms
[ "$(grep -c '^a second: 0 made' "$tmp/out")" -eq 3 ] ||
	fail "top: three pictures of a store at rest"
# A load that comes and goes is seen.
while "$mob" object put "$tmp/file" --session demo --for 1ms; do :; done \
	>/dev/null 2>&1 &
load=$!
started+=("$load")
made_something() {
	expect 0 store top demo --once --interval 100ms --json
	grep -q '"made_per_s":[1-9]' "$tmp/out"
}
until_true made_something
kill "$load"
wait "$load" 2>/dev/null
made_nothing() {
	expect 0 store top demo --once --interval 100ms --json
	grep -q '"made_per_s":0,"freed_per_s":0,' "$tmp/out"
}
until_true made_nothing
kill -STOP "$put"
stopped() {
	expect 0 store top demo --once --interval 20ms --json
	grep -q "\"pid\":$put,\"state\":\"stopped\"" "$tmp/out"
}
until_true stopped
kill -CONT "$put"
# On a terminal it takes keys, and leaves the screen as it was.
(sleep 1; printf s; sleep 1; printf q; sleep 5) |
	TERM=xterm script -qec "$mob store top demo -i 100ms" /dev/null >"$tmp/out"
grep -q 'sorted by held' "$tmp/out" || fail "top: no screen"
grep -q 'sorted by viewed' "$tmp/out" || fail "top: s does not sort"
grep -qF $'\033[?1049l' "$tmp/out" || fail "top: the screen stays"

# ---- spilling ----
mkdir "$tmp/disk"
expect 2 store create spills --bytes 8M --spill disk
says "an absolute path"
expect 0 store create spills --bytes 8M --spill "$tmp/disk" --spill-anywhere
head -c 3000000 /dev/urandom >"$tmp/three"
for i in 1 2 3 4 5; do
	expect 0 object put "$tmp/three" --name "three/$i" --session spills
done
expect 0 store stat spills --json
json spilled_objects spilled_bytes
grep -q '"spilled_objects":[1-9]' "$tmp/out" || fail "nothing is spilled"
for i in 1 2 3 4 5; do
	expect 0 object get "three/$i" --session spills
	cmp -s "$tmp/three" "$tmp/out" || fail "a spilled object has changed"
done
expect 0 store check spills
expect 0 store remove spills
[ -z "$(ls "$tmp/disk")" ] || fail "files of a store that is removed are left"

# ---- cached ----
expect 0 store create cache --bytes 8M
for i in 1 2 3 4 5; do
	expect 0 object put "$tmp/three" --name "three/$i" --cached --session cache
done
expect 0 store stat cache --json
json evicted
grep -q '"evicted":[1-9]' "$tmp/out" || fail "nothing was evicted"
expect 3 object get three/1 --session cache
expect 0 object get three/5 --session cache
cmp -s "$tmp/three" "$tmp/out" || fail "a cached object has changed"
expect 0 store remove cache

# ---- durable ----
expect 2 store create kept --durable
says "a durable store needs dir"
expect 0 store create kept --bytes 16M --dir "$tmp/disk" --durable --spill-anywhere
expect 0 object put "$tmp/three" --name three --session kept
expect 0 object put "$tmp/file" --name file --session kept
expect 0 store stat kept --json
json durable_objects durable_unsynced
grep -q '"durable_unsynced":[1-9]' "$tmp/out" || fail "nothing has changed"
expect 0 store sync kept
says "2 objects are on disk"
expect 0 object put "$tmp/file" --name late --session kept
expect 4 store create kept --dir "$tmp/disk" --durable --spill-anywhere
says "store restore"
expect 0 store restore kept --dir "$tmp/disk" --spill-anywhere
says "3 objects"
# A reboot: the session is gone, the copy is there.
rm -r "$tmp/mobula-$(id -u)/kept"
expect 3 store stat kept
expect 0 store restore kept --dir "$tmp/disk" --spill-anywhere
says "2 objects"
expect 0 object get three --session kept
cmp -s "$tmp/three" "$tmp/out" || fail "a restored object has changed"
expect 3 object get late --session kept
expect 0 store check kept
expect 0 store unload kept
expect 3 store unload kept
truncate -s 1000 "$tmp/disk/mobula-durable-$(id -u)/kept/data/"*
expect 1 store restore kept --dir "$tmp/disk" --spill-anywhere
says "name 'three' is dropped"
expect 0 object get file --session kept
expect 4 store remove kept --dir "$tmp/disk"
expect 0 store unload kept
expect 0 store remove kept --dir "$tmp/disk"
expect 3 store restore kept --dir "$tmp/disk" --spill-anywhere
expect 0 store create kept --bytes 16M --dir "$tmp/disk" --durable --spill-anywhere
expect 0 store remove kept
[ -z "$(ls "$tmp/disk/mobula-durable-$(id -u)")" ] || fail "a copy is left"

# ---- what a killed program left ----
writer=$(dirname "$mob")/example_put_get_writer
mkfifo "$tmp/hold"
"$writer" left-behind <"$tmp/hold" >"$tmp/left" &
writer_pid=$!
exec 9>"$tmp/hold"
until_true test -s "$tmp/left"
expect 0 store gc --dry-run --no-header
no_data
kill -9 "$writer_pid"
wait "$writer_pid" 2>/dev/null
exec 9>&-
expect 0 store gc --dry-run --no-header
prints left-behind
expect 0 store gc --json
json name state path
prints '"name":"left-behind"'
says "removed: 1"
expect 0 store gc --no-header
no_data
expect 3 store stat left-behind

# ---- headers ----
head -c 96 /dev/zero >"$tmp/array"
expect 0 object put "$tmp/array" --name an/array --dtype f64 --shape 3x4 \
	--content-type application/x-matrix --no-header
expect 0 object show an/array
prints "application/x-matrix"
prints f64
prints 3x4
expect 0 object show an/array --json
json ref state size_bytes content_type dtype shape user_bytes
prints '"shape":"3x4"'
expect 0 object get an/array
cmp -s "$tmp/array" "$tmp/out" || fail "get gives another array"
expect 1 object put "$tmp/array" --dtype f64 --shape 13
says "96 bytes; the array has 104"
expect 1 object put "$tmp/array" --dtype f64 --shape 11
says "more than the 88 bytes of the array"
for shape in 3x x3 3xx4 0x3f 1x1x1x1x1x1x1x1x1 99999999999999999999; do
	expect 2 object put "$tmp/array" --dtype u8 --shape "$shape"
	says "--shape is '$shape'; 1 to 8 numbers"
done
expect 2 object put "$tmp/array" --dtype f8
says "--dtype is 'f8'; i8 "
expect 2 object put "$tmp/array" --shape 96
says "--shape without --dtype"
expect 0 object show "$ref" --json
prints '"content_type":null'
# A stream is as long as it gets.
head -c 3000000 /dev/urandom >"$tmp/large"
head -c 3000000 "$tmp/large" | "$mob" object put --name a/stream >/dev/null 2>&1
expect 0 object get a/stream
cmp -s "$tmp/large" "$tmp/out" || fail "get gives another stream"
expect 0 object rm an/array
expect 0 object rm a/stream

# ---- names and pins keep an object without a process ----
expect 0 object names --no-header
no_data
expect 0 object put "$tmp/file" --name cats/one --json
json ref size_bytes
kept=$(sed 's/.*"ref":"\([^"]*\)".*/\1/' "$tmp/out")
expect 0 object get cats/one
cmp -s "$tmp/file" "$tmp/out" || fail "get by name gives other bytes"
expect 4 object put "$tmp/file" --name cats/one
says "'cats/one' names object"
expect 0 object name cats/two "$ref"
expect 0 object name cats/same cats/one
expect 4 object name cats/two "$kept"
expect 0 object name cats/two "$kept" --replace
expect 0 memory --json
json kind objects size_bytes memory_bytes pending_bytes spilled_bytes \
	table_bytes part_bytes
[ "$(wc -l <"$tmp/out")" -eq 14 ] || fail "memory: not a line for each kind"
[ "$(grep -c ': ok$' "$tmp/err")" -eq 3 ] || fail "memory: not all sums are ok"
awk -F'"memory_bytes":' '{ n = $2 + 0
	if (/"kind":"total"/) total = n; else sum += n }
	END { exit sum != total }' "$tmp/out" || fail "memory: total is no sum"
grep -q '"kind":"named","objects":0,' "$tmp/out" && fail "nothing is named"
expect 0 memory --by object --json --limit 1
json ref kind size_bytes block_bytes where state creator age_ns processes edges names pins \
	site
prints '"site":"'
prints 'tools/cmd_put.c:'
expect 0 memory --by site --json
json objects size_bytes block_bytes site
prints 'tools/cmd_put.c:'
[ "$(wc -l <"$tmp/out")" -eq 1 ] || fail "memory --limit 1: not one line"
expect 0 memory --by creator --no-header
expect 0 memory --by holder --json
json number pid command state held_objects held_bytes viewed_bytes
prints '"command":"mob"'
expect 2 memory --by nothing
expect 3 memory no-such-store
expect 0 object names cats/ --json
json name ref state version
[ "$(wc -l <"$tmp/out")" -eq 3 ] || fail "names with a prefix"
expect 0 object names dogs/ --no-header
no_data
expect 0 object show cats/two --json
json ref state size_bytes type creator born_ms names pins site
prints '"names":3,"pins":0'
expect 0 object pin cats/two
expect 0 object unname cats/two
expect 3 object unname cats/two
says "no object is named 'cats/two'"
expect 2 object name "$(printf 'a\tb')" "$kept"
says "control characters"
expect 0 object unname cats/same
expect 0 object unname cats/one
expect 0 object show "$kept" --json
prints '"names":0,"pins":1'
expect 0 object unpin "$kept"
expect 3 object show "$kept"
expect 3 object get cats/one
says "no object has that name"
expect 3 object get 5f3a91c2-4294967296.1
says "'5f3a91c2-4294967296.1' is no ref"
expect 0 object put "$tmp/file" --pin --no-header
expect 0 object name last "$(cut -d' ' -f1 <"$tmp/out")"
expect 0 object rm last --json
json ref freed needed_by
prints '"freed":true,"needed_by":0'
expect 0 object name held "$ref"
expect 0 object rm held --json
prints '"freed":false,"needed_by":1'
expect 0 store check
says "nothing wrong"

# ---- the object ends with the command that put it ----
kill -INT "$put"
wait "$put"
[ $? -eq 130 ] || fail "an interrupted put is not exit 130"
expect 3 object show "$ref"
says "no such object"
expect 0 object put "$tmp/file" --for 1ms
prints "12 B"

# ---- no scheduler here ----
expect 1 task list
expect 1 worker list
expect 1 policy show
for pid in "${started[@]}"; do
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
done
expect 0 store remove demo
expect 3 store stat

# ---- every case of the benchmark runs, and prints what it should ----
expect 0 bench store --quick --rounds 2 --json
json case unit better median min max rounds raw raw_median ratio machine \
	commit build
[ "$(wc -l <"$tmp/out")" -eq 22 ] || fail "not all cases of bench store ran"
json reach reach_of reached
expect 0 bench store --quick --rounds 1 --case 'store.wake'
prints "p99.9"
# What is missed is a failure if it is asked for; quick figures may be anything.
"$mob" bench store --quick --rounds 1 --case 'store.put_1mib' --json --strict \
	>"$tmp/out" 2>"$tmp/err"
code=$?
if grep -q '"reached":true' "$tmp/out"; then
	[ "$code" -eq 0 ] || fail "reached, and exit $code"
else
	[ "$code" -eq 1 ] || fail "missed, and exit $code"
	says "store.put_1mib: misses what it should reach"
fi

report
