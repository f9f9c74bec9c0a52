"""``python -m rlsched.train``: train a policy, compare it with the rules, export it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rlsched.config.door import run_door
from rlsched.config.schema import TrainConfig

if TYPE_CHECKING:
    from pathlib import Path

SEARCH, NUM_COMPARED = "best_of_4", 10
"""The search shown beside the greedy policy in ``summary.md``, and on how many instances."""
EXAMPLES = """
python -m rlsched.train env=vmr
python -m rlsched.train env=vmr trainer=sb3 seed=0,1,2 --multirun
python -m rlsched.train env=vmr trainer.num_env_runners=8 trainer.num_learners=2 ray.address=auto
python -m rlsched.train env=vmr sweep=tune sweep.num_samples=16
python -m rlsched.train env=isbjssp
python -m rlsched.train resume=runs/vmr/2026-01-31_12-00-00 trainer.total_steps=4000000
"""


def train(config: TrainConfig) -> None:
    """Train, then compare the best checkpoint with the rules and export it."""
    from datetime import datetime
    from pathlib import Path

    from rlsched.core.errors import ConfigError

    if config.out is None:
        config.out = f"runs/{config.env.name}/{datetime.now().strftime('%Y-%m-%d_%H-%M-%S')}"
    folder = Path(config.out)
    if config.resume is None and (folder / "config.yaml").exists():
        raise ConfigError(
            f"out={folder} holds a run; go on with resume={folder}, or name another out."
        )
    _require_extra(config)
    _check(config)
    folder.mkdir(parents=True, exist_ok=True)
    save_config(config, folder)
    if config.sweep.name == "tune":
        from rlsched.agents.tune import sweep

        finish(config, sweep(config, folder))
        return
    from rlsched.agents import training

    training.train(config, folder)
    finish(config, folder)


def save_config(config: TrainConfig, folder: Path) -> None:
    """Write ``config.yaml``: all a later ``resume=`` needs."""
    from dataclasses import replace

    from omegaconf import OmegaConf

    partial = folder / "config.yaml.partial"
    OmegaConf.save(OmegaConf.structured(replace(config, resume=None)), partial)
    partial.replace(folder / "config.yaml")


def finish(config: TrainConfig, folder: Path) -> None:
    """Write ``summary.md``, the comparisons behind it, ``policy.onnx`` and the training curve."""
    from rich.console import Console

    from rlsched.agents import export
    from rlsched.core.registry import problem
    from rlsched.evaluate import FILE_WIDTH
    from rlsched.evaluation.compare import PolicySpec, compare
    from rlsched.evaluation.curve import save_curve
    from rlsched.evaluation.report import finding
    from rlsched.evaluation.table import caption, markdown_table, rich_table

    best = folder / "checkpoint/best"
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    found = problem(config.env.name)
    trained = [
        PolicySpec(str(best), label="policy"),
        PolicySpec(f"{best}:{SEARCH}", label=f"policy:{SEARCH}"),
    ]
    parts = {"trained size": config.env, "larger, never seen": found.larger(config.env)}
    text = [f"# {folder.name}"]
    for title, env in parts.items():
        specs = [PolicySpec(name) for name in found.default_policies(env)] + trained
        out = folder / "evaluation" / title.split(",")[0].replace(" ", "-")
        table = compare(
            found, env, specs, out, num_instances=NUM_COMPARED, seed=config.seed, console=console
        )
        console.print(rich_table(table, console.width))
        report = (out / "report.html").relative_to(folder)
        text += [f"## {title.capitalize()}", finding(table), markdown_table(table), caption(table)]
        text.append(f"More in [{report}]({report}).")
    parity = export.export(best, folder / "policy.onnx")
    exported = "decides" if parity.holds else "does NOT decide"
    text += [
        f"`policy.onnx` {exported} as the checkpoint does: largest logit difference "
        f"{max(parity.logit_difference):.2e}, {sum(parity.different_choices)} of "
        f"{sum(parity.choices)} choices differ.",
        "![Training curve](curve.png)",
        "Made by `python -m rlsched.train` with [config.yaml](config.yaml).",
    ]
    save_curve([folder], folder)
    (folder / "summary.md").write_text("\n\n".join(text) + "\n")
    console.print(
        f"{folder}: checkpoint/best, policy.onnx, curve.png, summary.md, evaluation/",
        soft_wrap=True,
    )


def _check(config: TrainConfig) -> None:
    """Refuse a wrong option of the environment or an unknown teacher before torch is imported."""
    from pathlib import Path

    from rlsched.core.errors import UnknownName
    from rlsched.core.registry import problem

    found, start = problem(config.env.name), config.trainer.warm_start
    cluster = found.generate_instances(config.env, 1, config.seed, "validation")
    found.make(config.env, 1, instances=cluster, observe=False)
    known = ["auto", "none", *found.teachers, *found.rules]
    if start not in known and not Path(start).is_dir():
        raise UnknownName("trainer.warm_start", start, [*known, "<checkpoint folder>"])


def _require_extra(config: TrainConfig) -> None:
    from importlib.util import find_spec

    from rlsched.core.errors import MissingExtra

    needed = ["torch", "torch_geometric", "safetensors"]
    if config.trainer.name == "rllib" or config.sweep.name == "tune":
        needed.append("ray")
    if config.trainer.name == "sb3":
        needed += ["stable_baselines3", "sb3_contrib"]
    for package in needed:
        if find_spec(package) is None:
            raise MissingExtra(package, "train")


if __name__ == "__main__":
    run_door("train", train, EXAMPLES)
