# SPDX-License-Identifier: Apache-2.0
import time
import ray

N = 100

# Only two may run at a time, however many processors there are.
def simulate(x):
    begin = time.time()
    time.sleep(0.001)
    return begin, time.time()

@ray.remote(num_gpus=1)
def train(x):
    # Which of them is this task's alone.
    assert len(ray.get_gpu_ids()) == 1
    return x + 1

# How many ran at the same time, at most.
def most_at_once(refs):
    spans = ray.get(refs)
    most = 0
    for begin, _ in spans:
        n = sum(b <= begin < e for b, e in spans)
        most = max(most, n)
    return most

ray.init(num_cpus=4, num_gpus=3, resources={"license": 2})
unbounded = ray.remote(simulate)
before = most_at_once([unbounded.remote(i) for i in range(N)])

bounded = ray.remote(resources={"license": 1})(simulate)
after = most_at_once([bounded.remote(i) for i in range(N)])

total = sum(ray.get([train.remote(i) for i in range(N)]))
print(f"total {total}; without the wish {before / after:.1f} times as many run "
      "at once")
assert total == 5050 and after <= 2
