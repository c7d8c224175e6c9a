# SPDX-License-Identifier: Apache-2.0
import time
import numpy as np
import ray

N = 1000000
CALLS = 10

ray.init()
big_object = np.arange(N)

# Antipattern: the function captures the object, with every definition again.
start = time.perf_counter()
copied = []
for i in range(CALLS):
    @ray.remote
    def count_at(i):
        return big_object[i] + len(big_object)
    copied.append(count_at.remote(i))
copied = ray.get(copied)
before = time.perf_counter() - start

# Better approach: it is put once, and calls have its ref.
@ray.remote
def count_at(big, i):
    return big[i] + len(big)

start = time.perf_counter()
big = ray.put(big_object)
shared = ray.get([count_at.remote(big, i) for i in range(CALLS)])
after = time.perf_counter() - start

# Better approach, if it is easily made: calls have what makes it.
@ray.remote
def count_at_made(make, i):
    big = make(N)
    return big[i] + len(big)

made = ray.get([count_at_made.remote(np.arange, i) for i in range(CALLS)])

wrong = 0
for i in range(CALLS):
    wrong += copied[i] != i + N or shared[i] != i + N or made[i] != i + N
print(f"{3 * CALLS} calls, {wrong} wrong; a copy for each takes "
      f"{before / after:.1f} times as long")
assert wrong == 0
