# SPDX-License-Identifier: Apache-2.0
import random
import time
import ray

@ray.remote
def f(ms):
    time.sleep(ms / 1000)
    return ms

ray.init()
ms = [random.randrange(10) for _ in range(100)]
total = 0

# Antipattern: process results in the order they were spawned.
refs = [f.remote(i) for i in ms]
for ref in refs:
    result = ray.get(ref)
    total += result

# Better approach: process results in the order that they finish.
unfinished = [f.remote(i) for i in ms]
while unfinished:
    finished, unfinished = ray.wait(unfinished, num_returns=1)
    result = ray.get(finished[0])
    total += result

print("200 results, sum of differences", total - 2 * sum(ms))
assert total == 2 * sum(ms)
