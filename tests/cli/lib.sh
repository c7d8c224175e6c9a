# SPDX-License-Identifier: Apache-2.0
# What the tests of the command line share. Usage: lib.sh is sourced with the
# path of mob as $1, that of jsoncheck as $2. Sessions are made in a directory of
# the test, so that none of the user's is seen or touched.
# shellcheck shell=bash
set -uo pipefail

mob=$1
jsoncheck=$2
# shellcheck disable=SC2034 # used by who sources this
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tmp=$(mktemp -d /dev/shm/mob-cli.XXXXXX) || exit 1
export MOBULA_SESSION_DIR=$tmp
unset NO_COLOR MOBULA_PLUGIN_PATH MOBULA_POLICY MOBULA_WORKERS
failures=0
started=()

finish() {
	local pid
	for pid in "${started[@]:+${started[@]}}"; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	rm -rf "$tmp"
}
trap finish EXIT

fail() {
	echo "FAILED: $*"
	failures=$((failures + 1))
}

# expect CODE ARGUMENT...: runs mob; out and err have what it printed.
expect() {
	local want=$1 code
	shift
	"$mob" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
	if [ "$code" -ne "$want" ]; then
		fail "mob $*: exit $code, expected $want"
		sed 's/^/    /' "$tmp/out" "$tmp/err"
	fi
}

# says TEXT: the last command said so on standard error, and printed no data.
says() {
	grep -qF -- "$1" "$tmp/err" || {
		fail "stderr lacks: $1"
		sed 's/^/    /' "$tmp/err"
	}
}

# prints TEXT: the last command printed it on standard output.
prints() {
	grep -qF -- "$1" "$tmp/out" || {
		fail "stdout lacks: $1"
		sed 's/^/    /' "$tmp/out"
	}
}

no_data() {
	[ ! -s "$tmp/out" ] || fail "data on stdout: $(head -n 1 "$tmp/out")"
}

# json KEY...: the last command printed JSON objects with these keys.
json() {
	"$jsoncheck" "$@" <"$tmp/out" || fail "not the JSON that is wanted"
}

# until_true COMMAND...: repeats it until it succeeds, at most 20 s.
until_true() {
	local end=$((SECONDS + 20))
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ]; then
			fail "did not come true: $*"
			return 1
		fi
		sleep 0.01
	done
}

report() {
	echo "$failures failures"
	[ "$failures" -eq 0 ]
}
