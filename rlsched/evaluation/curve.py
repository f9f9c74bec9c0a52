"""Training curves: the figures of one or several runs, one after another, as table and picture."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlsched.agents.progress import METRICS, RETURN, RULE, VALIDATION
from rlsched.core.errors import ConfigError
from rlsched.evaluation.plots import BASELINE, STYLE, WIDTH, pretty, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE, PICTURE = "curve.csv", "curve.png"
KEYS = ("run", "phase", "steps")
FIGURES = ("imitation_loss", RETURN)
STEPS = {"imitation": "gradient steps of imitation"}
"""What a phase counts, where that is not choices."""
HEIGHT, DPI = 3.4, 110
MAX_BYTES = 512 * 2**20
MAX_TICKS = 4


class Point(NamedTuple):
    """What a run logged at one time.

    Attributes:
        run: number of the run, from 1.
        phase: of training, e.g. imitation, ppo.
        steps: of the phase so far.
        figures: by name; those of ``FIGURES``, and the validation's and best rule's metric.
    """

    run: int
    phase: str
    steps: int
    figures: dict[str, float]


def save_curve(runs: Sequence[str | Path], folder: str | Path) -> None:
    """Write ``curve.csv`` and ``curve.png`` of runs that went on from one another.

    Args:
        runs: folders of runs, or curves written before, in their order.
        folder: where to write; made where it is missing.

    Raises:
        ConfigError: a run has no figures, or they cannot be read.
        MissingExtra: matplotlib is not installed.
    """
    require_matplotlib()
    points = read_runs(runs)
    figure, folder = curve_plot(points), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(points, folder / CURVE)
    figure.savefig(folder / PICTURE, dpi=DPI, metadata={"Software": None})


# --- reading and writing --------------------------------------------------------------------------


def read_runs(runs: Sequence[str | Path]) -> list[Point]:
    """Return the points of runs, in their order.

    Raises:
        ConfigError: see :func:`save_curve`.
    """
    points: list[Point] = []
    for path in map(Path, runs):
        file = path / METRICS if path.is_dir() else path
        if not file.is_file():
            raise ConfigError(f"runs: '{file}': there is no such file; give folders of runs.")
        if file.stat().st_size > MAX_BYTES:
            raise ConfigError(
                f"runs: '{file}': larger than {MAX_BYTES >> 20} MiB; give the curve.csv of a part."
            )
        last = points[-1].run if points else 0
        read = _from_csv(file) if file.suffix == ".csv" else _from_log(file)
        points += [p._replace(run=p.run + last) for p in read]
    if not any(name.startswith(VALIDATION) for p in points for name in p.figures):
        raise ConfigError(f"runs: {', '.join(map(str, runs))}: no validation has been logged yet.")
    return points


def write_csv(points: Sequence[Point], path: Path) -> None:
    """Write points as a table, a column per figure."""
    names = dict.fromkeys(name for p in points for name in p.figures)
    order = sorted(names, key=lambda n: (n.startswith(RULE), n.startswith(VALIDATION), n))
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        rows = csv.DictWriter(file, (*KEYS, *order), lineterminator="\n")
        rows.writeheader()
        for run, phase, steps, figures in points:
            shown = {name: f"{value:.7g}" for name, value in figures.items()}
            rows.writerow({"run": run, "phase": phase, "steps": steps, **shown})
    partial.replace(path)


def _from_log(file: Path) -> list[Point]:
    """Return the points of one run; what was logged again after it was resumed counts once."""
    points: list[Point] = []
    lines = file.read_text("utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            if number == len(lines):  # cut off as it was written
                break
            raise ConfigError(
                f"runs: '{file}', line {number}: not JSON; mend the line or take it out."
            ) from None
        point = _point(record, f"'{file}', line {number}")
        while points and points[-1].phase == point.phase and points[-1].steps > point.steps:
            points.pop()
        points += [point] if point.figures else []
    return points


def _from_csv(file: Path) -> list[Point]:
    with file.open(newline="", encoding="utf-8", errors="replace") as text:
        rows = list(csv.DictReader(text))
    return [_point(row, f"'{file}', row {n}") for n, row in enumerate(rows, start=1)]


def _point(record: Mapping[str, Any], where: str) -> Point:
    """Return a record of a log or of a table."""
    try:
        figures = {
            name: float(value)
            for name, value in record.items()
            if name in FIGURES or name.startswith((VALIDATION, RULE))
            if value not in ("", None)
        }
        run, steps = int(record.get("run") or 1), int(record["steps"])
        point = Point(run, str(record["phase"]), steps, figures)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise ConfigError(f"runs: {where}: needs phase, steps and figures as numbers.") from None
    if run < 1 or steps < 0 or not all(map(math.isfinite, figures.values())):
        raise ConfigError(f"runs: {where}: figures must be finite, steps >= 0, runs >= 1.")
    return point


# --- the picture ----------------------------------------------------------------------------------


def curve_plot(points: Sequence[Point]) -> Figure:
    """Draw the validation's metric against the best rule's, a panel per phase, a line per run.

    What a run starts from may be far off, so each panel has a scale of its own.
    """
    import matplotlib
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    metrics = (n for p in points for n in p.figures if n.startswith(VALIDATION))
    metric = next(metrics).removeprefix(VALIDATION)
    score, rule = VALIDATION + metric, RULE + metric
    seen = [p for p in points if score in p.figures]
    is_relative = all(p.figures.get(rule) for p in seen)
    phases = list(dict.fromkeys(p.phase for p in seen))
    runs = list(dict.fromkeys(p.run for p in seen))
    colors = colormaps["viridis"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        widths = [1 if phase in STEPS else 2 for phase in phases]
        axes = figure.subplots(1, len(phases), squeeze=False, width_ratios=widths)[0]
        for ax, phase in zip(axes, phases, strict=True):
            begin = 0
            for run in runs:
                own = [p for p in points if (p.phase, p.run) == (phase, run)]
                shown = [p for p in own if score in p.figures]
                x, y = [begin + p.steps for p in shown], [p.figures[score] for p in shown]
                if is_relative:
                    y = [100 * (p.figures[score] / p.figures[rule] - 1) for p in shown]
                color = colors(0.15 + 0.7 * runs.index(run) / max(1, len(runs) - 1))
                if shown:
                    ax.plot(x, y, "o-", ms=3, lw=1.5, color=color, label=f"run {run}")
                begin += max((p.steps for p in own), default=0)
            ax.set_xlabel(STEPS.get(phase, f"choices learned from by {phase.upper()}"))
            ax.xaxis.set_major_formatter(EngFormatter(sep=" "))
            ax.xaxis.set_major_locator(MaxNLocator(MAX_TICKS * (1 if phase in STEPS else 2)))
            if is_relative:
                ax.axhline(0, color=BASELINE, lw=1, ls="--")
        side = ",\n% above the best rule" if is_relative else ""
        axes[0].set_ylabel(f"validation {pretty(metric)}{side}")
        if len(runs) > 1:
            axes[-1].legend(frameon=False, title="each on instances of its own", title_fontsize=8)
    return figure
