"""A comparison: policies and instances by name in; results.csv, .json and report.html out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

import rlsched
from rlsched.core.errors import ConfigError, InstanceError
from rlsched.core.names import split_name
from rlsched.core.registry import Problem
from rlsched.evaluation.policies import check_policies, digest, resolve_policy
from rlsched.evaluation.report import PictureBook, require_report, write_report
from rlsched.evaluation.runner import Entrant, ScoreFile, instance_names, run
from rlsched.evaluation.table import Reference, Table, build_table

DEFAULT_INSTANCES = 20


@dataclass(frozen=True)
class PolicySpec:
    """A policy of a comparison.

    Attributes:
        name: see :func:`rlsched.evaluation.policies.resolve_policy`.
        time_limit_s: wall-clock limit per instance, where the policy has one.
        label: its row's name.
    """

    name: str
    time_limit_s: float | None = None
    label: str = ""

    @property
    def row(self) -> str:
        """Name of its row."""
        return self.label or self.name


def compare(
    problem: Problem,
    env: Any,
    policies: Sequence[PolicySpec],
    out: Path,
    *,
    instances: str | None = None,
    num_instances: int | None = None,
    seed: int = 1,
    device: str = "cpu",
    console: Console | None = None,
) -> Table:
    """Play every policy on every instance and write the three files.

    Args:
        problem: the environment.
        env: its options.
        policies: the rows.
        out: folder; scores found in its results.csv under the same settings are taken as they are.
        instances: see :func:`load`.
        num_instances: see :func:`load`.
        seed: of the generated instances and of everything random.
        device: where networks run.
        console: where progress is shown.

    Raises:
        RlschedError: something asked for does not exist, before anything is played.
        KeyboardInterrupt: it was interrupted; what was complete is written.
    """
    _check(policies, problem, env)
    require_report()
    bank = load(problem, env, instances, num_instances, seed)
    settings = {
        "env": {k: v for k, v in asdict(env).items() if k != "num_instances"},
        "instances": instances or "generated, split test",
        "num_instances": len(bank),
        "seed": seed,
        "policies": [p.row for p in policies],
    }
    same = {
        **settings,
        "version": rlsched.__version__,
        "files": digest(Path(instances)) if instances else "",
    }
    del same["policies"], same["num_instances"]
    entrants = [
        Entrant(
            p.row,
            partial(resolve_policy, p.name, problem, env, device, p.time_limit_s),
            fingerprint(same, p.name, p.time_limit_s, _files_digest(p.name, problem)),
        )
        for p in policies
    ]
    for entrant in entrants:
        entrant.get()  # what cannot be loaded is refused now, not after an hour
    out.mkdir(parents=True, exist_ok=True)
    store, pictures = ScoreFile(out / "results.csv"), PictureBook(out / "pictures", problem)
    scores = run(problem, env, entrants, bank, seed, store, pictures.take, console)
    is_complete = len(scores) == len(bank) * len(entrants)
    if is_complete:
        store.rewrite(scores)
    elif len(scores) < len(entrants):
        raise KeyboardInterrupt
    sim = problem.make(env, 1, instances=bank[:1], seed=seed, observe=False)
    solvers = {e.label for e in entrants if hasattr(e.get(), "time_limit_s")}
    rules = {p.row for p in policies if p.name in problem.rules} - solvers
    table = build_table(
        scores,
        problem.name,
        sim.metric,
        sim.lower_is_better,
        rules,
        _literature(problem, env, bank),
        sim.companion,
    )
    table.write(out / "results.json")
    write_report(out / "report.html", table, _shown(settings), pictures)
    if not is_complete:
        raise KeyboardInterrupt
    return table


def load(
    problem: Problem, env: Any, instances: str | None, num_instances: int | None, seed: int
) -> list[Any]:
    """Return the instances of a comparison.

    Args:
        problem: the environment.
        env: its options.
        instances: file or folder, or what else the environment can load by name; None = generated
            test instances.
        num_instances: of a file the first ones, None = all; generated: None = 20.
        seed: of the generated instances.

    Raises:
        InstanceError: the file holds fewer, or cannot be read.
    """
    if instances is None:
        return problem.generate_instances(env, num_instances or DEFAULT_INSTANCES, seed, "test")
    bank = problem.load_instances(env, instances)
    if num_instances is not None and num_instances > len(bank):
        raise InstanceError(
            f"'{instances}' holds {len(bank)} instances; num_instances={num_instances}."
        )
    return bank[:num_instances]


def fingerprint(*parts: Any) -> str:
    """Return a short hash of JSON-ready parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _files_digest(name: str, problem: Problem) -> str:
    """Return the fingerprint of a policy's files, so that training anew makes its scores stale."""
    base, _ = split_name(name)
    return "" if base in problem.rules else digest(Path(base))


def _literature(problem: Problem, env: Any, bank: Sequence[Any]) -> dict[str, Reference]:
    """Return what the literature knows of each instance, by name."""
    if problem.reference is None:
        return {}
    known = [problem.reference(env, instance) for instance in bank]
    return dict(zip(instance_names(bank), known, strict=True))


def _check(policies: Sequence[PolicySpec], problem: Problem, env: Any) -> None:
    if not policies:
        raise ConfigError(f"policies is empty; rules: {', '.join(problem.rules)}.")
    rows = [p.row for p in policies]
    twice = next((row for row in rows if rows.count(row) > 1), None)
    if twice is not None:
        raise ConfigError(f"policy {twice!r} is named twice.")
    check_policies([p.name for p in policies], problem, env)


def _shown(settings: dict[str, Any]) -> dict[str, str]:
    """Return the settings as text for the report."""
    env = ", ".join(f"{k}={v}" for k, v in settings["env"].items() if v is not None)
    return {k: str(v) for k, v in settings.items() if k not in ("env", "policies")} | {"env": env}
