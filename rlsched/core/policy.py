"""Policy: rules, networks, searches and exact solvers are one kind of thing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.simulator import Simulator, host


class Policy(ABC):
    """Plays the lanes of a simulator to the end of their episodes.

    A rule or a network supplies :meth:`choose`; a search or a solver overrides :meth:`play`
    instead.

    Attributes:
        name: label in tables.
    """

    name: str

    @abstractmethod
    def choose(self, sim: Simulator) -> NDArray[np.int32]:
        """Return (B,) int32, one legal choice per running lane."""

    def play(self, sim: Simulator) -> int:
        """Play every lane to the end; return the number of rounds of choices made."""
        rounds = 0
        while not host(sim.terminated).all():
            sim.step(self.choose(sim))
            rounds += 1
        return rounds

    def bound(self) -> float | None:
        """Return the proven bound on the metric found by the last :meth:`play`, or None."""
        return None


class Expansion(NamedTuple):
    """The best ways on from each lane, for search; K per lane.

    Attributes:
        choices: (B, K, D) int32, D choices made one after another.
        scores: (B, K) float64, descending; -inf where a lane has fewer than K.
        keys: (B, K) int64, equal where the ways lead to states not worth keeping both, or None if
            unknown.
    """

    choices: NDArray[np.int32]
    scores: NDArray[np.float64]
    keys: NDArray[np.int64] | None


class Guide(Policy):
    """A policy that can also score all choices, so that search can be guided by it.

    Attributes:
        is_gain: scores are gains, ``value(state) + score`` is the worth of where a choice leads;
            else they are logits of choosing.
        temperature: scores are divided by it before they are sampled from.
        needs_observation: reads ``sim.observation()``; lanes of a search are lighter without.
    """

    is_gain: ClassVar[bool] = False
    temperature: ClassVar[float] = 1.0
    needs_observation: ClassVar[bool] = True

    @abstractmethod
    def scores(self, sim: Simulator) -> NDArray[np.float32]:
        """Return (B, A) float32, higher is better; masked choices are -inf."""

    def value(self, sim: Simulator) -> NDArray[np.float64] | None:
        """Return (B,) worth of the lanes' present states, or None where the guide has none."""
        return None

    def expand(self, sim: Simulator, num: int) -> Expansion | None:
        """Return the best whole decisions, or None where the guide scores one choice at a time."""
        return None

    def choose(self, sim: Simulator) -> NDArray[np.int32]:
        return self.scores(sim).argmax(axis=1).astype(np.int32)


class Teacher(ABC):
    """Says which choices are right in the lanes' present states; networks imitate it.

    Attributes:
        name: label in logs.
    """

    name: str

    @abstractmethod
    def targets(self, sim: Simulator) -> NDArray[np.float32]:
        """Return (B, A) float32 probabilities of the right choices; ended lanes have zeros."""

    def advance(self, sim: Simulator, choice: NDArray[np.int32]) -> None:
        """Hear which choices are about to be made; who plans ahead keeps the plans by it."""
