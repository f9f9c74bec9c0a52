"""Simulator: B lanes of one problem, stepped together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import IllegalChoice
from rlsched.core.graph import ACTION_MASK, GraphSpec

Array = Any
"""A NumPy array, or a Numba device array where the simulator runs on CUDA."""


class Simulator(ABC):
    """B lanes over a bank of instances; a subclass supplies the lane functions.

    A lane plays one episode: :meth:`reset` gives it an instance, :meth:`step` applies one choice per lane, and a
    terminated lane ignores further steps until it is reset. Every array is batch axis first and is updated in
    place; copy what must outlive the next step.

    Attributes:
        graph: the observation graph.
        metric: name of the problem's own score, a key of :meth:`metrics`.
        lower_is_better: its direction.
        unit: what one full decision is called, for benchmarks (``"migration"``).
        state: NamedTuple of per-lane arrays.
        num_envs: B.
        device: ``"cpu"`` or ``"cuda"``.
        sizes: padded number of rows of each node type.
        num_edges: padded number of rows of each edge type.
    """

    graph: ClassVar[GraphSpec]
    metric: str
    lower_is_better: ClassVar[bool] = True
    unit: ClassVar[str]
    render_modes: ClassVar[tuple[str, ...]] = ("rgb_array",)

    state: NamedTuple
    num_envs: int
    device: str
    sizes: dict[str, int]
    num_edges: dict[str, int]
    instances: Sequence[Any]

    @property
    def num_choices(self) -> int:
        """A, the number of choices including STOP."""
        return self.graph.num_choices(self.sizes)

    @property
    def num_instances(self) -> int:
        return len(self.instances)

    @abstractmethod
    def reset(
        self,
        mask: NDArray[np.bool_] | None = None,
        *,
        seed: int | None = None,
        instances: NDArray[np.int_] | Sequence[int] | None = None,
    ) -> None:
        """Start a new episode in the lanes of ``mask``.

        Args:
            mask: (B,) bool, lanes to reset; None = all.
            seed: new seed for the instances drawn and for the lanes' random numbers; lanes restart their
                episode counters, so equal seeds give equal episodes. None keeps counting.
            instances: (B,) rows of the bank, instead of drawing them.
        """

    @abstractmethod
    def _step(self, choice: Array) -> None:
        """Apply one legal choice per lane."""

    @abstractmethod
    def observation(self) -> Mapping[str, Array]:
        """Return the observation of every lane, keys as ``graph`` declares; views, not copies."""

    @abstractmethod
    def metrics(self) -> dict[str, NDArray]:
        """Return the problem's own figures of each lane as it stands now, (B,) each."""

    @abstractmethod
    def fingerprint(self) -> NDArray[np.int64]:
        """Return (B,) int64, equal for lanes whose futures are equal; search drops duplicates by it."""

    @abstractmethod
    def like(self, num_envs: int) -> Simulator:
        """Return a simulator of the same problem and bank with another number of lanes, all unset."""

    @property
    def reward(self) -> Array:
        """(B,) float32, reward of the last step."""
        return self.state.reward  # type: ignore[attr-defined]

    @property
    def terminated(self) -> Array:
        """(B,) bool, lanes whose episode has ended."""
        return self.state.terminated  # type: ignore[attr-defined]

    @property
    def action_mask(self) -> Array:
        """(B, A) bool, True = allowed."""
        return self.state.action_mask  # type: ignore[attr-defined]

    def step(self, choice: Array) -> None:
        """Apply one choice per lane; results are in ``reward``, ``terminated`` and the observation.

        Args:
            choice: (B,) integers in [0, A).

        Raises:
            IllegalChoice: a running lane's choice is masked.
        """
        if self.device == "cpu":
            choice = np.asarray(choice, np.int32)
            self._check(choice)
        self._step(choice)

    def _check(self, choice: NDArray[np.int32]) -> None:
        if choice.shape != (self.num_envs,):
            raise IllegalChoice(f"choice has shape {choice.shape}; expected ({self.num_envs},).")
        inside = (choice >= 0) & (choice < self.num_choices)
        legal = inside & self.action_mask[np.arange(self.num_envs), np.where(inside, choice, 0)]
        bad = ~(legal | self.terminated)
        if bad.any():
            lane = int(bad.argmax())
            allowed = np.flatnonzero(self.action_mask[lane])
            shown = ", ".join(map(str, allowed[:8])) + (", ..." if len(allowed) > 8 else "")
            raise IllegalChoice(
                f"lane {lane} chose node {choice[lane]}; legal: [{shown}]. "
                f"Use observation[{ACTION_MASK!r}]."
            )

    def fork(self, source: NDArray[np.int_]) -> None:
        """Make lane i a copy of lane ``source[i]``, in place.

        Args:
            source: (B,) lane numbers.
        """
        source = np.asarray(source)
        moved = np.flatnonzero(source != np.arange(self.num_envs))
        if len(moved):
            for array in self.state:
                array[moved] = array[source[moved]]

    def adopt(self, other: Simulator, source: NDArray[np.int_]) -> None:
        """Make lane i a copy of lane ``source[i]`` of another simulator over the same bank."""
        for mine, theirs in zip(self.state, other.state, strict=True):
            if mine.shape[1:] == theirs.shape[1:]:
                mine[:] = theirs[source]

    def render(self, lane: int = 0) -> NDArray[np.uint8]:
        """Return an (H, W, 3) uint8 picture of one lane."""
        raise NotImplementedError(f"{type(self).__name__} has no picture.")
