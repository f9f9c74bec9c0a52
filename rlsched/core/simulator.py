"""Simulator: B lanes of one problem, stepped together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import IllegalChoice
from rlsched.core.graph import ACTION_MASK, GraphSpec
from rlsched.core.lanes import lanes

Array = Any
"""A NumPy array, or a Numba device array where the simulator runs on CUDA."""


def host(array: Array) -> NDArray:
    """Return an array in host memory: itself, or a copy of a device array."""
    return array.copy_to_host() if hasattr(array, "copy_to_host") else np.asarray(array)


@lanes
def check_choice(
    lane: int, mask: Array, terminated: Array, choice: Array, is_illegal: Array
) -> None:
    """Mark a running lane whose choice is masked or no choice at all."""
    a = choice[lane]
    allowed = 0 <= a < mask.shape[1] and mask[lane, a]
    is_illegal[lane] = not (allowed or terminated[lane])


@lanes
def copy_element(i: int, source: Array, theirs: Array, mine: Array) -> None:
    """Copy one element of row ``source[lane]`` of a (B, K) array to row ``lane`` of another."""
    lane, k = i // mine.shape[1], i % mine.shape[1]
    mine[lane, k] = theirs[source[lane], k]


class Simulator(ABC):
    """B lanes over a bank of instances; a subclass supplies the lane functions.

    A lane plays one episode: :meth:`reset` gives it an instance, :meth:`step` applies one choice
    per lane, and a terminated lane ignores further steps until it is reset. Every array is batch
    axis first and is updated in place; copy what must outlive the next step.

    Attributes:
        graph: the observation graph.
        metric: name of the problem's own score, a key of :meth:`metrics`.
        lower_is_better: its direction.
        companion: another key of it, without which the score says little; tables show both.
        can_stop: STOP ends the episode at any decision, so every state on the way is a result.
        is_stochastic: chance has a say in what choices lead to, so that a plan may not come true.
        unit: what one full decision is called, for benchmarks (``"migration"``).
        choices_per_unit: choices that make one.
        state: NamedTuple of per-lane arrays.
        num_envs: B.
        device: ``"cpu"`` or ``"cuda"``.
        sizes: padded number of rows of each node type.
        num_edges: padded number of rows of each edge type.
    """

    graph: ClassVar[GraphSpec]
    metric: str
    lower_is_better: ClassVar[bool] = True
    companion: str | None = None
    can_stop: ClassVar[bool] = False
    is_stochastic: bool = False
    unit: ClassVar[str]
    choices_per_unit: ClassVar[int] = 1
    render_modes: ClassVar[tuple[str, ...]] = ("rgb_array",)

    state: Any
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
            seed: new seed for the instances drawn and for the lanes' random numbers; lanes restart
                their episode counters, so equal seeds give equal episodes. None keeps counting.
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
        """Return (B,) int64, equal for lanes whose futures are equal; search drops doubles."""

    def keys_after(self, choices: NDArray[np.int32]) -> NDArray[np.int64] | None:
        """Return (B, K) int64, equal where choices lead to equal futures; None if unknown.

        Args:
            choices: (B, K) int32, legal choices of each lane.
        """
        return None

    @abstractmethod
    def like(self, num_envs: int, observe: bool | None = None) -> Simulator:
        """Return a simulator of the same problem and bank with another number of lanes, all unset.

        Args:
            num_envs: B of the new one.
            observe: whether it keeps its observation up to date; None = as this one.
        """

    @property
    def reward(self) -> Array:
        """(B,) float32, reward of the last step."""
        return self.state.reward

    @property
    def elapsed(self) -> Array | None:
        """(B,) float32, time that the last step took, by which rewards are discounted.

        The problem says in what unit. None = every step counts as one.
        """
        return None

    def subjects(self, choice: NDArray[np.int32]) -> NDArray[np.int64] | None:
        """Return (B,) int64, the item of each lane's episode that a choice decides on.

        Args:
            choice: (B,) int32, about to be made.

        Returns:
            None where choices are not about items that are finished one by one.
        """
        return None

    def are_settled(self, subjects: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (T, B) bool, which of the items that were decided on are finished by now.

        Args:
            subjects: (T, B) int64, items of the lanes' present episodes.
        """
        raise NotImplementedError

    @property
    def terminated(self) -> Array:
        """(B,) bool, lanes whose episode has ended."""
        return self.state.terminated

    @property
    def action_mask(self) -> Array:
        """(B, A) bool, True = allowed."""
        return self.state.action_mask

    def step(self, choice: Array) -> None:
        """Apply one choice per lane; results are in ``reward``, ``terminated`` and the observation.

        Args:
            choice: (B,) integers in [0, A).

        Raises:
            IllegalChoice: a running lane's choice is masked.
        """
        if self.device == "cpu" or not hasattr(choice, "shape"):
            choice = np.asarray(choice, np.int32)
        self._check(choice)
        self._step(choice)

    def _check(self, choice: Array) -> None:
        B = self.num_envs
        if tuple(choice.shape) != (B,):
            raise IllegalChoice(f"choice has shape {tuple(choice.shape)}; expected ({B},).")
        is_illegal = np.zeros(B, np.bool_)
        check_choice(B, self.action_mask, self.terminated, choice, is_illegal, device=self.device)
        if is_illegal.any():
            lane = int(is_illegal.argmax())
            allowed = np.flatnonzero(host(self.action_mask[lane]))
            shown = ", ".join(map(str, allowed[:8])) + (", ..." if len(allowed) > 8 else "")
            raise IllegalChoice(
                f"lane {lane} chose node {int(choice[lane])}; legal: [{shown}]. "
                f"Use observation[{ACTION_MASK!r}]."
            )

    def fork(self, source: NDArray[np.int_]) -> None:
        """Make lane i a copy of lane ``source[i]``, in place.

        Args:
            source: (B,) lane numbers.
        """
        source = np.asarray(source)
        moved = np.flatnonzero(source != np.arange(self.num_envs))
        if len(moved) and self.device == "cpu":
            for array in self.state:
                array[moved] = array[source[moved]]
        elif len(moved):
            self._gather(self.state, source)

    def adopt(self, other: Simulator, source: NDArray[np.int_]) -> None:
        """Make lane i a copy of lane ``source[i]`` of another simulator, in place.

        Both have the same bank and device. What only one of them keeps, an observation, is left.
        """
        if self.device == "cpu":
            for mine, theirs in zip(self.state, other.state, strict=True):
                if mine.size and theirs.size:
                    mine[:] = theirs[source]
        else:
            self._gather(other.state, np.asarray(source))

    def hide_future(self) -> None:
        """Make what chance will bring in these lanes independent of what it really will bring.

        Called on the copies that a search plays, so that it cannot look ahead into the real future.
        The present state stays as it is, and equal states get equal futures, so that a plan made on
        one copy holds on another. Needed where ``is_stochastic``.
        """

    def _gather(self, others: Any, source: NDArray[np.int_]) -> None:
        """Copy rows between arrays on the device, one thread per element."""
        from numba import cuda

        rows = cuda.to_device(source)
        for mine, theirs in zip(self.state, others, strict=True):
            if mine.size and theirs.size:
                if mine is theirs:
                    theirs = cuda.device_array_like(mine)
                    theirs.copy_to_device(mine)
                flat = (a.reshape(a.shape[0], a.size // a.shape[0]) for a in (theirs, mine))
                copy_element(mine.size, rows, *flat, device=self.device)

    def render(self, lane: int = 0) -> NDArray[np.uint8]:
        """Return an (H, W, 3) uint8 picture of one lane."""
        raise NotImplementedError(f"{type(self).__name__} has no picture.")
