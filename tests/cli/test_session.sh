#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Commands on a session with tasks:
# test_session.sh MOB JSONCHECK LIVE MODULE TIMELINE_CHECK UNIX_GET
# LIVE is the program of cli_live.c, MODULE the shared object of cli_module.c.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"
live=$3
module=$4
timeline_check=$5
unix_get=$6

mkfifo "$tmp/running" "$tmp/go" "$tmp/end"
MOBULA_RESOURCES=license=1.5,gpu:3 "$live" demo "$tmp/running" "$tmp/go" "$tmp/end" >"$tmp/live" 2>&1 &
started+=($!)
pid=$!
until_true grep -q ready "$tmp/live"

# ---- the session ----
expect 0 session list --json
json name state program driver_pid daemon_pid workers processes age_ns
prints '"state":"running"'
prints "\"driver_pid\":$pid"
expect 0 session stat --json
json tasks_run retried finished_for_dead crashes crash_task crash_attempt \
	crash_signal crash_code swaps ejections bypasses kept forgotten \
	evicted remade mismatches memory_limit memory_use memory_kills \
	memory_replaced
expect 0 session show
prints live
expect 0 session resources --json
json resource total used devices in_use workers
prints '"resource":"license","total":1.5,"used":0,"devices":false,"in_use":null'
prints '"resource":"gpu","total":3,"used":0,"devices":true,"in_use":""'

# ---- what its workers print ----
# shellcheck disable=SC2016 # for the inner shell
until_true sh -c '"$0" session logs demo | grep -q " out .* live_stand stands until"' "$mob"
expect 0 session logs --json
json wall_ns pid stream task name text
prints '"name":"live_stand","text":"stands until it is let go"'
expect 0 session logs --name live_one
no_data
expect 0 session logs --name live_stand --stream out
prints "stands until"
expect 0 session logs --pid 1
no_data
expect 2 session logs --task x
says "'x' is no task"
"$mob" session logs demo --follow --name live_stand >"$tmp/logs" 2>&1 &
follower=$!

# ---- tasks: one runs, one is queued, one waits for the first ----
# Ready until a worker has looked at it, queued from then on.
until_true sh -c "'$mob' task list --json -q | grep -Eq '\"(queued|ready)\"'"
expect 0 task list --json
json id name state attempt worker age_ns waits_for waits_for_task return
[ "$(wc -l <"$tmp/out")" -eq 4 ] || fail "not four tasks"
grep -q '"name":"live_stand","state":"running"' "$tmp/out" ||
	fail "live_stand does not run"
grep -Eq '"name":"live_one","state":"(queued|ready)"' "$tmp/out" ||
	fail "live_one is neither queued nor ready"
grep -q '"name":"live_plus","state":"waiting"' "$tmp/out" ||
	fail "live_plus does not wait"
stand=$(sed -n 's/.*"id":"\([^"]*\)","name":"live_stand".*/\1/p' "$tmp/out")
grep -q "\"waits_for_task\":\"$stand\"" "$tmp/out" ||
	fail "live_plus does not wait for live_stand"
expect 0 task list --state waiting --no-header
[ "$(wc -l <"$tmp/out")" -eq 1 ] || fail "--state waiting: not one line"
expect 0 task show "$stand"
prints live_stand
expect 3 task show 4000000000.1
says "nothing is kept of a task 4000000000.1"
expect 0 task show "$stand" --history --json
json after_ns time_ns event attempt process pid other_task code signal
grep -o '"event":"[a-z]*"' "$tmp/out" | tr -d '\n' >"$tmp/kinds"
[ "$(cat "$tmp/kinds")" = '"event":"submitted""event":"queued""event":"started"' ] ||
	fail "history: $(cat "$tmp/kinds")"
expect 0 task explain "$("$mob" task list --json | sed -n 's/.*"id":"\([^"]*\)","name":"live_spare".*/\1/p')"
grep -Eq "policy fifo holds it in the shared queue behind 1 others|has looked at it yet" "$tmp/out" ||
	fail "live_spare: $(cat "$tmp/out")"
queued=$("$mob" task list --json | sed -n 's/.*"id":"\([^"]*\)","name":"live_spare".*/\1/p')
expect 2 task cancel 17
expect 3 task cancel 4000000000.1
expect 2 task cancel "$queued" --force --escalate
says "give one of them"
expect 0 task cancel "$queued" --escalate
says "task $queued is cancelled"
expect 3 task cancel "$queued"
expect 0 task show "$queued" --json
json id name state attempt worker age_ns waits_for waits_for_task return
prints "\"id\":\"$queued\",\"name\":\"live_spare\",\"state\":\"cancelled\""
expect 0 task show "$queued" --history
[ "$(wc -l <"$tmp/out")" -eq 3 ] ||
	fail "history of a cancelled task: $(cat "$tmp/out")"
prints submitted
prints cancelled

# ---- why they do not run ----
plus=$("$mob" task list --json | sed -n 's/.*"id":"\([^"]*\)","name":"live_plus".*/\1/p')
one=$("$mob" task list --json | sed -n 's/.*"id":"\([^"]*\)","name":"live_one".*/\1/p')
expect 0 task explain "$plus" --json
json id name why text object made_by objects in_ns attempt cpus cpus_free cpus_all \
	policy queue before queued_ns workers worker
[ "$(wc -l <"$tmp/out")" -eq 2 ] || fail "not it and what it waits for"
head -n 1 "$tmp/out" | grep -q "\"id\":\"$plus\",.*\"why\":\"argument\",.*made by task $stand\"" ||
	fail "live_plus: $(head -n 1 "$tmp/out")"
sed -n 2p "$tmp/out" | grep -q "\"id\":\"$stand\",.*\"why\":\"runs\"" ||
	fail "live_stand: $(sed -n 2p "$tmp/out")"
expect 0 task explain "$one" --json
# The worker may have looked at it before it took live_stand, or not.
grep -Eq '"why":"(no_room|unseen)"' "$tmp/out" || fail "live_one: $(cat "$tmp/out")"
prints '"cpus":1,"cpus_free":0,"cpus_all":1'
expect 0 task explain "$one"
grep -Eq "is the next in the shared queue; wishes for 1 processors, 0 of 1 are free|has looked at it yet" "$tmp/out" ||
	fail "live_one: $(cat "$tmp/out")"
expect 3 task explain 4000000000.1
expect 2 task explain x

# ---- what is recorded of them: one runs, one was cancelled, two wait ----
# timeline COUNTS: the last command printed a timeline with so many of each.
timeline() {
	{ tr -d '\n' <"$tmp/out" && echo; } >"$tmp/line"
	"$jsoncheck" displayTimeUnit otherData traceEvents <"$tmp/line" ||
		fail "a timeline that is no JSON"
	"$timeline_check" <"$tmp/out" >"$tmp/counts" ||
		fail "a timeline that does not hold together"
	grep -qxF -- "$1" "$tmp/counts" ||
		fail "timeline: $(cat "$tmp/counts"), expected $1"
}
expect 0 summary --json
prints '"name":"live_stand","waiting":0,"queued":0,"running":1,"finished":0,'
prints '"name":"live_plus","waiting":1,"queued":0,"running":0,"finished":0,'
expect 0 timeline
timeline "runs 1 waits 0 submits 4 starts 1 results 0"
prints "\"name\":\"live_stand\",\"cat\":\"task\",\"args\":{\"task\":\"$stand\",\"attempt\":1,\"end\":\"runs\""
prints '{"name":"driver '
prints '"name":"cancelled live_spare"'
[ "$(grep -c '"name":"tool' "$tmp/out")" -eq 1 ] || fail "a track of who told nothing"
expect 0 timeline -o "$tmp/trace"
no_data
cp "$tmp/trace" "$tmp/out"
timeline "runs 1 waits 0 submits 4 starts 1 results 0"
expect 3 timeline -o "$tmp/nothere/trace"
says nothere/trace

# ---- top ----
expect 0 top --once --interval 20ms --json
json row name submitted_per_s finished_per_s failed_per_s retried_per_s \
	wait_mean_ns run_mean_ns waiting queued running blocked cores worker pid \
	state task
head -n 1 "$tmp/out" | grep -q '"waiting":1,"queued":1,"running":1,"blocked":0' ||
	fail "top: $(head -n 1 "$tmp/out")"
grep -q '"row":"function","name":"live_stand",.*"cores":\(1\|0.9\)' "$tmp/out" ||
	fail "live_stand has no core: $(sed -n 2p "$tmp/out")"
grep -q "\"row\":\"worker\",\"name\":\"live_stand\",.*\"state\":\"running\",\"task\":\"$stand\"" "$tmp/out" ||
	fail "no worker runs live_stand"
expect 0 top --batch 2 --interval 20ms
[ "$(grep -c "1 wait for arguments, 1 are queued, 1 run, 0 are blocked" "$tmp/out")" -eq 2 ] ||
	fail "not two pictures"
expect 2 top --interval 1ms
expect 2 top --batch 0

# ---- metrics ----
# metric NAME: its value in what the last command printed.
metric() {
	awk -v name="$1" '$1 == name { print $2 }' "$tmp/out"
}
# is NAME VALUE
is() {
	[ "$(metric "$1")" = "$2" ] || fail "$1 is $(metric "$1"), expected $2"
}
# Every sample is of a metric with help and type; buckets only grow, and the last
# one is the count.
well_formed() {
	awk '
	/^# HELP / { help[$3] = 1; next }
	/^# TYPE / { type[$3] = $4; next }
	!/^mobula_[a-z_]+({[a-z]+="[^"]*"})? [0-9.]+$/ { print "odd: " $0; next }
	{
		name = $1; sub(/{.*/, "", name)
		base = name
		if (!(base in type)) sub(/_(bucket|sum|count)$/, "", base)
		if (!(base in type) || !(base in help)) print "no type: " $0
		if (name ~ /_bucket$/) {
			if (name == last && $2 < n) print "falls: " $0
			last = name; n = $2
		}
		if (name == base "_count" && $2 != n) print "count: " $0
	}' "$1" >"$tmp/odd"
	[ ! -s "$tmp/odd" ] || fail "metrics: $(cat "$tmp/odd")"
}
expect 0 metrics
well_formed "$tmp/out"
is 'mobula_task_events_total{event="submitted"}' 4
is 'mobula_task_events_total{event="cancelled"}' 1
is 'mobula_task_events_total{event="finished"}' 0
is 'mobula_tasks{state="running"}' 1
is 'mobula_tasks{state="waiting"}' 1
is 'mobula_workers{state="running"}' 1
is mobula_task_queue_wait_seconds_count 1
is mobula_task_run_seconds_count 0
[ "$(metric mobula_put_bytes_total)" -gt 0 ] || fail "nothing was put"
expect 1 metrics --listen "$tmp/nothere/socket"
says nothere/socket
"$mob" metrics --listen "$tmp/socket" 2>"$tmp/server" &
server=$!
started+=("$server")
until_true grep -q answers "$tmp/server"
expect 1 metrics --listen "$tmp/socket"
says "in use"
"$unix_get" "$tmp/socket" 'GET /metrics HTTP/1.0\nHost: x\n\n' >"$tmp/answer"
head -n 1 "$tmp/answer" | grep -q '^HTTP/1.0 200 OK' || fail "$(head -n 1 "$tmp/answer")"
grep -q '^Content-Type: text/plain; version=0.0.4' "$tmp/answer" ||
	fail "no content type"
tr -d '\r' <"$tmp/answer" | sed '1,/^$/d' >"$tmp/body"
well_formed "$tmp/body"
[ "$(sed -n 's/^Content-Length: //p' "$tmp/answer" | tr -d '\r')" -eq \
	"$(wc -c <"$tmp/body")" ] || fail "wrong length"
cp "$tmp/body" "$tmp/out"
is 'mobula_task_events_total{event="submitted"}' 4
"$unix_get" "$tmp/socket" 'GET /else HTTP/1.0\n\n' | grep -q '^HTTP/1.0 404' ||
	fail "no 404"
"$unix_get" "$tmp/socket" 'POST / HTTP/1.0\n\n' | grep -q '^HTTP/1.0 405' ||
	fail "no 405"
# Who says nothing, or half of it, keeps nobody waiting.
slow=()
for i in 1 2 3 4; do
	"$unix_get" "$tmp/socket" 'GET / HTTP' "$tmp/slow$i" >/dev/null &
	slow+=($!)
	started+=($!)
	until_true test -e "$tmp/slow$i"
done
many=()
for i in 1 2 3 4 5 6 7 8; do
	"$unix_get" "$tmp/socket" 'GET / HTTP/1.0\n\n' >"$tmp/many$i" &
	many+=($!)
done
for i in 1 2 3 4 5 6 7 8; do
	wait "${many[i - 1]}"
	head -n 1 "$tmp/many$i" | grep -q '^HTTP/1.0 200' || fail "no 200 of $i"
done
kill -0 "${slow[3]}" 2>/dev/null || fail "the others waited until it was hung up on"
kill -9 "$server"
wait "$server" 2>/dev/null
echo precious >"$tmp/file"
expect 1 metrics --listen "$tmp/file"
grep -qx precious "$tmp/file" || fail "metrics --listen removed a file"
# What it left does not stop the next one, which goes with its socket.
"$mob" metrics --listen "$tmp/socket" 2>"$tmp/server2" &
server=$!
started+=("$server")
until_true grep -q answers "$tmp/server2"
"$unix_get" "$tmp/socket" 'GET / HTTP/1.0\n\n' >"$tmp/answer"
grep -q '^HTTP/1.0 200' "$tmp/answer" || fail "no 200"
kill "$server"
wait "$server" || fail "metrics --listen: exit $?"
[ ! -e "$tmp/socket" ] || fail "the socket is left"

# ---- workers ----
expect 0 worker list --json
json worker pid state task task_name tasks busy_ns age_ns private_bytes threads
grep -q "\"state\":\"running\",\"task\":\"$stand\"" "$tmp/out" ||
	fail "no worker runs live_stand"
number=$(sed -n "s/.*\"worker\":\([0-9]*\).*\"task\":\"$stand\".*/\1/p" "$tmp/out")
expect 0 worker show "$number" --json
json worker pid state task task_name tasks busy_ns age_ns private_bytes threads
prints "\"task\":\"$stand\""
expect 0 worker show "$number"
prints live_stand
expect 3 worker show 63
says "no worker has the number 63"
expect 2 worker show x

# ---- the policy ----
expect 0 policy show --json
json name generation queued running swaps ejections strikes
prints '"name":"fifo"'
expect 3 policy swap nothere
expect 4 policy swap "$tmp/live"
expect 0 policy show
prints fifo

# ---- on it goes; every result is right; swap ----
: >"$tmp/go" # opens it for writing
until_true grep -q sum "$tmp/live"
grep -q "sum 4" "$tmp/live" || fail "live: $(cat "$tmp/live")"
expect 0 timeline
timeline "runs 3 waits 0 submits 4 starts 3 results 1"
expect 0 metrics
is 'mobula_task_events_total{event="finished"}' 3
is mobula_task_run_seconds_count 3
expect 0 task show "$stand"
prints finished
expect 0 summary --json
json name waiting queued running finished failed cancelled retried crashed \
	wait_mean_ns wait_p50_ns wait_p99_ns run_mean_ns run_p50_ns run_p99_ns
[ "$(wc -l <"$tmp/out")" -eq 4 ] || fail "not four functions"
prints '"name":"live_one","waiting":0,"queued":0,"running":0,"finished":1,"failed":0,"cancelled":0,"retried":0,"crashed":0,'
prints '"name":"live_spare","waiting":0,"queued":0,"running":0,"finished":0,"failed":0,"cancelled":1,"retried":0,"crashed":0,"wait_mean_ns":null'
expect 0 summary
prints live_plus
expect 0 policy swap lifo
says "lifo decides"
expect 0 policy show --json
prints '"name":"lifo"'
prints '"swaps":1'
: >"$tmp/end"
wait "$pid" || fail "live failed: $(cat "$tmp/live")"

# ---- stop ----
"$mob" metrics --session demo --listen "$tmp/stays" 2>"$tmp/server3" &
server=$!
started+=("$server")
until_true grep -q answers "$tmp/server3"
if "$mob" session show demo >/dev/null 2>&1; then
	expect 0 session stop demo
fi
expect 3 session show demo
# It is asked while the session is away, and when one of its name is there again.
for i in 1 2; do
	"$unix_get" "$tmp/stays" 'GET / HTTP/1.0\n\n' >"$tmp/answer"
	head -n 1 "$tmp/answer" | grep -q '^HTTP/1.0 503' || fail "$i: no 503"
	grep -q '^demo: .*no ' "$tmp/answer" || fail "503 without a reason"
done
expect 0 store create demo --bytes 16M
"$unix_get" "$tmp/stays" 'GET / HTTP/1.0\n\n' >"$tmp/answer"
head -n 1 "$tmp/answer" | grep -q '^HTTP/1.0 200' || fail "no 200 after 503"
grep -q '^mobula_processes 1' "$tmp/answer" || fail "metrics of nothing"
kill "$server"
wait "$server" || fail "metrics --listen: exit $?"
[ "$(grep -c "answers 503" "$tmp/server3")" -eq 1 ] || fail "$(cat "$tmp/server3")"
[ "$(grep -c "there again" "$tmp/server3")" -eq 1 ] || fail "$(cat "$tmp/server3")"
expect 0 store remove demo
wait "$follower" || fail "session logs --follow: exit $?"
grep -q "live_stand stands until" "$tmp/logs" || fail "--follow lacks the line"

# ---- a session that is started from the shell ----
bin=$(dirname "$mob")
"$bin/mobd" --session shell --module "$module" --workers 1 --store-bytes 64M \
	>"$tmp/mobd" 2>&1 &
started+=($!)
pid=$!
until_true sh -c "'$mob' worker list --session shell --no-header -q 2>/dev/null |
	grep -q idle"
expect 0 run --session shell "$module" module_sum 1,2,39
prints 42
expect 0 worker list --session shell --json
prints '"tasks":1'
[ "$(tr '\0' ' ' <"/proc/$(sed -n 's/.*"pid":\([0-9]*\).*/\1/p' "$tmp/out")/comm")" = mob-worker ] ||
	fail "the worker is no mob-worker"
expect 0 session stop shell
wait "$pid" || fail "mobd failed: $(cat "$tmp/mobd")"
expect 3 session show shell
# Signals end it, and the session.
for sig in TERM HUP; do
	"$bin/mobd" --session shell --workers 1 --store-bytes 64M >"$tmp/mobd" 2>&1 &
	pid=$!
	started+=("$pid")
	until_true sh -c "'$mob' worker list --session shell --no-header -q 2>/dev/null |
		grep -q idle"
	kill -s "$sig" "$pid"
	wait "$pid" || fail "mobd: SIG$sig: exit $?: $(cat "$tmp/mobd")"
	expect 3 session show shell
	[ ! -e "$tmp/mobula-$(id -u)/shell" ] || fail "SIG$sig left the session"
done
"$bin/mobd" 2>"$tmp/err" && fail "mobd without a session began"
says "--session NAME is needed"
"$bin/mobd" --session shell --workers 99999999999 2>"$tmp/err" &&
	fail "mobd with too many workers began"
says "--workers takes a number"
"$bin/mobd" --session shell --policy nothere 2>"$tmp/err" &&
	fail "mobd without a policy began"
says "nothere"
expect 3 session show shell
"$bin/mob-worker" 2>"$tmp/err" && fail "mob-worker was started by hand"
says "not by hand"

# ---- less is kept than there was: that is said ----
mkfifo "$tmp/running2" "$tmp/go2" "$tmp/end2"
MOBULA_RECORD_EVENTS=4 "$live" short "$tmp/running2" "$tmp/go2" "$tmp/end2" >"$tmp/live2" 2>&1 &
started+=($!)
until_true grep -q ready "$tmp/live2"
expect 0 summary --session short --json
grep -q "events were lost, overwritten by later ones; those of the last .* a process keeps 4;" \
	"$tmp/err" || fail "summary: $(cat "$tmp/err")"
expect 0 timeline --session short
grep -q "events were lost" "$tmp/err" || fail "timeline: $(cat "$tmp/err")"
grep -q '"lost":[1-9].*"whole_ns":[1-9]' "$tmp/out" || fail "timeline: no lost events"
expect 3 task show 9999.7 --session short
grep -q "events were lost" "$tmp/err" || fail "task show: $(cat "$tmp/err")"

# ---- a module ----
expect 0 run "$module"
prints "module_sum"
expect 0 run --workers 1 --store-bytes 64M "$module" module_sum 1,2,39
prints 42
printf 'abc' >"$tmp/abc"
expect 0 run --workers 1 --store-bytes 64M "$module" module_upper "@$tmp/abc"
[ "$(cat "$tmp/out")" = ABC ] || fail "module_upper: $(cat "$tmp/out")"
expect 0 run --workers 1 --store-bytes 64M "$module" module_greet you 2.5 true
prints "you 2.5 true"
expect 0 run "$module"
prints "module_count  int32_t"
prints "stream of int64_t"
expect 0 run --workers 1 --store-bytes 64M "$module" module_count 2
[ "$(cat "$tmp/out")" = "0
1" ] || fail "module_count: $(cat "$tmp/out")"
expect 1 run --workers 1 --store-bytes 64M "$module" module_count 3
[ "$(cat "$tmp/out")" = "0
1
2" ] || fail "module_count: $(cat "$tmp/out")"
says "three is the end"
expect 2 run "$module" module_sum
says "takes 1 arguments, 0 are given"
expect 2 run "$module" module_sum 1,x
says "is no value of type"
expect 2 run "$module" module_greet you 1e400 true
says "'1e400' is no value of type double"
expect 3 run "$module" nothere
expect 1 run --workers 1 --store-bytes 64M "$module" module_fails 7
says "seven is not allowed"

# ---- every case of the benchmark runs ----
expect 0 bench task --quick --rounds 1 --json
json case unit better median min max rounds raw raw_median ratio machine \
	commit build
[ "$(wc -l <"$tmp/out")" -eq 26 ] || fail "not all cases of bench task ran"

report
