"""Which choices are learned from when they are matched by task, against the executions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import workloads
from soc_plays import BANK, streaming

from rlsched.agents.rollout import Collector, Finished, check_matching
from rlsched.config.schema import TrainerConfig
from rlsched.core.errors import ConfigError
from rlsched.core.registry import problem


def uniform(observation):
    """Return logits and values as a network that knows nothing."""
    mask = observation["action_mask"]
    return torch.where(mask, 0.0, float("-inf")), torch.zeros(len(mask))


def test_a_choice_is_kept_once_its_task_has_ended():
    sim = streaming(*BANK[:6], num_jobs=30, noise="0.3", scale="9")
    steps, tasks = 40, sim.host_work.time.shape[2]
    finished, asked = Finished(sim, steps), []
    rng = np.random.default_rng(0)
    for _ in range(steps):
        choice = np.array([rng.choice(np.flatnonzero(row)) for row in sim.action_mask], np.int32)
        finished.note(choice)
        asked.append(sim.subjects(choice))
        sim.step(choice)
    kept = np.zeros((steps, sim.num_envs), bool)
    for lane in range(sim.num_envs):
        clock, ended = sim.state.clock[lane], set()
        for job, _, task, _, _, end, _ in sim.executions(lane).tolist():
            if end <= clock:
                ended.add(job * tasks + task)
        kept[:, lane] = [int(row[lane]) in ended for row in asked]
    assert 0 < kept.mean() < 1
    assert set(finished.rows().tolist()) == set(np.flatnonzero(kept.ravel()).tolist())


def test_what_is_learned_from_has_its_whole_return_whatever_lambda():
    sim = streaming(workloads.fork(), workloads.fork(), num_jobs=2)
    collector = Collector(sim, 0, matching="task")
    rollout = collector.collect(uniform, 64, 0.9, 0.5)
    plain = Collector(streaming(workloads.fork(), workloads.fork(), num_jobs=2), 0).collect(
        uniform, 64, 0.9, 1.0
    )
    assert rollout.num_steps == plain.num_steps == 128
    rows = [int(x) for x in rollout.returns.mul(1e4).round()]
    assert set(rows) <= {int(x) for x in plain.returns.mul(1e4).round()}
    assert len(rollout.episode_returns) == len(plain.episode_returns) > 10


def test_matching_by_task_is_refused_where_no_task_ends():
    vmr = problem("vmr")
    with pytest.raises(ConfigError, match=r"matching=task is for .* \(soc\), not vmr; use"):
        check_matching(vmr.make(vmr.config(num_instances=2), 2), "task")
    check_matching(streaming(BANK[0], num_jobs=2), "task")
    with pytest.raises(ConfigError, match="trainer=sb3 matches by step alone"):
        TrainerConfig(name="sb3", matching="task")
