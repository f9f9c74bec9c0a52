"""Plays the same episodes on the CPU and on CUDA and asserts equal state; run by test_cuda.py."""

from __future__ import annotations

import numpy as np
from clusters import make_cluster, worked_example

from rlsched.core.errors import IllegalChoice
from rlsched.core.gym import SimulatorVectorEnv
from rlsched.core.simulator import host
from rlsched.envs.vmr.instances import AntiAffinitySet
from rlsched.envs.vmr.simulator import VMRSimulator, random_choice
from rlsched.testing import assert_same_state


def constrained():
    return make_cluster(
        [(24, 64), (24, 32), (24, 64)],
        [(0, 0, 4, 8), (1, 1, 8, 8), (0, 2, 2, 4), (2, 0, 4, 8)],
        racks=[0, 0, 1],
        pinned=(3,),
        sets=(AntiAffinitySet("host", (0, 1)), AntiAffinitySet("rack", (1, 3))),
    )


def main() -> None:
    bank = [worked_example(), constrained()]
    options = {"migration_limit": 3, "objective": "0.6*fr16+0.2*fr16d+0.1*mem8+0.1*empty"}
    cpu, gpu = (VMRSimulator(bank, 3, device=device, **options) for device in ("cpu", "cuda"))
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
    assert_same_answers(cpu, gpu)

    for sim in both:
        sim.fork([1, 1, 0])
    assert_same_state(cpu.state, gpu.state)
    for sim in both:
        sim.reset(np.array([True, False, False]))
    assert_same_state(cpu.state, gpu.state)
    twins = [sim.like(2, observe=False) for sim in both]
    for twin, sim in zip(twins, both, strict=True):
        twin.adopt(sim, [2, 0])
    assert_same_state(twins[0].state, twins[1].state)
    for twin, sim in zip(twins, both, strict=True):
        sim.adopt(twin, [1, 0, 1])
    assert_same_state(cpu.state, gpu.state)

    refused = 0
    for sim in both:
        try:
            sim.step([0, -1, 0])
        except IllegalChoice as error:
            refused += "lane 1 chose node -1" in str(error)
    assert refused == 2
    assert_same_vector_envs(bank)


def assert_same_answers(cpu: VMRSimulator, gpu: VMRSimulator) -> None:
    for name, value in cpu.metrics().items():
        np.testing.assert_array_equal(value, gpu.metrics()[name], err_msg=name)
    for key, value in cpu.observation().items():
        np.testing.assert_array_equal(value, host(gpu.observation()[key]), err_msg=key)
    np.testing.assert_array_equal(cpu.fingerprint(), gpu.fingerprint())
    assert cpu.cluster(1).vm_pm.tolist() == gpu.cluster(1).vm_pm.tolist()


def assert_same_vector_envs(bank: list) -> None:
    cpu, gpu = (
        SimulatorVectorEnv(VMRSimulator(bank, 2, migration_limit=1, device=device))
        for device in ("cpu", "cuda")
    )
    seen, same = cpu.reset(seed=1)[0], gpu.reset(seed=1)[0]
    for _ in range(4):
        choice = seen["action_mask"].argmax(axis=1)
        (seen, reward, ended, *_), (same, reward2, ended2, *_) = cpu.step(choice), gpu.step(choice)
        np.testing.assert_array_equal(reward, reward2)
        np.testing.assert_array_equal(ended, ended2)
        for key, value in seen.items():
            np.testing.assert_array_equal(value, same[key], err_msg=key)


if __name__ == "__main__":
    main()
    print("equal")
