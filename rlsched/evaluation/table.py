"""From scores to the table: means with intervals, gaps, paired tests, wins, latency."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable

from rlsched.evaluation.runner import Score
from rlsched.evaluation.statistics import mean_ci, wilcoxon_p

TIE = 1e-9
"""Scores closer than this tie for a win."""
BOUND, HERE, LITERATURE = "bound", "best known", "best known, literature"
"""What gaps are relative to; to the literature they are averaged over instances, as there."""
DIGITS = 5
"""Of scores as text."""
Reference = tuple[float | None, float | None]
"""(proven lower bound, best known value) of an instance in the literature, None = there is none."""


@dataclass(frozen=True)
class Row:
    """One policy over all instances.

    Attributes:
        policy: its name.
        mean: of the metric.
        ci95: Student t interval of the mean.
        gap_pct: how much worse the mean is than the mean reference, in percent of it; to the
            literature instead the mean of the instances' own gaps, as is the custom there. None
            where a reference is 0.
        bound_mean: mean of the bounds that this policy proved on every instance, else None.
        paired_p: Wilcoxon signed-rank p against the best rule, two-sided and not adjusted; None
            for itself.
        decision_ms: mean milliseconds per choice.
        seconds: mean seconds per instance.
        wins: instances on which no other policy is better.
        diff: mean paired difference to the best rule; None for itself.
        diff_ci95: its Student t interval.
        beside: mean of the metric's companion, None where it has none.
    """

    policy: str
    mean: float
    ci95: tuple[float, float]
    gap_pct: float | None
    bound_mean: float | None
    paired_p: float | None
    decision_ms: float
    seconds: float
    wins: int
    diff: float | None
    diff_ci95: tuple[float, float] | None
    beside: float | None = None


@dataclass(frozen=True)
class Table:
    """A comparison; :meth:`to_json` is results.json.

    Attributes:
        env: name of the environment.
        metric: its score.
        lower_is_better: direction of the score.
        instances: names of those that every policy finished.
        rows: best first.
        baseline: the best rule, which the paired columns compare with; None where no rule takes
            part.
        reference: what gaps are relative to: ``best known, literature`` where every instance has
            one, else ``bound`` where every instance has a proven one, else ``best known`` here.
        reference_mean: its mean.
        start_mean: mean of the metric before any choice, None where that is no result.
        literature: what the literature knows of each instance, empty where the environment knows no
            literature.
        values: (policies, instances) the scores, rows as in ``rows``.
        companion: name of the figure shown beside the score, None where there is none.
    """

    env: str
    metric: str
    lower_is_better: bool
    instances: tuple[str, ...]
    rows: tuple[Row, ...]
    baseline: str | None
    reference: str
    reference_mean: float
    start_mean: float | None
    literature: tuple[Reference, ...]
    values: NDArray[np.float64]
    companion: str | None = None

    def number(self, score: float, sign: str = "") -> str:
        """Return a score as text: 4 decimals below 10, fewer where this table's scores are larger.

        Args:
            score: a value of the metric, or a difference.
            sign: ``+`` shows the sign of positive ones too.
        """
        scale = max(1.0, *(abs(row.mean) for row in self.rows))
        decimals = int(np.clip(DIGITS - 1 - np.floor(np.log10(scale)), 0, DIGITS - 1))
        return f"{score:{sign}.{decimals}f}"

    def to_json(self) -> str:
        """Return results.json."""
        data = {k: v for k, v in asdict(self).items() if k != "values"}
        return json.dumps(data, indent=1)

    def write(self, path: Path) -> None:
        """Write results.json."""
        path.write_text(self.to_json() + "\n")


def build_table(
    scores: Sequence[Score],
    env: str,
    metric: str,
    lower_is_better: bool,
    rules: Collection[str],
    literature: Mapping[str, Reference] | None = None,
    companion: str | None = None,
) -> Table:
    """Return the comparison over the instances that every policy finished.

    Args:
        scores: of all policies; those of unfinished instances are left out.
        env: name of the environment.
        metric: its score.
        lower_is_better: direction of the score.
        rules: policies that count as rules, of which the best is the baseline.
        literature: instance -> what the literature knows of it.
        companion: name of the figure shown beside the score.

    Raises:
        ValueError: no instance was finished by every policy.
    """
    policies = list(dict.fromkeys(s.policy for s in scores))
    found = {(s.policy, s.instance): s for s in scores}
    names = [
        n
        for n in dict.fromkeys(s.instance for s in scores)
        if all((p, n) in found for p in policies)
    ]
    if not names:
        raise ValueError("no instance was finished by every policy.")
    grid = [[found[p, n] for n in names] for p in policies]
    sign = 1.0 if lower_is_better else -1.0
    values = np.array([[s.value for s in line] for line in grid])
    order = np.argsort(sign * values.mean(axis=1), kind="stable")
    published = tuple((literature or {}).get(n, (None, None)) for n in names)
    label, reference = _reference(grid, values, sign, published)
    baseline = next((policies[i] for i in order if policies[i] in rules), None)
    against = values[policies.index(baseline)] if baseline is not None else None
    wins = (sign * values <= (sign * values).min(axis=0) + TIE).sum(axis=1)
    rows = [
        _row(
            grid[i],
            values[i],
            _gap_pct(sign * values[i], sign * reference, label),
            None if policies[i] == baseline else against,
            int(wins[i]),
        )
        for i in order
    ]
    return Table(
        env=env,
        metric=metric,
        lower_is_better=lower_is_better,
        instances=tuple(names),
        rows=tuple(rows),
        baseline=baseline,
        reference=label,
        reference_mean=float(reference.mean()),
        start_mean=_mean([s.start for s in grid[0]]),
        literature=published if literature else (),
        values=values[order],
        companion=companion,
    )


def _reference(
    grid: list[list[Score]],
    values: NDArray[np.float64],
    sign: float,
    published: Sequence[Reference],
) -> tuple[str, NDArray[np.float64]]:
    """Return (N,) what gaps are relative to, and what that is."""
    best = [known for _, known in published if known is not None]
    if len(best) == len(published):
        return LITERATURE, np.array(best, np.float64)
    worst = -np.inf
    bounds = np.array([[worst if s.bound is None else sign * s.bound for s in row] for row in grid])
    tightest = bounds.max(axis=0)
    if np.isfinite(tightest).all():
        return BOUND, sign * tightest
    return HERE, sign * (sign * values).min(axis=0)


def _gap_pct(cost: NDArray[np.float64], reference: NDArray[np.float64], label: str) -> float | None:
    """Return how much worse (N,) costs are than their references, in percent; lower is better."""
    if label != LITERATURE:
        cost, reference = cost.mean(keepdims=True), reference.mean(keepdims=True)
    if (np.abs(reference) <= TIE).any():
        return None
    return float(np.mean(100 * (cost - reference) / np.abs(reference)))


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean, or None where a value is missing."""
    given = [v for v in values if v is not None]
    return float(np.mean(given)) if given and len(given) == len(values) else None


def _row(
    line: list[Score],
    values: NDArray[np.float64],
    gap_pct: float | None,
    against: NDArray[np.float64] | None,
    wins: int,
) -> Row:
    diff = None if against is None else values - against
    return Row(
        policy=line[0].policy,
        mean=float(values.mean()),
        ci95=mean_ci(values),
        gap_pct=gap_pct,
        bound_mean=_mean([s.bound for s in line]),
        paired_p=None if diff is None else wilcoxon_p(diff),
        decision_ms=float(np.mean([s.decision_ms for s in line])),
        seconds=float(np.mean([s.seconds for s in line])),
        wins=wins,
        diff=None if diff is None else float(diff.mean()),
        diff_ci95=None if diff is None else mean_ci(diff),
        beside=_mean([s.beside for s in line]),
    )


COLUMNS = (
    "policy",
    "mean",
    "95 % CI",
    "gap",
    "bound",
    "vs best rule",
    "p",
    "wins",
    "ms/decision",
    "s/instance",
)


def columns(table: Table) -> list[str]:
    """Return the headings of a table."""
    return [*COLUMNS[:2], *([table.companion] if table.companion else []), *COLUMNS[2:]]


def cells(table: Table, row: Row) -> list[str]:
    """Return one row as text, in the order of :func:`columns`."""
    if row.policy == table.baseline:
        diff, p = "best", ""
    else:
        diff = "" if row.diff is None else table.number(row.diff, "+")
        p = (
            ""
            if row.paired_p is None
            else ("<.0001" if row.paired_p < 1e-4 else f"{row.paired_p:.4f}")
        )
    return [
        row.policy,
        table.number(row.mean),
        *([f"{row.beside:.4g}" if row.beside is not None else ""] if table.companion else []),
        f"{table.number(row.ci95[0])} to {table.number(row.ci95[1])}",
        "" if row.gap_pct is None else f"{row.gap_pct:+.1f} %",
        "" if row.bound_mean is None else table.number(row.bound_mean),
        diff,
        p,
        str(row.wins),
        f"{row.decision_ms:.3g}",
        f"{row.seconds:.3g}",
    ]


GAPS = {
    LITERATURE: "mean of the instances' gaps to the best known in the literature, whose mean is {}",
    BOUND: "of the mean to that of the proven bounds, {}",
    HERE: "of the mean to that of the best scores known here, {}",
}
"""What the column of gaps shows, by reference."""


def caption(table: Table) -> str:
    """Return what a reader must know to read the table."""
    direction = "lower" if table.lower_is_better else "higher"
    start, goal = table.start_mean, table.number(table.reference_mean)
    before = "" if start is None else f", {table.number(start)} before any choice"
    parts = [
        f"{table.metric}, {direction} is better; {len(table.instances)} instances{before}.",
        "Intervals: Student t over instances.",
        f"Gap: {GAPS[table.reference].format(goal)}.",
    ]
    if table.baseline:
        parts.append(
            f"Paired with the best rule, {table.baseline}: mean difference and two-sided "
            "Wilcoxon signed-rank p, not adjusted for several comparisons."
        )
    return " ".join(parts)


TERMINAL_COLUMNS = (
    *("policy", "mean", "+- 95 %", "gap %", "bound", "vs rule", "p", "wins", "ms/dec", "s/inst"),
)
WIDE_ONLY = ("bound", "wins", "ms/dec")
"""Columns left out below :data:`WIDE` characters."""
WIDE = 100


def rich_table(table: Table, width: int = WIDE) -> RichTable:
    """Return the table for a terminal of so many characters."""
    out = RichTable(
        title=f"{table.env}: {table.metric}",
        caption=caption(table),
        caption_justify="left",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    extra = [table.companion] if table.companion else []
    headings = [*TERMINAL_COLUMNS[:2], *extra, *TERMINAL_COLUMNS[2:]]
    shown = [i for i, c in enumerate(headings) if width >= WIDE or c not in WIDE_ONLY]
    for i in shown:
        out.add_column(
            headings[i], justify="right" if i else "left", no_wrap=i > 0, overflow="fold"
        )
    for row in table.rows:
        is_baseline = row.policy == table.baseline
        style = "bold" if row is table.rows[0] else ("cyan" if is_baseline else None)
        text = cells(table, row)
        at = headings.index("+- 95 %")
        text[at] = table.number((row.ci95[1] - row.ci95[0]) / 2)
        text[at + 1] = text[at + 1].removesuffix(" %")
        out.add_row(*(text[i] for i in shown), style=style)
    return out


def markdown_table(table: Table) -> str:
    """Return the table in Markdown."""
    headings = columns(table)
    lines = ["| " + " | ".join(headings) + " |", "|:--" + "|--:" * (len(headings) - 1) + "|"]
    lines += ["| " + " | ".join(cells(table, row)) + " |" for row in table.rows]
    return "\n".join(lines)
