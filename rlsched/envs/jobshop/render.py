"""Pictures of a lane and its schedule, still and moving."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rlsched.envs.jobshop.chart import last_tick, span
from rlsched.envs.jobshop.gantt import figure_size, gantt, pyplot
from rlsched.envs.jobshop.shop import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rlsched.envs.jobshop.simulator import JobShopSimulator

DPI = 100


def plot(sim: JobShopSimulator, lane: int = 0, ax: Axes | None = None) -> Axes:
    """Draw what has happened in a lane so far.

    Args:
        sim: the simulator.
        lane: which lane.
        ax: axes to draw on; None = a new figure, sized for the shop.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    return gantt(sim.schedule(lane), ax)


def rgb_array(sim: JobShopSimulator, lane: int = 0) -> NDArray[np.uint8]:
    """Return the picture of a lane as (H, W, 3) uint8.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    return _picture(sim.schedule(lane))


def frames(schedule: Schedule, num: int = 40) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures of a schedule as it grows, (H, W, 3) uint8, the last one whole.

    Args:
        schedule: the schedule.
        num: how many pictures, evenly spaced in time.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    begin, _ = span(schedule)
    for time in np.linspace(begin, last_tick(schedule), num + 1)[1:]:
        yield _picture(schedule, round(time))


def write_animation(schedule: Schedule, path: str | Path, fps: float = 8) -> None:
    """Write a GIF of a schedule as it grows; the whole schedule stays for two seconds.

    Args:
        schedule: the schedule.
        path: a file that ends in ``.gif``.
        fps: pictures per second.

    Raises:
        MissingExtra: matplotlib is not installed.
        ValueError: the path has another ending.
    """
    if Path(path).suffix.lower() != ".gif":
        raise ValueError(f"{path}: animations are written as .gif files.")
    pictures = list(frames(schedule))
    from PIL import Image  # comes with matplotlib

    # All as one sheet, so that they share a palette: what stays the same is stored once.
    sheet = Image.fromarray(np.concatenate(pictures)).quantize(256)
    height, width = pictures[0].shape[:2]
    tops = range(0, sheet.height, height)
    first, *rest = (sheet.crop((0, top, width, top + height)) for top in tops)
    duration_ms = [round(1000 / fps)] * len(rest) + [2000]
    first.save(path, "GIF", save_all=True, append_images=rest, duration=duration_ms, loop=0)


def _picture(schedule: Schedule, until: int | None = None) -> NDArray[np.uint8]:
    pyplot()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=figure_size(schedule.shop), layout="constrained", dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    gantt(schedule, figure.subplots(), until=until)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
