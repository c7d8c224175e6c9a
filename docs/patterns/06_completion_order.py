# SPDX-License-Identifier: Apache-2.0
import random
import time
import ray

@ray.remote
def f(ms):
    time.sleep(ms / 1000)
    return ms

ray.init()
ms = [150] + [random.randrange(3) for _ in range(99)] # the first is slow
total = 0

# Antipattern: process results in the order they were spawned.
start = time.perf_counter()
refs = [f.remote(i) for i in ms]
for ref in refs:
    result = ray.get(ref)
    total += result
    time.sleep(0.001) # process the result
before = time.perf_counter() - start

# Better approach: process results in the order that they finish.
start = time.perf_counter()
unfinished = [f.remote(i) for i in ms]
while unfinished:
    finished, unfinished = ray.wait(unfinished, num_returns=1)
    result = ray.get(finished[0])
    total += result
    time.sleep(0.001)
after = time.perf_counter() - start

print(f"200 results, sum of differences {total - 2 * sum(ms)}; in order of "
      f"submission it takes {before / after:.1f} times as long")
assert total == 2 * sum(ms)
