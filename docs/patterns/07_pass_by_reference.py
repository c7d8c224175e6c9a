# SPDX-License-Identifier: Apache-2.0
import time
import numpy as np
import ray

N = 1000000
ROUNDS = 10

@ray.remote
def generate_rollout():
    return np.ones(N)

@ray.remote
def reduce(rollout):
    return np.sum(rollout)

@ray.remote
def reduce_one(rollouts, chosen):
    rollout = ray.get(rollouts[chosen])
    return np.sum(rollout)

ray.init()

# Antipattern: `ray.get` downloads the result here.
start = time.perf_counter()
for _ in range(ROUNDS):
    rollout = ray.get(generate_rollout.remote())
    # Now we have to reupload `rollout`
    copied = ray.get(reduce.remote(rollout))
before = time.perf_counter() - start

# Better approach: the rollout object is passed by reference.
start = time.perf_counter()
for _ in range(ROUNDS):
    rollout = generate_rollout.remote()
    passed = ray.get(reduce.remote(rollout))
after = time.perf_counter() - start

# Refs in a list stay refs.
refs = [rollout, generate_rollout.remote()]
one = ray.get(reduce_one.remote(refs, 1))

print(f"sums {copied:.0f} {passed:.0f} {one:.0f}; with the copy it takes "
      f"{before / after:.1f} times as long")
assert copied == N and passed == N and one == N
