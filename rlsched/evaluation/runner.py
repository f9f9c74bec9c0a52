"""Every policy on every instance, under the same random numbers; stop and go on at any time."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rlsched.core.errors import ConfigError
from rlsched.core.policy import Policy
from rlsched.core.registry import Problem

REPEAT_BELOW_S = 30.0
"""A solver's first play shorter than this, and any other's, is played again: its time would count
what it compiled."""

Played = Callable[[str, int, Any], None]
"""``(policy, instance row, simulator)``: called after each play, for pictures."""


@dataclass(frozen=True)
class Score:
    """What one policy reached on one instance.

    Attributes:
        instance: name of the instance.
        policy: name of the policy.
        value: the problem's metric at the end of the episode.
        start: the metric before the first choice, None where that is no result.
        bound: proven bound on the metric, None where the policy proves none.
        seconds: wall-clock time of the whole episode.
        decision_ms: that time per choice, in milliseconds.
        rounds: choices made, 0 for solvers that plan without choosing.
        key: fingerprint of everything that decides the value; equal keys are not computed again.
        beside: the metric's companion, None where it has none.
    """

    instance: str
    policy: str
    value: float
    start: float | None
    bound: float | None
    seconds: float
    decision_ms: float
    rounds: int
    key: str
    beside: float | None = None


@dataclass
class Entrant:
    """A policy in a comparison: its row's name, how to make it, and a fingerprint of what it is."""

    label: str
    make: Callable[[], Policy]
    key: str
    policy: Policy | None = None
    is_warm: bool = False

    def get(self) -> Policy:
        """Return the policy, made when first needed."""
        if self.policy is None:
            self.policy = self.make()
        return self.policy


class ScoreFile:
    """results.csv, a store that survives Ctrl-C: a line per instance and policy."""

    def __init__(self, path: Path) -> None:
        self.path = path
        scores = read_scores(path) if path.is_file() else []
        self._known = {(s.key, s.instance): s for s in scores}
        if path.is_file() and not path.read_bytes().endswith(b"\n"):
            self.rewrite(scores)

    def find(self, key: str, instance: str) -> Score | None:
        """Return the score stored under a key, or None."""
        return self._known.get((key, instance))

    def add(self, score: Score) -> None:
        """Append a line."""
        is_new = not self.path.is_file()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, [f.name for f in fields(Score)])
            if is_new:
                writer.writeheader()
            writer.writerow(asdict(score))

    def rewrite(self, scores: Iterable[Score]) -> None:
        """Leave just these lines, in this order."""
        scratch = self.path.with_suffix(".partial")
        scratch.unlink(missing_ok=True)
        other = ScoreFile(scratch)
        for score in scores:
            other.add(score)
        if scratch.is_file():
            scratch.replace(self.path)


def read_scores(path: Path) -> list[Score]:
    """Return the lines of a results.csv; a last line cut short by a kill is left out."""
    whole, _, _ = path.read_text().rpartition("\n")
    rows = csv.DictReader(whole.splitlines())
    missing = {f.name for f in fields(Score) if f.default is MISSING} - set(rows.fieldnames or ())
    if whole and missing:
        raise ConfigError(
            f"'{path}', line 1: no column {', '.join(sorted(missing))}; these are no scores. "
            "Delete the file, or name another out=."
        )
    return [
        Score(
            instance=row["instance"],
            policy=row["policy"],
            value=float(row["value"]),
            start=float(row["start"]) if row["start"] else None,
            bound=float(row["bound"]) if row["bound"] else None,
            seconds=float(row["seconds"]),
            decision_ms=float(row["decision_ms"]),
            rounds=int(row["rounds"]),
            key=row["key"],
            beside=float(row["beside"]) if row.get("beside") else None,
        )
        for row in rows
    ]


def run(
    problem: Problem,
    config: Any,
    entrants: Sequence[Entrant],
    instances: Sequence[Any],
    seed: int,
    store: ScoreFile,
    on_play: Played | None = None,
    console: Console | None = None,
) -> list[Score]:
    """Return the scores, instance by instance; Ctrl-C ends the run early with those finished.

    The instances are the outer loop, so that what an interrupted run leaves is paired.

    Args:
        problem: the environment.
        config: its options.
        entrants: the policies.
        instances: the problems.
        seed: instance i is played under ``seed + i`` by every policy.
        store: where scores are found and added.
        on_play: called with the simulator after each play.
        console: where progress is shown.
    """
    scores: list[Score] = []
    names = instance_names(instances)
    with _progress(console) as progress:
        task = progress.add_task("", total=len(instances) * len(entrants))
        try:
            for row, (name, instance) in enumerate(zip(names, instances, strict=True)):
                for entrant in entrants:
                    progress.update(task, description=f"{name}  {entrant.label}")
                    score = store.find(entrant.key, name)
                    if score is None:
                        score = _play(problem, config, entrant, row, name, instance, seed, on_play)
                        store.add(score)
                    scores.append(replace(score, policy=entrant.label))
                    progress.advance(task)
        except KeyboardInterrupt:
            progress.console.print(f"Interrupted; {len(scores)} results are kept in {store.path}.")
    return scores


def instance_names(instances: Sequence[Any]) -> list[str]:
    """Return a unique name of each instance: its own, with its number where two share one."""
    names = [str(getattr(x, "name", "") or f"instance-{i}") for i, x in enumerate(instances)]
    return [n if names.count(n) == 1 else f"{n}#{i}" for i, n in enumerate(names)]


def _play(
    problem: Problem,
    config: Any,
    entrant: Entrant,
    row: int,
    name: str,
    instance: Any,
    seed: int,
    on_play: Played | None,
) -> Score:
    policy = entrant.get()
    observe = getattr(policy, "needs_observation", True)
    sim = problem.make(config, 1, instances=[instance], seed=seed, observe=observe)
    for _ in range(2):
        sim.reset(seed=seed + row, instances=[0])
        start = float(sim.metrics()[sim.metric][0]) if sim.can_stop else None
        begin = time.perf_counter()
        rounds = policy.play(sim)
        seconds = time.perf_counter() - begin
        is_solver = hasattr(policy, "time_limit_s")
        if entrant.is_warm or (is_solver and seconds > REPEAT_BELOW_S):
            break
    entrant.is_warm = True
    if not sim.terminated.all():
        raise ConfigError(
            f"policy {entrant.label!r} left {name!r} unfinished; play() must end every lane."
        )
    if on_play is not None:
        on_play(entrant.label, row, sim)
    bound, metrics = policy.bound(), sim.metrics()
    return Score(
        instance=name,
        policy=entrant.label,
        value=float(metrics[sim.metric][0]),
        start=start,
        bound=None if bound is None else float(bound),
        seconds=seconds,
        decision_ms=1000 * seconds / max(1, rounds),
        rounds=int(rounds),
        key=entrant.key,
        beside=float(metrics[sim.companion][0]) if sim.companion else None,
    )


def _progress(console: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console or Console(stderr=True),
        transient=True,
    )
