# SPDX-License-Identifier: Apache-2.0
"""The cases of `mob bench store` that Plasma (pyarrow 11) can do.

Prints one JSON object a line. Arguments: ROUNDS GLOB SOCKET. The client is
Python; the store and the protocol are C++.
"""
import fnmatch
import json
import os
import random
import statistics
import sys
import threading
import time
import warnings

warnings.simplefilter("ignore")
import pyarrow.plasma as plasma  # noqa: E402

ROUNDS, PATTERN, SOCKET = int(sys.argv[1]), sys.argv[2], sys.argv[3]
SMALL, PUTS, KEPT, READ, LARGE, WAKES = 100, 5000, 20000, 10000, 100, 200
client = plasma.connect(SOCKET)
now = time.perf_counter_ns


def new_id():
    return plasma.ObjectID(os.urandom(20))


def put(size, source):
    oid = new_id()
    memoryview(client.create(oid, size)).cast("B")[:] = source
    client.seal(oid)
    return oid


def put_and_delete(size, n, as_time):
    source = bytes(size)
    begin = now()
    for _ in range(n):
        client.delete([put(size, source)])
    took = now() - begin
    return took / n if as_time else n * 1e9 / took


def put_kept():
    source = bytes(SMALL)
    begin = now()
    ids = [put(SMALL, source) for _ in range(KEPT)]
    rate = KEPT * 1e9 / (now() - begin)
    client.delete(ids)
    return rate


def get():
    ids = [put(SMALL, bytes(SMALL)) for _ in range(READ)]
    random.shuffle(ids)
    begin = now()
    for oid in ids:
        client.get_buffers([oid])
    rate = READ * 1e9 / (now() - begin)
    client.delete(ids)
    return rate


def wake():
    times = []
    for _ in range(WAKES):
        oid = new_id()
        woken = []

        def waits():
            other = plasma.connect(SOCKET)
            ready.set()
            other.get_buffers([oid])
            woken.append(now())

        ready = threading.Event()
        thread = threading.Thread(target=waits)
        thread.start()
        ready.wait()
        time.sleep(0.002)
        memoryview(client.create(oid, 8)).cast("B")[:] = bytes(8)
        begin = now()
        client.seal(oid)
        thread.join()
        times.append(woken[0] - begin)
        client.delete([oid])
    return statistics.median(times)


def measure(case, unit, once):
    if fnmatch.fnmatch(case, PATTERN):
        print(case, file=sys.stderr, flush=True)
        once()
        values = [once() for _ in range(ROUNDS)]
        print(json.dumps({"case": case, "unit": unit,
                          "median": statistics.median(values),
                          "min": min(values), "max": max(values),
                          "rounds": ROUNDS}), flush=True)


measure("store.put_100b", "1/s", lambda: put_and_delete(SMALL, PUTS, False))
measure("store.put_100b_kept", "1/s", put_kept)
measure("store.get", "1/s", get)
measure("store.put_1mib", "ns", lambda: put_and_delete(1 << 20, LARGE, True))
measure("store.wake", "ns", wake)
