"""report.html: one file, no network, for whoever was not there."""

from __future__ import annotations

import base64
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlsched.core.errors import MissingExtra
from rlsched.core.registry import Problem
from rlsched.evaluation import plots
from rlsched.evaluation.table import Table, caption, cells, columns

PACKAGES = ("rlsched", "numpy", "numba", "torch", "ray", "onnxruntime", "ortools")


@dataclass
class PictureBook:
    """Pictures of chosen instances as each policy left them, taken while they are played.

    Attributes:
        folder: where the PNG files are.
        problem: draws them.
        rows: instances chosen.
    """

    folder: Path
    problem: Problem
    rows: Sequence[int] = field(default_factory=lambda: (0,))

    def take(self, policy: str, row: int, sim: Any) -> None:
        """Draw lane 0 of a simulator; the runner calls this after each play."""
        if row not in self.rows:
            return
        path = self.path(policy, row)
        from matplotlib.figure import Figure

        figure = Figure(figsize=(plots.WIDTH, 3.6), dpi=130, layout="constrained")
        self.problem.plot(sim, 0, figure.subplots())
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)

    def path(self, policy: str, row: int) -> Path:
        """Return the file of a picture."""
        name = re.sub(r"[^A-Za-z0-9.]+", "-", policy).strip("-")
        return self.folder / f"{row:03d}-{name}.png"

    def data_uri(self, policy: str, row: int) -> str | None:
        """Return a picture for an HTML page, or None where it was not taken."""
        path = self.path(policy, row)
        if not path.is_file():
            return None
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def require_report() -> None:
    """Check that a report can be made, before a long run starts.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
    """
    plots.require_matplotlib()
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise MissingExtra("jinja2", "report") from None


def write_report(
    path: Path, table: Table, settings: dict[str, Any], pictures: PictureBook | None = None
) -> None:
    """Write the report.

    Args:
        path: file to write.
        table: the comparison.
        settings: what was run, shown as it is.
        pictures: of chosen instances.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rlsched", "evaluation"), autoescape=True, trim_blocks=True
    )
    page = environment.get_template("report.html").render(
        table=table,
        columns=columns(table),
        rows=[(row.policy, cells(table, row)) for row in table.rows],
        caption=caption(table),
        finding=finding(table),
        figures=_figures(table),
        matrix=_matrix(table),
        shots=_shots(table, pictures),
        settings=settings,
        versions=versions(),
        machine=f"{platform.machine()}, {platform.system()}, Python {sys.version.split()[0]}",
        date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )
    path.write_text(page)


def finding(table: Table) -> str:
    """Return the result in one sentence."""
    best = table.rows[0]
    number, start = table.number, table.start_mean
    before = "" if start is None else f" from {number(start)} at the start"
    text = (
        f"{best.policy} is best on average: {table.metric.replace('_', ' ')} {number(best.mean)} "
        f"(95 % interval {number(best.ci95[0])} to {number(best.ci95[1])})"
        f"{before}, in {best.seconds:.3g} s per instance."
    )
    if (
        table.baseline
        and best.policy != table.baseline
        and best.diff is not None
        and best.diff_ci95
        and best.paired_p is not None
    ):
        low, high = best.diff_ci95
        text += (
            f" Against the best rule, {table.baseline}: {number(best.diff, '+')} "
            f"({number(low, '+')} to {number(high, '+')}), "
            f"p = {best.paired_p:.2g} over {len(table.instances)} paired instances."
        )
    return text


def versions() -> dict[str, str]:
    """Return the installed versions of what decides a result."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _figures(table: Table) -> list[tuple[str, str]]:
    figures = [("Mean and 95 % interval; dots are instances", plots.interval_plot(table))]
    if table.baseline and len(table.rows) > 1:
        figures.append(
            (f"Paired difference to the best rule, {table.baseline}", plots.paired_plot(table))
        )
    figures.append(
        ("Quality against time; the line joins what nothing beats in both", plots.time_plot(table))
    )
    return [(title, _unique_ids(plots.svg(figure), i)) for i, (title, figure) in enumerate(figures)]


def _unique_ids(text: str, number: int) -> str:
    """Give the ids of an SVG a prefix, for several share one page; drop its metadata."""
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="f{number}-', text)
    return re.sub(r'(href="|url\()#', rf"\1#f{number}-", text)


def _matrix(table: Table) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Return per instance the scores of all policies as text, and whether each is the best."""
    best = table.values.min(axis=0) if table.lower_is_better else table.values.max(axis=0)
    return [
        (name, [(table.number(v), bool(abs(v - best[i]) < 1e-9)) for v in table.values[:, i]])
        for i, name in enumerate(table.instances)
    ]


def _shots(table: Table, pictures: PictureBook | None) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return per chosen instance the pictures of the best rule and the best policy."""
    if pictures is None:
        return []
    chosen = list(dict.fromkeys(p for p in (table.baseline, table.rows[0].policy) if p))
    out = []
    for row in pictures.rows:
        if row < len(table.instances):
            taken = [(p, pictures.data_uri(p, row)) for p in chosen]
            out.append((table.instances[row], [(p, uri) for p, uri in taken if uri]))
    return [(name, shots) for name, shots in out if shots]
