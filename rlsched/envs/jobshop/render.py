"""Pictures of a schedule: the Gantt chart of the machines, still and moving.

A row is a machine, machine 0 on top; a colour is a job. Work is solid. A job that has finished but
cannot leave is hatched in its lighter colour; a job in a buffer is on no machine and not drawn. A
machine that is down is dark over whatever it holds. Rings of arrows are swaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import MissingExtra
from rlsched.envs.jobshop.shop import NO_DUE_DATE, Ints, Schedule, Shop

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rlsched.envs.jobshop.simulator import JobShopSimulator

INK, FAINT, TRACK, DOWN, LATE = "#1e293b", "#64748b", "#f1f5f9", "#374151", "#dc2626"
GREY, HATCH, DASHES = "#94a3b8", "#9ca3af", (0, (4, 2))
BAR = 0.8
"""Height of a bar, in rows."""
BAR_TOP = -0.55
"""Upper end of machine 0's row; rows count down the page."""
FLAG_LINE = 0.62
"""Height of one line of due date flags, in rows."""
MAX_FLAG_LINES, MAX_FLAG_LABELS = 5, 40
DPI = 100


class Bars(NamedTuple):
    """The operations on the machines, as far as they are known; R rows.

    Attributes:
        job: (R,) int64.
        machine: (R,) int64.
        start: (R,) ticks.
        end: (R,) ticks, end of the work, or of what is known of it.
        leave: (R,) ticks, when the job freed the machine, or the clock.
        is_open: (R,) bool, the job is still there at the clock.
    """

    job: NDArray[np.int64]
    machine: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    leave: NDArray[np.int64]
    is_open: NDArray[np.bool_]


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
    plt = _pyplot()
    if ax is None:
        size = _figure_size(schedule.shop)
        ax = plt.figure(figsize=size, layout="constrained").add_subplot()
    schedule = _from_floor(schedule)
    if until is None and _is_to_do(schedule).any():
        until = schedule.clock
    shown = schedule if until is None else _known_at(schedule, until)
    begin, horizon = _span(schedule)
    bars, colours = _bars(shown), job_colours(schedule.shop.num_jobs)
    _frame(ax, schedule.shop, begin, horizon)
    _due_flags(ax, shown, colours)
    _operations(ax, bars, colours)
    _downtimes(ax, shown)
    _job_labels(ax, shown, bars, colours)
    _overruns(ax, shown, bars)
    _swap_rings(ax, shown)
    if _is_partial(shown):
        ax.axvline(shown.clock, color=INK, lw=1.2, ls=DASHES, zorder=7, label="now")
    ax.set_title(_title(shown), loc="left", fontsize=11, color=INK)
    _legend(ax, schedule, shown.clock if _is_partial(shown) else None)
    return ax


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
    begin, _ = _span(schedule)
    for time in np.linspace(begin, _last_tick(schedule), num + 1)[1:]:
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


def swaps(schedule: Schedule) -> list[tuple[int, tuple[int, ...]]]:
    """Return the exchanges of jobs between machines, by time.

    Returns:
        (tick, machines): at that tick the job on each machine named went to the next one named, and
        the last one's to the first. In a shop where jobs only ever wait off the machines there are
        none: what looks like one is chance.
    """
    schedule = _from_floor(schedule)
    shop, leave = schedule.shop, schedule.leave
    op = np.setdiff1d(np.arange(shop.num_ops), shop.op_begin[1:] - 1)
    op = op[(leave[op] >= 0) & (schedule.start[op + 1] >= 0)]
    if (schedule.start[op + 1] > leave[op]).any() and not (leave > schedule.end).any():
        return []
    moves: dict[int, dict[int, int]] = {}
    for o in op[leave[op] == schedule.start[op + 1]]:
        here, there = schedule.machine[o : o + 2].tolist()
        moves.setdefault(int(leave[o]), {})[here] = there
    return [(tick, ring) for tick in sorted(moves) for ring in _rings(moves[tick])]


def _rings(moves: dict[int, int]) -> list[tuple[int, ...]]:
    """Return the cycles of a map from machine to machine."""
    rings = []
    seen: set[int] = set()
    for first in sorted(moves):
        path, at = [], first
        while at in moves and at not in seen:
            seen.add(at)
            path.append(at)
            at = moves[at]
        if at == first and len(path) > 1:
            rings.append(tuple(path))
    return rings


def job_colours(num_jobs: int) -> NDArray[np.float64]:
    """Return (J, 3) RGB in [0, 1]: neighbours differ in hue and in lightness.

    Source: Oklab (Ottosson 2020, "A perceptual color space for image processing"); hues a golden
    angle apart never repeat.
    """
    job = np.arange(num_jobs)
    hue = np.deg2rad(250 + 137.508 * job)
    lightness = np.array([0.60, 0.76, 0.50, 0.84])[job % 4]
    return _oklch(lightness, np.array([0.13, 0.12, 0.11, 0.10])[job % 4], hue)


def _oklch(lightness: NDArray, chroma: NDArray, hue: NDArray) -> NDArray[np.float64]:
    """Return (N, 3) sRGB of Oklab colours in polar form, clipped to what screens can show."""
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=-1)
    to_lms = np.array([[1, 1, 1], [0.39634, -0.10556, -0.08948], [0.21580, -0.06385, -1.29149]])
    to_rgb = np.array(
        [
            [4.07674, -1.26844, -0.00420],
            [-3.30771, 2.60976, -0.70342],
            [0.23097, -0.34132, 1.70761],
        ]
    )
    linear = np.clip((lab @ to_lms) ** 3 @ to_rgb, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _from_floor(schedule: Schedule) -> Schedule:
    """Return a schedule with what held or stopped the machines when the shop was met."""
    floor = schedule.shop.floor
    if floor is None:
        return schedule
    job = np.flatnonzero((floor.machine >= 0) & (floor.left == 0))
    op = schedule.shop.op_begin[job] + floor.num_done[job] - 1
    machine, start, end = schedule.machine.copy(), schedule.start.copy(), schedule.end.copy()
    machine[op], start[op], end[op] = floor.machine[job], floor.clock, floor.clock
    told = schedule.downs[schedule.downs[:, 1] <= floor.clock, 0]
    down = np.setdiff1d(np.flatnonzero(floor.down_until > floor.clock), told)
    rows = np.stack([down, np.full(len(down), floor.clock), floor.down_until[down]], axis=1)
    downs = np.concatenate([rows.astype(np.int32), schedule.downs])
    return replace(schedule, machine=machine, start=start, end=end, downs=downs)


def _known_at(schedule: Schedule, time: int) -> Schedule:
    """Return what was known of a schedule at a time, its clock at the latest."""
    time = min(time, _last_tick(schedule))

    def so_far(ticks: Ints) -> Ints:
        return np.where(ticks <= time, ticks, -1).astype(np.int32)

    downs = schedule.downs[schedule.downs[:, 1] <= time]
    return replace(
        schedule,
        machine=np.where(schedule.start <= time, schedule.machine, -1).astype(np.int32),
        start=so_far(schedule.start),
        end=so_far(schedule.end),
        leave=so_far(schedule.leave),
        downs=np.minimum(downs, [schedule.shop.num_machines, time, time]).astype(np.int32),
        clock=time,
    )


def _bars(schedule: Schedule) -> Bars:
    op = np.flatnonzero(schedule.start >= 0)
    times = (schedule.start, schedule.end, schedule.leave)
    start, end, leave = (ticks[op].astype(np.int64) for ticks in times)
    now = np.maximum(schedule.clock, start)
    return Bars(
        schedule.shop.op_job[op].astype(np.int64),
        schedule.machine[op].astype(np.int64),
        start,
        np.where(end < 0, now, end),
        np.where(leave < 0, np.maximum(now, end), leave),
        leave < 0,
    )


def _is_partial(schedule: Schedule) -> bool:
    """Whether the clock stands within the schedule: a plan without a clock is whole."""
    return bool(_is_to_do(schedule).any()) or 0 < schedule.clock < schedule.makespan


def _is_to_do(schedule: Schedule) -> NDArray[np.bool_]:
    """Return (O,) bool, the operations that are not finished, and were not from the start."""
    shop = schedule.shop
    to_do = schedule.end < 0
    if shop.floor is not None:
        done = np.arange(shop.num_ops) < (shop.op_begin[:-1] + shop.floor.num_done)[shop.op_job]
        to_do &= ~done
    return to_do


def _last_tick(schedule: Schedule) -> int:
    return max(schedule.makespan, schedule.clock if _is_partial(schedule) else 0)


def _span(schedule: Schedule) -> tuple[int, int]:
    """Return the ends of the time axis.

    An unfinished schedule has room for its longest job, and due dates have room for their flags
    where that does not squeeze the rest.
    """
    shop = schedule.shop
    begin = 0 if shop.floor is None else shop.floor.clock
    end = max(_last_tick(schedule), begin + 1)
    if _is_to_do(schedule).any():
        work = np.add.reduceat(shop.min_time, shop.op_begin[:-1]) + np.maximum(shop.release, begin)
        end = max(round(end * 1.03) + 1, int(work.max()))
    due = int(shop.due[shop.due < NO_DUE_DATE].max(initial=0))
    room = end - begin
    return begin, max(end, min(due + room // 30, begin + round(room * 1.2)))


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
    if _is_partial(schedule):
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
    shop, late = schedule.shop, _tardiness(schedule) > 0
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


def _tardiness(schedule: Schedule) -> NDArray[np.int64]:
    """Return (J,) ticks, by how much each job was late, or already is."""
    completion = schedule.completion.astype(np.int64)
    is_to_do = _is_to_do(schedule)[schedule.shop.op_begin[1:] - 1]
    return np.maximum(np.where(is_to_do, schedule.clock, completion) - schedule.shop.due, 0)


def _title(schedule: Schedule) -> str:
    """Return the name, the makespan or the progress, and how late the jobs are."""
    shop = schedule.shop
    parts = [shop.name] if shop.name else []
    if _is_partial(schedule):
        done = shop.num_ops - int((_is_to_do(schedule) | (schedule.end > schedule.clock)).sum())
        parts.append(f"tick {schedule.clock}: {done} of {shop.num_ops} operations done")
    else:
        parts.append(f"makespan {schedule.makespan}")
    if (shop.due < NO_DUE_DATE).any():
        tardiness = _tardiness(schedule)
        late = f"{(tardiness > 0).sum()} of {shop.num_jobs} jobs late"
        parts.append(f"{late}, tardiness {tardiness.sum()}")
    return "  ·  ".join(parts)


def _legend(ax: Axes, schedule: Schedule, now: int | None) -> None:
    """Explain what the whole schedule shows, beside the label of the time axis."""
    shop, bars = schedule.shop, _bars(schedule)
    has_due = bool((shop.due < NO_DUE_DATE).any())
    is_shown = {
        "now": now is not None,
        "planned": now is not None and (shop.windows[:, 1] >= now).any(),
        "working": True,
        "blocking": (bars.leave > bars.end).any(),
        "down": len(schedule.downs) > 0,
        "swap": len(swaps(schedule)) > 0,
        "due": has_due,
        "late": (_tardiness(schedule) > 0).any(),
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


def _figure_size(shop: Shop) -> tuple[float, float]:
    """Return width and height in inches for a shop's own figure."""
    width = float(np.clip(8 + 0.2 * shop.num_jobs, 9, 16))
    row = 0.4 if shop.num_machines <= 20 else 0.28
    flags = 0.8 if (shop.due < NO_DUE_DATE).any() else 0.0
    return width, min(1.4 + flags + row * shop.num_machines, 30)


def _picture(schedule: Schedule, until: int | None = None) -> NDArray[np.uint8]:
    _pyplot()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_figure_size(schedule.shop), layout="constrained", dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    gantt(schedule, figure.subplots(), until=until)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingExtra("matplotlib", "report") from None
    return plt
