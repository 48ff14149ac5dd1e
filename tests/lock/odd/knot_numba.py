"""Compiles in parallel, with whichever layer of threads it finds."""

import numba
import numpy


@numba.njit(parallel=True)
def total(values):
    result = 0.0
    for at in numba.prange(values.size):
        result += values[at]
    return result


print(total(numpy.arange(1000.0)), numba.threading_layer())
