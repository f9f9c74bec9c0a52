"""Facts about ``@lanes``: equal bytes in plain Python, compiled, threaded, on simulated CUDA."""

from __future__ import annotations

import os
import threading
from typing import NamedTuple

import numpy as np
import pytest

from rlsched.core import lanes as lanes_module
from rlsched.core.lanes import Lanes, helper, lanes, num_threads, set_num_threads


class Counter(NamedTuple):
    total: np.ndarray
    history: np.ndarray


@helper
def square(x):
    return x * x


@lanes
def accumulate(lane, counter, choice, twice):
    """Add the square of the lane's choice."""
    counter.total[lane] += square(choice[lane]) * (2 if twice else 1)
    counter.history[lane, choice[lane]] = lane


def fresh(num: int) -> Counter:
    return Counter(np.zeros(num, np.int64), np.full((num, 4), -1, np.int32))


@pytest.fixture
def threads():
    before = num_threads()
    yield
    set_num_threads(before)


def test_compiled_lanes_equal_plain_python():
    choice = np.array([1, 3, 0, 2], np.int32)
    compiled, plain = fresh(4), fresh(4)
    accumulate(4, compiled, choice, True)
    for lane in range(4):
        accumulate.py(lane, plain, choice, True)
    assert compiled.total.tolist() == [2, 18, 0, 8]
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_function_keeps_its_name_and_documentation():
    assert isinstance(accumulate, Lanes)
    assert accumulate.__name__ == "accumulate"
    assert accumulate.__doc__ == "Add the square of the lane's choice."


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("num", [1, 31, 64, 97, 1000])
def test_threads_do_not_change_the_result(num):
    choice = (np.arange(num) % 4).astype(np.int32)
    results = []
    for count in (1, 2, 5):
        set_num_threads(count)
        assert num_threads() == count
        counter = fresh(num)
        accumulate(num, counter, choice, False)
        results.append(counter)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert results[0].total.tolist() == (choice.astype(int) ** 2).tolist()


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(ValueError, match="threads=0; must be >= 1"):
        set_num_threads(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.usefixtures("threads")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_threads_work_in_a_forked_child():
    set_num_threads(2)
    accumulate(128, fresh(128), np.zeros(128, np.int32), False)
    assert any(t.name.startswith("lanes") for t in threading.enumerate())
    child = os.fork()
    if not child:
        accumulate(128, fresh(128), np.zeros(128, np.int32), False)
        os._exit(17)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17


def test_the_cache_folder_carries_a_digest_of_the_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("RLSCHED_CACHE_DIR", str(tmp_path))
    lanes_module._cache_dir.cache_clear()
    folder = lanes_module._cache_dir()
    lanes_module._cache_dir.cache_clear()
    assert folder.startswith(str(tmp_path / "lanes-"))
    assert folder.rsplit("-", 1)[1] in lanes_module._cache_dir()


LAUNCH = """
import sys; sys.path.insert(0, "tests/core")
import numpy as np
from numba import cuda
from test_lanes import Counter, accumulate, fresh
choice = np.array([1, 3, 0, 2], np.int32)
counter = Counter(*(cuda.to_device(a) for a in fresh(4)))
accumulate(4, counter, cuda.to_device(choice), True, device="cuda")
print(counter.total.copy_to_host().tolist(), counter.history.copy_to_host().sum())
"""


def test_simulated_cuda_gives_the_same_numbers(run_python):
    expected = fresh(4)
    accumulate(4, expected, np.array([1, 3, 0, 2], np.int32), True)
    out = run_python("-c", LAUNCH, NUMBA_ENABLE_CUDASIM="1")
    assert out.split("\n")[0] == f"{expected.total.tolist()} {expected.history.sum()}"
