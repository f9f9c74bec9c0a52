"""Policy: rules, networks, searches and exact solvers are one kind of thing."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from rlsched.core.simulator import Simulator


class Policy(ABC):
    """Plays the lanes of a simulator to the end of their episodes.

    A rule or a network supplies :meth:`choose`; a search or a solver overrides :meth:`play` instead.

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
        while not sim.terminated.all():
            sim.step(self.choose(sim))
            rounds += 1
        return rounds

    def bound(self) -> float | None:
        """Return the proven bound on the metric found by the last :meth:`play`, or None."""
        return None


class Guide(Policy):
    """A policy that can also score all choices, so that search can be guided by it."""

    @abstractmethod
    def scores(self, sim: Simulator) -> NDArray[np.float32]:
        """Return (B, A) float32, higher is better; masked choices are -inf."""

    def value(self, sim: Simulator) -> NDArray[np.float64] | None:
        """Return (B,) worth of the lanes' present states, or None where the guide has none."""
        return None

    def choose(self, sim: Simulator) -> NDArray[np.int32]:
        return self.scores(sim).argmax(axis=1).astype(np.int32)
