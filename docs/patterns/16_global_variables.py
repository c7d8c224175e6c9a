# SPDX-License-Identifier: Apache-2.0
import ray

CALLS = 100
global_v = 3

# Antipattern: reads what its own process has in the variable.
@ray.remote
def add_global(x):
    return global_v + x

# Antipattern: changes the variable of its own process alone.
@ray.remote
def set_global(v):
    global global_v
    global_v = v

# Better approach: what it needs is an argument, what it changes its result.
@ray.remote
def add(v, x):
    return v + x

ray.init()
assert ray.get(add_global.remote(0)) == 3 # the function goes to the workers
global_v = 4 # no worker sees this
before = sum(ray.get(add_global.remote(i)) != 4 + i for i in range(CALLS))
ray.get(set_global.remote(5)) # and this is not seen here
before += global_v != 5

v = ray.put(global_v)
after = sum(ray.get(add.remote(v, i)) != 4 + i for i in range(CALLS))
v = add.remote(v, 1) # its next value is another object
after += ray.get(v) != 5

print(f"of {CALLS + 1} uses {before} are wrong with a global variable, "
      f"{after} with an argument")
assert before == CALLS + 1 and after == 0
