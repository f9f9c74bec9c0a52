"""Policies by name: rules, solvers, checkpoints, exports, and what suffixes make of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rlsched.core.errors import CheckpointError, UnknownName
from rlsched.core.names import ONNX, split_name, with_suffixes
from rlsched.core.policy import Guide, Policy
from rlsched.core.registry import Problem
from rlsched.core.simulator import Simulator

PORTFOLIO = re.compile(r"portfolio_(?P<seconds>\d+(?:\.\d+)?)s")
"""Suffix of what dispatch does with a budget: policy, searches and exact repair together."""


def check_policies(names: Sequence[str], problem: Problem, config: Any) -> None:
    """Refuse unknown names and suffixes and missing files, without loading any network.

    Raises:
        UnknownName: neither a rule nor something that looks like a path.
        CheckpointError: there is no such file or folder.
        ConfigError: a suffix cannot be read, or does not suit what it follows.
    """
    for name in names:
        base, suffixes = split_name(name)
        if base not in problem.rules:
            _check_path(base, problem)
        policy = problem.rules[base](config) if base in problem.rules else _Unloaded(base)
        _with_suffixes(policy, suffixes, problem, config)


def resolve_policy(
    name: str, problem: Problem, config: Any, device: str = "cpu", time_limit_s: float | None = None
) -> Policy:
    """Return the policy of a name.

    Args:
        name: a rule (``potential``), ``exact``, a checkpoint folder or an ``.onnx`` file;
            ``:search`` after it, such as ``potential:beam_32``, lets it guide a search;
            ``:portfolio_1s`` makes it part of what dispatch does with a budget. The environment may
            have suffixes of its own, and several work from left to right: ``mwkr:wip_5:beam_8``.
        problem: the environment.
        config: its options.
        device: where networks run: cpu or cuda.
        time_limit_s: wall-clock limit per instance, for policies that have a ``time_limit_s``.

    Raises:
        UnknownName: there is no such policy.
        CheckpointError: the checkpoint or file is missing, corrupted, or of another schema.
        ConfigError: a suffix cannot be read, or does not suit what it follows.
    """
    base, suffixes = split_name(name)
    if base in problem.rules:
        policy: Policy = problem.rules[base](config)
    else:
        _check_path(base, problem)
        policy = load_policy(base, device)
    policy = _with_suffixes(policy, suffixes, problem, config)
    if time_limit_s is not None and hasattr(policy, "time_limit_s"):
        policy.time_limit_s = time_limit_s
    policy.name = name
    return policy


def load_policy(path: str | Path, device: str = "cpu") -> Policy:
    """Return the policy of a checkpoint folder or of an exported ``.onnx`` file.

    Raises:
        CheckpointError: it is missing, corrupted, or of another schema.
    """
    path = Path(path)
    if path.suffix == ONNX:
        from rlsched.core.onnx_policy import OnnxPolicy

        if not path.is_file():
            raise CheckpointError(
                f"'{path}': there is no such file; python -m rlsched.export writes one."
            )
        return OnnxPolicy(path)
    if not path.is_dir():
        raise CheckpointError(
            f"'{path}': there is no such folder; give a checkpoint's folder or an .onnx file."
        )
    import torch

    from rlsched.agents import checkpoint

    # One graph is small work: threads that wait for each other on a busy machine take 100 x longer.
    torch.set_num_threads(1)
    return checkpoint.load_policy(path, device)


def digest(path: Path) -> str:
    """Return a fingerprint of a file, or of all in a folder; empty where there is none."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.read_bytes())
    return sha.hexdigest()[:16] if files else ""


class _Unloaded(Guide):
    """Stands for a network while names are checked: it guides like any, and is never played."""

    def __init__(self, name: str) -> None:
        self.name = name

    def scores(self, sim: Simulator) -> NDArray:
        raise NotImplementedError(f"{self.name} is not loaded.")


def _with_suffixes(
    policy: Policy, suffixes: Sequence[str], problem: Problem, config: Any
) -> Policy:
    """Apply suffixes: the environment's own, the portfolio, searches."""

    def own(policy: Policy, suffix: str) -> Policy | None:
        made = problem.variants(config, policy, suffix) if problem.variants else None
        budget = PORTFOLIO.fullmatch(suffix)
        if made is None and budget:
            return problem.portfolio(config, policy, float(budget["seconds"]))
        return made

    forms = (*problem.suffixes, "portfolio_<seconds>s")
    return with_suffixes(policy, suffixes, own=own, others=forms)


def _check_path(base: str, problem: Problem) -> None:
    path = Path(base)
    if path.exists():
        return
    if path.suffix == ONNX or "/" in base:
        raise CheckpointError(f"policy '{base}': there is no such file or folder.")
    raise UnknownName("policy", base, [*problem.rules, "<checkpoint folder>", "<file>.onnx"])
