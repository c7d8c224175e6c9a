#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The program `efficiency` prints a line for each length, and `curve` draws as many
# points of each kind: test_curve.sh PROGRAM
set -euo pipefail
folder=$(dirname "${BASH_SOURCE[0]}")

got=$("$1")
echo "$got"
if grep -Evx '[0-9.]+ [0-9]+ [0-9]+' <<<"$got"; then
	echo "FAILED: a line is not three numbers"
	exit 1
fi
lines=$(wc -l <<<"$got")
for drawing in "$("$folder/curve" <<<"$got")" "$(cat "$folder/efficiency.svg")"; do
	points=$(sed -n 's/^<polyline.* points="\(.*\)"\/>$/\1/p' <<<"$drawing" |
		awk '{ print NF }' | uniq)
	if [ "$points" != "$lines" ]; then
		echo "FAILED: $lines lengths, drawn with '$points' points"
		exit 1
	fi
done
