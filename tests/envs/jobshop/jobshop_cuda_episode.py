"""Plays the same episodes on the CPU and on CUDA and asserts equal state; run by test_cuda.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plays import varied_shop

from rlsched.core.errors import IllegalChoice
from rlsched.core.simulator import host
from rlsched.envs.jobshop.simulator import JobShopSimulator, random_choice
from rlsched.testing import assert_same_state

OPTIONS: tuple[dict[str, Any], ...] = (
    {"interruption": "start:0.3", "repair": "uniform:2:9"},
    {"swap": "choice", "buffer": 1, "interruption": "weibull:20:2:calendar", "reward": "bound"},
    {"swap": "off", "deadlock": "avoid", "interruption": "step:0.05", "after_repair": "restart"},
)


def main() -> None:
    bank = [varied_shop(seed, 3, 3) for seed in (0, 15)]
    for options in OPTIONS:
        both = [JobShopSimulator(bank, 3, device=device, **options) for device in ("cpu", "cuda")]
        play(both)
        copy(both)
        refuse(both)


def play(both: list[JobShopSimulator]) -> None:
    cpu, gpu = both
    choice = np.zeros(3, np.int32)
    for sim in both:
        sim.reset(seed=5)
    assert_same_state(cpu.state, gpu.state)
    for _ in range(5):
        for sim in both:
            random_choice(3, sim.state, 5, choice, device=sim.device)
            sim.step(choice)
        assert_same_state(cpu.state, gpu.state)
    for name, value in cpu.metrics().items():
        np.testing.assert_array_equal(value, gpu.metrics()[name], err_msg=name)
    for key, value in cpu.observation().items():
        np.testing.assert_array_equal(value, host(gpu.observation()[key]), err_msg=key)
    np.testing.assert_array_equal(cpu.fingerprint(), gpu.fingerprint())
    assert cpu.schedule(1).start.tolist() == gpu.schedule(1).start.tolist()


def copy(both: list[JobShopSimulator]) -> None:
    """Fork, reset one lane, let blind twins adopt lanes and hide the future, and take them back."""
    twins = []
    for sim in both:
        sim.fork([1, 1, 0])
        sim.reset(np.array([True, False, False]))
        twin = sim.like(2, observe=False)
        twin.adopt(sim, [2, 0])
        twin.hide_future()
        sim.adopt(twin, [1, 0, 1])
        twins.append(twin)
    assert_same_state(twins[0].state, twins[1].state)
    assert_same_state(both[0].state, both[1].state)


def refuse(both: list[JobShopSimulator]) -> None:
    for sim in both:
        with pytest.raises(IllegalChoice, match="lane 0 chose node -1"):
            sim.step([-1, -1, -1])


if __name__ == "__main__":
    main()
    print("equal")
