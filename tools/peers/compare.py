# SPDX-License-Identifier: Apache-2.0
"""Prints two files of benchmark results side by side.

Arguments: NAME, file of ours, file of the peer; a file has one JSON object a
line, with case, unit and median. +- is half of what lies between the least and
the most of the rounds, in percent of the median. BETTER says how many times
better we are; RAW what each side is beside the raw primitive that it was measured
with. What follows the case of a peer after a space is another way to do it there:
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


def spread(row):
    if "min" not in row or not row["median"]:
        return "-"
    return f"{50 * (row['max'] - row['min']) / row['median']:.0f}%"


def raw(row):
    return f"{row['ratio']:.2f}" if row.get("ratio") else "-"


def main():
    peer, ours, theirs = sys.argv[1], read(sys.argv[2]), read(sys.argv[3])
    print(f"{'CASE':<30} {'MOBULA':>9} {'+-':>4} {peer.upper():>9} {'+-':>4} "
          f"{'BETTER':>9}  RAW")
    shown = []
    for case, other in theirs.items():
        row = ours.get(case.split(" ")[0])
        if not row or other["unit"] != row["unit"]:
            continue
        shown.append(row)
        a, b = row["median"], other["median"]
        times = a / b if row["unit"] == "1/s" else b / a
        print(f"{case:<30} {text(row):>9} {spread(row):>4} {text(other):>9} "
              f"{spread(other):>4} {times:>8.3g}x  {raw(row)}, {raw(other)}")
    if not shown:
        sys.exit("no case is in both files")
    for key in ("machine", "commit", "build", "rounds"):
        values = {str(row[key]) for row in shown if key in row}
        print(f"{key}: {', '.join(sorted(values)) or 'unknown'}")


main()
