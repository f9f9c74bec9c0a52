"""Checks that every environment passes; import them in tests of your own environment.

``check_simulator`` holds the lanes to what :class:`~rlsched.core.simulator.Simulator` promises,
``check_vector_env`` the Gymnasium vector environment to Gymnasium's rules and ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from rlsched.core.errors import IllegalChoice
from rlsched.core.graph import ACTION_MASK
from rlsched.core.gym import SimulatorVectorEnv
from rlsched.core.lanes import Lanes
from rlsched.core.rng import randint
from rlsched.core.simulator import Simulator, host

__all__ = [
    "assert_same_state",
    "check_simulator",
    "check_vector_env",
    "in_plain_python",
    "play_random",
    "random_legal",
]


MAX_ROUNDS = 10_000
"""An episode of random choices that is longer is taken for one without an end."""


def random_legal(mask: NDArray[np.bool_], seed: int, event: int) -> NDArray[np.int32]:
    """Return one allowed choice per row of a (B, A) mask; row i is the same whatever B."""
    choice = np.zeros(len(mask), np.int32)
    for lane, row in enumerate(mask):
        allowed = np.flatnonzero(row)
        choice[lane] = allowed[randint(seed, lane, event, len(allowed))] if len(allowed) else 0
    return choice


def play_random(sim: Simulator, seed: int = 0, rounds: int | None = None) -> NDArray[np.float64]:
    """Play random legal choices, so many rounds or to the end; return the sums of rewards."""
    total = np.zeros(sim.num_envs)
    for event in range(MAX_ROUNDS if rounds is None else rounds):
        if rounds is None and host(sim.terminated).all():
            break
        sim.step(random_legal(host(sim.action_mask), seed, event))
        total += host(sim.reward)
    return total


def assert_same_state(mine: Any, theirs: Any, lanes: Any = slice(None)) -> None:
    """Assert that two states hold equal bytes, in the lanes given."""
    for name, a, b in zip(mine._fields, mine, theirs, strict=True):
        np.testing.assert_array_equal(host(a)[lanes], host(b)[lanes], err_msg=name)


@contextmanager
def in_plain_python() -> Iterator[None]:
    """Run every lane function as written, without Numba: the oracle of the compiled forms."""
    compiled = Lanes.__call__

    def interpreted(self: Lanes, num_lanes: int, *args: Any, device: str = "cpu") -> None:
        with np.errstate(all="ignore"):
            for lane in range(num_lanes):
                self.py(lane, *args)

    Lanes.__call__ = interpreted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Lanes.__call__ = compiled  # type: ignore[method-assign]


# --- the simulator -------------------------------------------------------------------------------


def check_simulator(
    make: Callable[[int], Simulator],
    *,
    rounds: int = 50,
    expected_return: Callable[[Simulator], NDArray] | None = None,
) -> None:
    """Hold a simulator to what its base class promises.

    Args:
        make: returns a simulator of the same problem and seed for a number of lanes.
        rounds: choices per lane in each check.
        expected_return: what the rewards of a lane's episode must sum to, from the ended lanes.

    Raises:
        AssertionError: a promise is broken.
    """
    _check_python_equals_compiled(make, min(rounds, 30))
    _check_seeds(make, rounds)
    _check_ended_lanes(make(3))
    _check_refusal(make(2))
    _check_forks(make(4), rounds)
    _check_keys_after(make(2), rounds)
    if expected_return is not None:
        sim = make(8)
        sim.reset(seed=0)
        returns = play_random(sim)
        np.testing.assert_allclose(returns, expected_return(sim), rtol=1e-4, atol=1e-4)


def _check_python_equals_compiled(make: Callable[[int], Simulator], rounds: int) -> None:
    compiled, plain = make(2), make(2)
    compiled.reset(seed=3)
    with in_plain_python():
        plain.reset(seed=3)
    assert_same_state(compiled.state, plain.state)
    for event in range(rounds):
        choice = random_legal(compiled.action_mask, 1, event)
        compiled.step(choice)
        with in_plain_python():
            plain.step(choice)
            prints = plain.fingerprint()
        assert_same_state(compiled.state, plain.state)
        np.testing.assert_array_equal(compiled.fingerprint(), prints)


def _check_seeds(make: Callable[[int], Simulator], rounds: int) -> None:
    few, many = make(2), make(65)
    for sim in (few, many):
        sim.reset(seed=11)
        play_random(sim, 1, rounds)
    _assert_equal_rows(few.state, many.state, 2)
    again = make(2)
    again.reset(seed=12)
    play_random(again, 5, 3)
    again.reset(seed=11)
    play_random(again, 1, rounds)
    assert_same_state(few.state, again.state)


def _assert_equal_rows(few: Any, many: Any, num: int) -> None:
    for name, a, b in zip(few._fields, few, many, strict=True):
        np.testing.assert_array_equal(a[:num], b[:num], err_msg=name)


def _check_ended_lanes(sim: Simulator) -> None:
    sim.reset(seed=0)
    play_random(sim)
    assert sim.terminated.all(), "an episode of random legal choices does not end"
    before = [array.copy() for array in sim.observation().values()]
    metrics = sim.metrics()
    sim.step(np.zeros(sim.num_envs, np.int32))
    assert not sim.reward.any(), "a lane that ended still earns"
    for old, new in zip(before, sim.observation().values(), strict=True):
        np.testing.assert_array_equal(old, new)
    for name, value in sim.metrics().items():
        assert value.shape == (sim.num_envs,), name
        np.testing.assert_array_equal(value, metrics[name], err_msg=name)
    assert sim.metric in metrics
    others = type(sim.state)(*(array.copy() for array in sim.state))
    sim.reset(np.arange(sim.num_envs) == 1)
    assert_same_state(sim.state, others, np.arange(sim.num_envs) != 1)
    assert not sim.terminated[1]


def _check_refusal(sim: Simulator) -> None:
    sim.reset(seed=0)
    before = type(sim.state)(*(array.copy() for array in sim.state))
    masked = int(np.flatnonzero(~sim.action_mask[1])[0])
    for wrong in (masked, -1, sim.num_choices):
        choice = random_legal(sim.action_mask, 0, 0)
        choice[1] = wrong
        refusal = ""
        try:
            sim.step(choice)
        except IllegalChoice as error:
            refusal = str(error)
        assert f"lane 1 chose node {wrong}" in refusal, f"choice {wrong} was taken: {refusal}"
        assert_same_state(sim.state, before)


def _check_forks(sim: Simulator, rounds: int) -> None:
    sim.reset(seed=2)
    play_random(sim, 0, 3)
    source = np.array([2, 2, 1, 0])
    before = type(sim.state)(*(array.copy() for array in sim.state))
    twin = sim.like(4)
    twin.reset(seed=9)
    twin.adopt(sim, source)
    sim.fork(source)
    for name, old, new in zip(before._fields, before, sim.state, strict=True):
        np.testing.assert_array_equal(old[source], new, err_msg=name)
    assert_same_state(sim.state, twin.state)
    assert sim.fingerprint()[0] == sim.fingerprint()[1]
    for event in range(rounds):
        choice = random_legal(sim.action_mask[source], 7, event)
        choice[1] = choice[0]
        choice = np.where(sim.action_mask[np.arange(4), choice], choice, _first(sim.action_mask))
        sim.step(choice)
        twin.step(choice)
        assert_same_state(sim.state, twin.state)
        np.testing.assert_array_equal(*(sim.fingerprint()[[0, 1]]))


def _check_keys_after(sim: Simulator, rounds: int) -> None:
    """Equal keys must lead to equal fingerprints, else search would drop what it wants to keep."""
    sim.reset(seed=6)
    for event in range(min(rounds, 6)):
        legal = np.flatnonzero(sim.action_mask[0]).astype(np.int32)
        keys = sim.keys_after(np.tile(legal, (2, 1)))
        if keys is None or sim.terminated[0]:
            return
        after = sim.like(len(legal))
        after.adopt(sim, np.zeros(len(legal), np.int64))
        after.step(legal)
        prints = after.fingerprint()
        for key in np.unique(keys[0]):
            same = prints[keys[0] == key]
            assert (same == same[0]).all(), "keys_after equates choices with different futures"
        sim.step(random_legal(sim.action_mask, 2, event))


def _first(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    return mask.argmax(axis=1).astype(np.int32)


# --- the vector environment ----------------------------------------------------------------------


def check_vector_env(
    envs_or_factory: SimulatorVectorEnv | Callable[[int], SimulatorVectorEnv],
    num_envs: Sequence[int] = (1, 3, 64),
    steps: int = 60,
) -> None:
    """Hold a vector environment to Gymnasium's rules and ours.

    Args:
        envs_or_factory: one vector environment, or what returns one for a number of lanes; with the
            latter, lanes must also not depend on how many there are.
        num_envs: numbers of lanes to try.
        steps: steps per trial; should span several episodes.

    Raises:
        AssertionError: a rule is broken.
    """
    if not callable(envs_or_factory):
        _check_one(envs_or_factory, steps)
        return
    trails = []
    for num in num_envs:
        envs = envs_or_factory(num)
        assert envs.num_envs == num
        trails.append(_check_one(envs, steps))
    for trail in trails[1:]:
        shared = min(len(trail), len(trails[0]))
        assert trail[:shared] == trails[0][:shared], (
            "a lane's episode depends on the number of lanes"
        )


def _check_one(envs: SimulatorVectorEnv, steps: int) -> list[str]:
    """Check one vector environment and return a digest of what each lane saw."""
    assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert envs.observation_space.shape == envs.single_observation_space.shape
    trail = _trail(envs, 5, steps)
    assert _trail(envs, 5, steps) == trail, "the same seed gives other bytes"
    _check_illegal(envs)
    return trail


def _trail(envs: SimulatorVectorEnv, seed: int, steps: int) -> list[str]:
    B = envs.num_envs
    digests = [hashlib.sha256() for _ in range(B)]
    observation, infos = envs.reset(seed=seed)
    assert isinstance(infos, dict)
    ended = np.zeros(B, np.bool_)
    for event in range(steps):
        _check_observation(envs, observation)
        mask = observation[ACTION_MASK]
        assert mask.any(axis=1).all(), "a lane has no allowed choice"
        choice = np.where(ended, -1, random_legal(mask, seed, event))
        kept = {key: value.copy() for key, value in observation.items()}
        last = observation
        observation, reward, terminated, truncated, infos = envs.step(choice)
        for key, value in last.items():
            np.testing.assert_array_equal(value, kept[key], err_msg=f"{key} changed in hindsight")
        _check_step(envs, reward, terminated, truncated, infos)
        assert not reward[ended].any(), "a lane that is being reset earns"
        assert not terminated[ended].any(), "a lane that is being reset ends"
        for lane in range(B):
            for value in (*observation.values(), reward, terminated):
                digests[lane].update(np.ascontiguousarray(value[lane]).tobytes())
        ended = terminated | truncated
    return [digest.hexdigest() for digest in digests]


def _check_observation(envs: SimulatorVectorEnv, observation: dict[str, NDArray]) -> None:
    assert set(observation) == set(envs.simulator.graph.input_names)
    for key, space in envs.observation_space.spaces.items():  # type: ignore[attr-defined]
        value = observation[key]
        assert value.shape == space.shape, f"{key} is {value.shape}; its space has {space.shape}"
        assert value.dtype == space.dtype, f"{key} is {value.dtype}; its space has {space.dtype}"
        assert space.contains(value), f"{key} leaves its space"


def _check_step(
    envs: SimulatorVectorEnv, reward: Any, terminated: Any, truncated: Any, infos: dict[str, Any]
) -> None:
    shape = (envs.num_envs,)
    assert (reward.shape, reward.dtype) == (shape, np.float32)
    assert (terminated.shape, terminated.dtype) == (shape, np.bool_)
    assert (truncated.shape, truncated.dtype) == (shape, np.bool_)
    assert np.isfinite(reward).all()
    assert envs.simulator.metric in infos
    for name, value in infos.items():
        assert np.shape(value) == shape, f"info {name!r} has shape {np.shape(value)}"
        if not name.startswith("_"):
            np.testing.assert_array_equal(infos[f"_{name}"], terminated)


def _check_illegal(envs: SimulatorVectorEnv) -> None:
    observation, _ = envs.reset(seed=1)
    mask = observation[ACTION_MASK]
    lane = int(np.flatnonzero(~host(envs.simulator.terminated))[-1])
    choice = random_legal(mask, 0, 0)
    choice[lane] = np.flatnonzero(~mask[lane])[0]
    try:
        envs.step(choice)
    except IllegalChoice:
        return
    raise AssertionError(f"lane {lane}: masked choice {choice[lane]} was taken.")
