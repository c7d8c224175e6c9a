# SPDX-License-Identifier: Apache-2.0
import numpy as np
import ray

@ray.remote
def heavy_compute(large_array):
    return np.sum(large_array)

ray.init()
total = 0
in_flight = []
for i in range(1000):
    # At most 20 large arrays at a time.
    if len(in_flight) >= 20:
        ready, in_flight = ray.wait(in_flight)
        total += ray.get(ready[0])
    large_array = np.ones(100000)
    in_flight.append(heavy_compute.remote(large_array))
while in_flight:
    ready, in_flight = ray.wait(in_flight)
    total += ray.get(ready[0])
print("total", total)
assert total == 1e8
