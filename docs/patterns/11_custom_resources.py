# SPDX-License-Identifier: Apache-2.0
import ray

@ray.remote(num_cpus=0, resources={"license": 1})
def simulate(x):
    # Only two may run at a time, however many processors there are.
    return x * x

@ray.remote(num_cpus=0, num_gpus=1)
def train(x):
    # Which of them is this task's alone.
    assert len(ray.get_gpu_ids()) == 1
    return x + 1

ray.init(num_gpus=3, resources={"license": 2})
total = sum(ray.get([simulate.remote(i) for i in range(100)]))
total += sum(ray.get([train.remote(i) for i in range(100)]))
print("total", total)
assert total == 333400
