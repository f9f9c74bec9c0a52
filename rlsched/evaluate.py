"""``python -m rlsched.evaluate``: policies, rules and exact solvers on the same instances."""

from __future__ import annotations

import sys

from rlsched.config.door import run_door
from rlsched.config.schema import EvaluateConfig

FILE_WIDTH = 120
"""Columns of the table where standard output is not a terminal."""
EXAMPLES = """
python -m rlsched.evaluate env=vmr policies=[random,ha,potential:beam_32,checkpoints/vmr/default]
python -m rlsched.evaluate env=vmr policies=[potential,exact] time_limit_s=10
python -m rlsched.evaluate env=vmr instances=cluster.json.gz out=results/mine
python -m rlsched.evaluate env=bjssp instances=la01..la40 policies=[random,mwkr,mwkr:wip_5]
"""


def evaluate(config: EvaluateConfig) -> None:
    """Run the comparison, print its table, and say where the files are."""
    from datetime import datetime
    from pathlib import Path

    from rich.console import Console

    from rlsched.core.registry import problem
    from rlsched.evaluation.policies import check_policies

    found = problem(config.env.name)
    policies = config.policies
    if policies is None:
        policies = list(found.default_policies(config.env))
    check_policies(policies, found, config.env)
    from rlsched.evaluation.compare import PolicySpec, compare
    from rlsched.evaluation.table import rich_table

    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    out = Path(config.out or f"results/{found.name}/{stamp}")
    table = compare(
        found,
        config.env,
        [PolicySpec(name, config.time_limit_s) for name in policies],
        out,
        instances=config.instances,
        num_instances=config.num_instances,
        seed=config.seed,
        device=resolve_device(config.device, policies),
    )
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    console.print(rich_table(table, console.width))
    console.print(f"{out / 'results.json'}, results.csv, report.html", soft_wrap=True)


def resolve_device(device: str, policies: list[str]) -> str:
    """Return cpu or cuda for ``auto``; torch is asked only where a checkpoint takes part."""
    from pathlib import Path

    from rlsched.core.names import split_name

    if device != "auto" or not any(Path(split_name(p)[0]).is_dir() for p in policies):
        return "cpu" if device == "auto" else device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    run_door("evaluate", evaluate, EXAMPLES)
