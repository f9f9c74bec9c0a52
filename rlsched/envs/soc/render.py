"""Pictures of a lane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rlsched.envs.soc.gantt import figure_size, gantt, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rlsched.envs.soc.simulator import SocSimulator

DPI = 100


def plot(sim: SocSimulator, lane: int = 0, ax: Axes | None = None) -> Axes:
    """Draw what has happened in a lane, and what is known to come.

    Args:
        sim: the simulator.
        lane: which lane.
        ax: axes to draw on; None = a new figure, sized for the SoC.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    return gantt(sim, lane, ax)


def rgb_array(sim: SocSimulator, lane: int = 0) -> NDArray[np.uint8]:
    """Return the picture of a lane as (H, W, 3) uint8.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    pyplot()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=figure_size(sim.workload_of(lane)), layout="constrained", dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    gantt(sim, lane, figure.subplots())
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
