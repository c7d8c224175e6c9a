# SPDX-License-Identifier: Apache-2.0
import time
import numpy as np
import ray

BIG = 1 << 17
AHEAD = 8
FIT = 64

@ray.remote(num_returns=FIT)
def all_blocks(n):
    return [np.full(BIG, i, dtype=np.int64) for i in range(n)]

@ray.remote(_generator_backpressure_num_objects=AHEAD)
def blocks(n):
    for i in range(n):
        yield np.full(BIG, i, dtype=np.int64)

ray.init(object_store_memory=80 << 20)
n = 400
total = 0

# Antipattern: all that fit, at once: no work until the last is made.
start = time.perf_counter()
refs = all_blocks.remote(FIT)
ray.get(refs[0])
before = time.perf_counter() - start
del refs

# Better approach: each result as soon as it is there, a few at a time.
start = time.perf_counter()
after = None
for ref in blocks.remote(n):
    after = after or time.perf_counter() - start
    total += int(ray.get(ref)[BIG - 1])
    del ref

print(f"{n} blocks of 1 MiB through a store of 80, sum {total}; with {FIT} at the "
      f"end the first takes {before / after:.1f} times as long")
assert total == n * (n - 1) // 2
