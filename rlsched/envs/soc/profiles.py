"""The field's SoCs and jobs by name.

- SoCs: ``gym_ds3/Top`` (P3 of DeepSoCS and SoCRATES, with the operating points of its files),
  ``ds3/Top`` (the same times in DS3), ``ds3/MULTIPLE_BAL`` (LITTLE and big clusters and three kinds
  of accelerators) and ``ds3/BAL_only`` (the two clusters). In those a cluster is one PE that runs
  four tasks; with ``_cores`` at the end of the name each of its cores is a PE, as DS3 unrolls them.
- Jobs: ``gym_ds3/Top_1`` (also ``gym_ds3/Top``) to ``gym_ds3/Top_10``; ``ds3/WiFi_TX``,
  ``ds3/WiFi_RX``, ``ds3/range_detection``, ``ds3/SC_TX``, ``ds3/SC_RX``,
  ``ds3/temporal_mitigation``; ``gym_ds3/all`` and ``ds3/all`` are all of a family.

The numbers stand in ``profiles.json``, with entries as in ``soc_json.py``. Types of task that take
equally long have one name. A viterbi decoder and a descrambler take the times of WiFi in SC-RX
too, as they do in DS3, which never reads the second entries of those names. The power of
``gym_ds3/Top`` is that of an A15 core; its files repeat the times there.

Source: EpiSci/SoCRATES, gym_ds3; segemena/DS3 v1; Arda et al. (2020), "DS3: A System-Level
Domain-Specific System-on-Chip Simulation Framework", IEEE Transactions on Computers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from rlsched.core.errors import UnknownName
from rlsched.envs.soc.files import read_object
from rlsched.envs.soc.soc_json import read_job, read_schema, read_soc
from rlsched.envs.soc.workload import Job, Pe, Soc, Workload

PROFILES = Path(__file__).with_name("profiles.json")
CORES = "_cores"
CORE_BANDWIDTH = 1000.0
"""Volume per tick from one core of a cluster to another, in DS3's real SoCs."""
ALL = "all"
SAME_AS = {"gym_ds3/Top": "gym_ds3/Top_1"}
DEFAULT_SOC = {"gym_ds3": "gym_ds3/Top", "ds3": "ds3/MULTIPLE_BAL"}
"""Of a family of jobs."""


def builtin_soc(name: str) -> Soc:
    """Return a SoC of the field by its name.

    Raises:
        UnknownName: there is none of that name.
    """
    socs = _socs()
    if name not in soc_names():
        raise UnknownName("soc", name, soc_names())
    if name in socs:
        return socs[name]
    return split_cores(socs[name.removesuffix(CORES)], CORE_BANDWIDTH)


def soc_names() -> tuple[str, ...]:
    """Return the names of the SoCs."""
    clusters = [name for name, soc in _socs().items() if max(pe.capacity for pe in soc.pes) > 1]
    return (*_socs(), *(name + CORES for name in clusters))


def job_names() -> tuple[str, ...]:
    """Return the names of the jobs, without those that stand for several or for another."""
    return tuple(_jobs())


def builtin_jobs(names: str | Iterable[str]) -> tuple[Job, ...]:
    """Return jobs of the field by their names, each once.

    Args:
        names: such as ``gym_ds3/all`` or ``ds3/WiFi_TX,ds3/WiFi_RX``; commas or a list.

    Raises:
        UnknownName: there is none of that name.
    """
    given = names.split(",") if isinstance(names, str) else names
    found = dict.fromkeys(full for name in given for full in _expanded(name.strip()))
    return tuple(_jobs()[name] for name in found)


def builtin_workload(names: str | Iterable[str], soc: str = "") -> Workload:
    """Return jobs of the field on a SoC of the field.

    Args:
        names: of the jobs, see :func:`builtin_jobs`.
        soc: name of the SoC; empty = that of the first job's family.

    Raises:
        UnknownName: there is none of that name.
        InstanceError: the SoC cannot run a job.
    """
    jobs = builtin_jobs(names)
    label = names if isinstance(names, str) else ",".join(names)
    soc_name = soc or DEFAULT_SOC[jobs[0].name.partition("/")[0]]
    return Workload(f"{label}@{soc}" if soc else label, builtin_soc(soc_name), jobs)


def split_cores(soc: Soc, core_bandwidth: float) -> Soc:
    """Return a SoC in which each PE of capacity n has become n PEs of capacity 1.

    A core draws what the PE drew with one task.

    Args:
        soc: with clusters.
        core_bandwidth: volume per tick between cores of one PE; a core to itself has the PE's own.
    """
    core_of = [p for p, pe in enumerate(soc.pes) for _ in range(pe.capacity)]
    cores = range(len(core_of))

    def bandwidth(a: int, b: int) -> float:
        p, q = core_of[a], core_of[b]
        return core_bandwidth if p == q and a != b else soc.bandwidth[p][q]

    to_memory, from_memory = (tuple(row[p] for p in core_of) for row in soc.memory_bandwidth)
    return Soc(
        soc.name + CORES,
        tuple(_core(soc, p, c) for c, p in enumerate(core_of)),
        {kind: tuple(row[p] for p in core_of) for kind, row in soc.times.items()},
        tuple(tuple(bandwidth(a, b) for b in cores) for a in cores),
        tuple(tuple(soc.startup[p][q] for q in core_of) for p in core_of),
        (to_memory, from_memory),
    )


def _core(soc: Soc, pe: int, core: int) -> Pe:
    cluster = soc.pes[pe]
    return replace(cluster, name=f"{cluster.name}_{core}", capacity=1, power=cluster.power[:1])


def _expanded(name: str) -> list[str]:
    """Return the full names of the jobs that a name stands for."""
    family, _, rest = name.partition("/")
    if rest == ALL and family in DEFAULT_SOC:
        return [full for full in _jobs() if full.startswith(f"{family}/")]
    name = SAME_AS.get(name, name)
    if name not in _jobs():
        alls = (f"{family}/{ALL}" for family in DEFAULT_SOC)
        raise UnknownName("job", name, [*_jobs(), *SAME_AS, *alls])
    return [name]


@cache
def _socs() -> dict[str, Soc]:
    return {soc.name: soc for soc in _profiles()[0]}


@cache
def _jobs() -> dict[str, Job]:
    return {job.name: job for job in _profiles()[1]}


@cache
def _profiles() -> tuple[list[Soc], list[Job]]:
    record = read_object(PROFILES)
    read_schema(record)
    socs = [read_soc(entry) for entry in record.records("socs", 100)]
    jobs = [read_job(entry) for entry in record.records("jobs", 100)]
    record.finish()
    return socs, jobs
