"""The Gantt chart of a lane.

A row is a place of a PE, the first PE on top; a colour is a job. Thin lines are data on their way,
from the end of a task to the beginning of the one on another PE that needs them. What has not ended
is lighter: it runs, or is placed and has not begun (outlined). Long streams show their last part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import MissingExtra
from rlsched.core.simulator import host
from rlsched.envs.soc.chart import Bars, bars_of, transfers
from rlsched.envs.soc.state import BOUND, DONE, RUNNING
from rlsched.envs.soc.workload import Workload

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rlsched.envs.soc.simulator import SocSimulator

INK, FAINT, GREY, TRACKS = "#1e293b", "#64748b", "#94a3b8", ("#f1f5f9", "#e2e8f0")
DASHES = (0, (4, 2))
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7F7F7F")
"""Told apart by the colour-blind. Source: Okabe & Ito (2008), black replaced by grey."""
BAR = 0.84
"""Height of a bar, in rows."""
MOST_BARS = 120
"""Of a stream that are shown, the last ones."""
MOST_IN_LEGEND = 10
LEAST_TEXT, LEAST_LONG_TEXT, MOST_TEXT = 5.0, 7.5, 9.0
"""Points of a label."""


def gantt(sim: SocSimulator, lane: int = 0, ax: Axes | None = None) -> Axes:
    """Draw what has happened in a lane, and what is known to come.

    Args:
        sim: the simulator.
        lane: which lane.
        ax: axes to draw on; None = a new figure, sized for the SoC.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    plt = pyplot()
    workload = sim.workload_of(lane)
    if ax is None:
        size = figure_size(workload)
        ax = plt.figure(figsize=size, layout="constrained").add_subplot()
    bars = bars_of(sim, lane)
    begin, end = _window(sim, bars)
    first_row = np.cumsum([0, *(pe.capacity for pe in workload.soc.pes)])
    row = first_row[bars.pe] + bars.place
    _frame(ax, workload, begin, end)
    _tasks(ax, bars, row)
    _transfers(ax, bars, row, transfers(sim, lane, bars))
    _labels(ax, bars, row, workload)
    if not host(sim.terminated)[lane] and sim.mode != "static":
        ax.axvline(int(host(sim.state.clock)[lane]), color=INK, lw=1.2, ls=DASHES, label="now")
    ax.set_title(_title(sim, lane), loc="left", fontsize=11, color=INK)
    _legend(ax, bars, workload)
    return ax


def _window(sim: SocSimulator, bars: Bars) -> tuple[int, int]:
    """Return the ends of the time axis: all of a plan, the last part of a stream."""
    end = int(bars.end.max(initial=1))
    if sim.mode == "static" or not len(bars.begin):
        return 0, end
    return int(bars.begin[-MOST_BARS:].min()), end


def _frame(ax: Axes, workload: Workload, begin: int, end: int) -> None:
    """Draw the empty rows and the axes; PEs are told apart by two greys."""
    capacity = np.array([pe.capacity for pe in workload.soc.pes])
    first = np.cumsum([0, *capacity[:-1]])
    shade = [TRACKS[p % 2] for p in np.repeat(np.arange(len(capacity)), capacity)]
    ax.barh(np.arange(capacity.sum()), end - begin, 1.0, begin, color=shade, zorder=0)
    ax.set_xlim(begin, begin + (end - begin) * 1.004)
    ax.set_ylim(capacity.sum() - 0.45, -0.55)
    ax.set_yticks(first + (capacity - 1) / 2, [pe.name for pe in workload.soc.pes])
    ax.set_ylabel("processing element", color=FAINT)
    ax.set_xlabel("time, ticks", color=FAINT, loc="left")
    ax.locator_params(axis="x", integer=True)
    ax.grid(axis="x", color="#cbd5e1", lw=0.5, zorder=1)
    ax.tick_params(colors=FAINT, labelsize=9, length=0)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(GREY)


def _colours(job: NDArray) -> NDArray[np.float64]:
    """Return (R, 3) RGB in [0, 1] of jobs by their numbers."""
    known = [[int(code[k : k + 2], 16) / 255 for k in (1, 3, 5)] for code in PALETTE]
    return np.array(known)[job % len(PALETTE)]


def _tasks(ax: Axes, bars: Bars, row: NDArray) -> None:
    """Draw the tasks: what has ended is solid, what has not is lighter."""
    full = _colours(bars.job)
    is_done, is_bound = (bars.status == status for status in (DONE, BOUND))
    white = (is_done & (bars.end > bars.begin)) * 1.0  # an edge apart from others, or all there is
    edge = full + white[:, None] * (1 - full)
    tint = np.select([is_done, is_bound], [1.0, 0.1], 0.35)[:, None]
    face = tint * full + 1 - tint
    for status, label in ((DONE, "done"), (RUNNING, "running"), (BOUND, "placed")):
        k = bars.status == status
        style: Any = {"lw": 0.7, "ls": DASHES if status == BOUND else "-", "label": label}
        ticks = bars.end[k] - bars.begin[k]
        ax.barh(row[k], ticks, BAR, bars.begin[k], color=face[k], ec=edge[k], zorder=2, **style)


def _transfers(ax: Axes, bars: Bars, row: NDArray, sent: list[tuple[int, int, float]]) -> None:
    """Draw a line for all data that pass from one PE to another."""
    from matplotlib.collections import LineCollection

    lines = [[(bars.end[a], row[a]), (bars.begin[b], row[b])] for a, b, _ in sent]
    weight = float(np.clip((40 / max(1, len(lines))) ** 0.5, 0.5, 1))
    halo = LineCollection(lines, colors="white", lw=2 * weight, alpha=0.5, zorder=3)
    thread = LineCollection(lines, colors=INK, lw=0.8 * weight, alpha=0.4 + 0.4 * weight, zorder=4)
    thread.set_label("communication")
    ax.add_collection(halo, autolim=False)
    ax.add_collection(thread, autolim=False)


def _labels(ax: Axes, bars: Bars, row: NDArray, workload: Workload) -> None:
    """Write the number of the task on each bar, with its type where there is room."""
    low, high = ax.get_xlim()
    grey = _colours(bars.job) @ [0.2126, 0.7152, 0.0722]
    ink = np.where((bars.status != DONE) | (grey > 0.5), INK, "white")
    for r, (kind, task) in enumerate(zip(bars.kind, bars.task, strict=True)):
        begin, end = max(low, int(bars.begin[r])), min(high, int(bars.end[r]))
        room = _points(ax, end - begin) * 0.9
        for text, least in (
            (f"{task} {workload.jobs[kind].tasks[task]}", LEAST_LONG_TEXT),
            (f"{task}", LEAST_TEXT),
        ):
            size = min(MOST_TEXT, room / (0.62 * len(text)))
            if size >= least:
                style = {"size": size, "color": ink[r], "ha": "center", "va": "center_baseline"}
                ax.text((begin + end) / 2, row[r], text, clip_on=True, zorder=5, **style)
                break


def _title(sim: SocSimulator, lane: int) -> str:
    """Return the name, and the metric or how far the lane is."""
    figures = {key: values[lane] for key, values in sim.metrics().items()}
    name = sim.workload_of(lane).name
    if sim.mode == "static":
        return f"{name}  ·  makespan {figures['makespan']}"
    clock, count = int(host(sim.state.clock)[lane]), int(figures["num_jobs"])
    if not count:
        return f"{name}  ·  tick {clock}, no job done yet"
    done = f"{count} jobs done" if count > 1 else "1 job done"
    return (
        f"{name}  ·  tick {clock}, {done}  ·  mean latency {figures['latency']:.1f}  ·  "
        f"{figures['throughput']:.1f} jobs per 1,000 ticks"
    )


def _legend(ax: Axes, bars: Bars, workload: Workload) -> None:
    """Explain colours and lines, below the chart."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown = bars.end > ax.get_xlim()[0]
    jobs = sorted(set(zip(bars.job[shown].tolist(), bars.kind[shown].tolist(), strict=True)))
    handles: list[Any] = [
        Patch(fc=PALETTE[job % len(PALETTE)], label=f"job {job} {workload.jobs[kind].name}")
        for job, kind in jobs[-MOST_IN_LEGEND:]
    ]
    if len(jobs) > MOST_IN_LEGEND:
        handles.insert(0, Line2D([], [], lw=0, label=f"{len(jobs) - MOST_IN_LEGEND} earlier"))
    marks = {
        "running": Patch(fc="#cbd5e1", ec=GREY),
        "placed": Patch(fc="white", ec=GREY, ls=DASHES),
        "communication": Line2D([], [], color=INK, lw=0.8),
        "now": Line2D([], [], color=INK, lw=1.2, ls=DASHES),
    }
    is_shown = {
        "running": (bars.status == RUNNING).any(),
        "placed": (bars.status == BOUND).any(),
        "communication": True,
        "now": any(line.get_label() == "now" for line in ax.lines),
    }
    for label, mark in marks.items():
        mark.set_label(label)
        handles += [mark] if is_shown[label] else []
    longest = max(len(handle.get_label()) for handle in handles)
    begin, end = ax.get_xlim()
    columns = int((_points(ax, end - begin) - 90) // (34 + 5.2 * longest))
    ax.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(1, 0),
        borderaxespad=1.9,
        ncols=int(np.clip(columns, 1, len(handles))),
        frameon=False,
        fontsize=9,
        labelcolor=FAINT,
        handlelength=1.6,
        columnspacing=1.4,
    )


def _points(ax: Axes, ticks: float) -> float:
    """Return how long some ticks are on paper, in points."""
    begin, end = ax.get_xlim()
    return float(ticks) / (end - begin) * ax.get_window_extent().width * 72 / ax.figure.dpi


def figure_size(workload: Workload) -> tuple[float, float]:
    """Return width and height in inches for a SoC's own figure."""
    rows = sum(pe.capacity for pe in workload.soc.pes)
    return 14.0, min(1.6 + (0.42 if rows <= 12 else 0.28) * rows, 30)


def pyplot() -> Any:
    """Return matplotlib's pyplot.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingExtra("matplotlib", "report") from None
    return plt
