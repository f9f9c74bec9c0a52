"""A tiny comparison: VM rescheduling on eight PMs, with policies that need no training."""

from dataclasses import replace

import numpy as np
import pytest

from rlsched.core.policy import Policy
from rlsched.core.registry import problem


class Stop(Policy):
    """Stops at once."""

    name = "stop"

    def choose(self, sim):
        return np.full(sim.num_envs, sim.num_choices - 1, np.int32)


class FirstLegal(Policy):
    """Takes the first legal choice."""

    name = "first"
    calls = 0

    def choose(self, sim):
        FirstLegal.calls += 1
        return np.asarray(sim.action_mask).argmax(axis=1).astype(np.int32)

    def bound(self):
        return 0.0


@pytest.fixture
def first_legal():
    """The class of the policy ``first``, which counts its calls."""
    return FirstLegal


@pytest.fixture
def vmr():
    """The environment, with the two policies above among its rules."""
    found = problem("vmr")
    extra = {"stop": lambda config: Stop(), "first": lambda config: FirstLegal()}
    FirstLegal.calls = 0
    return replace(found, rules={"random": found.rules["random"], **extra})


@pytest.fixture
def env(vmr):
    """Options of a small cluster with three moves."""
    return vmr.config(num_pms=8, migration_limit=3)
