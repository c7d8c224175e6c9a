# SPDX-License-Identifier: Apache-2.0
import time
import numpy as np
import ray

N = 1000000
ROUNDS = 10

@ray.remote
def load_part(part):
    return np.full(N, float(part))

@ray.remote
def sum_of(part):
    return np.sum(part)

# Antipattern: waits for the part, and copies it into its own result.
@ray.remote
def load_and_get(part):
    return ray.get(load_part.remote(part))

# Better approach: returns at once what will be the part.
@ray.remote
def load_by_reference(part):
    return load_part.remote(part)

ray.init()
start = time.perf_counter()
for _ in range(ROUNDS):
    waited = ray.get(sum_of.remote(load_and_get.remote(3)))
before = time.perf_counter() - start

start = time.perf_counter()
for _ in range(ROUNDS):
    part = ray.get(load_by_reference.remote(3))
    passed = ray.get(sum_of.remote(part))
after = time.perf_counter() - start

print(f"sums {waited:.0f} {passed:.0f}; with the value it takes "
      f"{before / after:.1f} times as long")
assert waited == 3 * N and passed == 3 * N
