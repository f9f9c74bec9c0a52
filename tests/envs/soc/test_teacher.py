"""The rollout teacher: it likes best what leads to the shortest end, and foresees nothing."""

from __future__ import annotations

import numpy as np
import pytest
import workloads
from soc_plays import BANK, STATIC_BANK, ruled, started, static, streaming

from rlsched.core.registry import problem
from rlsched.envs.soc.rules import Rollout, Rule
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.teacher import TEMPERATURE, RolloutTeacher


def follow_teacher(sim: SocSimulator) -> SocSimulator:
    """Play every lane by the choice that the teacher likes best."""
    teacher = RolloutTeacher()
    while not sim.terminated.all():
        targets = teacher.targets(sim)
        assert targets.dtype == np.float32
        assert not targets[~sim.action_mask].any()
        np.testing.assert_allclose(targets.sum(axis=1), (~sim.terminated).astype(float), rtol=1e-5)
        sim.step(np.where(sim.terminated, -1, targets.argmax(axis=1)))
    return sim


def test_targets_by_hand():
    """The fork after task 0 on P1, task 1 chosen: 7 ticks with it on either PE, both as likely.

    The long one: P1 ends at 4, P2 at 9, on a critical path of 4: e^(-5 / (0.02 x 4)) as likely.
    """
    sim = static(workloads.fork())
    for choice in (3, 1):
        sim.step([choice])
    np.testing.assert_allclose(RolloutTeacher().targets(sim)[0, 3:5], [0.5, 0.5])
    sim = static(workloads.static("long", [(4, 9)]))
    targets = RolloutTeacher().targets(sim)[0]
    odds = np.exp(-5 / (TEMPERATURE * 4))
    np.testing.assert_allclose(targets[1:3], [1 / (1 + odds), odds / (1 + odds)], atol=1e-12)


@pytest.mark.parametrize("mode", ["static", "streaming"])
def test_following_the_teacher_is_never_worse_than_etf_where_nothing_unforeseen_comes(mode):
    def lanes() -> SocSimulator:
        if mode == "static":
            return static(*STATIC_BANK[:6])
        return streaming(*BANK[:6], num_jobs=2, queue=2, fill=True)

    mine, etf = (s.metrics()[s.metric] for s in (follow_teacher(lanes()), ruled(lanes(), "etf")))
    assert (mine <= etf).all()
    assert mine.sum() < etf.sum()


def test_what_the_teacher_likes_best_is_what_rollout_takes():
    sim = streaming(*BANK, num_jobs=2, queue=2, fill=True)
    rollout = Rollout(Rule("etf"), is_parallel=True)
    for _ in range(6):
        targets, choice = RolloutTeacher().targets(sim), rollout.choose(sim)
        lanes = np.flatnonzero(~sim.terminated)
        np.testing.assert_allclose(
            targets[lanes, choice[lanes]], targets[lanes].max(axis=1), rtol=1e-6
        )
        sim.step(choice)


def test_waiting_is_weighed_like_any_choice():
    """Task 1 takes 1 tick on P2 alone, which is busy until 3; it is free to wait for it there."""
    workload = workloads.static("wait", [(-1, 3), (9, 1)])
    sim = started(workload, length=0, num_jobs=1, fill=False, queue=1, defer=True)
    sim.step([0])
    targets = RolloutTeacher().targets(sim)[0]
    assert targets[1] == pytest.approx(targets[-1]) == pytest.approx(0.5)


def test_the_teacher_foresees_neither_arrivals_nor_noise():
    sim = SocSimulator(BANK[:1], 2, noise="0.5", queue=2)
    sim.reset(instances=[0, 0])
    assert sim.state.stream[0] != sim.state.stream[1]
    sim.fork(np.array([0, 0]))
    sim.state.stream[1] += 1
    targets = RolloutTeacher().targets(sim)
    np.testing.assert_array_equal(targets[0], targets[1])


def test_it_is_the_problems_teacher():
    soc = problem("soc")
    assert isinstance(soc.teachers["rollout"](soc.config()), RolloutTeacher)
