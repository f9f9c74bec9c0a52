"""The Gantt chart of a schedule.

A row is a machine, machine 0 on top; a colour is a job. Work is solid. A job that has finished but
cannot leave is hatched in its lighter colour; a job in a buffer is on no machine and not drawn. A
machine that is down is dark over whatever it holds. Rings of arrows are swaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import MissingExtra
from rlsched.envs.jobshop.chart import (
    Bars,
    bars_of,
    from_floor,
    is_partial,
    is_to_do,
    job_colours,
    known_at,
    span,
    swaps,
    tardiness_of,
)
from rlsched.envs.jobshop.shop import NO_DUE_DATE, Ints, Schedule, Shop

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, TRACK, DOWN, LATE = "#1e293b", "#64748b", "#f1f5f9", "#374151", "#dc2626"
GREY, HATCH, DASHES = "#94a3b8", "#9ca3af", (0, (4, 2))
BAR = 0.8
"""Height of a bar, in rows."""
BAR_TOP = -0.55
"""Upper end of machine 0's row; rows count down the page."""
FLAG_LINE = 0.62
"""Height of one line of due date flags, in rows."""
MAX_FLAG_LINES, MAX_FLAG_LABELS = 5, 40


def gantt(schedule: Schedule, ax: Axes | None = None, *, until: int | None = None) -> Axes:
    """Draw a schedule, or what was known of it at a time.

    Args:
        schedule: the schedule. One with unfinished operations is drawn to its clock, which is
            marked; their bars fade out there.
        ax: axes to draw on; None = a new figure, sized for the shop.
        until: ticks, draw only what had happened by then; the time axis keeps its length, so that
            pictures at several times fit each other.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    plt = pyplot()
    if ax is None:
        size = figure_size(schedule.shop)
        ax = plt.figure(figsize=size, layout="constrained").add_subplot()
    schedule = from_floor(schedule)
    if until is None and is_to_do(schedule).any():
        until = schedule.clock
    shown = schedule if until is None else known_at(schedule, until)
    begin, horizon = span(schedule)
    bars, colours = bars_of(shown), job_colours(schedule.shop.num_jobs)
    _frame(ax, schedule.shop, begin, horizon)
    _due_flags(ax, shown, colours)
    _operations(ax, bars, colours)
    _downtimes(ax, shown)
    _job_labels(ax, shown, bars, colours)
    _overruns(ax, shown, bars)
    _swap_rings(ax, shown)
    if is_partial(shown):
        ax.axvline(shown.clock, color=INK, lw=1.2, ls=DASHES, zorder=7, label="now")
    ax.set_title(_title(shown), loc="left", fontsize=11, color=INK)
    _legend(ax, schedule, shown.clock if is_partial(shown) else None)
    return ax


def _frame(ax: Axes, shop: Shop, begin: int, horizon: int) -> None:
    """Draw the empty rows and the axes."""
    rows = np.arange(shop.num_machines)
    ax.barh(rows, horizon - begin, BAR + 0.08, begin, color=TRACK, zorder=0)
    ax.set_xlim(begin, begin + (horizon - begin) * 1.004)
    ax.set_yticks(rows, [shop.machine_label(int(m)) for m in rows])
    ax.set_ylabel("machine", color=FAINT)
    ax.set_xlabel("time, ticks", color=FAINT, loc="left")
    ax.locator_params(axis="x", integer=True)
    ax.grid(axis="x", color="#cbd5e1", lw=0.5, zorder=1)
    ax.tick_params(colors=FAINT, labelsize=9, length=0)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(GREY)


def _draw(ax: Axes, machine: NDArray, begin: NDArray, until: NDArray, **style: Any) -> None:
    """Draw a bar per row of the arrays."""
    ax.barh(machine, until - begin, left=begin, **{"height": BAR, "lw": 0, **style})


def _operations(ax: Axes, bars: Bars, colours: NDArray) -> None:
    """Draw work and blocking, and let what is still open fade out after the clock."""
    job, machine, start, end, leave, is_open = bars
    full, light = colours[job], 0.28 * colours[job] + 0.72
    edge = np.clip(_points(ax, (end - start).sum() / max(1, len(job))) * 0.05, 0, 0.8)
    _draw(ax, machine, start, end, color=full, ec="white", lw=edge, label="working", zorder=2)
    blocks = leave > end
    _draw(
        ax,
        machine[blocks],
        end[blocks],
        leave[blocks],
        color=light[blocks],
        ec=full[blocks],
        hatch="////",
        label="blocking",
        zorder=2,
    )
    fading = np.where(blocks[:, None], light, full)[is_open]
    step = 4 / _points(ax, 1)
    for k, alpha in enumerate((0.7, 0.45, 0.2)):
        left = leave[is_open] + k * step
        _draw(ax, machine[is_open], left, left + step, color=fading, alpha=alpha, zorder=2)


def _downtimes(ax: Axes, schedule: Schedule) -> None:
    """Draw the times a machine was down, and the maintenance that is planned."""
    height = 0.7 * BAR
    _draw(
        ax,
        *schedule.downs.T,
        height=height,
        color=DOWN,
        ec=HATCH,
        hatch="xxxx",
        label="down",
        zorder=3,
    )
    if is_partial(schedule):
        windows = schedule.shop.windows
        coming = windows[windows[:, 1] >= schedule.clock].T
        _draw(ax, *coming, height=height, fc="none", ec=DOWN, ls=DASHES, lw=1, label="planned")


def _job_labels(ax: Axes, schedule: Schedule, bars: Bars, colours: NDArray) -> None:
    """Write each job's label on the longest stretch of work of its bars, where it fits."""
    names = [schedule.shop.job_label(j) for j in range(schedule.shop.num_jobs)]
    ink = np.where((colours @ [0.2126, 0.7152, 0.0722]) > 0.5, INK, "white")
    for job, machine, start, end in zip(*bars[:4], strict=True):
        low, high = _longest_work(start, end, schedule.downs[schedule.downs[:, 0] == machine])
        size = min(9.0, _points(ax, high - low) * 0.8 / (0.64 * max(1, len(names[job]))))
        if size >= 5:
            ax.text(
                (low + high) / 2,
                machine,
                names[job],
                size=size,
                color=ink[job],
                ha="center",
                va="center_baseline",
                clip_on=True,
                zorder=5,
            )


def _longest_work(start: int, end: int, downs: Ints) -> tuple[int, int]:
    """Return the longest part of [start, end) in which the machine was up."""
    inside = downs[(downs[:, 1] < end) & (downs[:, 2] > start)]
    cuts = [start, *np.sort(inside[:, 1:].reshape(-1)).tolist(), end]
    return max(zip(cuts[::2], cuts[1::2], strict=True), key=lambda part: part[1] - part[0])


def _due_flags(ax: Axes, schedule: Schedule, colours: NDArray) -> None:
    """Plant a flag above the machines at each due date, and a wedge below at each release."""
    shop, late = schedule.shop, tardiness_of(schedule) > 0
    jobs = np.flatnonzero(shop.due < NO_DUE_DATE)
    jobs = jobs[np.argsort(shop.due[jobs], kind="stable")]
    labels = [shop.job_label(j) if len(jobs) <= MAX_FLAG_LABELS else "" for j in jobs.tolist()]
    lines = _lines(shop.due[jobs] * _points(ax, 1), [12 + 5.5 * len(label) for label in labels])
    y = BAR_TOP - FLAG_LINE * np.asarray(lines)
    ax.set_ylim(shop.num_machines - 0.45, BAR_TOP - FLAG_LINE * (1 + max(lines, default=-1)))
    ax.scatter(shop.due[jobs], y, 560, colours[jobs], marker=_flag(), lw=0, label="due", zorder=5)
    for job, height, label in zip(jobs, y, labels, strict=True):
        ax.annotate(
            label,
            (shop.due[job], height),
            (9, 8.5),
            textcoords="offset points",
            size=7,
            color=LATE if late[job] else FAINT,
            va="center_baseline",
        )
    jobs = jobs[shop.release[jobs] > 0]
    edge = np.full(len(jobs), shop.num_machines - 0.45)
    ax.scatter(
        shop.release[jobs],
        edge,
        30,
        colours[jobs],
        marker="^",
        lw=0,
        clip_on=False,
        label="release",
        zorder=5,
    )


def _lines(x: NDArray[np.floating], widths: list[float]) -> list[int]:
    """Return a line for each mark, left to right, so that marks of a line do not touch."""
    ends: list[float] = []
    lines = []
    for left, width in zip(x.tolist(), widths, strict=True):
        free = [k for k, end in enumerate(ends) if end <= left]
        if not free and len(ends) < MAX_FLAG_LINES:
            free = [len(ends)]
            ends.append(0.0)
        lines.append(free[0] if free else int(np.argmin(ends)))
        ends[lines[-1]] = left + width
    return lines


def _flag(foot: float = 0) -> Any:
    """Return a marker, a flag whose pole stands on its point (``foot`` 0)."""
    from matplotlib.path import Path as Outline

    outline = np.array([(0, 0), (0, 1), (0.65, 0.74), (0.1, 0.48), (0.1, 0), (0, 0)])
    return Outline(outline + np.array([0, foot]))


def _overruns(ax: Axes, schedule: Schedule, bars: Bars) -> None:
    """Line in red the top of every bar, from its job's due date on."""
    begin = np.maximum(bars.start, schedule.shop.due[bars.job])
    late = np.flatnonzero(bars.leave > begin)
    top = bars.machine[late] - BAR / 2 + 0.05
    _draw(ax, top, begin[late], bars.leave[late], height=0.14, color=LATE, label="late", zorder=4)


def _swap_rings(ax: Axes, schedule: Schedule) -> None:
    """Draw an arrow for each job of a swap, from the machine it left to the one it went to.

    Arrows down bend to the right, arrows up to the left, so that a swap is a ring.
    """
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Outline
    from matplotlib.patheffects import withStroke

    rings = swaps(schedule)
    # Many rings on one page get thinner and narrower, down to what is still an arrow.
    weight = float(np.clip(20 / max(1, len(rings)), 0.36, 1)) ** 0.5
    bend = 8 * weight / _points(ax, 1)
    style = f"-|>,head_length={3 * weight**0.5:.1f},head_width={1.8 * weight**0.5:.1f}"
    for tick, ring in rings:
        for here, there in zip(ring, ring[1:] + ring[:1], strict=True):
            x = tick + bend * np.sign(there - here)
            arrow = FancyArrowPatch(
                path=Outline([(tick, here), (x, here), (x, there), (tick, there)], [1, 4, 4, 4]),
                arrowstyle=style,
                color=INK,
                lw=1.1 * weight,
                label="swap",
                zorder=6,
            )
            arrow.set_path_effects([withStroke(linewidth=2.8 * weight, foreground="white")])
            ax.add_patch(arrow)


def _title(schedule: Schedule) -> str:
    """Return the name, the makespan or the progress, and how late the jobs are."""
    shop = schedule.shop
    parts = [shop.name] if shop.name else []
    if is_partial(schedule):
        done = shop.num_ops - int((is_to_do(schedule) | (schedule.end > schedule.clock)).sum())
        parts.append(f"tick {schedule.clock}: {done} of {shop.num_ops} operations done")
    else:
        parts.append(f"makespan {schedule.makespan}")
    if (shop.due < NO_DUE_DATE).any():
        tardiness = tardiness_of(schedule)
        late = f"{(tardiness > 0).sum()} of {shop.num_jobs} jobs late"
        parts.append(f"{late}, tardiness {tardiness.sum()}")
    return "  ·  ".join(parts)


def _legend(ax: Axes, schedule: Schedule, now: int | None) -> None:
    """Explain what the whole schedule shows, beside the label of the time axis."""
    shop, bars = schedule.shop, bars_of(schedule)
    has_due = bool((shop.due < NO_DUE_DATE).any())
    is_shown = {
        "now": now is not None,
        "planned": now is not None and (shop.windows[:, 1] >= now).any(),
        "working": True,
        "blocking": (bars.leave > bars.end).any(),
        "down": len(schedule.downs) > 0,
        "swap": len(swaps(schedule)) > 0,
        "due": has_due,
        "late": (tardiness_of(schedule) > 0).any(),
        "release": has_due and (shop.release > 0).any(),
    }
    begin, end = ax.get_xlim()
    columns = int((_points(ax, end - begin) - 70) // 60)
    handles = [handle for name, handle in _handles().items() if is_shown[name]]
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


def _handles() -> dict[str, Any]:
    """Return a sample of each thing a chart shows, for its legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def mark(marker: Any, size: float, color: str = FAINT) -> Any:
        return Line2D([], [], color=color, lw=0, marker=marker, ms=size)

    handles = {
        "now": Line2D([], [], color=INK, lw=1.2, ls=DASHES),
        "planned": Patch(fc="none", ec=DOWN, ls=DASHES),
        "working": Patch(fc=GREY, ec="none"),
        "blocking": Patch(fc="#e2e8f0", ec=GREY, lw=0, hatch="//////"),
        "down": Patch(fc=DOWN, ec=HATCH, lw=0, hatch="xxxxxx"),
        "swap": mark(r"$\circlearrowright$", 9, INK),
        "due": mark(_flag(-0.5), 11),
        "late": Line2D([], [], color=LATE, lw=2.5),
        "release": mark("^", 5),
    }
    for name, handle in handles.items():
        handle.set_label(name)
    return handles


def _points(ax: Axes, ticks: float) -> float:
    """Return how long some ticks are on paper, in points."""
    begin, end = ax.get_xlim()
    return float(ticks) / (end - begin) * ax.get_window_extent().width * 72 / ax.figure.dpi


def figure_size(shop: Shop) -> tuple[float, float]:
    """Return width and height in inches for a shop's own figure."""
    width = float(np.clip(8 + 0.2 * shop.num_jobs, 9, 16))
    row = 0.4 if shop.num_machines <= 20 else 0.28
    flags = 0.8 if (shop.due < NO_DUE_DATE).any() else 0.0
    return width, min(1.4 + flags + row * shop.num_machines, 30)


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
