"""Our JSON of a live shop floor, which holds everything that a shop knows.

``?`` marks what may be left out::

    {"name"?: "hall 3", "clock"?: 120,
     "machines": [{"name": "M1", "down_until"?: 140, "windows"?: [[200, 230]]}, ...],
     "jobs": [{"name": "J7", "release"?: 0, "due"?: 300, "weight"?: 2,
               "operations": [{"machine": "M1", "time": 12}, {"machines": {"M1": 9, "M2": 15}}],
               "done"?: 1, "on"?: "M2", "left"?: 4, "in_buffer_of"?: "M1",
               "waiting_since"?: 95}, ...]}

``done`` counts the finished operations; a job ``on`` a machine works there if it has ticks
``left``, else it has finished there and blocks. A job that waits has done so since its release, or
since now once it has been started, unless ``waiting_since`` says otherwise. With ``clock`` or any
of these the shop has a floor. All numbers are whole; unknown keys are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rlsched.core.errors import InstanceError
from rlsched.envs.jobshop.files import (
    MAX_JOBS,
    MAX_MACHINES,
    Route,
    checked_shop,
    read_file,
    routes,
    write_lines,
)
from rlsched.envs.jobshop.shop import MAX_TICKS, MAX_WEIGHT, NO_DUE_DATE, Floor, Shop

MAX_NAME = 100
"""Characters of a name."""
STATE_KEYS = {"done", "on", "left", "in_buffer_of", "waiting_since"}


def read_json(path: str | Path) -> list[Shop]:
    """Read a live shop floor; see the module for its keys.

    Raises:
        InstanceError: the file cannot be read, a key is unknown or missing, or a value is out of
            range or contradicts another.
    """
    path = Path(path)
    record = _Record(_parse(path), f"'{path}'")
    name = record.text("name", path.stem[:MAX_NAME])
    clock = record.number("clock", 0, MAX_TICKS, None)
    machines = [_Machine(m, clock or 0) for m in record.records("machines", MAX_MACHINES)]
    places = _numbered([machine.name for machine in machines], f"'{path}'.machines")
    jobs = [_Job(job, places, clock or 0) for job in record.records("jobs", MAX_JOBS)]
    job_names = _numbered([job.name for job in jobs], f"'{path}'.jobs")
    record.finish()
    shop = checked_shop(
        path,
        [job.route for job in jobs],
        len(machines),
        release=[job.release for job in jobs],
        due=[job.due for job in jobs],
        weight=[job.weight for job in jobs],
        windows=[(m, *window) for m, machine in enumerate(machines) for window in machine.windows],
        floor=_floor(clock, machines, jobs),
        name=name,
        job_names=_unless_numbers(job_names),
        machine_names=_unless_numbers(places),
    )
    return [shop]


class _Machine:
    """A machine's entry, read."""

    def __init__(self, entry: _Record, clock: int) -> None:
        self.name = entry.text("name")
        self.down_until = entry.number("down_until", clock + 1, MAX_TICKS, 0)
        self.windows = _windows(entry)
        entry.finish()


def _windows(machine: _Record) -> list[tuple[int, int]]:
    """Return a machine's maintenance windows, by time."""
    windows = []
    for i, pair in enumerate(machine.value("windows", list, [])):
        at = f"{machine.at}.windows[{i}]"
        if not isinstance(pair, list) or len(pair) != 2:
            raise InstanceError(f"{at} = {pair!r:.60}; give [from, until].")
        begin = _whole(pair[0], f"{at}[0]", 0, MAX_TICKS - 1)
        windows.append((begin, _whole(pair[1], f"{at}[1]", begin + 1, MAX_TICKS)))
    windows.sort()
    for (_, before), (begin, _) in pairwise(windows):
        if begin < before:
            raise InstanceError(
                f"{machine.at}.windows: one begins at {begin}, before another ends at {before}; "
                "join them."
            )
    return windows


class _Job:
    """A job's entry, read."""

    def __init__(self, entry: _Record, places: dict[str, int], clock: int) -> None:
        self.name = entry.text("name")
        self.release = entry.number("release", 0, MAX_TICKS, 0)
        self.due = entry.number("due", 0, NO_DUE_DATE - 1, NO_DUE_DATE)
        self.weight = entry.number("weight", 0, MAX_WEIGHT, 1)
        self.route = [_alternatives(op, places) for op in entry.records("operations", MAX_JOBS)]
        self.has_state = bool(STATE_KEYS.intersection(entry.content))
        self.done = entry.number("done", 0, len(self.route), 0)
        self.machine = entry.place("on", places, -1)
        self.left = entry.number("left", 0, MAX_TICKS, 0)
        self.buffer = entry.place("in_buffer_of", places, -1)
        is_started = self.done > 0 or self.machine >= 0
        self.ready = entry.number(
            "waiting_since", 0, MAX_TICKS, clock if is_started else self.release
        )
        entry.finish()


def _alternatives(op: _Record, places: dict[str, int]) -> list[tuple[int, int]]:
    """Return the machines of an operation and their times."""
    if ("machine" in op.content) == ("machines" in op.content):
        raise InstanceError(
            f"{op.at}: give either machine and time, or machines, as {{'M1': 12, 'M3': 15}}; it "
            f"has {op.listed()}."
        )
    if "machine" in op.content:
        pairs = [(op.place("machine", places), op.number("time", 0, MAX_TICKS))]
        op.finish()
        return pairs
    times = _Record(op.value("machines", dict), f"{op.at}.machines")
    op.finish()
    if not times.content:
        raise InstanceError(f"{times.at}: is empty; give at least one machine.")
    return [(times.known(m, places), times.number(m, 0, MAX_TICKS)) for m in times.content]


def _floor(clock: int | None, machines: list[_Machine], jobs: list[_Job]) -> Floor | None:
    """Return where the shop stands, None if the file says nothing of it."""
    is_down = any(machine.down_until for machine in machines)
    if clock is None and not is_down and not any(job.has_state for job in jobs):
        return None
    return Floor(
        clock=clock or 0,
        num_done=np.array([job.done for job in jobs], np.int32),
        machine=np.array([job.machine for job in jobs], np.int32),
        left=np.array([job.left for job in jobs], np.int32),
        buffer=np.array([job.buffer for job in jobs], np.int32),
        ready=np.array([job.ready for job in jobs], np.int32),
        down_until=np.array([machine.down_until for machine in machines], np.int32),
    )


class _Record:
    """A JSON object at a place of the file; keys nobody asked for are refused by ``finish``."""

    def __init__(self, content: Any, at: str) -> None:
        if not isinstance(content, dict):
            raise InstanceError(f"{at}: is a {type(content).__name__}; give a JSON object.")
        self.content, self.at, self.asked = content, at, set[str]()

    def value(self, key: str, kind: type, default: Any = ...) -> Any:
        """Return the value of a key, of the right type."""
        self.asked.add(key)
        value = self.content.get(key, default)
        if value is ...:
            raise InstanceError(f"{self.at}: key {key!r} is missing; it has {self.listed()}.")
        if key in self.content and not isinstance(value, kind):
            raise InstanceError(
                f"{self.at}: {key} = {value!r:.60} is a {type(value).__name__}; give a "
                f"{kind.__name__}."
            )
        return value

    def number(self, key: str, low: int, high: int, default: Any = ...) -> Any:
        """Return a whole number in a range."""
        value = self.value(key, object, default)
        return _whole(value, f"{self.at}: {key}", low, high) if key in self.content else value

    def text(self, key: str, default: Any = ...) -> str:
        """Return a text, neither empty nor endless."""
        value = self.value(key, str, default)
        if not 1 <= len(value) <= MAX_NAME:
            raise InstanceError(
                f"{self.at}: {key} has {len(value)} characters; allowed: 1 to {MAX_NAME}."
            )
        return value

    def place(self, key: str, places: dict[str, int], default: Any = ...) -> int:
        """Return the number of the machine that a key names."""
        name = self.value(key, str, default)
        return self.known(name, places, f"{key} = ") if key in self.content else default

    def known(self, name: str, places: dict[str, int], what: str = "") -> int:
        """Return the number of a machine."""
        if name not in places:
            raise InstanceError(
                f"{self.at}: {what}{name[:60]!r} is not among the machines; known: "
                f"{', '.join(list(places)[:20])!s:.200}."
            )
        return places[name]

    def records(self, key: str, most: int) -> list[_Record]:
        """Return the objects of a list that is not empty."""
        entries = self.value(key, list)
        if not 1 <= len(entries) <= most:
            raise InstanceError(f"{self.at}: {len(entries)} {key}; allowed: 1 to {most}.")
        return [_Record(e, f"{self.at}.{key}[{i}]{_label(e)}") for i, e in enumerate(entries)]

    def listed(self) -> str:
        """Return the keys that are there, for messages."""
        return f"{sorted(self.content)!r:.200}"

    def finish(self) -> None:
        """Refuse keys that nobody asked for."""
        unknown = [key for key in self.content if key not in self.asked]
        if unknown:
            raise InstanceError(
                f"{self.at}: unknown key {unknown[0][:60]!r}; allowed: "
                f"{', '.join(sorted(self.asked))}."
            )


def _label(entry: Any) -> str:
    """Return the name of an entry where it has one, for messages."""
    name = entry.get("name") if isinstance(entry, dict) else None
    return f" ({name[:60]!r})" if isinstance(name, str) else ""


def _whole(value: Any, at: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InstanceError(f"{at} = {value!r:.60}; allowed: whole numbers {low} to {high}.")
    return value


def _parse(path: Path) -> Any:
    """Return the parsed text; a key twice in one object is refused."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record: dict[str, Any] = {}
        for key, value in pairs:
            if key in record:
                raise ValueError(f"key {key[:60]!r} twice in one object")
            record[key] = value
        return record

    text = read_file(path)
    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise InstanceError(f"'{path}': not valid JSON ({error}).") from error


def _numbered(names: Sequence[str], at: str) -> dict[str, int]:
    """Return each name's number."""
    numbers: dict[str, int] = {}
    for i, name in enumerate(names):
        if numbers.setdefault(name, i) != i:
            raise InstanceError(f"{at}[{i}]: name {name[:60]!r} occurs twice; names must differ.")
    return numbers


def _unless_numbers(names: Iterable[str]) -> tuple[str, ...]:
    """Return names, none if they are just the numbers that a shop without names shows."""
    given = tuple(names)
    return () if given == tuple(map(str, range(len(given)))) else given


def write_json(path: str | Path, shop: Shop) -> None:
    """Write a live shop floor, which holds everything that a shop knows."""
    machines = [_machine_entry(shop, m) for m in range(shop.num_machines)]
    jobs = [_job_entry(shop, j, route) for j, route in enumerate(routes(shop))]
    head = {"name": shop.name} if shop.name else {}
    clock = {} if shop.floor is None else {"clock": shop.floor.clock}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in (head | clock).items()]
    for key, entries in (("machines", machines), ("jobs", jobs)):
        body = ",\n".join(f"  {json.dumps(entry)}" for entry in entries)
        lines.append(f' "{key}": [\n{body}\n ]' + ("," if key == "machines" else ""))
    write_lines(path, ["{", *lines, "}"])


def _machine_entry(shop: Shop, machine: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": shop.machine_label(machine)}
    if shop.floor is not None and shop.floor.down_until[machine] > shop.floor.clock:
        entry["down_until"] = int(shop.floor.down_until[machine])
    windows = shop.windows[shop.windows[:, 0] == machine, 1:].tolist()
    return entry | ({"windows": windows} if windows else {})


def _job_entry(shop: Shop, job: int, route: Route) -> dict[str, Any]:
    """Return a job's entry, without what is as a reader assumes."""
    optional = {
        "release": (int(shop.release[job]), 0),
        "due": (int(shop.due[job]), NO_DUE_DATE),
        "weight": (int(shop.weight[job]), 1),
    }
    entry: dict[str, Any] = {"name": shop.job_label(job)}
    entry |= {key: value for key, (value, usual) in optional.items() if value != usual}
    entry["operations"] = [_op_entry(shop, op) for op in route]
    return entry if shop.floor is None else entry | _state_entry(shop, shop.floor, job)


def _op_entry(shop: Shop, op: list[tuple[int, int]]) -> dict[str, Any]:
    if len(op) == 1:
        return {"machine": shop.machine_label(op[0][0]), "time": op[0][1]}
    return {"machines": {shop.machine_label(m): t for m, t in op}}


def _state_entry(shop: Shop, floor: Floor, job: int) -> dict[str, Any]:
    done, machine, buffer = (int(x[job]) for x in (floor.num_done, floor.machine, floor.buffer))
    left, ready = int(floor.left[job]), int(floor.ready[job])
    entry: dict[str, Any] = {"done": done} if done else {}
    if machine >= 0:
        entry["on"] = shop.machine_label(machine)
    if left:
        entry["left"] = left
    if buffer >= 0:
        entry["in_buffer_of"] = shop.machine_label(buffer)
    usual = floor.clock if done or machine >= 0 else int(shop.release[job])
    return entry | ({"waiting_since": ready} if ready != usual else {})
