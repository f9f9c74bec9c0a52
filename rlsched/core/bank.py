"""BankSimulator: lanes over a bank of instances packed into arrays, what every problem does alike.

A problem supplies what is its own: how instances are packed, the arrays of a lane, and its lane
functions ``start``, ``step``, ``observe`` and ``fingerprint``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import ConfigError, InstanceError
from rlsched.core.lanes import Lanes
from rlsched.core.rng import bits
from rlsched.core.simulator import Simulator


class BankSimulator(Simulator):
    """A simulator whose instances are the rows of packed arrays.

    Args:
        instances: the bank; lanes draw from it, or are told rows of it.
        num_envs: B.
        seed: of the instances drawn and of the lanes' random numbers.
        observe: keep the observation up to date; False is for rules and search, which read the
            state.
        device: ``"cpu"`` or ``"cuda"``.

    Attributes:
        bank: NamedTuple of what the instances fix, on the device.
        host_bank: the same in host memory.
        start_lane: ``start(lane, bank, state, observe, mask, rows, stream)``.
        observe_lane: ``observe(lane, bank, state)``, the whole observation from the state alone.
        fingerprint_lane: ``fingerprint(lane, bank, state, out)``.

    Raises:
        ConfigError: an option is not allowed.
        InstanceError: the bank is empty.
    """

    start_lane: ClassVar[Lanes]
    observe_lane: ClassVar[Lanes]
    fingerprint_lane: ClassVar[Lanes]

    bank: Any
    host_bank: Any

    def __init__(
        self, instances: Sequence[Any], num_envs: int, seed: int, observe: bool, device: str
    ) -> None:
        if not instances:
            raise InstanceError("The bank is empty; give at least one instance.")
        if num_envs < 1:
            raise ConfigError(f"num_envs={num_envs}; must be >= 1.")
        if device not in ("cpu", "cuda"):
            raise ConfigError(f"device={device!r}; allowed: cpu, cuda.")
        self.instances, self.num_envs, self.seed = list(instances), num_envs, seed
        self.observe, self.device = observe, device

    @abstractmethod
    def _new_state(self) -> Any:
        """Return the arrays of B unset lanes in host memory; the observation's empty without."""

    def _open(self, bank: Any) -> None:
        """Take up the packed instances and make the lanes; a subclass calls it when it is set."""
        self.host_bank, self.bank = bank, self._to_device(bank)
        self._allocate()

    def _allocate(self) -> None:
        self.state = self._to_device(self._new_state())
        self._episodes = np.zeros(self.num_envs, np.int64)

    def _to_device(self, arrays: Any) -> Any:
        if self.device == "cpu":
            return arrays
        from numba import cuda

        return type(arrays)(*(cuda.to_device(a) for a in arrays))

    def like(self, num_envs: int, observe: bool | None = None) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.num_envs, twin.observe = num_envs, self.observe if observe is None else observe
        twin._allocate()
        return twin

    def reset(
        self,
        mask: NDArray[np.bool_] | None = None,
        *,
        seed: int | None = None,
        instances: NDArray[np.int_] | Sequence[int] | None = None,
    ) -> None:
        if seed is not None:
            self.seed = seed
            self._episodes[:] = 0
        mask = np.ones(self.num_envs, np.bool_) if mask is None else np.asarray(mask, np.bool_)
        started = np.flatnonzero(mask)
        rows, stream = np.zeros(self.num_envs, np.int32), np.zeros(self.num_envs, np.int64)
        if instances is None:
            for lane in started:
                stream[lane] = bits(self.seed, int(lane), int(self._episodes[lane]))
                rows[lane] = (stream[lane] * self.num_instances) >> 32
        else:
            rows[:] = self._checked_rows(instances)
            for lane in started:
                stream[lane] = bits(self.seed, int(rows[lane]), int(lane))
        self._episodes[started] += 1
        self._run(self.start_lane, self.observe, mask, rows, stream)

    def _checked_rows(self, instances: NDArray[np.int_] | Sequence[int]) -> NDArray[np.int_]:
        rows = np.asarray(instances)
        if rows.shape != (self.num_envs,) or rows.min() < 0 or rows.max() >= self.num_instances:
            raise InstanceError(
                f"instances={rows.tolist()[:8]}; "
                f"give {self.num_envs} rows in [0, {self.num_instances})."
            )
        return rows

    def _run(self, function: Lanes, *args: Any) -> None:
        function(self.num_envs, self.bank, self.state, *args, device=self.device)

    def adopt(self, other: Simulator, source: NDArray[np.int_]) -> None:
        super().adopt(other, source)
        if self.observe and not other.observe:  # type: ignore[attr-defined]
            self._run(self.observe_lane)

    def _check_observes(self) -> None:
        if not self.observe:
            raise ConfigError("This simulator was made with observe=False; it has no observation.")

    def fingerprint(self) -> NDArray[np.int64]:
        out = np.zeros(self.num_envs, np.int64)
        self._run(self.fingerprint_lane, out)
        return out
