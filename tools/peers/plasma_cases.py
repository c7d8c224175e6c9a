# SPDX-License-Identifier: Apache-2.0
"""The cases of `mob bench store` that Plasma (pyarrow 11) can do.

Prints one JSON object a line. Arguments: ROUNDS GLOB SOCKET [quick]. The client is
Python; the store and the protocol are C++. As in `mob bench`, each case runs in a
process of its own, and a round of it follows a round of the raw primitive.
"""
import ctypes
import fnmatch
import json
import mmap
import os
import platform
import random
import signal
import statistics
import struct
import sys
import tempfile
import time
import warnings

warnings.simplefilter("ignore")
import pyarrow.plasma as plasma  # noqa: E402

ROUNDS, PATTERN, SOCKET = int(sys.argv[1]), sys.argv[2], sys.argv[3]
QUICK = sys.argv[4:] == ["quick"]
SMALL, PUTS, KEPT, READ, LARGE, WAKES = 100, 5000, 20000, 10000, 100, 200
LISTED = 100000  # a million of them take two minutes to put
MIB, GIB = 1 << 20, 1 << 30
HALT_NS = 300000  # as in bench_raw.c
ASLEEP_LIMIT_NS = 10 * 10 ** 9
# read, recvfrom, recvmsg
CALLS = {"x86_64": (0, 45, 47), "aarch64": (63, 207, 212)}[platform.machine()]
PROCESSORS = sorted(os.sched_getaffinity(0))
now = time.perf_counter_ns
client = None


def few(n):
    return max(n // 100, 1) if QUICK else n


def new_id():
    return plasma.ObjectID(os.urandom(20))


def put(source, oid=None):
    oid = oid or new_id()
    memoryview(client.create(oid, len(source))).cast("B")[:] = source
    client.seal(oid)
    return oid


def put_small(n):
    source = bytes(SMALL)
    for _ in range(n):
        client.delete([put(source)])


def put_100b():
    n = few(PUTS)
    begin = now()
    put_small(n)
    return n * 1e9 / (now() - begin)


def put_kept():
    source = bytes(SMALL)
    n = few(KEPT)
    begin = now()
    ids = [put(source) for _ in range(n)]
    rate = n * 1e9 / (now() - begin)
    client.delete(ids)
    return rate


def get():
    n = few(READ)
    ids = [put(bytes(SMALL)) for _ in range(n)]
    random.shuffle(ids)
    begin = now()
    for oid in ids:
        client.get_buffers([oid])
    rate = n * 1e9 / (now() - begin)
    client.delete(ids)
    return rate


def die_with_parent():
    """PR_SET_PDEATHSIG; a parent that is gone already is no parent."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def pin(pid, nth):
    os.sched_setaffinity(pid, {PROCESSORS[nth % len(PROCESSORS)]})


class Second:
    """A second process, on the second processor; this one is on the first."""

    COMMAND = 21  # a letter, and the id of an object

    def __init__(self):
        self.commands, self.to = os.pipe()
        self.answers, self.back = os.pipe()
        pin(0, 0)
        self.pid = os.fork()
        if self.pid == 0:
            die_with_parent()
            os.close(self.to)
            self.serve()
        pin(self.pid, 1)
        connect()

    def serve(self):
        connect()
        while True:
            command = os.read(self.commands, self.COMMAND)
            begin = end = now()
            if command[:1] == b"p":
                put_small(few(PUTS))
                end = now()
            elif command[:1] == b"g":
                client.get_buffers([plasma.ObjectID(command[1:])])
                begin = end = now()
            elif command[:1] != b"r":
                os._exit(0)
            os.write(self.back, struct.pack("qq", begin, end))

    def tell(self, letter, oid=bytes(20)):
        os.write(self.to, letter + oid)

    def answer(self):
        return struct.unpack("qq", os.read(self.answers, 16))

    def asleep(self, in_pipe):
        """Waits until it sleeps in the read of its pipe, or of the socket, and its
        processor has had the time to halt."""
        end = now() + ASLEEP_LIMIT_NS
        while now() < end:
            with open(f"/proc/{self.pid}/syscall", encoding="ascii") as f:
                words = f.read().split()
            if (words[0].isdigit() and int(words[0]) in CALLS and
                    (int(words[1], 16) == self.commands) == in_pipe):
                end = now() + HALT_NS
                while now() < end:
                    pass
                return
        raise TimeoutError("the second process is not seen asleep")

    def put_2proc(self):
        n = few(PUTS)
        self.tell(b"p")
        begin = now()
        put_small(n)
        end = now()
        other_begin, other_end = self.answer()
        return 2 * n * 1e9 / (max(end, other_end) - min(begin, other_begin))

    def wake(self):
        """From before the seal to the return of get in the other process."""
        times = []
        for _ in range(few(WAKES)):
            oid = new_id()
            memoryview(client.create(oid, 8)).cast("B")[:] = bytes(8)
            self.tell(b"g", oid.binary())
            self.asleep(False)
            begin = now()
            client.seal(oid)
            times.append(self.answer()[1] - begin)
            client.delete([oid])
        return statistics.median(times)

    def pipe_wake(self):
        times = []
        for _ in range(few(WAKES)):
            self.asleep(True)
            begin = now()
            self.tell(b"r")
            times.append(self.answer()[1] - begin)
        return statistics.median(times)


def two_put():
    second = Second()
    return second.put_2proc, put_100b


def two_wake():
    second = Second()
    return second.wake, second.pipe_wake


def large(size, copies):
    """Putting alone is timed, as in ours; and a copy to warm tmpfs."""
    connect()
    source = mmap.mmap(-1, size)
    source[:] = b"\2" * size
    with tempfile.TemporaryFile(dir="/dev/shm") as f:
        f.truncate(size)
        target = mmap.mmap(f.fileno(), size)
    target[:] = source

    def ours():
        times = []
        for _ in range(copies):
            begin = now()
            oid = put(memoryview(source))
            times.append(now() - begin)
            client.delete([oid])
        return statistics.median(times)

    def copy():
        times = []
        for _ in range(copies):
            begin = now()
            memoryview(target)[:] = memoryview(source)
            times.append(now() - begin)
        return statistics.median(times)

    return ours, copy


def listed():
    """There are no names: the ids begin with one, and all of them are asked for."""
    connect()
    n = few(LISTED)
    for i in range(n):
        put(b"x", plasma.ObjectID(b"list/%07d" % i + bytes(8)))

    def ours():
        begin = now()
        found = sum(oid.binary().startswith(b"list/") for oid in client.list())
        rate = n * 1e9 / (now() - begin)
        if found != n:
            raise ValueError(f"{found} objects are listed, not {n}")
        return rate

    return ours, None


def plain(ours):
    connect()
    return ours, None


def connect():
    global client
    client = plasma.connect(SOCKET)


def rounds_of(case, unit, setup, raw_name):
    ours, raw = setup()
    values, raws = [], []
    for i in range(ROUNDS + 1):
        raws.append(raw() if raw else None)
        values.append(ours())
    values, raws = values[1:], raws[1:]  # the first warms up
    row = {"case": case, "unit": unit, "median": statistics.median(values),
           "min": min(values), "max": max(values), "rounds": ROUNDS,
           "raw": raw_name, "raw_median": None, "ratio": None}
    if raw:
        base = row["raw_median"] = statistics.median(raws)
        row["ratio"] = (base / row["median"] if unit == "1/s" else
                        row["median"] / base)
    print(json.dumps(row), flush=True)


def measure(case, unit, setup, raw_name=None):
    if not fnmatch.fnmatch(case, PATTERN):
        return
    print(case, file=sys.stderr, flush=True)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            die_with_parent()
            rounds_of(case, unit, setup, raw_name)
            code = 0
        except BaseException as e:  # pylint: disable=broad-except
            print(f"{case}: {e!r}", file=sys.stderr, flush=True)
        os._exit(code)
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit(1)


measure("store.put_100b", "1/s", lambda: plain(put_100b))
measure("store.put_100b_kept", "1/s", lambda: plain(put_kept))
measure("store.put_100b_2proc", "1/s", two_put, "one process")
measure("store.get", "1/s", lambda: plain(get))
measure("store.put_1mib", "ns", lambda: large(MIB, few(LARGE)),
        "copy to warm tmpfs")
measure("store.put_1gib", "ns", lambda: large(16 * MIB if QUICK else GIB, 1),
        "copy to warm tmpfs")
measure("store.wake", "ns", two_wake, "pipe wake")
measure("store.list of 100,000", "1/s", listed)
