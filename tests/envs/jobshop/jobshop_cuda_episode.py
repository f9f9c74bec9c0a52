"""Plays the same episodes on the CPU and on CUDA and asserts equal state; run by test_cuda.py."""

from __future__ import annotations

import numpy as np

from rlsched.core.simulator import host
from rlsched.envs.jobshop.instances import generate_shop, generator_config
from rlsched.envs.jobshop.simulator import JobShopSimulator, random_choice
from rlsched.testing import assert_same_state


def main() -> None:
    bank = [generate_shop(generator_config("tiny"), seed) for seed in range(2)]
    cpu, gpu = (
        JobShopSimulator(bank, 3, interruption="start:0.3", device=device)
        for device in ("cpu", "cuda")
    )
    both = (cpu, gpu)
    for sim in both:
        sim.reset(seed=5)
    assert_same_state(cpu.state, gpu.state)
    choice = np.zeros(3, np.int32)
    for _ in range(4):
        for sim in both:
            random_choice(3, sim.state, 5, choice, device=sim.device)
            sim.step(choice)
        assert_same_state(cpu.state, gpu.state)
    for sim in both:
        sim.fork([1, 1, 0])
    assert_same_state(cpu.state, gpu.state)
    for name, value in cpu.metrics().items():
        np.testing.assert_array_equal(value, gpu.metrics()[name], err_msg=name)
    for key, value in cpu.observation().items():
        np.testing.assert_array_equal(value, host(gpu.observation()[key]), err_msg=key)
    np.testing.assert_array_equal(cpu.fingerprint(), gpu.fingerprint())


if __name__ == "__main__":
    main()
    print("equal")
