"""Phase: one stretch of training, run in small steps by :mod:`rlsched.agents.training`."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from rlsched.agents.policy import GraphPolicy


class Phase(ABC):
    """Improves a network step by step and can be saved and resumed between steps.

    Attributes:
        network: holds what was learned, after :meth:`sync`.
        steps: how far it is.
        total_steps: how far it goes.
    """

    network: GraphPolicy
    steps: int
    total_steps: int

    @property
    def is_done(self) -> bool:
        return self.steps >= self.total_steps

    @abstractmethod
    def iterate(self) -> dict[str, float]:
        """Collect once, learn once, advance ``steps``; return the figures to log."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return the optimizer's state, names starting with ``optimizer.``."""

    @abstractmethod
    def restore(self, tensors: dict[str, Tensor], steps: int) -> None:
        """Go on from what :meth:`tensors` returned; ``network`` already holds the saved weights."""

    def sync(self) -> None:
        """Bring ``network`` up to date where learning happens elsewhere."""

    def close(self) -> None:
        """Stop what the phase started."""
