"""Facts about the picture of a cluster."""

from __future__ import annotations

import numpy as np
import pytest

from rlsched.envs.vmr.instances import generate_cluster, generator_config
from rlsched.envs.vmr.potential import Potential
from rlsched.envs.vmr.render import plot, rgb_array
from rlsched.envs.vmr.simulator import VMRSimulator

pytest.importorskip("matplotlib")


@pytest.fixture
def sim() -> VMRSimulator:
    out = VMRSimulator([generate_cluster(generator_config("small"), 1)], 2, migration_limit=5)
    out.reset(instances=[0, 0])
    return out


def test_a_picture_is_an_rgb_array_that_changes_with_the_cluster(sim):
    before = rgb_array(sim, 0)
    assert (before.dtype, before.ndim, before.shape[2]) == (np.uint8, 3, 3)
    np.testing.assert_array_equal(before, sim.render(1))
    Potential().play(sim)
    assert (rgb_array(sim, 0) != before).any()


def test_plot_draws_on_the_axes_it_is_given_and_returns_them(sim):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    empty = len(ax.get_children())
    assert plot(sim, 1, ax) is ax
    assert len(ax.get_children()) > empty
