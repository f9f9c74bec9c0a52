"""The plan teacher: what it names is legal and leads to what its plan promised."""

from __future__ import annotations

import numpy as np

from rlsched.envs.jobshop.instances import generate_shop, generator_config
from rlsched.envs.jobshop.rules import Portfolio
from rlsched.envs.jobshop.simulator import JobShopSimulator
from rlsched.envs.jobshop.teacher import PlanTeacher
from rlsched.testing import random_legal

SHOPS = [generate_shop(generator_config("uniform-5x4"), seed) for seed in range(3)]


def make(**options):
    sim = JobShopSimulator(SHOPS, 3, **options)
    sim.reset(instances=[0, 1, 2])
    return sim


def teacher(calls):
    def solve(sim, lane):
        calls.append(lane)
        return list(Portfolio().plan(sim, lane))

    return PlanTeacher(solve, "portfolio")


def test_following_the_teacher_gives_its_plans_makespan():
    sim, calls = make(), []
    planned = make()
    Portfolio().play(planned)
    guide = teacher(calls)
    while not sim.terminated.all():
        targets = guide.targets(sim)
        assert (targets[~sim.terminated].sum(axis=1) == 1).all()
        assert not targets[sim.terminated].any()
        choice = targets.argmax(axis=1).astype(np.int32)
        guide.advance(sim, choice)
        sim.step(choice)
    assert sim.metrics()["makespan"].tolist() == planned.metrics()["makespan"].tolist()
    assert calls == [0, 1, 2]


def test_plans_from_the_start_are_kept_for_the_next_episode():
    sim, calls = make(), []
    guide = teacher(calls)
    guide.targets(sim)
    sim.reset(seed=9, instances=[0, 1, 2])
    guide.targets(sim)
    assert calls == [0, 1, 2]


def test_a_lane_that_left_its_plan_is_planned_anew():
    sim, calls = make(), []
    guide = teacher(calls)
    for event in range(12):
        targets = guide.targets(sim)
        legal = np.take_along_axis(sim.action_mask, targets.argmax(axis=1)[:, None], 1)[:, 0]
        assert legal[~sim.terminated].all()
        choice = random_legal(sim.action_mask, 3, event)
        guide.advance(sim, choice)
        sim.step(choice)
    assert len(calls) > 3
