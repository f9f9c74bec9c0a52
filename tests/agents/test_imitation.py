from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rlsched.agents.imitation import ImitationPhase, PolicyTeacher
from rlsched.agents.policy import TorchPolicy
from rlsched.core.registry import problem


@pytest.fixture
def potential(config):
    return problem("vmr").rules["potential"](config.env)


def test_a_policys_targets_are_its_choices(small, make, potential):
    sim = make(small).sim
    sim.reset(seed=0)
    targets = PolicyTeacher(potential).targets(sim)
    assert (targets.argmax(axis=1) == potential.choose(sim)).all()
    assert (targets.sum(axis=1) == 1).all()
    while not sim.terminated.all():
        sim.step(potential.choose(sim))
    assert not PolicyTeacher(potential).targets(sim).any()


def test_imitation_learns_the_potential_rules_choices(config, make, potential, held_out):
    scene = make(config)
    trainer = replace(config.trainer, warm_start_steps=240)
    phase = ImitationPhase(scene.network, scene.sim, PolicyTeacher(potential), trainer, seed=0)
    before = agreement(scene, potential)
    losses = []
    while not phase.is_done:
        losses.append(phase.iterate()["imitation_loss"])
    after = agreement(scene, potential)
    assert losses[-1] < losses[0] / 3
    assert after > max(0.7, before + 0.4)
    rule, policy = held_out(potential), held_out(TorchPolicy(scene.network))
    assert abs(policy - rule) < 0.1


def agreement(scene, rule) -> float:
    """Return how often, in the rule's episodes, the network likes its choice best or as well.

    Interchangeable VMs have equal logits, so a tie counts as agreement.
    """
    sim, same = scene.sim, []
    sim.reset(seed=99)
    policy = TorchPolicy(scene.network)
    for _ in range(8):
        running, lanes = ~np.array(sim.terminated), np.arange(sim.num_envs)
        scores, choice = policy.scores(sim), rule.choose(sim)
        same += list((scores[lanes, choice] >= scores.max(axis=1) - 1e-4)[running])
        sim.step(choice)
    scene.network.train()
    return float(np.mean(same))


def test_imitation_goes_on_from_its_tensors(small, make, potential):
    scene = make(small)
    phase = ImitationPhase(scene.network, scene.sim, PolicyTeacher(potential), small.trainer, 0)
    phase.iterate()
    resumed = ImitationPhase(scene.network, scene.sim, PolicyTeacher(potential), small.trainer, 0)
    resumed.restore(phase.tensors(), phase.steps)
    assert resumed.steps == phase.steps == 2
    assert (resumed.tensors()["optimizer.0.step"] == 2).all()
