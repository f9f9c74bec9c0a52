"""``python -m rlsched.experiment FILE``: run a published comparison and write its result page.

What is already in the experiment's folder of results is not computed again, so a run can be
stopped and gone on with at any time; a checkpoint that changed, other settings or another version
of rlsched make scores stale.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rlsched.config.door import guarded

if TYPE_CHECKING:
    from pathlib import Path

    from rlsched.config.experiment import Experiment, Section

HELP = """python -m rlsched.experiment FILE [out=DIR] [only=SECTION] [device=cpu]

Run a published comparison: train or take the checkpoints it names, evaluate, test, and write its
result page beside FILE, with tables, intervals, figures, versions and seeds.

  out=results/experiments/<name>   scores and reports; what is there is not computed again.
  only=null                        run one section, and write no page.
  device=auto                      auto, cpu or cuda, for networks.

  python -m rlsched.experiment experiments/vmr.yaml"""


def experiment() -> int:
    """Run the experiment of the command line."""
    from pathlib import Path

    from rlsched.config.experiment import read_experiment

    if {"--help", "-h"} & set(sys.argv[1:]):
        print(HELP)
        return 0
    path, options = _arguments(sys.argv[1:])
    found, sections = read_experiment(Path(path))
    out = Path(options.get("out", f"results/experiments/{Path(path).stem}"))
    if "only" in options:
        sections = _only(sections, options["only"])
    run(
        Path(path),
        found,
        sections,
        out,
        options.get("device", "auto"),
        writes_page="only" not in options,
    )
    return 0


def run(
    path: Path,
    found: Experiment,
    sections: list[Section],
    out: Path,
    device: str,
    writes_page: bool,
) -> None:
    """Run the sections, print their tables and write the page.

    Args:
        path: the experiment's file.
        found: what it says.
        sections: those to run.
        out: folder of scores and reports.
        device: where networks run.
        writes_page: also write the page and its figures beside the file.
    """
    from rich.console import Console

    from rlsched.config.experiment import env_options, instances_of
    from rlsched.core.registry import problem
    from rlsched.evaluate import FILE_WIDTH, resolve_device
    from rlsched.evaluation.compare import PolicySpec, compare
    from rlsched.evaluation.page import write_page
    from rlsched.evaluation.table import rich_table

    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    for checkpoint, overrides in found.train.items():
        _train(checkpoint, overrides, out)
    tables = []
    for section in sections:
        rows = section.contestants
        env = env_options(found, section)
        table = compare(
            problem(env.name),
            env,
            [PolicySpec(r.policy, r.time_limit_s, r.row) for r in rows],
            out / section.name,
            instances=instances_of(path, section),
            num_instances=section.num_instances,
            seed=found.seed,
            device=resolve_device(device, [r.policy for r in rows]),
        )
        console.print(f"[bold]{section.title or section.name}[/bold]")
        console.print(rich_table(table, console.width))
        tables.append(table)
    if writes_page:
        page = write_page(path, found, list(zip(sections, tables, strict=True)))
        console.print(str(page), soft_wrap=True)


def _arguments(arguments: list[str]) -> tuple[str, dict[str, str]]:
    from rlsched.core.errors import ConfigError, UnknownName

    files = [a for a in arguments if "=" not in a]
    options = dict(a.split("=", 1) for a in arguments if "=" in a)
    known = ("out", "only", "device")
    for key in options:
        if key not in known:
            raise UnknownName("key", key, known)
    if options.get("device", "auto") not in ("auto", "cpu", "cuda"):
        raise UnknownName("device", options["device"], ("auto", "cpu", "cuda"))
    if len(files) != 1:
        raise ConfigError(
            f"give one experiment's file, not {len(files)}; e.g. experiments/vmr.yaml."
        )
    return files[0], options


def _only(sections: list[Any], name: str) -> list[Any]:
    from rlsched.core.errors import UnknownName

    chosen = [s for s in sections if s.name == name]
    if not chosen:
        raise UnknownName("section", name, [s.name for s in sections])
    return chosen


def _train(checkpoint: str, overrides: list[str], out: Path) -> None:
    """Train a checkpoint that is missing; a run stopped before is gone on with."""
    import shutil
    from pathlib import Path

    from rlsched.config.compose import compose_config, resumed
    from rlsched.train import train

    if Path(checkpoint).is_dir():
        return
    folder = out / "training" / Path(checkpoint).name
    if (folder / "config.yaml").is_file():
        train(resumed(str(folder), overrides))
    else:
        train(compose_config("train", [*overrides, f"out='{folder}'"]))
    shutil.copytree(folder / "checkpoint/best", checkpoint)
    shutil.copy(folder / "policy.onnx", Path(checkpoint) / "policy.onnx")


if __name__ == "__main__":
    guarded(experiment)
