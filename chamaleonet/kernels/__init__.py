"""Compiled functions: kernels in the subset of Python that Numba compiles, ready to run on disk.

Five million packets are judged in a third of a second, and Numba alone took longer to start: 0.20 s
to import it, and 0.13 s at the first call, while it registers all that it can type. So a kernel
that was compiled once is kept as an *image*: position-independent machine code, which is mapped
into memory and called. Numba is imported only where an image is missing. The first look for one
takes 2.5 ms, each of the others less than 1 ms.

* ``calls``: the decorators, and the way of a kernel's arguments to its image.
* ``images``: where images lie, which of them fits, and how one is mapped.
* ``compiler``: a function becomes an image. It imports Numba, as ``intrinsics`` does, and nothing
  else in the package may.
* ``linker``: an object file becomes position-independent code.

Whatever cannot be an image runs by Numba itself, as if it were decorated with ``numba.njit``: on
other processors than x86-64, a kernel that can raise, and everything when the environment has
settings for Numba (``NUMBA_BOUNDSCHECK=1``, say).
"""

from __future__ import annotations

from chamaleonet.kernels.calls import inlined, intrinsic, kernel
from chamaleonet.kernels.images import CHECKED

# Asks memory for an array's element, to be written soon; never faults, whatever the index.
prefetch = intrinsic("prefetch")

__all__ = ["CHECKED", "inlined", "intrinsic", "kernel", "prefetch"]
