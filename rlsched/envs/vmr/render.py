"""Pictures of a cluster: free cores of every NUMA node as a heat map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def plot(sim: Any, lane: int = 0, ax: Any = None) -> Any:
    """Draw one lane."""
    import matplotlib.pyplot as plt

    ax = plt.gca() if ax is None else ax
    ax.imshow(np.array(sim.state.free[lane]).reshape(-1, 2).T % 16, aspect="auto")
    return ax


def rgb_array(sim: Any, lane: int = 0) -> NDArray[np.uint8]:
    """Return the picture as an array."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4))
    canvas = FigureCanvasAgg(figure)
    plot(sim, lane, figure.subplots())
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
