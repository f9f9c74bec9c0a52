"""Workflows and task graphs of other fields: WfCommons (``.json``) and STG (``.stg``).

These files say how long a task takes on some reference machine, not on which machines it could run;
:class:`Platform` says that. Each task becomes a type of its own.

- WfCommons, WfFormat 1.3 to 1.6: runtimes in seconds become ticks, of a millisecond unless told
  otherwise; the volume of a precedence is the bytes of the files that the first task writes and the
  second reads.
- STG: the number of tasks (in the prototype set also that of processors), a line per task with its
  number, time, number of predecessors and those; dummy entry and exit are kept, they take no time.
  ``#`` begins a comment. There are no volumes; ``ccr`` draws some.

Source: github.com/wfcommons/WfFormat; www.kasahara.cs.waseda.ac.jp/schedule/format_e.html.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlsched.core.errors import ConfigError, InstanceError
from rlsched.envs.soc.files import MAX_NAME, Record, read_file, read_object
from rlsched.envs.soc.workload import (
    MAX_PES,
    MAX_TASKS,
    MAX_TICKS,
    MAX_VOLUME,
    Edge,
    Job,
    Pe,
    Soc,
    Workload,
)

GIGABIT = 125_000.0
"""Bytes per millisecond of a link of 1 Gbit/s."""
MILLISECOND = 0.001
MAX_RUNTIME_S, MAX_FILES, MAX_LINKS = 1e9, 1_000_000, 100_000


@dataclass(frozen=True)
class Platform:
    """The machines that a workflow runs on.

    Attributes:
        num_pes: how many.
        speeds: (num_pes,) of each, relative to the times in the file; empty = 1.
        heterogeneity: b; each task's time on each machine is multiplied by a number drawn evenly
            from 1 - b/2 to 1 + b/2, so that the machines are unrelated; 0 = not.
        bandwidth: volume per tick between two machines; inf = data are there at once.
        startup: ticks before the first data arrive.
        seed: of what is drawn.

    Raises:
        ConfigError: a value is out of range.
    """

    num_pes: int = 4
    speeds: tuple[float, ...] = ()
    heterogeneity: float = 0.0
    bandwidth: float = GIGABIT
    startup: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        allowed = {
            "num_pes": 1 <= self.num_pes <= MAX_PES,
            "speeds": len(self.speeds) in (0, self.num_pes)
            and all(0.001 <= speed <= 1000 for speed in self.speeds),
            "heterogeneity": 0 <= self.heterogeneity <= 2,
            "bandwidth": self.bandwidth > 0,
            "startup": 0 <= self.startup <= MAX_TICKS,
            "seed": self.seed >= 0,
        }
        for key, is_allowed in allowed.items():
            if not is_allowed:
                raise ConfigError(
                    f"platform: {key} = {getattr(self, key)!r:.60}; allowed: num_pes 1 to "
                    f"{MAX_PES}, one speed of 0.001 to 1000 for each or none, heterogeneity 0 to "
                    "2, bandwidth > 0, startup and seed >= 0."
                )

    def workload(
        self, name: str, tasks: Sequence[str], ticks: Sequence[float], edges: Sequence[Edge]
    ) -> Workload:
        """Return a workload of one job on these machines.

        Args:
            name: of the workload.
            tasks: (T,) names, all different.
            ticks: (T,) time of each task at speed 1.
            edges: precedences and volumes.

        Raises:
            InstanceError: the job is none, or a time is too long.
        """
        pes, half = range(self.num_pes), self.heterogeneity / 2
        spread = np.random.default_rng(self.seed).uniform(
            1 - half, 1 + half, (len(tasks), self.num_pes)
        )
        speeds = np.array(self.speeds or (1.0,) * self.num_pes)
        times = np.rint(np.array(ticks)[:, None] * spread / speeds).astype(np.int64)
        times = np.where(np.array(ticks)[:, None] > 0, np.maximum(times, 1), 0)
        rows = {kind: tuple(row) for kind, row in zip(tasks, times.tolist(), strict=True)}
        always = (math.inf,) * self.num_pes
        soc = Soc(
            f"{self.num_pes} machines",
            tuple(Pe(f"M{p + 1}") for p in pes),
            rows,
            tuple(tuple(math.inf if p == q else self.bandwidth for q in pes) for p in pes),
            tuple(tuple(0 if p == q else self.startup for q in pes) for p in pes),
            (always, always),
        )
        return Workload(name, soc, (Job(name, tuple(tasks), tuple(edges)),))


def read_wfcommons(
    path: str | Path, platform: Platform | None = None, tick_s: float = MILLISECOND
) -> Workload:
    """Read a WfCommons workflow.

    Args:
        path: of the file.
        platform: where it runs; None = four equal machines with links of 1 Gbit/s.
        tick_s: seconds of a tick; the platform's bandwidth is bytes per tick.

    Raises:
        InstanceError: the file cannot be read, or lacks what the format asks for.
    """
    record = read_object(path)
    workflow = Record(record.value("workflow", dict), f"{record.at}.workflow")
    name = record.text("name", Path(path).stem[:MAX_NAME])
    tasks = _workflow_tasks(workflow)
    number = {task.name: t for t, task in enumerate(tasks)}
    if len(number) < len(tasks):
        raise InstanceError(f"{workflow.at}: two tasks have one id; ids must differ.")
    for t, task in enumerate(tasks):
        number.setdefault(task.alias, t)
    edges = _workflow_edges(tasks, number, workflow.at)
    try:
        return (platform or Platform()).workload(
            name, [task.name for task in tasks], [task.runtime_s / tick_s for task in tasks], edges
        )
    except InstanceError as error:
        raise InstanceError(f"'{path}': {error}") from error


def is_wfcommons(path: str | Path) -> bool:
    """Return whether a JSON file is a WfCommons workflow, not our own."""
    return "workflow" in read_object(path).content


@dataclass
class _Task:
    """A task of a workflow; ``reads`` and ``writes`` are bytes by file."""

    name: str
    alias: str
    runtime_s: float
    parents: list[str]
    children: list[str]
    reads: dict[str, float]
    writes: dict[str, float]


def _workflow_tasks(workflow: Record) -> list[_Task]:
    """Return the tasks, whose runtimes stand elsewhere since WfFormat 1.5."""
    if "specification" not in workflow.content:
        return [_old_task(entry) for entry in workflow.records("tasks", MAX_TASKS)]
    specification = Record(workflow.value("specification", dict), f"{workflow.at}.specification")
    execution = Record(workflow.value("execution", dict), f"{workflow.at}.execution")
    runtimes = {
        entry.text("id"): entry.number("runtimeInSeconds", 0, MAX_RUNTIME_S)
        for entry in execution.records("tasks", MAX_TASKS)
    }
    sizes = {}
    if "files" in specification.content:
        for entry in specification.records("files", MAX_FILES):
            sizes[entry.text("id")] = entry.number("sizeInBytes", 0, MAX_VOLUME)
    tasks = specification.records("tasks", MAX_TASKS)
    return [_task(entry, runtimes, sizes) for entry in tasks]


def _task(entry: Record, runtimes: dict[str, float], sizes: dict[str, float]) -> _Task:
    name = entry.text("id")
    if name not in runtimes:
        raise InstanceError(
            f"{entry.at}: {name[:60]!r} has no runtime among the execution's tasks."
        )
    reads, writes = (
        {file: sizes.get(file, 0.0) for file in entry.texts(key, MAX_FILES, [])}
        for key in ("inputFiles", "outputFiles")
    )
    return _Task(name, entry.text("name", name), runtimes[name], *_kin(entry), reads, writes)


def _old_task(entry: Record) -> _Task:
    """Return a task of WfFormat 1.3 or 1.4."""
    key = "runtime" if "runtime" in entry.content else "runtimeInSeconds"
    name = entry.text("name")
    bytes_of: dict[str, dict[str, float]] = {"input": {}, "output": {}}
    for file in entry.records("files", MAX_FILES) if "files" in entry.content else ():
        size = "size" if "size" in file.content else "sizeInBytes"
        link = file.text("link")
        if link not in bytes_of:
            raise InstanceError(f"{file.at}: link = {link!r:.40}; allowed: input, output.")
        bytes_of[link][file.text("name")] = file.number(size, 0, MAX_VOLUME, 0.0)
    runtime = entry.number(key, 0, MAX_RUNTIME_S)
    reads, writes = bytes_of["input"], bytes_of["output"]
    return _Task(name, entry.text("id", name), runtime, *_kin(entry), reads, writes)


def _kin(entry: Record) -> tuple[list[str], list[str]]:
    return entry.texts("parents", MAX_LINKS, []), entry.texts("children", MAX_LINKS, [])


def _workflow_edges(tasks: list[_Task], number: dict[str, int], at: str) -> list[Edge]:
    """Return each precedence once, with the bytes that pass along it."""

    def known(name: str, of: _Task) -> int:
        if name not in number:
            raise InstanceError(f"{at}: task {of.name[:60]!r} names {name[:60]!r}, which is none.")
        return number[name]

    pairs = {(known(parent, task), t) for t, task in enumerate(tasks) for parent in task.parents}
    pairs |= {(t, known(child, task)) for t, task in enumerate(tasks) for child in task.children}
    return [
        (a, b, float(sum(size for file, size in tasks[a].writes.items() if file in tasks[b].reads)))
        for a, b in sorted(pairs)
    ]


def read_stg(path: str | Path, platform: Platform | None = None, ccr: float = 0.0) -> Workload:
    """Read a task graph of the Standard Task Graph set.

    Args:
        path: of the file.
        platform: where it runs; None = as many equal machines as the file says, or four, with 1
            unit of volume per tick.
        ccr: mean volume, as a multiple of the mean time of a task; each is drawn evenly from 0 to
            twice the mean.

    Raises:
        InstanceError: the file cannot be read, or a line is not understood or out of range.
    """
    lines = enumerate(read_file(path).splitlines(), 1)
    rows = [(f"'{path}' line {n}", line.partition("#")[0].split()) for n, line in lines]
    rows = [row for row in rows if row[1]]
    if not rows:
        raise InstanceError(f"'{path}': is empty; give the number of tasks and a line per task.")
    head = _numbers(*rows[0])
    count, num_pes = head[0], head[1] if len(head) > 1 else Platform.num_pes
    if not count <= len(rows) - 1 <= count + 2:
        raise InstanceError(
            f"'{path}': {len(rows) - 1} lines of tasks; the first line says {count}, and two dummy "
            "tasks at most."
        )
    if not 1 <= num_pes <= MAX_PES:
        raise InstanceError(f"{rows[0][0]}: {num_pes} processors; allowed: 1 to {MAX_PES}.")
    ticks, pairs = _stg_tasks(rows[1:])
    platform = platform or Platform(num_pes, bandwidth=1.0)
    mean = ccr * float(np.mean(ticks))
    volumes = np.random.default_rng([platform.seed, 1]).uniform(0, 2 * mean, len(pairs))
    edges = [(a, b, float(v)) for (a, b), v in zip(pairs, np.rint(volumes), strict=True)]
    name = Path(path).stem[:MAX_NAME]
    return platform.workload(name, [f"task_{t}" for t in range(len(ticks))], ticks, edges)


def _stg_tasks(rows: list[tuple[str, list[str]]]) -> tuple[list[int], list[tuple[int, int]]]:
    """Return times and precedences; tasks count from 0, also where the file counts from 1."""
    ticks, pairs = list[int](), list[tuple[int, int]]()
    first = _numbers(*rows[0])[0]
    for t, (at, words) in enumerate(rows):
        number, time, num_before, *before = [*_numbers(at, words), *(-1,) * (3 - len(words))]
        if number != first + t or num_before != len(before) or time > MAX_TICKS:
            raise InstanceError(
                f"{at}: give task {first + t}, its time of at most {MAX_TICKS}, the number of its "
                "predecessors, and as many numbers of tasks."
            )
        ticks.append(time)
        pairs.extend((source - first, t) for source in before)
    return ticks, pairs


def _numbers(at: str, words: list[str]) -> list[int]:
    for word in words:
        if not re.fullmatch(r"[0-9]{1,9}", word):
            raise InstanceError(f"{at}: {word[:40]!r}; only whole numbers >= 0 are allowed.")
    return [int(word) for word in words]
