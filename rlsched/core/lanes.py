"""``@lanes``: one scalar function per lane, compiled for CPU threads and for CUDA.

A lane is one running instance. A lane function takes the lane's index first and writes only that
lane's rows, so results do not depend on the number of lanes, on their neighbours, or on threads::

    @lanes
    def step(lane, state, choice):
        state.clock[lane] += choice[lane]

    step(num_envs, state, choice)                  # all lanes on CPU threads
    step(num_envs, state, choice, device="cuda")   # all lanes, one CUDA thread each
    step.py(0, state, choice)                      # one lane in plain Python: the oracle in tests

Compiled code is cached on disk under a digest of the package's sources: the second start compiles
nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
from numba import cuda, njit
from numba.extending import register_jitable

__all__ = ["Lanes", "helper", "lanes", "num_threads", "set_num_threads"]

MIN_LANES_PER_THREAD = 32
"""Below this many lanes a thread's hand-over costs more than its work."""
CUDA_BLOCK = 128
JIT: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy", "_nrt": False}

helper = register_jitable(forceinline=True, error_model="numpy", _nrt=False)
"""Marks a function that lane functions call; works on every target and in plain Python."""

_threads = int(os.environ.get("RLSCHED_THREADS", 0)) or len(os.sched_getaffinity(0))


def set_num_threads(threads: int) -> None:
    """Set how many CPU threads share the lanes of one call; results do not depend on it."""
    global _threads
    if threads < 1:
        raise ValueError(f"threads={threads}; must be >= 1.")
    _threads = threads


def num_threads() -> int:
    """Return how many CPU threads share the lanes of one call."""
    return _threads


class Lanes:
    """A lane function and its compiled forms; call it with the number of lanes, then its arguments.

    Attributes:
        py: the function as written, for one lane, in plain Python.
        body: the compiled function for one lane, callable from other compiled CPU code.
    """

    def __init__(self, fn: Callable[..., None]) -> None:
        self.py, self.__doc__, self.__name__ = fn, fn.__doc__, fn.__name__
        self.body, self._loop = _compile(fn)
        self._kernel: Any = None

    def __call__(self, num_lanes: int, *args: Any, device: str = "cpu") -> None:
        """Run the function for lanes ``0 .. num_lanes - 1``."""
        if device != "cpu":
            self._launch(num_lanes, args)
            return
        threads = min(_threads, num_lanes // MIN_LANES_PER_THREAD)
        if threads <= 1:
            self._loop(0, num_lanes, args)
            return
        cuts = [num_lanes * t // threads for t in range(threads + 1)]
        jobs = [_pool().submit(self._loop, lo, hi, args) for lo, hi in pairwise(cuts[1:])]
        self._loop(0, cuts[1], args)
        for job in jobs:
            job.result()

    def _launch(self, num_lanes: int, args: tuple) -> None:
        if self._kernel is None:
            device_body = cuda.jit(device=True)(self.py)

            def kernel(n: int, args: tuple) -> None:
                lane: Any = cuda.grid(1)  # type: ignore[call-arg]
                if lane < n:
                    device_body(lane, *args)

            self._kernel = cuda.jit(kernel)
        args = tuple(_known(a) for a in args)
        block = min(CUDA_BLOCK, num_lanes)
        self._kernel[(num_lanes + block - 1) // block, block](num_lanes, args)


def lanes(fn: Callable[..., None]) -> Lanes:
    """Compile ``fn(lane, *args)`` to run over all lanes of a batch; see the module's text."""
    return Lanes(fn)


def _known(arg: Any) -> Any:
    """Return a torch tensor on the device as Numba's array: inside a tuple it knows no other."""
    foreign = hasattr(arg, "__cuda_array_interface__") and not hasattr(arg, "__cuda_ndarray__")
    return cuda.as_cuda_array(arg) if foreign else arg


def _compile(fn: Callable[..., None]) -> tuple[Any, Any]:
    # The loop is compiled under the lane function's own file, line and globals: Numba never finds
    # the cache of a closure again. The cache folder carries a digest because Numba does not notice
    # a changed helper elsewhere.
    config: Any = numba.config
    saved, config.CACHE_DIR = config.CACHE_DIR, _cache_dir()
    try:
        body = njit(**JIT)(fn)
        name, scope = f"_{fn.__name__}_loop", fn.__globals__
        scope[f"_{fn.__name__}_body"] = body
        source = (
            f"def {name}(lo, hi, args):\n"
            f"    for lane in range(lo, hi):\n"
            f"        _{fn.__name__}_body(lane, *args)\n"
        )
        blank = "\n" * (fn.__code__.co_firstlineno - 1)
        exec(compile(blank + source, fn.__code__.co_filename, "exec"), scope)
        return body, njit(**JIT)(scope[name])
    finally:
        config.CACHE_DIR = saved


@cache
def _cache_dir() -> str:
    """Folder of compiled code: ``RLSCHED_CACHE_DIR`` or the user's cache, with the digest."""
    root = os.environ.get("RLSCHED_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    users = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    base = Path(root) if root else users / "rlsched"
    digest = hashlib.sha256()
    package = Path(__file__).parent.parent
    for folder in ("core", "envs"):
        for source in sorted((package / folder).rglob("*.py")):
            digest.update(source.read_bytes())
    return str(base / f"lanes-{digest.hexdigest()[:16]}")


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1)), thread_name_prefix="lanes")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
