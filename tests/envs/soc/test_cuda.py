"""The CUDA path equals the CPU path: on simulated CUDA everywhere, on a GPU if there is one."""

from __future__ import annotations

import pytest
from numba import cuda

EPISODE = "tests/envs/soc/soc_cuda_episode.py"


def test_simulated_cuda_equals_the_cpu(run_python):
    assert run_python(EPISODE, NUMBA_ENABLE_CUDASIM="1").strip() == "equal"


@pytest.mark.skipif(not cuda.is_available(), reason="no CUDA device")
def test_a_gpu_equals_the_cpu(run_python):
    assert run_python(EPISODE).strip() == "equal"
