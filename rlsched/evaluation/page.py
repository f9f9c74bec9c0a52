"""The result page of an experiment: Markdown, figures beside it, and all it takes to repeat it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rlsched.evaluation import plots
from rlsched.evaluation.report import finding, versions
from rlsched.evaluation.table import Table, caption, markdown_table


def write_page(path: Path, experiment: Any, results: Sequence[tuple[Any, Table]]) -> Path:
    """Write ``<file>.md`` and the figures ``<file>/<section>-*.svg`` beside an experiment's file.

    Args:
        path: the experiment's file.
        experiment: title, text, env, seed and train of the file.
        results: (section, its table), in order.

    Returns:
        The page.
    """
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    lines = [f"# {experiment.title}", "", experiment.text.strip(), ""]
    for section, table in results:
        lines += _section(folder, section, table)
    lines += _repeat(path, experiment)
    page = path.with_suffix(".md")
    page.write_text("\n".join(lines).rstrip() + "\n")
    return page


def _section(folder: Path, section: Any, table: Table) -> list[str]:
    figures = {"intervals": plots.interval_plot(table), "time": plots.time_plot(table)}
    if table.baseline and len(table.rows) > 1:
        figures["paired"] = plots.paired_plot(table)
    for name, figure in figures.items():
        (folder / f"{section.name}-{name}.svg").write_text(plots.svg(figure))
    table.write(folder / f"{section.name}.json")
    options = ", ".join(f"{k}={v}" for k, v in section.env.items()) or "defaults"
    source = f"`{Path(section.instances).name}`" if section.instances else "generated, split test"
    return [
        f"## {section.title or section.name}",
        "",
        section.text.strip(),
        "",
        finding(table),
        "",
        markdown_table(table),
        "",
        f"{caption(table)} Environment: {options}. Instances: {source}. "
        f"Data: [{folder.name}/{section.name}.json]({folder.name}/{section.name}.json).",
        "",
        *(
            f"![{section.name}, {name}]({folder.name}/{section.name}-{name}.svg)"
            for name in figures
        ),
        "",
    ]


def _repeat(path: Path, experiment: Any) -> list[str]:
    lines = [
        "## To repeat",
        "",
        f"`python -m rlsched.experiment {path}`; seed {experiment.seed}.",
        "",
    ]
    for checkpoint, overrides in experiment.train.items():
        command = f"python -m rlsched.train {' '.join(overrides)}"
        lines += [f"`{checkpoint}` is made anew by `{command}`.", ""]
    found = ", ".join(f"{k} {v}" for k, v in versions().items())
    machine = f"{platform.machine()}, {platform.system()}, Python {sys.version.split()[0]}"
    return [*lines, f"{date.today().isoformat()}; {found}; {machine}."]
