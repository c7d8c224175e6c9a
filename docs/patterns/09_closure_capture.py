# SPDX-License-Identifier: Apache-2.0
import numpy as np
import ray

N = 1000000
CALLS = 10

ray.init()
big_object = np.arange(N)

# Antipattern: the function captures the object, with every definition again.
copied = []
for i in range(CALLS):
    @ray.remote
    def count_at(i):
        return big_object[i] + len(big_object)
    copied.append(count_at.remote(i))
copied = ray.get(copied)

# Better approach: it is put once, and calls have its ref.
@ray.remote
def count_at(big, i):
    return big[i] + len(big)

big = ray.put(big_object)
shared = ray.get([count_at.remote(big, i) for i in range(CALLS)])

wrong = 0
for i in range(CALLS):
    wrong += copied[i] != i + N or shared[i] != i + N
print(2 * CALLS, "calls,", wrong, "wrong")
assert wrong == 0
