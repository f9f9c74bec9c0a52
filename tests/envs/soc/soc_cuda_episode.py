"""Plays the same episodes on the CPU and on CUDA and asserts equal state; run by test_cuda.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from soc_plays import STATIC_BANK, small

from rlsched.core.errors import IllegalChoice
from rlsched.core.simulator import host
from rlsched.envs.soc.rules import Random, Rule
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.testing import assert_same_state

OPTIONS: tuple[dict[str, Any], ...] = (
    {"mode": "static", "noise": "0.3", "dvfs": "choose"},
    {"noise": "0.2", "comm": "memory", "order": "oldest_job", "defer": True, "reward": "bound"},
    {"dvfs": "choose", "admission": "drop", "arrivals": "fixed", "scale": "5", "queue": 2},
)


def main() -> None:
    banks = [STATIC_BANK[:2], *([[small("accelerators", seed, 4, 2) for seed in (0, 5)]] * 2)]
    for options, bank in zip(OPTIONS, banks, strict=True):
        both = [SocSimulator(bank, 3, device=device, **options) for device in ("cpu", "cuda")]
        play(both)
        copy(both)
        refuse(both)


def play(both: list[SocSimulator]) -> None:
    cpu, gpu = both
    for sim in both:
        sim.reset(seed=5)
    assert_same_state(cpu.state, gpu.state)
    for policy in (Random(5), Random(5), Rule("etf"), Rule("heft_rt"), Rule("met"), Random(6)):
        for sim in both:
            sim.step(policy.choose(sim))
        assert_same_state(cpu.state, gpu.state)
    for name, value in cpu.metrics().items():
        np.testing.assert_array_equal(value, gpu.metrics()[name], err_msg=name)
    for key, value in cpu.observation().items():
        np.testing.assert_array_equal(value, host(gpu.observation()[key]), err_msg=key)
    np.testing.assert_array_equal(cpu.fingerprint(), gpu.fingerprint())
    assert cpu.executions(1).tolist() == gpu.executions(1).tolist()
    if cpu.mode == "streaming":
        assert cpu.snapshot(1) == gpu.snapshot(1)


def copy(both: list[SocSimulator]) -> None:
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


def refuse(both: list[SocSimulator]) -> None:
    for sim in both:
        with pytest.raises(IllegalChoice, match="lane 0 chose node -1"):
            sim.step([-1, -1, -1])


if __name__ == "__main__":
    main()
    print("equal")
