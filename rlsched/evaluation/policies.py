"""Policies by the names that users type: rules, solvers, checkpoints, exports, searches on them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlsched.core.errors import CheckpointError, UnknownName
from rlsched.core.lanes import num_threads
from rlsched.core.policy import Policy
from rlsched.core.registry import Problem

ONNX = ".onnx"
PORTFOLIO = re.compile(r"portfolio_(?P<seconds>\d+(?:\.\d+)?)s")
"""Search name of what dispatch does with a budget: policy, searches and exact repair together."""


def check_policies(names: Sequence[str], problem: Problem) -> None:
    """Refuse unknown names and missing files, without loading anything.

    Raises:
        UnknownName: neither a rule nor something that looks like a path.
        CheckpointError: there is no such file or folder.
    """
    for name in names:
        base = split_name(name)[0]
        if base not in problem.rules:
            _check_path(base, problem)


def resolve_policy(
    name: str, problem: Problem, config: Any, device: str = "cpu", time_limit_s: float | None = None
) -> Policy:
    """Return the policy of a name.

    Args:
        name: a rule (``potential``), ``exact``, a checkpoint folder or an ``.onnx`` file;
            ``:search`` after it, such as ``potential:beam_32``, lets it guide a search;
            ``:portfolio_1s`` makes it part of what dispatch does with a budget.
        problem: the environment.
        config: its options.
        device: where networks run: cpu or cuda.
        time_limit_s: wall-clock limit per instance, for policies that have a ``time_limit_s``.

    Raises:
        UnknownName: there is no such policy or search.
        CheckpointError: the checkpoint or file is missing, corrupted, or of another schema.
    """
    base, search = split_name(name)
    if base in problem.rules:
        policy: Policy = problem.rules[base](config)
    else:
        _check_path(base, problem)
        policy = load_policy(base, device)
    budget = PORTFOLIO.fullmatch(search)
    if budget:
        policy = problem.portfolio(config, policy, float(budget["seconds"]))
    elif search:
        from rlsched.core.search import with_search

        policy = with_search(policy, search)
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

    torch.set_num_threads(num_threads())  # torch's own default starves small machines
    return checkpoint.load_policy(path, device)


def split_name(name: str) -> tuple[str, str]:
    """Return (policy, search): ``potential:beam_32`` is potential and beam_32."""
    base, _, search = name.rpartition(":") if ":" in name else (name, "", "")
    return base, search


def digest(path: Path) -> str:
    """Return a fingerprint of a file, or of all in a folder; empty where there is none."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.read_bytes())
    return sha.hexdigest()[:16] if files else ""


def _check_path(base: str, problem: Problem) -> None:
    path = Path(base)
    if path.exists():
        return
    if path.suffix == ONNX or "/" in base:
        raise CheckpointError(f"policy '{base}': there is no such file or folder.")
    raise UnknownName("policy", base, [*problem.rules, "<checkpoint folder>", "<file>.onnx"])
