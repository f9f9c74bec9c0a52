"""SoC and job files of DS3, in the dialects of DS3 v1 and of its first version and gym_ds3.

A SoC file holds, for each PE in the order of their numbers, a line in one of the dialects, its
operating points, and its times; the last PE is memory (``MEM``), cache lines (``CAC``) may follow::

    add_new_resource resource_type BIG resource_name A15 resource_ID 1 capacity 4
        num_supported_functionalities 2 DVFS_mode performance          (one line, DS3 v1)
    add_new_resource BIG A15 1 4 2 performance                         (DS3's first and gym_ds3)
    opp 1000 1000
    power_profile 1000 0.85 1.30 1.58 1.78
    fft_1 114
    crc_1 3

and then ``comm_band_self 10000`` (v1) and ``comm_band 0 1 1000`` for pairs of PEs, in DS3's first
version for pairs of cores; pairs that are not given have bandwidth 1. Bandwidths hold both ways. A
cluster of capacity n is one PE that runs n tasks, and data within it pass at ``comm_band_self``;
``split_cores`` makes PEs of its cores, as DS3 does. In a PE the first time of a type counts; times
are rounded up to whole ticks. What DS3 reads and this model has no use for is skipped:
``trip_freq``, ``DTPM_trip_freq``, ``PG_profile``, ``mesh_information``, DVFS modes, and gym_ds3's
power behind each time.

A job file holds ``job_name NAME``, ``add_new_tasks N``, for each task ``TYPE NUMBER PREDECESSORS``,
and ``comm_vol FROM TO VOLUME`` for each precedence. Lines with ``HEAD``, ``TAIL`` or
``earliest_start`` behind the type are skipped; DS3 does not use them either.

``#`` begins a comment.

Source: the parsers and files of segemena/DS3 and EpiSci/SoCRATES.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from rlsched.core.errors import InstanceError
from rlsched.envs.soc.files import MAX_NAME, read_file
from rlsched.envs.soc.workload import (
    MAX_CAPACITY,
    MAX_PES,
    MAX_TASKS,
    MAX_TICKS,
    MAX_VOLUME,
    NOT_SUPPORTED,
    Job,
    Pe,
    Soc,
    Workload,
)

RESOURCE, OWN_BAND, BAND = "add_new_resource", "comm_band_self", "comm_band"
SKIPPED = {"trip_freq", "DTPM_trip_freq", "PG_profile", "mesh_information"}
NO_PE = ("MEM", "CAC")
"""Types of resources that run nothing."""
ACCELERATOR = "ACC"
DEFAULT_BANDWIDTH = 1.0
"""Source: both parsers begin with a matrix of ones."""
TYPE, NAME, NUMBER, CAPACITY, TIMES = range(5)
V1_WORDS = 12
"""Words of a resource's line in v1: each value has its key before it."""


def read_ds3(soc_path: str | Path, job_paths: list[str | Path]) -> Workload:
    """Read a SoC file and files of jobs that run on it.

    Raises:
        InstanceError: a file cannot be read, a line is not understood or out of range, or the SoC
            cannot run a task.
    """
    soc = read_ds3_soc(soc_path)
    jobs = tuple(read_ds3_job(path) for path in job_paths)
    names = "+".join(Path(path).stem for path in [soc_path, *job_paths])
    return Workload(names[:MAX_NAME], soc, jobs)


def is_ds3_soc(path: str | Path) -> bool:
    """Return whether a text file is a SoC file, not a job file."""
    return any(words[0] == RESOURCE for _, words in _lines(path))


@dataclass
class _Resource:
    """A resource as far as it has been read.

    Attributes:
        kind: its type.
        name: its name.
        capacity: tasks that run at once.
        left: times that are due.
        num_numbers: how many numbers of ``comm_band`` are its: one, in the first dialect one for
            each core.
        opps: operating points.
        power: W by MHz.
        times: ticks by type of task.
    """

    kind: str
    name: str
    capacity: int
    left: int
    num_numbers: int
    opps: list[tuple[int, int]] = field(default_factory=list)
    power: dict[int, tuple[float, ...]] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)


def read_ds3_soc(path: str | Path) -> Soc:
    """Read a SoC file of either dialect.

    Raises:
        InstanceError: the file cannot be read, or a line is not understood or out of range.
    """
    resources: list[_Resource] = []
    bands: dict[tuple[int, int], float] = {}
    own: float | None = None
    for at, words in _lines(path):
        if resources and resources[-1].left > 0:
            _read_detail(resources[-1], words, at)
        elif words[0] == RESOURCE:
            resources.append(_resource(words, len(resources), at))
        elif words[0] == OWN_BAND:
            own = _number(words, 1, "bandwidth", 0, MAX_VOLUME, at)
        elif words[0] == BAND:
            _read_band(resources, bands, words, at)
        elif words[0] not in SKIPPED:
            raise InstanceError(
                f"{at}: {words[0][:40]!r} is not understood; give add_new_resource, comm_band or "
                "comm_band_self, and no more times than the resource's line says."
            )
    return _soc(Path(path), resources, bands, own)


def _resource(words: list[str], number: int, at: str) -> _Resource:
    """Return the resource of a line; v1 names each value, the first dialect does not."""
    has_keys = len(words) >= V1_WORDS
    values = words[2::2] if has_keys else words[1:]
    if len(values) < TIMES + 1:
        raise InstanceError(
            f"{at}: give add_new_resource TYPE NAME ID CAPACITY NUMBER_OF_TIMES DVFS_MODE, or each "
            "with its key before it."
        )
    if _whole(values, NUMBER, "resource_ID", 0, MAX_PES, at) != number:
        raise InstanceError(f"{at}: resource_ID = {values[NUMBER]}; give {number}, the next one.")
    capacity = _whole(values, CAPACITY, "capacity", 1, MAX_CAPACITY, at)
    num_times = _whole(values, TIMES, "number of times", 1, MAX_TASKS, at)
    num_numbers = 1 if has_keys else capacity
    return _Resource(values[TYPE], values[NAME][:MAX_NAME], capacity, num_times, num_numbers)


def _read_detail(resource: _Resource, words: list[str], at: str) -> None:
    """Read a line below a resource's own."""
    if words[0] in (RESOURCE, OWN_BAND, BAND):
        raise InstanceError(
            f"{at}: {words[0]!r} where {resource.left} times of {resource.name!r} are due; its "
            "line says how many it has."
        )
    if words[0] == "opp":
        mhz, mv = (_whole(words, i, what, 1, 100_000, at) for i, what in ((1, "MHz"), (2, "mV")))
        resource.opps.append((mhz, mv))
    elif words[0] == "power_profile":
        mhz = _whole(words, 1, "MHz", 1, 100_000, at)
        watts = (_number(words, i, "power", 0, 999_999, at) for i in range(2, len(words)))
        resource.power[mhz] = tuple(watts)
    elif words[0] not in SKIPPED:
        ticks = _number(words, 1, "time", 0, MAX_TICKS, at)
        resource.times.setdefault(words[0][:MAX_NAME], math.ceil(ticks))
        resource.left -= 1


def _read_band(
    resources: list[_Resource], bands: dict[tuple[int, int], float], words: list[str], at: str
) -> None:
    """Read the bandwidth of a pair; one of two cores of the same PE is left out."""
    numbered = [r for r, resource in enumerate(resources) for _ in range(resource.num_numbers)]
    i, j = (_whole(words, k, "resource", 0, len(numbered) - 1, at) for k in (1, 2))
    value = _number(words, 3, "bandwidth", 0, MAX_VOLUME, at)
    a, b = numbered[i], numbered[j]
    if a != b or i == j:
        bands[a, b] = bands[b, a] = value


def _soc(
    path: Path,
    resources: list[_Resource],
    bands: dict[tuple[int, int], float],
    own: float | None,
) -> Soc:
    if resources and resources[-1].left > 0:
        raise InstanceError(
            f"'{path}' ends where {resources[-1].left} times of {resources[-1].name!r} are due; is "
            "it cut off?"
        )
    used = [r for r, resource in enumerate(resources) if resource.kind not in NO_PE]
    memory = [r for r, resource in enumerate(resources) if resource.kind == "MEM"]
    if not used:
        raise InstanceError(
            f"'{path}': no PE; give add_new_resource lines of another type than MEM."
        )

    def band(a: int, b: int) -> float:
        value = own if a == b and own is not None else bands.get((a, b), DEFAULT_BANDWIDTH)
        if not value > 0:
            raise InstanceError(f"'{path}': comm_band {a} {b} is {value:g}; must be > 0.")
        return value

    to_memory = tuple(band(r, memory[0]) if memory else math.inf for r in used)
    kinds = dict.fromkeys(kind for r in used for kind in resources[r].times)
    return Soc(
        path.stem[:MAX_NAME],
        tuple(_pe(resources[r]) for r in used),
        {kind: tuple(resources[r].times.get(kind, NOT_SUPPORTED) for r in used) for kind in kinds},
        tuple(tuple(band(a, b) for b in used) for a in used),
        tuple((0,) * len(used) for _ in used),
        (to_memory, to_memory),
    )


def _pe(resource: _Resource) -> Pe:
    """Return the PE; power is that of the highest profile, for as many tasks as it runs."""
    power = resource.power[max(resource.power)] if resource.power else ()
    return Pe(
        resource.name,
        resource.kind,
        resource.capacity,
        tuple(sorted(resource.opps)) or Pe("").opps,
        power or (0.0,) * resource.capacity,
        not resource.kind.startswith(ACCELERATOR),
    )


def read_ds3_job(path: str | Path) -> Job:
    """Read a job file.

    Raises:
        InstanceError: the file cannot be read, or a line is not understood or out of range.
    """
    name, tasks, needs = Path(path).stem[:MAX_NAME], list[str](), list[tuple[int, int]]()
    volumes: dict[tuple[int, int], float] = {}
    count = -1
    for at, words in _lines(path):
        if words[0] == "job_name":
            name = " ".join(words[1:])[:MAX_NAME] or name
        elif words[0] == "add_new_tasks":
            count = _whole(words, 1, "number of tasks", 1, MAX_TASKS, at)
        elif words[0] == "comm_vol":
            a, b = (_whole(words, i, "task", 0, count - 1, at) for i in (1, 2))
            volumes[a, b] = _number(words, 3, "volume", 0, MAX_VOLUME, at)
        elif len(words) < 2 or re.fullmatch(r"HEAD|TAIL|earliest_start", words[1]) is None:
            task = _whole(words, 1, "task", len(tasks), len(tasks), at)
            before = (
                _whole(words, i, "predecessor", 0, count - 1, at) for i in range(2, len(words))
            )
            needs.extend((source, task) for source in before)
            tasks.append(words[0][:MAX_NAME])
    if len(tasks) != count:
        raise InstanceError(f"'{path}': {len(tasks)} tasks; add_new_tasks says {max(count, 0)}.")
    return Job(name, tuple(tasks), _edges(needs, volumes, path))


def _edges(
    needs: list[tuple[int, int]], volumes: dict[tuple[int, int], float], path: str | Path
) -> tuple[tuple[int, int, float], ...]:
    """Return the precedences with their volumes, in the volumes' order."""
    known = set(needs)
    for source, target in volumes:
        if (source, target) not in known:
            raise InstanceError(
                f"'{path}': comm_vol {source} {target}, but task {target} does not name {source} "
                "as its predecessor."
            )
    without = sorted(known - volumes.keys())
    return (*((a, b, v) for (a, b), v in volumes.items()), *((a, b, 0.0) for a, b in without))


def _lines(path: str | Path) -> list[tuple[str, list[str]]]:
    """Return the place and the words of each line that holds something."""
    lines = enumerate(read_file(path).splitlines(), 1)
    found = [(f"'{path}' line {n}", line.partition("#")[0].split()) for n, line in lines]
    return [(at, words) for at, words in found if words]


def _word(words: list[str], i: int, what: str, at: str) -> str:
    if i >= len(words):
        raise InstanceError(f"{at} ends where a {what} is due.")
    return words[i]


def _whole(words: list[str], i: int, what: str, low: int, high: int, at: str) -> int:
    word = _word(words, i, what, at)
    if not re.fullmatch(r"[0-9]{1,9}", word) or not low <= int(word) <= high:
        raise InstanceError(f"{at}: {what} {word[:40]!r}; allowed: whole numbers {low} to {high}.")
    return int(word)


def _number(words: list[str], i: int, what: str, low: float, high: float, at: str) -> float:
    word = _word(words, i, what, at)
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{0,15})?", word) or not low <= float(word) <= high:
        raise InstanceError(f"{at}: {what} {word[:40]!r}; allowed: {low:g} to {high:g}.")
    return float(word)
