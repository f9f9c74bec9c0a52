"""Speed of the trainers against the reference loop, as ratios in one run.

python benchmarks/trainers.py [rounds]

All train the default network on the default VM-rescheduling lanes with the default settings, in
this process on one torch thread, taking turns rollout by rollout; CPU seconds of the process, the
first round left out. A ratio is the median over the rounds of (reference's seconds / trainer's
seconds): 1.00 is as fast as the bare loop, and the goal for RLlib is 0.90.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import torch

from rlsched.agents.phase import Phase
from rlsched.agents.policy import GraphPolicy
from rlsched.agents.ppo import ReferencePhase
from rlsched.agents.rllib import RllibPhase
from rlsched.agents.sb3 import Sb3Phase
from rlsched.config.schema import TrainConfig
from rlsched.core.registry import problem

GOAL = 0.90


def main(rounds: int) -> None:
    """Measure and print one line per trainer."""
    torch.set_num_threads(1)
    config = TrainConfig(env=problem("vmr").config(num_instances=64), device="cpu")
    phases = {name: _phase(name, config) for name in ("reference", "rllib", "sb3")}
    seconds: dict[str, list[float]] = {name: [] for name in phases}
    for _ in range(rounds + 1):
        for name, phase in phases.items():
            start = time.process_time()
            phase.iterate()
            seconds[name].append(time.process_time() - start)
    for phase in phases.values():
        phase.close()
    steps = config.trainer.num_envs * config.trainer.rollout_length
    for name, times in seconds.items():
        measured = times[1:]
        pairs = zip(seconds["reference"][1:], measured, strict=True)
        ratio = median(reference / own for reference, own in pairs)
        verdict = f"  goal {GOAL:.2f}" if name == "rllib" else ""
        print(f"{name:<10} {steps / median(measured):8,.0f} steps/CPU s  x{ratio:.2f}{verdict}")


def _phase(name: str, config: TrainConfig) -> Phase:
    sim = problem("vmr").make(config.env, config.trainer.num_envs, seed=config.seed)
    torch.manual_seed(config.seed)
    network = GraphPolicy(sim.graph, config.agent)
    if name == "rllib":
        return RllibPhase(network, sim, config)
    if name == "sb3":
        return Sb3Phase(network, sim, config)
    return ReferencePhase(network, sim, config.trainer, config.seed)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
