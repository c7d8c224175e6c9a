# SPDX-License-Identifier: Apache-2.0
import numpy as np
import ray

N = 1000000

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
rollout = ray.get(generate_rollout.remote())
# Now we have to reupload `rollout`
copied = ray.get(reduce.remote(rollout))

# Better approach: the rollout object is passed by reference.
rollout = generate_rollout.remote()
passed = ray.get(reduce.remote(rollout))

# Refs in a list stay refs.
refs = [rollout, generate_rollout.remote()]
one = ray.get(reduce_one.remote(refs, 1))

print("sums", copied, passed, one)
assert copied == N and passed == N and one == N
