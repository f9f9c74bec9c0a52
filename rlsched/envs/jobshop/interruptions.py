"""Interruptions: when a machine breaks down, and for how long.

Every number is drawn from the lane's stream by what it belongs to, an operation or the n-th
breakdown of a machine, so all policies meet the same breakdowns. Laws, as ``interruption=`` takes
them:

- ``none``
- ``start:<p>``: each operation is interrupted with probability p, once, after a uniformly drawn
  share of its work, a tick or more (so never one of a single tick);
- ``step:<p>``: with probability p in each tick;
- ``exponential:<mean>``, ``weibull:<scale>:<shape>``: time between failures in ticks.

The last three count the ticks a machine works; ``:calendar`` after them counts all ticks in which
it is up. Repairs, as ``repair=`` takes them: ``fixed:<a>``, ``uniform:<a>:<b>``,
``exponential:<mean>``, ``lognormal:<mean>:<sigma>``.

Source: the published shop's law of shutdowns is unknown (Wong et al. 2023 give probabilities only);
``start`` is our reading, the others are the reliability literature's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from rlsched.core.errors import ConfigError
from rlsched.core.lanes import helper
from rlsched.core.rng import uniform

NEVER = 2**30
NO_LAW, AT_START, BY_WORK, BY_CALENDAR = 0, 1, 2, 3
"""What a law counts."""
GEOMETRIC, EXPONENTIAL, WEIBULL = 0, 1, 2
FIXED, UNIFORM, EXPONENTIAL_REPAIR, LOGNORMAL = 0, 1, 2, 3
FAILURE_STREAM, REPAIR_STREAM, SHARE_STREAM = 1 << 20, 2 << 20, 3 << 20
"""Offsets that keep the streams of an operation or machine apart."""
HOW = (
    "none, start:<p>, step:<p>, exponential:<mean>, weibull:<scale>:<shape>, the last three also "
    "with :calendar"
)
HOW_REPAIR = "fixed:<a>, uniform:<a>:<b>, exponential:<mean>, lognormal:<mean>:<sigma>"


class Law(NamedTuple):
    """A parsed law of breakdowns and repairs.

    Attributes:
        counts: NO_LAW, AT_START, BY_WORK or BY_CALENDAR.
        kind: distribution of the time between failures.
        args: its two parameters; for AT_START the probability.
        repair: distribution of the repair time.
        repair_args: its two parameters.
    """

    counts: int
    kind: int
    args: tuple[float, float]
    repair: int
    repair_args: tuple[float, float]

    @property
    def mean_repair(self) -> float:
        """Expected repair time, ticks."""
        first, second = self.repair_args
        return (first + second) / 2 if self.repair == UNIFORM else first


def parse_law(interruption: str, repair: str) -> Law:
    """Return the law of two texts; see the module.

    Raises:
        ConfigError: a text cannot be read or a number is out of range.
    """
    counts, kind, args = _parse_interruption(interruption)
    return Law(counts, kind, args, *_parse_repair(repair))


def _parse_interruption(text: str) -> tuple[int, int, tuple[float, float]]:
    name, *rest = text.split(":")
    by_calendar = rest[-1:] == ["calendar"]
    numbers = _numbers("interruption", text, rest[:-1] if by_calendar else rest, HOW)
    counts = BY_CALENDAR if by_calendar else BY_WORK
    is_probability = len(numbers) == 1 and 0 <= numbers[0] < 1
    if text == "none" or (name in ("start", "step") and numbers == [0.0]):
        return NO_LAW, GEOMETRIC, (0.0, 0.0)
    if name == "start" and is_probability and not by_calendar:
        return AT_START, GEOMETRIC, (numbers[0], 0.0)
    if name == "step" and is_probability:
        return counts, GEOMETRIC, (numbers[0], 0.0)
    if name == "exponential" and len(numbers) == 1 and numbers[0] >= 1:
        return counts, EXPONENTIAL, (numbers[0], 0.0)
    if name == "weibull" and len(numbers) == 2 and numbers[0] >= 1 and numbers[1] > 0.1:
        return counts, WEIBULL, (numbers[0], numbers[1])
    raise ConfigError(f"interruption={text}; allowed: {HOW}, with p in [0, 1) and means >= 1.")


def _parse_repair(text: str) -> tuple[int, tuple[float, float]]:
    name, *rest = text.split(":")
    numbers = _numbers("repair", text, rest, HOW_REPAIR)
    if name == "fixed" and len(numbers) == 1 and numbers[0] >= 1:
        return FIXED, (float(int(numbers[0])), 0.0)
    if name == "uniform" and len(numbers) == 2 and 1 <= numbers[0] <= numbers[1]:
        return UNIFORM, (float(int(numbers[0])), float(int(numbers[1])))
    if name == "exponential" and len(numbers) == 1 and numbers[0] >= 1:
        return EXPONENTIAL_REPAIR, (numbers[0], 0.0)
    if name == "lognormal" and len(numbers) == 2 and numbers[0] >= 1 and 0 <= numbers[1] <= 3:
        return LOGNORMAL, (numbers[0], numbers[1])
    raise ConfigError(f"repair={text}; allowed: {HOW_REPAIR}, in ticks >= 1, sigma in [0, 3].")


def _numbers(key: str, text: str, parts: list[str], how: str) -> list[float]:
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise ConfigError(f"{key}={text}; allowed: {how}.") from None
    if not all(0 <= x < NEVER for x in numbers):
        raise ConfigError(f"{key}={text}; numbers must be in [0, {NEVER}).")
    return numbers


# --- draws, in lanes ------------------------------------------------------------------------------


@helper
def draw_at_start(stream: int, op: int, probability: float, ticks: int) -> int:
    """Return after how many ticks of work an operation is interrupted, -1 = it is not."""
    if ticks < 2 or uniform(stream, FAILURE_STREAM + op, 0) >= probability:
        return -1
    return 1 + int(uniform(stream, SHARE_STREAM + op, 0) * (ticks - 1))


@helper
def draw_time_to_failure(
    stream: int, machine: int, count: int, kind: int, first: float, second: float
) -> int:
    """Return the ticks from the ``count``-th repair of a machine to its next failure, >= 1."""
    u = uniform(stream, FAILURE_STREAM + machine, count)
    rest = -math.log(1.0 - u)
    if kind == GEOMETRIC:
        ticks = rest / -math.log(1.0 - first)
    elif kind == EXPONENTIAL:
        ticks = rest * first
    else:
        ticks = first * rest ** (1.0 / second)
    return 1 + int(min(ticks, 1e9))


@helper
def draw_repair(stream: int, key: int, count: int, kind: int, first: float, second: float) -> int:
    """Return the ticks of a repair, >= 1; ``key`` is the operation's or the machine's."""
    u = uniform(stream, REPAIR_STREAM + key, 2 * count)
    if kind == FIXED:
        return int(first)
    if kind == UNIFORM:
        return int(first + u * (second - first + 1.0))
    if kind == EXPONENTIAL_REPAIR:
        return 1 + int(min(-math.log(1.0 - u) * first, 1e8))
    v = uniform(stream, REPAIR_STREAM + key, 2 * count + 1)
    normal = math.sqrt(-2.0 * math.log(1.0 - u)) * math.cos(2.0 * math.pi * v)
    return 1 + int(min(math.exp(math.log(first) - 0.5 * second * second + second * normal), 1e8))
