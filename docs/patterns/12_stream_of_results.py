# SPDX-License-Identifier: Apache-2.0
import numpy as np
import ray

BIG = 1 << 17
AHEAD = 8

@ray.remote
def all_blocks(n):
    return [np.full(BIG, i, dtype=np.int64) for i in range(n)]

@ray.remote(_generator_backpressure_num_objects=AHEAD)
def blocks(n):
    for i in range(n):
        yield np.full(BIG, i, dtype=np.int64)

ray.init(object_store_memory=80 << 20)
n = 400
total = 0

# Antipattern: all results at the end; nobody works meanwhile, and they are too many.
# results = ray.get(all_blocks.remote(n))

# Better approach: each result as soon as it is there, a few at a time.
for ref in blocks.remote(n):
    total += int(ray.get(ref)[BIG - 1])
    del ref

print(n, "blocks of 1 MiB through a store of 80, sum", total)
assert total == n * (n - 1) // 2
