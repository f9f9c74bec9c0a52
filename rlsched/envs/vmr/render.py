"""Pictures of a cluster: fragments and whole slots of every NUMA node, before and after.

A cell is a NUMA node; the two nodes of a PM stand one above the other, PMs run from left to right
and wrap. The
colour is the fragment, free cores modulo the grain of the objective; a dot is one whole slot.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import MissingExtra
from rlsched.core.simulator import host

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rlsched.envs.vmr.simulator import VMRSimulator

ASPECT = 1.2
"""Width over height of one panel's grid of nodes."""
GAP = 0.35
"""Height of the gap between rows of PMs, in nodes."""
MAX_DOTS = 600
"""With more PMs than this, dots would hide the colours."""
INK = "#333333"


def plot(sim: VMRSimulator, lane: int = 0, ax: Axes | None = None) -> Axes:
    """Draw a lane's cluster before its first migration and as it is now.

    Args:
        sim: the simulator.
        lane: which lane.
        ax: axes to draw on; None = the current ones.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    if ax is None:
        ax = _pyplot().gca()
    now = sim.cluster(lane)
    before = sim.instances[int(host(sim.state.instance)[lane])]
    grain = int(sim.host_clusters.grain[0])
    moves = int(host(sim.state.moves)[lane])
    ax.set_axis_off()
    parts = ((0.0, before, "before"), (0.5, now, f"after {moves} migration{'s' * (moves != 1)}"))
    for left, cluster, when in parts:
        panel = ax.inset_axes((left, 0.0, 0.46, 0.9))
        free = cluster.free_cores[cluster.pm_active]
        image = _panel(panel, free, grain)
        rate = sim.objective.rate(cluster)
        panel.set_title(f"{when}: {sim.objective.name} = {rate:.3f}", fontsize=10, color=INK)
    bar = ax.inset_axes((0.975, 0.12, 0.012, 0.66))
    colours = ax.figure.colorbar(image, cax=bar)
    colours.set_label(f"fragment, cores (free mod {grain})", fontsize=8, color=INK)
    colours.ax.tick_params(labelsize=8, length=2)
    colours.outline.set_visible(False)  # type: ignore[operator]
    return ax


def _panel(ax: Axes, free: NDArray[np.int32], grain: int) -> Any:
    """Draw the nodes of the active PMs; ``free`` is (P, 2) cores."""
    per_row = max(1, math.ceil(math.sqrt(len(free) * 2 * ASPECT)))
    rows = math.ceil(len(free) / per_row)
    pm = np.arange(len(free))
    x, top = pm % per_row, (pm // per_row) * (2 + GAP)
    corners_x = np.repeat(x, 2)
    corners_y = np.stack([top, top + 1], axis=1).reshape(-1)
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    cells = [
        Rectangle((float(cx), float(cy)), 0.92, 0.92)
        for cx, cy in zip(corners_x, corners_y, strict=True)
    ]
    image = PatchCollection(cells, cmap="YlOrRd", linewidth=0.3, edgecolor="#cccccc")
    image.set_array((free % grain).reshape(-1))
    image.set_clim(0, grain - 1)
    ax.add_collection(image)
    if len(free) <= MAX_DOTS:
        _dots(ax, corners_x, corners_y, (free // grain).reshape(-1))
    ax.set_xlim(-0.2, per_row + 0.2)
    ax.set_ylim(rows * (2 + GAP), -0.2)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return image


def _dots(ax: Axes, x: NDArray, y: NDArray, slots: NDArray) -> None:
    """Draw one dot per whole slot, side by side in its node."""
    size = 200.0 / max(1.0, ax.get_xlim()[1], x.max(initial=0) + 1)
    for node in np.flatnonzero(slots):
        count = int(slots[node])
        across = x[node] + 0.46 + (np.arange(count) - (count - 1) / 2) * 0.3
        ax.scatter(across, np.full(count, y[node] + 0.46), s=size, color=INK, linewidths=0)


def rgb_array(sim: VMRSimulator, lane: int = 0) -> NDArray[np.uint8]:
    """Return the picture of a lane as (H, W, 3) uint8.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    _pyplot()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    plot(sim, lane, figure.subplots())
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingExtra("matplotlib", "report") from None
    return plt
