# SPDX-License-Identifier: Apache-2.0
import numpy as np
import ray

BIG = 1 << 20
BATCH = 16

@ray.remote
def return_big_object(i):
    out = np.random.default_rng(i).integers(0, 256, BIG, dtype=np.uint8)
    out[0] = i % 256
    return out

ray.init(object_store_memory=80 << 20)
n = 192
refs = [return_big_object.remote(i) for i in range(n)]

# Antipattern: this will cause the object store to OOM.
# results = ray.get(refs)

# Better approach: process one batch at a time.
wrong = 0
for i in range(0, n, BATCH):
    results = ray.get(refs[i : i + BATCH])
    for k, result in enumerate(results):
        wrong += result[0] != (i + k) % 256
    for k in range(i, i + BATCH):
        refs[k] = None
    del result, results

print(f"{n} objects of 1 MiB in a store of 80, {wrong} wrong; all at once need "
      f"{n / BATCH:.1f} times as much as a batch, and do not fit")
assert wrong == 0
