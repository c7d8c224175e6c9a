# SPDX-License-Identifier: Apache-2.0
import numpy as np
import ray

N = 100000

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
waited = ray.get(sum_of.remote(load_and_get.remote(3)))
part = ray.get(load_by_reference.remote(3))
passed = ray.get(sum_of.remote(part))

print("sums", waited, passed)
assert waited == 3 * N and passed == 3 * N
