#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Words, options, exit codes and texts that need no session.
# test_usage.sh MOB JSONCHECK [--update]: --update writes the golden file.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

# ---- help: all of it, at 80 columns ----
nouns='session object task worker policy plugin store bench'
all_help() {
	local noun verb
	"$mob"
	for noun in $nouns; do
		echo "== mob $noun"
		"$mob" "$noun"
		for verb in $("$mob" "$noun" | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
			echo "== mob $noun $verb --help"
			"$mob" "$noun" "$verb" --help
		done
	done
	for noun in memory run version completion; do
		echo "== mob $noun --help"
		"$mob" "$noun" --help
	done
}
all_help >"$tmp/help" 2>&1
if [ "${3:-}" = --update ]; then
	cp "$tmp/help" "$here/golden_help.txt"
fi
diff -u "$here/golden_help.txt" "$tmp/help" || fail "help has changed"
if awk 'length($0) > 80 { exit 1 }' "$tmp/help"; then :; else
	fail "help is wider than 80 columns"
fi
grep -q $'\033' "$tmp/help" && fail "colour without a terminal"
for noun in $nouns; do
	expect 0 help "$noun"
	cp "$tmp/out" "$tmp/a"
	expect 0 "$noun" --help
	cmp -s "$tmp/a" "$tmp/out" || fail "help $noun is not $noun --help"
done
expect 0 help store stat
cp "$tmp/out" "$tmp/a"
expect 0 store stat --help
cmp -s "$tmp/a" "$tmp/out" || fail "help store stat is not its --help"

# ---- wrong words: exit 2, the nearest word, nothing on stdout ----
expect 2 stor
says "unknown command 'stor'"
says "hint: did you mean 'store'?"
no_data
expect 2 sotre list
says "did you mean 'store'?"
expect 2 xyzzy
says "hint: 'mob' shows what there is"
expect 2 store stta
says "did you mean 'store stat'?"
expect 2 help store stta
says "did you mean 'store stat'?"
expect 2 session list --jsno
says "did you mean --json?"
expect 2 session list -Z
says "unknown option '-Z'"
expect 2 session list -qZ
says "unknown option '-Z'"
expect 2 session list --json=yes
says "--json takes no value"
expect 2 store create
says "NAME is missing"
says "usage: mob store create"
expect 2 store create a b
says "unexpected argument 'b'"
expect 2 session stop x --timeout
says "--timeout needs a value"
expect 2 session list --color sometimes
says "'sometimes' is not one of auto|always|never"
expect 2 store create x --bytes 12q
says "'12q' is no size"
expect 2 store create x --bytes 99999999999T
says "is no size"
expect 2 session stop x --timeout soon
says "'soon' is no duration"
expect 2 bench store --rounds -1
says "'-1' is no number"
expect 2 bench store --rounds 0
says "--rounds is 1 to 1000"
expect 2 --json
says "options follow the verb"
expect 2 store --json
says "options follow the verb"
expect 2 run --workers 0 true
says "--workers is 0; at least 1"
expect 2 task show 1
says "'1' is no id of a task"
expect 2 completion tcsh
says "bash, zsh or fish"

# ---- not there: exit 3 ----
expect 3 store stat
says "no session of this user is running"
expect 3 store stat nothere
says "nothere"
expect 3 object list --session nothere
expect 3 task list -s nothere
expect 3 session stop nothere
expect 3 session show nothere
expect 3 plugin show nothere
says "nothere"
expect 3 plugin check nothere
expect 3 run nothere-program
expect 3 run ./nothere.so
expect 3 bench task --case 'nothere.*'
says "no case matches"

# ---- refused: exit 4 ----
echo "no plugin" >"$tmp/bad.so"
expect 4 plugin check "$tmp/bad.so"
no_data
chmod 755 "$tmp/bad.so"
: >"$tmp/plain"
expect 4 run "$tmp/plain"

# ---- failed: exit 1; a full device is noticed ----
"$mob" version >/dev/full 2>"$tmp/err"
[ $? -eq 1 ] || fail "a full standard output is not exit 1"
says "cannot write to standard output"

# ---- versions, plugins, cases: data as table and JSON ----
expect 0 version
prints "mobula "
expect 0 --version
prints "mobula "
expect 0 version --json
json version abi format plugin_abi json
expect 0 session list --json
no_data
expect 0 session list
prints NAME
expect 0 session list --no-header
no_data
expect 0 plugin list --json
json name kind version usable summary license abi path
expect 0 plugin list
prints "fifo"
expect 0 policy list
prints "fifo"
expect 0 plugin show fifo --json
json name path
expect 0 plugin check fifo
says "fifo keeps the rules"
expect 0 plugin check fifo --json --quiet
json check passed reason
[ ! -s "$tmp/err" ] || fail "--quiet talks: $(cat "$tmp/err")"
expect 0 bench store --list --json
json case raw
expect 0 bench task --list
prints "task.sync_hot"
expect 0 session list --color always
grep -q $'\033\[1m' "$tmp/out" || fail "--color always has no colour"
# shellcheck disable=SC2016 # for the inner shell
expect 0 run sh -c 'echo "$MOBULA_WORKERS $1"' sh --workers
prints " --workers"
# shellcheck disable=SC2016 # for the inner shell
expect 0 run --workers 3 sh -c 'echo "w$MOBULA_WORKERS"'
prints w3
expect 7 run sh -c 'exit 7'

# ---- completion ----
expect 0 completion bash
bash -n "$tmp/out" || fail "the bash completion does not parse"
# shellcheck disable=SC2016 # for the inner shell
complete_words='. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_mob; printf "%s\n" "${COMPREPLY[@]}"'
cp "$tmp/out" "$tmp/completion"
completes() {
	bash -c "$complete_words" bash "$tmp/completion" "$@" >"$tmp/out"
}
completes mob st
prints store
completes mob store ''
prints check
completes mob store stat --js
prints --json
completes mob session list --color ''
prints never
completes mob man
no_data_words=$(tr -d '\n' <"$tmp/out")
[ -z "$no_data_words" ] || fail "a hidden command is completed"
expect 0 completion zsh
prints "#compdef mob"
if command -v zsh >/dev/null; then
	zsh -n "$tmp/out" || fail "the zsh completion does not parse"
fi
expect 0 completion fish
if command -v fish >/dev/null; then
	fish -n "$tmp/out" || fail "the fish completion does not parse"
fi

# ---- man pages: every list of options names a command that there is ----
for page in "$here"/../../tools/man/*.scd; do
	"$mob" man-options <"$page" >"$tmp/out" 2>"$tmp/err" ||
		fail "$page: $(cat "$tmp/err")"
	grep -q '^@options' "$tmp/out" && fail "$page: an @options is left"
done
for noun in $nouns; do
	for verb in $("$mob" "$noun" | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
		grep -q "mob $noun $verb" "$here/../../tools/man/mob-$noun.1.scd" ||
			fail "mob-$noun(1) does not tell of $verb"
	done
done

report
