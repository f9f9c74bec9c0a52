"""The figures of reports and result pages: each takes a table and returns a Matplotlib figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlsched.core.errors import MissingExtra
from rlsched.evaluation.table import BOUND, HERE, Row, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEST, BASELINE, OTHER, INK = "#0f766e", "#b45309", "#64748b", "#1e293b"
WIDTH = 9.0
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": "#94a3b8",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e8f0",
    "text.color": INK,
    "xtick.color": "#475569",
    "ytick.color": INK,
    "svg.hashsalt": "rlsched",
}


def require_matplotlib() -> None:
    """Check that figures can be drawn.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtra("matplotlib", "report") from None


def interval_plot(table: Table) -> Figure:
    """Draw every policy's scores, mean and 95 % interval, best first."""
    figure, ax = _axes(len(table.rows))
    for y, (row, values) in enumerate(zip(table.rows, table.values, strict=True)):
        color = _color(table, row)
        ax.plot(values, _spread(len(values), y), "o", ms=3, color=color, alpha=0.25, mew=0)
        ax.plot(row.ci95, [y, y], color=color, lw=2.5, solid_capstyle="butt")
        ax.plot([row.mean], [y], "o", ms=7, color=color, mec="white")
        ax.annotate(
            table.number(row.mean),
            (row.mean, y),
            (0, 7),
            textcoords="offset points",
            ha="center",
            size=8,
        )
    if table.reference != HERE:
        label = " proven bound" if table.reference == BOUND else f" {table.reference}"
        ax.axvline(table.reference_mean, color=INK, lw=1, ls="--")
        ax.annotate(label, (table.reference_mean, -0.75), size=8, va="center")
    _name_rows(ax, table.rows)
    ax.set_xlabel(_metric_label(table))
    return figure


def paired_plot(table: Table) -> Figure:
    """Draw every policy's difference to the best rule, instance by instance.

    Raises:
        ValueError: the table has no baseline.
    """
    if table.baseline is None:
        raise ValueError("no rule takes part, so there is nothing to pair with.")
    names = [row.policy for row in table.rows]
    against = table.values[names.index(table.baseline)]
    rows = [row for row in table.rows if row.policy != table.baseline]
    figure, ax = _axes(len(rows))
    for y, row in enumerate(rows):
        color = _color(table, row)
        diff = table.values[names.index(row.policy)] - against
        ax.plot(diff, _spread(len(diff), y), "o", ms=4, color=color, alpha=0.4, mew=0)
        if row.diff_ci95 is not None and row.diff is not None:
            ax.plot(row.diff_ci95, [y, y], color=color, lw=2.5, solid_capstyle="butt")
            ax.plot([row.diff], [y], "o", ms=7, color=color, mec="white")
            better = int((diff * (1 if table.lower_is_better else -1) < -1e-9).sum())
            worse = len(diff) - better - int((np.abs(diff) <= 1e-9).sum())
            note = f"better {better}, worse {worse}"
            ax.text(1.01, y, note, transform=ax.get_yaxis_transform(), size=8, va="center")
    ax.axvline(0, color=BASELINE, lw=1.5)
    _name_rows(ax, rows)
    side = "left" if table.lower_is_better else "right"
    ax.set_xlabel(f"{pretty(table.metric)} minus that of {table.baseline} ({side} is better)")
    return figure


def time_plot(table: Table) -> Figure:
    """Draw quality against time, with the front of policies that no other beats in both."""
    figure, ax = _axes(8)
    sign = 1 if table.lower_is_better else -1
    front, best = [], np.inf
    for row in sorted(table.rows, key=lambda r: (r.seconds, sign * r.mean)):
        if sign * row.mean < best:
            best = sign * row.mean
            front.append(row)
    ax.step(
        [r.seconds for r in front],
        [r.mean for r in front],
        where="post",
        color=BEST,
        lw=1.2,
        alpha=0.6,
    )
    for row in table.rows:
        color = _color(table, row)
        ax.errorbar(
            row.seconds,
            row.mean,
            yerr=[[row.mean - row.ci95[0]], [row.ci95[1] - row.mean]],
            fmt="o",
            ms=7 if row in front else 5,
            color=color,
            mec="white",
            elinewidth=1,
        )
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    ax.margins(x=0.12, y=0.08)
    _label_points(ax, table)
    ax.set_xlabel("seconds per instance (log scale)")
    ax.set_ylabel(_metric_label(table))
    return figure


def svg(figure: Figure) -> str:
    """Return a figure as an ``<svg>`` element."""
    import io

    import matplotlib

    with matplotlib.rc_context(STYLE):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _axes(num_rows: int) -> tuple[Figure, Axes]:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        height = 0.9 + 0.42 * max(3, num_rows)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        ax = figure.subplots()
    return figure, ax


def _label_points(ax: Axes, table: Table) -> None:
    """Write the names beside the points, moved up or down where they would cover one another."""
    ax.figure.canvas.draw()
    taken: list[tuple[float, float]] = []
    for row in table.rows:
        x, y = ax.transData.transform((row.seconds, row.mean))
        shift = 0.0
        while any(abs(x - u) < 110 and abs(y + shift - v) < 13 for u, v in taken):
            shift = -shift if shift > 0 else 13 - shift
        taken.append((x, y + shift))
        ax.annotate(
            row.policy,
            (row.seconds, row.mean),
            (7, 4 + shift * 0.72),
            textcoords="offset points",
            size=8,
        )


def _name_rows(ax: Axes, rows: tuple[Row, ...] | list[Row]) -> None:
    ax.set_yticks(range(len(rows)), [row.policy for row in rows])
    ax.set_ylim(len(rows) - 0.4, -1.0)
    ax.grid(axis="y", visible=False)


def _spread(num: int, y: float) -> np.ndarray:
    """Return heights around a row, evenly spread so that points do not hide one another."""
    return y + 0.28 * (((np.arange(num) * 0.618034) % 1) - 0.5)


def _color(table: Table, row: Row) -> str:
    if row.policy == table.baseline:
        return BASELINE
    return BEST if row is table.rows[0] else OTHER


def pretty(metric: str) -> str:
    """Return a metric as axes name it."""
    return metric.replace("_", " ")


def _metric_label(table: Table) -> str:
    return f"{pretty(table.metric)} ({'lower' if table.lower_is_better else 'higher'} is better)"
