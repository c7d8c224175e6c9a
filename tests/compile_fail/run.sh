#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Use: run.sh [<compiler>...]   (default: cc)
#
# Each .c file here must compile as it is, without a warning, and must not
# compile with -DWRONG, for the reason that its line "expect: <regex>" tells.
# Nothing of -Werror has a part in that: the errors are errors in any build.
# shellcheck disable=SC2086 # include is a list of words
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 2
root=$(cd "$here/../.." && pwd) || exit 2
[ $# -gt 0 ] || set -- cc

# compile <compiler> <argument>...: prints what the compiler says
compile()
{
	compiler=$1
	shift
	"$compiler" -std=c11 "-I$root/core/include" "-I$root/store/include" \
		"-I$root/sched/include" -fsyntax-only "$@" 2>&1
}

bad=0
fail()
{
	echo "FAIL $1" >&2
	bad=$((bad + 1))
}

for cc in "$@"; do
	count=0
	for file in "$here"/*.c; do
		name=$(basename "$file")
		count=$((count + 1))
		if ! out=$(compile "$cc" -Wall -Wextra -Wpedantic -Werror \
			"$file"); then
			fail "$cc $name: does not compile: $out"
		fi
		expect=$(sed -n 's,^/\* expect: \(.*\) \*/$,\1,p' "$file")
		if [ -z "$expect" ]; then
			fail "$name: no line 'expect: <regex>'"
			continue
		fi
		if out=$(compile "$cc" -DWRONG "$file"); then
			fail "$cc $name: compiles with -DWRONG"
		elif ! echo "$out" | grep -E 'error:' |
			grep -Eq "$expect"; then
			fail "$cc $name: no error '$expect' in: $out"
		fi
	done
	if [ "$count" -eq 0 ]; then
		fail "$here: no files"
	fi
	echo "$cc: $count files, $bad failures"
done
[ "$bad" -eq 0 ]
