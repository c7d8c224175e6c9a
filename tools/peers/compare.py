# SPDX-License-Identifier: Apache-2.0
"""Prints two files of benchmark results side by side.

Arguments: NAME, file of ours, file of the peer; a file has one JSON object a
line, with case, unit and median. The last column says how many times better we
are. What follows the case of a peer after a space is another way to do it there:
it is put beside the same figure of ours.
"""
import json
import sys


def read(path):
    with open(path, encoding="utf-8") as f:
        rows = (json.loads(line) for line in f if line.startswith("{"))
        return {row["case"]: row for row in rows}


def text(row):
    value, unit = row["median"], row["unit"]
    if unit == "1/s":
        for limit, suffix in ((1e6, " M/s"), (1e3, " k/s"), (0, " /s")):
            if value >= limit:
                return f"{value / (limit or 1):.3g}{suffix}"
    if unit == "ns":
        for limit, suffix in ((1e9, " s"), (1e6, " ms"), (1e3, " us")):
            if value >= limit:
                return f"{value / limit:.3g}{suffix}"
        return f"{value:.3g} ns"
    return f"{value:.3g} {unit}"


def main():
    peer, ours, theirs = sys.argv[1], read(sys.argv[2]), read(sys.argv[3])
    print(f"{'CASE':<32} {'MOBULA':>12} {peer.upper():>12} {'BETTER':>10}")
    found = False
    for case, other in theirs.items():
        row = ours.get(case.split(" ")[0])
        if not row or other["unit"] != row["unit"]:
            continue
        found = True
        a, b = row["median"], other["median"]
        times = a / b if row["unit"] == "1/s" else b / a
        print(f"{case:<32} {text(row):>12} {text(other):>12} {times:>9.3g}x")
    if not found:
        sys.exit("no case is in both files")


main()
