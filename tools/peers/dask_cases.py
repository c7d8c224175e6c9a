# SPDX-License-Identifier: Apache-2.0
"""The cases of `mob bench task` that Dask can do.

Prints one JSON object a line. Arguments: ROUNDS GLOB PLACE [quick]. A scheduler and
two workers of one thread, each a process of its own, on this machine. Each case is
warmed up once, then measured in rounds. PLACE: a directory for their files.
"""
import fnmatch
import json
import statistics
import sys
import time

from distributed import Client, LocalCluster, as_completed, get_client
from distributed import rejoin, secede

ROUNDS, PATTERN, PLACE = int(sys.argv[1]), sys.argv[2], sys.argv[3]
QUICK = sys.argv[4:] == ["quick"]
SYNCS, TASKS, CHAIN, WAIT, ARGS, DEPTH = 300, 10000, 1000, 1000, 10000, 10


def few(n):
    return max(n // 100, 1) if QUICK else n


def empty(i):
    return i


def count(value):
    return value + 1


def total(values):
    return sum(values)


def spin(i, ns):
    end = time.perf_counter_ns() + ns
    while time.perf_counter_ns() < end:
        pass
    return i


def nested(depth):
    """A task that waits leaves its thread to others."""
    if depth <= 1:
        return 1
    client = get_client()
    below = client.submit(nested, depth - 1, pure=False)
    secede()
    result = below.result() + 1
    rejoin()
    return result


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got} instead of {wanted}")


def duration(work):
    begin = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - begin


def sync(client):
    def one():
        expect("task.sync", client.submit(empty, 1, pure=False).result(), 1)

    return statistics.median(duration(one) for _ in range(few(SYNCS)))


def run_async(client):
    n = few(TASKS)

    def all_of_them():
        results = client.gather(client.map(empty, range(n), pure=False))
        expect("task.async", results, list(range(n)))

    return duration(all_of_them) / n


def wait(client):
    def one_by_one():
        left = client.map(empty, range(few(WAIT)), pure=False)
        results = sorted(f.result() for f in as_completed(left))
        expect("task.wait_1k", results, list(range(few(WAIT))))

    return duration(one_by_one)


def args(client):
    n = few(ARGS)
    inputs = client.scatter(list(range(n)), hash=False)

    def one():
        expect("task.args_10k",
               client.submit(total, inputs, pure=False).result(),
               n * (n - 1) // 2)

    return duration(one)


def chain(client):
    n = few(CHAIN)

    def all_of_them():
        last = client.submit(count, 0, pure=False)
        for _ in range(n - 1):
            last = client.submit(count, last, pure=False)
        expect("task.chain", last.result(), n)

    return duration(all_of_them) / n


def tasks_in_tasks(client):
    depth = DEPTH if not QUICK else 2

    def one():
        expect("task.nested_10",
               client.submit(nested, depth, pure=False).result(), depth)

    return duration(one)


def metg(client):
    """Where tasks of some length use half of the processors' time."""
    longer = None
    for ms in (64, 32, 16, 8, 4, 2, 1, 0.5, 0.25, 0.125):
        n = max(few(int(800 / ms)), 2)
        ns = int(ms * 1e6)

        def all_of_them(n=n, ns=ns):
            client.gather(client.map(spin, range(n), ns=ns, pure=False))

        efficiency = n * ns / (2 * duration(all_of_them))
        if efficiency < 0.5:
            if longer is None:
                return ns
            part = (longer[1] - 0.5) / (longer[1] - efficiency)
            return longer[0] * (ns / longer[0]) ** part
        longer = ns, efficiency
    return longer[0]


CASES = (("task.sync", sync), ("task.async", run_async),
         ("task.wait_1k", wait), ("task.args_10k", args),
         ("task.chain", chain), ("task.nested_10", tasks_in_tasks),
         ("task.metg", metg))


def main():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True,
                      dashboard_address=None, local_directory=PLACE,
                      silence_logs=50) as cluster, Client(cluster) as client:
        for case, one_round in CASES:
            if not fnmatch.fnmatch(case, PATTERN):
                continue
            print(case, file=sys.stderr, flush=True)
            one_round(client)
            values = [one_round(client) for _ in range(ROUNDS)]
            print(json.dumps({"case": case, "unit": "ns",
                              "median": statistics.median(values),
                              "min": min(values), "max": max(values),
                              "rounds": ROUNDS}), flush=True)


if __name__ == "__main__":
    main()
