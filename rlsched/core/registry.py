"""Environments by name: what the doors, the Gymnasium ids and the evaluation look up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from rlsched.core.errors import UnknownName

MODULES = {
    "jobshop": "rlsched.envs.jobshop.problem",
    "soc": "rlsched.envs.soc.problem",
    "vmr": "rlsched.envs.vmr.problem",
}
"""Known environments and where they live; a module's ``PROBLEM`` describes it."""
GYM_IDS = {
    "jobshop": "rlsched/JobShop-v0",
    "soc": "rlsched/SoC-v0",
    "vmr": "rlsched/VMR-v0",
}
"""Their Gymnasium ids, here so that none of them is imported to be registered."""


SPLITS = ("train", "validation", "test")
SEED_STRIDE = 1_000_003
"""Generated banks of different seeds or splits share no instance if smaller than this."""


def first_seed(seed: int, split: str) -> int:
    """Return the seed of a generated bank's first instance; the others' follow it."""
    return (len(SPLITS) * seed + SPLITS.index(split)) * SEED_STRIDE


@dataclass(frozen=True)
class Problem:
    """Everything the rest of the house needs of an environment.

    Attributes:
        name: short name, as in ``env=vmr``.
        gym_id: Gymnasium id, as in :data:`GYM_IDS`; bumped when behaviour changes.
        config: dataclass type of its options, field by field the keys of ``env.<key>=``.
        make: ``make(config, num_envs, instances=None, seed=0, observe=True, device="cpu")`` ->
            Simulator.
        load_instances: ``load_instances(config, path)`` -> instances read from a file or folder.
        generate_instances: ``generate_instances(config, num, seed)`` -> generated instances, split
            by seed.
        rules: name -> ``factory(config)`` giving a Policy.
        teachers: name -> ``factory(config)`` giving a Teacher, the default first; rules teach
            unnamed.
        sizes: ``sizes(config)`` -> three configs, small to large, for checks at any size.
        larger: ``larger(config)`` -> config of the real size on which a trained policy is shown.
        default_policies: ``default_policies(config)`` -> names of the rules that a comparison has
            unless told otherwise.
        dispatch: ``dispatch(config, policy, input, limit, budget_s, seed)`` -> JSON-ready plan.
        portfolio: ``portfolio(config, policy, time_limit_s)`` -> the Policy that dispatch is under
            a budget.
        plot: ``plot(simulator, lane, ax)`` -> ax, a picture of one lane for reports.
        variants: ``variants(config, policy, suffix)`` -> the Policy that a suffix of this
            environment's own makes of another, as in ``mwkr:wip_5``, or None if the suffix is not
            its own; a bad value is a ConfigError. None = it has no such suffixes.
        suffixes: how those read, for messages: ``wip_<jobs>``.
        reference: ``reference(config, instance)`` -> (proven lower bound, best known value) of the
            metric in the literature for this instance and these options, each None where there is
            none. None = the environment knows no literature.
    """

    name: str
    gym_id: str
    config: type
    make: Callable[..., Any]
    load_instances: Callable[..., list]
    generate_instances: Callable[..., list]
    rules: dict[str, Callable[..., Any]]
    teachers: dict[str, Callable[..., Any]]
    sizes: Callable[..., list]
    larger: Callable[..., Any]
    default_policies: Callable[[Any], tuple[str, ...]]
    dispatch: Callable[..., dict]
    portfolio: Callable[..., Any]
    plot: Callable[..., Any]
    variants: Callable[..., Any] | None = None
    suffixes: tuple[str, ...] = ()
    reference: Callable[..., tuple[float | None, float | None]] | None = None


def problem(name: str) -> Problem:
    """Return the description of an environment.

    Raises:
        UnknownName: there is none of that name.
    """
    if name not in MODULES:
        raise UnknownName("env", name, MODULES)
    return import_module(MODULES[name]).PROBLEM


def make_simulator(name: str, num_envs: int, seed: int, options: dict[str, Any]) -> Any:
    """Return a simulator from keyword options; ``instances=`` and ``device=`` go to its maker.

    Raises:
        UnknownName: the environment or an option is unknown.
    """
    found = problem(name)
    known = {f.name for f in fields(found.config)}
    extra = {key: options.pop(key) for key in ("instances", "device", "observe") if key in options}
    for key in options:
        if key not in known:
            raise UnknownName(f"option of {name!r}", key, known)
    return found.make(found.config(**options), num_envs, seed=seed, **extra)
