"""Shop: one instance of the job shop, plain, flexible, or caught in the middle of its work.

Times are integer ticks. Axes: J jobs, O operations (rows of all jobs one after another), A
alternatives (rows of all operations one after another), M machines, W maintenance windows. A plain
job shop has one alternative per operation; a flexible one (FJSP) has several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import InstanceError

NO_DUE_DATE = 2**30
"""Due date of a job that has none; no schedule reaches it."""
MAX_TICKS = 2**28
"""Largest time an instance may hold; sums of a schedule stay below :data:`NO_DUE_DATE`."""
MAX_WEIGHT = 10**6
"""Largest weight; weighted sums over jobs stay within 64 bits."""
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Floor:
    """Where a running shop stands, for instances that do not start empty.

    Attributes:
        clock: ticks, the present time.
        num_done: (J,) int32, operations of each job that are finished.
        machine: (J,) int32, machine that holds the job, -1 = none. A job there either works on its
            operation ``num_done`` (``left`` > 0), or has finished the one before and blocks.
        left: (J,) int32, ticks of work left on the operation under way, 0 = none is.
        buffer: (J,) int32, machine in whose output buffer the job waits, -1 = none.
        ready: (J,) int32, ticks, since when a waiting job has been waiting.
        down_until: (M,) int32, ticks, when a machine that is down is expected back, 0 = it is up.
    """

    clock: int
    num_done: Ints
    machine: Ints
    left: Ints
    buffer: Ints
    ready: Ints
    down_until: Ints


@dataclass(frozen=True)
class Shop:
    """Jobs, their operations and the machines that can do them.

    Attributes:
        op_begin: (J + 1,) int32, job j has the operations ``op_begin[j] .. op_begin[j + 1] - 1``.
        alt_begin: (O + 1,) int32, operation o has the alternatives ``alt_begin[o] ..``.
        alt_machine: (A,) int32, a machine that can do the operation.
        alt_time: (A,) int32, ticks >= 0, processing time there.
        num_machines: M.
        release: (J,) int32, ticks, before which a job cannot start.
        due: (J,) int32, ticks, :data:`NO_DUE_DATE` = none.
        weight: (J,) int32, 0 to :data:`MAX_WEIGHT`, of a job's tardiness.
        windows: (W, 3) int32, planned maintenance: machine, from, until; sorted, disjoint per
            machine.
        floor: where the shop stands, None = empty at time 0.
        name: label in tables.
        job_names: label of each job in files and pictures, empty = their numbers.
        machine_names: label of each machine, empty = their numbers.
    """

    op_begin: Ints
    alt_begin: Ints
    alt_machine: Ints
    alt_time: Ints
    num_machines: int
    release: Ints
    due: Ints
    weight: Ints
    windows: Ints = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    floor: Floor | None = None
    name: str = ""
    job_names: tuple[str, ...] = ()
    machine_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what would break a simulation.

        Raises:
            InstanceError: an array has the wrong length, or a value is out of range.
        """
        _check(self)

    @classmethod
    def from_jobs(
        cls,
        jobs: Sequence[Sequence[Sequence[tuple[int, int]]]],
        num_machines: int | None = None,
        *,
        release: Sequence[int] | None = None,
        due: Sequence[int] | None = None,
        weight: Sequence[int] | None = None,
        windows: Sequence[Sequence[int]] = (),
        floor: Floor | None = None,
        name: str = "",
        job_names: Sequence[str] = (),
        machine_names: Sequence[str] = (),
    ) -> Shop:
        """Return a shop from nested lists: job -> operation -> (machine, ticks) alternatives.

        Raises:
            InstanceError: see :class:`Shop`.
        """
        ops = [op for job in jobs for op in job]
        alternatives = [a for op in ops for a in op]
        if not alternatives:
            raise InstanceError(f"{name or 'shop'}: there is no operation.")
        machines = [m for m, _ in alternatives]
        ones = len(jobs)
        return cls(
            op_begin=_offsets([len(job) for job in jobs]),
            alt_begin=_offsets([len(op) for op in ops]),
            alt_machine=_ints(machines),
            alt_time=_ints([t for _, t in alternatives]),
            num_machines=max(machines) + 1 if num_machines is None else num_machines,
            release=_ints([0] * ones if release is None else release),
            due=_ints([NO_DUE_DATE] * ones if due is None else due),
            weight=_ints([1] * ones if weight is None else weight),
            windows=_ints(windows).reshape(-1, 3),
            floor=floor,
            name=name,
            job_names=tuple(job_names),
            machine_names=tuple(machine_names),
        )

    @classmethod
    def from_matrix(cls, machines: NDArray, times: NDArray, name: str = "") -> Shop:
        """Return a plain job shop from (J, K) machines and (J, K) ticks."""
        pairs = np.stack([machines, times], axis=-1).tolist()
        rows = [[[(machine, time)] for machine, time in row] for row in pairs]
        return cls.from_jobs(rows, name=name)

    @property
    def num_jobs(self) -> int:
        return len(self.op_begin) - 1

    @property
    def num_ops(self) -> int:
        return len(self.alt_begin) - 1

    @property
    def is_flexible(self) -> bool:
        """Whether an operation has more than one machine to go to."""
        return len(self.alt_machine) > self.num_ops

    @property
    def op_job(self) -> Ints:
        """(O,) int32, job of each operation."""
        return np.repeat(np.arange(self.num_jobs), np.diff(self.op_begin)).astype(np.int32)

    @property
    def min_time(self) -> Ints:
        """(O,) int32, ticks on each operation's fastest machine."""
        return np.minimum.reduceat(self.alt_time, self.alt_begin[:-1]).astype(np.int32)

    def alternatives(self, op: int) -> list[tuple[int, int]]:
        """Return the (machine, ticks) pairs of an operation."""
        rows = range(int(self.alt_begin[op]), int(self.alt_begin[op + 1]))
        return [(int(self.alt_machine[a]), int(self.alt_time[a])) for a in rows]

    def job_label(self, job: int) -> str:
        """Return how a job is called in files and pictures."""
        return self.job_names[job] if self.job_names else str(job)

    def machine_label(self, machine: int) -> str:
        """Return how a machine is called in files and pictures."""
        return self.machine_names[machine] if self.machine_names else str(machine)


@dataclass(frozen=True)
class Schedule:
    """What happened, or is to happen, on the machines.

    Attributes:
        shop: the instance.
        machine: (O,) int32, machine of each operation, -1 = not started.
        start: (O,) int32, ticks, -1 = not started.
        end: (O,) int32, ticks, when its work was finished, -1 = not yet.
        leave: (O,) int32, ticks, when the job left the machine; after ``end`` it blocked; -1 = not
            yet.
        downs: (D, 3) int32, machine, from, until: breakdowns and maintenance that happened.
        clock: ticks, up to which this is known.
    """

    shop: Shop
    machine: Ints
    start: Ints
    end: Ints
    leave: Ints
    downs: Ints = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    clock: int = 0

    @property
    def completion(self) -> Ints:
        """(J,) int32, ticks, when each job was finished, -1 = not yet."""
        return self.end[self.shop.op_begin[1:] - 1]

    @property
    def makespan(self) -> int:
        """Ticks, when the last job was finished."""
        return int(self.end.max())


def _ints(values: Sequence) -> Ints:
    array = np.asarray(values)
    if not array.size:
        return array.astype(np.int32)
    if array.dtype.kind not in "iu":
        raise InstanceError(f"{values!r:.60}: whole numbers below {NO_DUE_DATE} are allowed.")
    if array.min() < -MAX_TICKS or array.max() > NO_DUE_DATE:
        worst = array.min() if array.min() < -MAX_TICKS else array.max()
        raise InstanceError(f"{worst} is out of range; times must be below {MAX_TICKS}.")
    return array.astype(np.int32)


def _offsets(lengths: Sequence[int]) -> Ints:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def _check(shop: Shop) -> None:
    label = shop.name or "shop"
    _check_lengths(shop, label)
    _check_values(shop, label)
    _check_alternatives(shop, label)
    _check_windows(shop, label)
    if shop.floor is not None:
        _check_floor(shop, shop.floor, label)
    _check_total(shop, label)


def _check_lengths(shop: Shop, label: str) -> None:
    J, ops, alternatives = shop.num_jobs, shop.op_begin, shop.alt_begin
    if J < 1 or ops[0] != 0 or (np.diff(ops) < 1).any():
        raise InstanceError(f"{label}: every job needs at least one operation.")
    if alternatives[0] != 0 or (np.diff(alternatives) < 1).any() or ops[-1] != shop.num_ops:
        raise InstanceError(f"{label}: every operation needs at least one machine.")
    A = int(alternatives[-1])
    if len(shop.alt_machine) != A or len(shop.alt_time) != A:
        raise InstanceError(
            f"{label}: {len(shop.alt_machine)} machines and {len(shop.alt_time)} times for {A} "
            "alternatives; give one of each."
        )
    for name in ("release", "due", "weight"):
        if len(getattr(shop, name)) != J:
            raise InstanceError(
                f"{label}: {name} has {len(getattr(shop, name))} values for {J} jobs."
            )
    for names, number in (("job_names", J), ("machine_names", shop.num_machines)):
        given = getattr(shop, names)
        if given and (len(given) != number or len(set(given) - {""}) != number):
            raise InstanceError(
                f"{label}: {names} has {len(set(given))} different names; give {number} or none."
            )


def _check_values(shop: Shop, label: str) -> None:
    for name, most in (("release", MAX_TICKS), ("due", NO_DUE_DATE), ("weight", MAX_WEIGHT)):
        values = getattr(shop, name)
        wrong = np.flatnonzero((values < 0) | (values > most))
        if len(wrong):
            j = int(wrong[0])
            raise InstanceError(f"{label}: {name}[{j}] = {values[j]}; allowed: 0 to {most}.")


def _check_alternatives(shop: Shop, label: str) -> None:
    machines, times, M = shop.alt_machine, shop.alt_time, shop.num_machines
    op = np.repeat(np.arange(shop.num_ops), np.diff(shop.alt_begin))
    wrong = np.flatnonzero((machines < 0) | (machines >= M))
    if len(wrong):
        a = int(wrong[0])
        raise InstanceError(
            f"{label}: operation {op[a]} names machine {machines[a]}; machines are 0 .. {M - 1}."
        )
    wrong = np.flatnonzero((times < 0) | (times > MAX_TICKS))
    if len(wrong):
        a = int(wrong[0])
        raise InstanceError(
            f"{label}: operation {op[a]} takes {times[a]} ticks; processing times must be >= 0 "
            f"and at most {MAX_TICKS}."
        )
    pairs, counts = np.unique(op.astype(np.int64) * M + machines, return_counts=True)
    if counts.max() > 1:
        o, m = divmod(int(pairs[counts.argmax()]), M)
        raise InstanceError(f"{label}: operation {o} names machine {m} twice; give it one time.")


def _check_windows(shop: Shop, label: str) -> None:
    last: dict[int, int] = {}
    for w, (machine, begin, until) in enumerate(shop.windows.tolist()):
        if not 0 <= machine < shop.num_machines or not last.get(machine, 0) <= begin < until:
            raise InstanceError(
                f"{label}: maintenance window {w} is machine {machine}, {begin} to {until}; "
                "windows of a machine must be in order, apart, and longer than nothing."
            )
        last[machine] = until


def _check_floor(shop: Shop, floor: Floor, label: str) -> None:
    J, M = shop.num_jobs, shop.num_machines
    lengths = {"num_done": J, "machine": J, "left": J, "buffer": J, "ready": J, "down_until": M}
    for name, number in lengths.items():
        if len(getattr(floor, name)) != number:
            raise InstanceError(
                f"{label}: floor.{name} has {len(getattr(floor, name))} values; give {number}."
            )
    if floor.clock < 0 or floor.down_until.min() < 0:
        raise InstanceError(
            f"{label}: clock {floor.clock}, machines down until {floor.down_until.tolist()!r:.60}; "
            "times must be >= 0."
        )
    holder: dict[int, int] = {}
    for job in range(J):
        wrong = _misplaced(shop, floor, job)
        if wrong:
            raise InstanceError(f"{label}: job {shop.job_label(job)!r} {wrong}.")
        machine = int(floor.machine[job])
        if machine >= 0 and holder.setdefault(machine, job) != job:
            raise InstanceError(
                f"{label}: jobs {shop.job_label(holder[machine])!r} and {shop.job_label(job)!r} "
                f"are both on machine {shop.machine_label(machine)!r}; one fits."
            )


def _misplaced(shop: Shop, floor: Floor, job: int) -> str:
    """Return what is wrong with where a job stands, nothing if nothing is."""
    done, machine, left = int(floor.num_done[job]), int(floor.machine[job]), int(floor.left[job])
    buffer, ready, release = int(floor.buffer[job]), int(floor.ready[job]), int(shop.release[job])
    first, end = int(shop.op_begin[job]), int(shop.op_begin[job + 1])
    if not 0 <= done <= end - first:
        return f"has {done} finished operations; allowed: 0 to {end - first}"
    for place in (machine, buffer):
        if not -1 <= place < shop.num_machines:
            return f"is at machine {place}; machines are 0 .. {shop.num_machines - 1}, -1 = none"
    if machine >= 0 and buffer >= 0:
        return "is on a machine and in an output buffer; give one"
    if done == end - first and (machine >= 0 or buffer >= 0 or left):
        return "is finished; it can be on no machine and in no buffer"
    if release > floor.clock and (done or machine >= 0):
        return f"has been started, yet its release time {release} is after the clock {floor.clock}"
    if not 0 <= ready <= max(floor.clock, release):
        return f"waits since {ready}; the clock is {floor.clock}"
    if left and machine < 0:
        return f"has {left} ticks of work left and is on no machine; name the machine"
    if left:
        time = dict(shop.alternatives(first + done)).get(machine)
        label = shop.machine_label(machine)
        if time is None:
            return f"works on machine {label!r}, which cannot do its operation {done}"
        what = f"ticks left of operation {done} on machine {label!r}"
        return "" if 0 < left <= time else f"has {left} {what}; allowed: 1 to {time}"
    place = max(machine, buffer)
    if place >= 0:
        label = shop.machine_label(place)
        if not done:
            return f"is at machine {label!r} with no operation done; give the ticks of work left"
        if place not in dict(shop.alternatives(first + done - 1)):
            return f"waits at machine {label!r}, which cannot have done its operation {done - 1}"
    return ""


def _check_total(shop: Shop, label: str) -> None:
    """Check that the end of any schedule without idling on purpose stays within range."""
    slowest = np.maximum.reduceat(shop.alt_time, shop.alt_begin[:-1]).astype(np.int64)
    latest = [int(shop.release.max())]
    if len(shop.windows):
        latest.append(int(shop.windows[:, 2].max()))
    if shop.floor is not None:
        latest += [shop.floor.clock, int(shop.floor.down_until.max())]
    total = int(slowest.sum()) + max(latest)
    if total > MAX_TICKS:
        raise InstanceError(f"{label}: {total} ticks of work; at most {MAX_TICKS} are allowed.")
