"""Job-shop files: the field's three text formats and our JSON of a live shop floor.

- Standard text (``.txt`` or no suffix, as ``la01``): ``J M``, then a line per job of machine and
  time pairs, machines from 0. Jobs have equally many operations.
- Taillard's text (``.txt`` or no suffix): a header line, ``J M ...``, ``Times`` and J lines of
  times, ``Machines`` and J lines of machines from 1; header and titles may be missing. A file may
  hold several instances.
- Brandimarte's flexible job shops (``.fjs``): ``J M [average]``, then a line per job: the number of
  operations, and for each the number of its machines and as many pairs of machine, from 1, and
  time.
- Our JSON of a live shop floor (``.json``), see ``floor_json.py``.

In text ``#`` begins a comment. All numbers are whole; nothing here executes what it reads.

Source: the standard form as in JSPLIB (github.com/tamy0612/JSPLIB); Taillard (1993); Brandimarte
(1993).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from rlsched.core.errors import InstanceError
from rlsched.envs.jobshop.benchmarks import RANGES, load_benchmarks
from rlsched.envs.jobshop.files import (
    MAX_ALTERNATIVES,
    MAX_JOBS,
    MAX_MACHINES,
    Route,
    checked_shop,
    read_file,
    routes,
    write_lines,
)
from rlsched.envs.jobshop.floor_json import read_json
from rlsched.envs.jobshop.shop import MAX_TICKS, NO_DUE_DATE, Shop

TITLES = ("nb", "number", "times", "machines")
"""First words of Taillard's titles."""
BENCHMARK_NAMES = re.compile(r"\s*[A-Za-z]+\d+(\s*(,|\.\.)\s*[A-Za-z]+\d+)*\s*")


def load_instances(path: str | Path) -> list[Shop]:
    """Read shops from a file, from all files of a folder by name, or by benchmark names.

    Args:
        path: a ``.txt``, ``.fjs``, ``.json`` or suffixless file; a folder of those (suffixless ones
            count if their name ends in a digit, as ``la01``); or names as ``ft06,la01..la05``.

    Raises:
        InstanceError: there is no such thing, or a file that a reader refuses.
        UnknownName: a benchmark name is unknown.
    """
    path = Path(path)
    if os.path.isdir(path):  # not path.is_dir(), which fails on long lists of names
        files = sorted(f for f in path.iterdir() if f.is_file() and _is_instance(f))
        if not files:
            raise InstanceError(
                f"'{path}' holds no .txt, .fjs or .json file; name a folder that does."
            )
        return [shop for file in files for shop in load_instances(file)]
    if not os.path.exists(path) and BENCHMARK_NAMES.fullmatch(str(path)):
        return load_benchmarks(str(path))
    if _suffix(path) not in READERS:
        raise InstanceError(
            f"'{path}': unknown suffix; allowed: .txt, .fjs, .json, none, a folder of those, or "
            f"benchmark names: {', '.join(RANGES)}."
        )
    return READERS[_suffix(path)](path)


def _suffix(path: Path) -> str:
    return path.suffix.lower()


def _is_instance(path: Path) -> bool:
    return _suffix(path) in READERS and bool(path.suffix or path.name[-1].isdigit())


def read_text(path: str | Path) -> list[Shop]:
    """Read a standard or a Taillard file: titles, or two lines per job, make it Taillard's.

    Raises:
        InstanceError: the file cannot be read, or is neither.
    """
    lines = _Lines(Path(path))
    if any(words[0].lower().startswith(TITLES) for _, words in lines.rows):
        return _taillard(lines)
    num_jobs, _ = lines.sizes(more=True)
    lines.position = 0
    return _taillard(lines) if len(lines.rows) == 1 + 2 * num_jobs else [_standard(lines)]


def _standard(lines: _Lines) -> Shop:
    num_jobs, num_machines = lines.sizes()
    jobs: list[Route] = []
    for j in range(num_jobs):
        row = lines.take(f"the line of job {j} of {num_jobs}")
        jobs.append([])
        while row.rest or not jobs[-1]:
            machine = row.number("machine", 0, num_machines - 1)
            jobs[-1].append([(machine, row.number("time", 0, MAX_TICKS))])
        if len(jobs[-1]) != len(jobs[0]):
            raise InstanceError(
                f"{row.at}: {len(jobs[-1])} operations, the jobs before it have {len(jobs[0])}; "
                "jobs of unequal length go into an .fjs or a .json file."
            )
    lines.finish(f"{num_jobs} jobs")
    return lines.shop(jobs, num_machines)


def _taillard(lines: _Lines) -> list[Shop]:
    shops = []
    while lines.position < len(lines.rows):
        lines.skip_title("nb", "number")
        num_jobs, num_machines = lines.sizes(more=True)
        lines.skip_title("times")
        times = _matrix(lines, "times", num_jobs, 0, MAX_TICKS)
        lines.skip_title("machines")
        machines = _matrix(lines, "machines", num_jobs, 1, num_machines, len(times[0]))
        jobs = [
            [[(m - 1, t)] for m, t in zip(ms, ts, strict=True)]
            for ms, ts in zip(machines, times, strict=True)
        ]
        shops.append((jobs, num_machines))
    if len(shops) == 1:
        return [lines.shop(*shops[0])]
    return [lines.shop(*shop, suffix=f"-{i + 1}") for i, shop in enumerate(shops)]


def _matrix(
    lines: _Lines, what: str, num_jobs: int, low: int, high: int, length: int = 0
) -> list[list[int]]:
    """Return a line of numbers per job, all of one length."""
    matrix: list[list[int]] = []
    for j in range(num_jobs):
        row = lines.take(f"the {what} of job {j} of {num_jobs}")
        matrix.append([row.number(what[:-1], low, high) for _ in range(len(row.rest))])
        length = length or len(matrix[0])
        if len(matrix[-1]) != length:
            raise InstanceError(
                f"{row.at}: {len(matrix[-1])} {what}; give {length}, one for each operation; jobs "
                "of unequal length go into an .fjs or a .json file."
            )
    return matrix


def read_fjs(path: str | Path) -> list[Shop]:
    """Read a flexible job shop in Brandimarte's format.

    Raises:
        InstanceError: the file cannot be read, or a line is incomplete or out of range.
    """
    lines = _Lines(Path(path))
    num_jobs, num_machines = lines.sizes(more=True)
    jobs: list[Route] = []
    for j in range(num_jobs):
        row = lines.take(f"the line of job {j} of {num_jobs}")
        jobs.append([])
        for _ in range(row.number("number of operations", 1, MAX_ALTERNATIVES)):
            alternatives: dict[int, int] = {}
            for _ in range(row.number("number of machines", 1, num_machines)):
                machine = row.number("machine", 1, num_machines) - 1
                if machine in alternatives:
                    raise InstanceError(f"{row.at}: machine {machine + 1} twice in one operation.")
                alternatives[machine] = row.number("time", 0, MAX_TICKS)
            jobs[-1].append(list(alternatives.items()))
        row.finish(f"its {len(jobs[-1])} operations")
    lines.finish(f"{num_jobs} jobs")
    return [lines.shop(jobs, num_machines)]


class _Row:
    """The numbers of one line, taken from the left."""

    def __init__(self, at: str, words: list[str]) -> None:
        self.at, self.rest = at, words[::-1]

    def number(self, what: str, low: int, high: int) -> int:
        """Take the next number, which must be whole and in a range."""
        if not self.rest:
            raise InstanceError(f"{self.at} ends where a {what} is due; allowed: {low} to {high}.")
        word = self.rest.pop()
        if not re.fullmatch(r"[0-9]{1,18}", word) or not low <= int(word) <= high:
            raise InstanceError(
                f"{self.at}: {what} {word[:40]!r}; allowed: whole numbers {low} to {high}."
            )
        return int(word)

    def finish(self, what: str) -> None:
        """Refuse numbers that are left over."""
        if self.rest:
            raise InstanceError(
                f"{self.at}: {self.rest[-1][:40]!r} is left over after {what}; take it out."
            )


class _Lines:
    """The lines of a text file that hold something, taken from the top."""

    def __init__(self, path: Path) -> None:
        self.path, self.position = path, 0
        text = enumerate(read_file(path).splitlines(), 1)
        words = ((number, line.partition("#")[0].split()) for number, line in text)
        self.rows = [row for row in words if row[1]]
        if not self.rows:
            raise InstanceError(f"'{path}': is empty; give 'J M' and the jobs.")

    def take(self, what: str) -> _Row:
        """Take the next line."""
        if self.position == len(self.rows):
            raise InstanceError(f"'{self.path}' ends where {what} is due; is it cut off?")
        number, words = self.rows[self.position]
        self.position += 1
        return _Row(f"'{self.path}' line {number}", words)

    def skip_title(self, *words: str) -> None:
        """Step over a line that begins with one of these words."""
        if self.position < len(self.rows):
            first = self.rows[self.position][1][0]
            self.position += first.lower().startswith(words)

    def sizes(self, more: bool = False) -> tuple[int, int]:
        """Take the numbers of jobs and machines; ``more``: others may follow."""
        row = self.take("'J M'")
        sizes = (
            row.number("number of jobs", 1, MAX_JOBS),
            row.number("number of machines", 1, MAX_MACHINES),
        )
        if not more:
            row.finish("the numbers of jobs and machines")
        return sizes

    def finish(self, what: str) -> None:
        """Refuse lines that are left over."""
        if self.position < len(self.rows):
            number, words = self.rows[self.position]
            raise InstanceError(
                f"'{self.path}' line {number}: {' '.join(words)[:40]!r} is left over after {what}; "
                "take it out, or correct the first line."
            )

    def shop(self, jobs: list[Route], num_machines: int, suffix: str = "") -> Shop:
        """Return the shop, named after the file."""
        return checked_shop(self.path, jobs, num_machines, name=f"{self.path.stem}{suffix}")


READERS = {"": read_text, ".txt": read_text, ".fjs": read_fjs, ".json": read_json}


def write_standard(path: str | Path, shop: Shop) -> None:
    """Write a standard text file.

    Raises:
        InstanceError: the shop has what the format cannot hold; write a ``.json`` then.
    """
    _check_holds(path, shop, "the standard text", is_plain=True)
    rows = [" ".join(f"{m} {t}" for ((m, t),) in route) for route in routes(shop)]
    write_lines(path, [f"{shop.num_jobs} {shop.num_machines}", *rows])


def write_taillard(path: str | Path, shop: Shop) -> None:
    """Write a Taillard text file.

    Raises:
        InstanceError: the shop has what the format cannot hold; write a ``.json`` then.
    """
    _check_holds(path, shop, "Taillard's text", is_plain=True)
    jobs = routes(shop)
    times = [" ".join(str(t) for ((_, t),) in route) for route in jobs]
    machines = [" ".join(str(m + 1) for ((m, _),) in route) for route in jobs]
    sizes = f"{shop.num_jobs} {shop.num_machines}"
    write_lines(path, ["Nb of jobs, Nb of Machines", sizes, "Times", *times, "Machines", *machines])


def write_fjs(path: str | Path, shop: Shop) -> None:
    """Write a flexible job shop in Brandimarte's format.

    Raises:
        InstanceError: the shop has what the format cannot hold; write a ``.json`` then.
    """
    _check_holds(path, shop, "the .fjs format", is_plain=False)
    rows = []
    for route in routes(shop):
        ops = [" ".join([str(len(op)), *(f"{m + 1} {t}" for m, t in op)]) for op in route]
        rows.append(" ".join([str(len(route)), *ops]))
    average = len(shop.alt_machine) / shop.num_ops
    write_lines(path, [f"{shop.num_jobs} {shop.num_machines} {average:.3g}", *rows])


def _check_holds(path: str | Path, shop: Shop, form: str, is_plain: bool) -> None:
    """Refuse what a text format would lose."""
    lost = {
        "release times": shop.release.any(),
        "due dates": (shop.due != NO_DUE_DATE).any(),
        "weights": (shop.weight != 1).any(),
        "maintenance windows": len(shop.windows),
        "a floor": shop.floor is not None,
        "names of jobs": shop.job_names,
        "names of machines": shop.machine_names,
    }
    if is_plain:
        lost["several machines for an operation"] = shop.is_flexible
        lost["jobs of unequal length"] = len(set(np.diff(shop.op_begin).tolist())) > 1
    found = [what for what, is_there in lost.items() if is_there]
    if found:
        raise InstanceError(
            f"'{path}': {shop.name or 'shop'} has {', '.join(found)}, which {form} cannot hold; "
            "write an .fjs file if it is only the routes, else a .json file."
        )
