"""Headers of .npy files, which say how large an array is: NumPy reserves that before it reads."""

import math
from io import BufferedIOBase

import numpy as np
from numpy.lib import format as npy

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_header(file: BufferedIOBase, size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the array in a file of so many bytes; the file then stands where its content begins.

    Raises:
        ValueError: No .npy file, of an unknown version, damaged, or with an array that it cannot hold.
    """
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"is written in version {version} of the format, known are 1.0 and 2.0")
    try:
        shape, _, dtype = HEADERS[version](file)
    except Exception as error:  # a damaged header is read as a Python literal and raises almost anything
        raise ValueError(f"has a damaged header ({error})") from error
    fits = math.prod(shape) * dtype.itemsize <= size - file.tell()
    if min(shape, default=0) < 0 or not (fits or dtype.hasobject):
        raise ValueError(f"ends before its array of shape {shape} does")
    return shape, dtype
