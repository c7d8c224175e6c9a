# SPDX-License-Identifier: Apache-2.0
"""The cases of `mob bench` in Ray, as far as Ray has them.

Prints one JSON object a line: case, unit (ns or 1/s), median, min, max, rounds.
Each case is warmed up once, then measured in rounds. Arguments: ROUNDS, and
optionally a pattern as of the shell that names of cases must match.
"""
import fnmatch
import json
import statistics
import subprocess
import sys
import time

ROUNDS = int(sys.argv[1])
PATTERN = sys.argv[2] if len(sys.argv) > 2 else "*"
FIRST_RESULT = """
import time
t = time.perf_counter_ns()
import ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
@ray.remote
def empty():
    return 0
ray.get(empty.remote())
print(time.perf_counter_ns() - t)
"""


def report(case, unit, values):
    print(json.dumps({"case": case, "unit": unit,
                      "median": statistics.median(values),
                      "min": min(values), "max": max(values),
                      "rounds": len(values)}), flush=True)


def wanted(case):
    return fnmatch.fnmatch(case, PATTERN)


def measure(case, unit, one_round, rounds=ROUNDS):
    if wanted(case):
        print(f"{case}", file=sys.stderr, flush=True)
        one_round()
        report(case, unit, [one_round() for _ in range(rounds)])


def duration(work):
    begin = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - begin


def rate(work, n):
    """Calls a second of work, which is called n times."""
    begin = time.perf_counter_ns()
    for _ in range(n):
        work()
    return n * 1e9 / (time.perf_counter_ns() - begin)


def start_of_session():
    if wanted("session.start"):
        print("session.start", file=sys.stderr, flush=True)
        report("session.start", "ns", [
            int(subprocess.run([sys.executable, "-c", FIRST_RESULT],
                               stdout=subprocess.PIPE, check=True,
                               stderr=subprocess.DEVNULL)
                .stdout.split()[-1]) for _ in range(min(ROUNDS, 2))])


# The seed's quicksort, as it stands there.
def partition(collection):
    pivot = collection.pop()
    greater, lesser = [], []
    for element in collection:
        if element > pivot:
            greater.append(element)
        else:
            lesser.append(element)
    return lesser, pivot, greater


def quick_sort(collection):
    if len(collection) <= 200000:
        return sorted(collection)
    lesser, pivot, greater = partition(collection)
    return quick_sort(lesser) + [pivot] + quick_sort(greater)


def worker_memory(ray, pids):
    """Private memory of the biggest of the workers, MiB."""
    most = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
            kib = sum(int(line.split()[1]) for line in f
                      if line.startswith("Private_"))
        most = max(most, kib / 1024)
    return most


def main():
    start_of_session()

    import os
    import numpy as np
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False,
             object_store_memory=6 << 30)

    @ray.remote
    def empty():
        return 0

    @ray.remote
    def pid_of():
        time.sleep(0.2)
        return os.getpid()

    @ray.remote
    def sum_of(*values):
        return sum(values)

    @ray.remote(num_returns=3000)
    def many():
        return list(range(3000))

    @ray.remote
    def nested(depth):
        return 1 if depth <= 1 else ray.get(nested.remote(depth - 1)) + 1

    @ray.remote
    def quick_sort_distributed(collection):
        if len(collection) <= 200000:
            return sorted(collection)
        lesser, pivot, greater = partition(collection)
        lesser = quick_sort_distributed.remote(lesser)
        greater = quick_sort_distributed.remote(greater)
        return ray.get(lesser) + [pivot] + ray.get(greater)

    small = bytes(100)
    kept = ray.put(small)
    mib = np.zeros(1 << 20, dtype=np.uint8)
    measure("store.put_100b", "1/s", lambda: rate(lambda: ray.put(small), 2000))
    measure("store.get", "1/s", lambda: rate(lambda: ray.get(kept), 10000))
    measure("store.put_1mib", "ns",
            lambda: statistics.median(duration(lambda: ray.put(mib))
                                      for _ in range(100)))
    if wanted("store.put_1gib"):
        gib = np.ones(1 << 30, dtype=np.uint8)
        measure("store.put_1gib", "ns", lambda: duration(lambda: ray.put(gib)))
        del gib

    measure("task.sync", "ns",
            lambda: statistics.median(
                duration(lambda: ray.get(empty.remote()))
                for _ in range(300)))

    def run_async():
        n = 10000
        return duration(
            lambda: ray.get([empty.remote() for _ in range(n)])) / n

    measure("task.async", "ns", run_async)

    def wait_1k():
        left = [empty.remote() for _ in range(1000)]
        while left:
            ready, left = ray.wait(left, num_returns=1)
            ray.get(ready)

    measure("task.wait_1k", "ns", lambda: duration(wait_1k))

    if wanted("task.args_10k"):
        refs = [ray.put(i) for i in range(10000)]
        measure("task.args_10k", "ns",
                lambda: duration(lambda: ray.get(sum_of.remote(*refs))))
        del refs
    measure("task.returns_3k", "ns",
            lambda: duration(lambda: ray.get(many.remote())))
    measure("task.nested_10", "ns",
            lambda: duration(lambda: ray.get(nested.remote(10))),
            rounds=min(ROUNDS, 2))
    if wanted("worker.memory"):
        report("worker.memory", "MiB", [worker_memory(
            ray, set(ray.get([pid_of.remote() for _ in range(4)])))])

    if wanted("quicksort.sequential") or wanted("quicksort.distributed"):
        unsorted = np.random.randint(1000000, size=4000000).tolist()
        report("quicksort.sequential", "ns",
               [duration(lambda: quick_sort(list(unsorted)))])
        result = []
        ns = duration(lambda: result.extend(
            ray.get(quick_sort_distributed.remote(unsorted))))
        report("quicksort.distributed", "ns", [ns])
        if result != sorted(unsorted):
            sys.exit("quicksort.distributed: the result is wrong")
    ray.shutdown()


main()
