# SPDX-License-Identifier: Apache-2.0
import ray

@ray.remote
def map(obj, f):
    return f(obj)

@ray.remote
def sum_results(*elements):
    return sum(elements)

ray.init()
map_func = lambda i: i * 2
remote_elements = [map.remote(i, map_func) for i in range(100)]

# simple reduce
simple = ray.get(sum_results.remote(*remote_elements))

# tree reduce
intermediate_results = [
    sum_results.remote(*remote_elements[i * 20 : (i + 1) * 20])
    for i in range(5)]
tree = ray.get(sum_results.remote(*intermediate_results))

print("simple", simple, "tree", tree)
assert simple == 9900 and tree == 9900
