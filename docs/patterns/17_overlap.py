# SPDX-License-Identifier: Apache-2.0
import time
import ray

N = 50

# Time that passes without a processor, as that of a disk or a network.
@ray.remote
def get_work_item(i):
    time.sleep(0.004)
    return i

def process(item):
    end = time.perf_counter() + 0.004
    while time.perf_counter() < end:
        pass
    return item

# Before: it does nothing while the item comes.
@ray.remote
def run_blocked(n):
    total = 0
    for i in range(n):
        total += process(ray.get(get_work_item.remote(i)))
    return total

# After: the next item comes while it works on this one.
@ray.remote
def run_overlapped(n):
    work = get_work_item.remote(0)
    total = 0
    for i in range(n):
        item = ray.get(work)
        if i + 1 < n:
            work = get_work_item.remote(i + 1)
        total += process(item)
    return total

ray.init()
start = time.perf_counter()
blocked = ray.get(run_blocked.remote(N))
before = time.perf_counter() - start

start = time.perf_counter()
overlapped = ray.get(run_overlapped.remote(N))
after = time.perf_counter() - start

print(f"sums {blocked} {overlapped}; one after the other takes "
      f"{before / after:.1f} times as long")
assert blocked == overlapped == N * (N - 1) // 2
