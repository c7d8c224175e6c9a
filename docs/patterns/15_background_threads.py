# SPDX-License-Identifier: Apache-2.0
import threading
import time
import ray

N = 100

@ray.remote
def fetch(i):
    time.sleep(0.002)
    return i

# The tasks one by one, as a service asks for them.
def poll_service(sums):
    total = 0
    for i in range(N):
        total += ray.get(fetch.remote(i))
    sums.append(total)

# What the program does itself meanwhile.
def own_work():
    for _ in range(N):
        time.sleep(0.002)

ray.init()
sums = []

# Before: the one thread waits for the service, then works.
start = time.perf_counter()
poll_service(sums)
own_work()
before = time.perf_counter() - start

# After: a thread of its own waits.
start = time.perf_counter()
thread = threading.Thread(target=poll_service, args=(sums,))
thread.start()
own_work()
thread.join()
after = time.perf_counter() - start

print(f"sums {sums[0]} {sums[1]}; in one thread it takes "
      f"{before / after:.1f} times as long")
assert sums == [N * (N - 1) // 2] * 2
