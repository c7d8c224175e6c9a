# SPDX-License-Identifier: Apache-2.0
import time
import numpy as np
import ray

CALLS = 300
WINDOW = 20

@ray.remote
def heavy_compute(large_array):
    time.sleep(0.001) # takes a long time
    return np.sum(large_array)

ray.init()

# Before: all arrays are made before most of them are used.
refs = [heavy_compute.remote(np.ones(100000)) for _ in range(CALLS)]
_, unfinished = ray.wait(refs, num_returns=CALLS, timeout=0)
most = len(unfinished)
total = sum(ray.get(refs))

# After: at most WINDOW large arrays at a time.
in_flight = []
for i in range(CALLS):
    if len(in_flight) >= WINDOW:
        ready, in_flight = ray.wait(in_flight)
        total += ray.get(ready[0])
    large_array = np.ones(100000)
    in_flight.append(heavy_compute.remote(large_array))
while in_flight:
    ready, in_flight = ray.wait(in_flight)
    total += ray.get(ready[0])
print(f"total {total:.0f}; without a window there are {most / WINDOW:.1f} "
      "times as many arrays")
assert total == 2e5 * CALLS
