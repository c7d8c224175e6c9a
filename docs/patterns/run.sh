#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a program and compares its line with the one that its page shows below
# `$ ./NAME`. What it has measured ("3.1 times") may differ.
#
#   run.sh PROGRAM PAGE
set -euo pipefail
name=$(basename "$2" .md)

measured() {
	sed -E 's/[0-9]+(\.[0-9]+)? times/N times/g'
}
shown=$(awk -v command="\$ ./$name" '
	$0 == command { inside = 1; next }
	/^```/ { inside = 0 }
	inside' "$2")
got=$("$1")
echo "$got"
diff <(measured <<<"$shown") <(measured <<<"$got")
