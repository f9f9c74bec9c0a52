"""What the readers and writers of job-shop files share: limits, safe reading, routes as lists."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from rlsched.core.errors import InstanceError
from rlsched.envs.jobshop.benchmarks import RANGES
from rlsched.envs.jobshop.shop import Shop

MAX_BYTES = 8 * 2**20
"""Of a file; about 500 times the largest benchmark (ta80, 100 jobs on 20 machines)."""
MAX_JOBS, MAX_MACHINES, MAX_ALTERNATIVES = 10_000, 10_000, 1_000_000
Route = list[list[tuple[int, int]]]
"""A job: operations of (machine, ticks) alternatives."""


def read_file(path: Path) -> str:
    """Return the text of a file, no more than ``MAX_BYTES`` of it."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("not a regular file")
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InstanceError(f"'{path}': more than {MAX_BYTES} bytes; split the file.")
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise InstanceError(
            f"'{path}': cannot be read ({error}); give a text file, a folder, or benchmark names: "
            f"{', '.join(RANGES)}."
        ) from error


def checked_shop(path: Path, jobs: list[Route], num_machines: int, **rest: Any) -> Shop:
    """Return a shop, or say of which file it cannot be one."""
    size = sum(len(op) for job in jobs for op in job)
    if size > MAX_ALTERNATIVES:
        raise InstanceError(
            f"'{path}': {size} machines of operations; at most {MAX_ALTERNATIVES} are allowed."
        )
    try:
        return Shop.from_jobs(jobs, num_machines, **rest)
    except InstanceError as error:
        raise InstanceError(f"'{path}': {error}") from error


def routes(shop: Shop) -> list[Route]:
    """Return every job's route."""
    begin = shop.op_begin.tolist()
    return [[shop.alternatives(op) for op in range(first, end)] for first, end in pairwise(begin)]


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines of text."""
    Path(path).write_text("\n".join([*lines, ""]), "utf-8")
