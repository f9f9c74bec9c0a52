"""A live shop floor in, the next moves and the plan behind them out; neither torch nor ray.

Without a budget the plan is the policy's own. With one it is improved by local search over the
order of jobs on the machines, for as long as there is time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from rlsched.core.errors import InstanceError
from rlsched.core.names import make_policy
from rlsched.core.plans import Planner
from rlsched.core.policy import Policy
from rlsched.core.search import rollout
from rlsched.envs.jobshop.instances import Schedule, load_instances
from rlsched.envs.jobshop.rules import RULES, SUFFIXES, Improved, variants
from rlsched.envs.jobshop.simulator import JobShopSimulator


def dispatch(
    config: Any,
    policy: str | None,
    input: str | Path,
    limit: int | None = None,
    budget_s: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Plan the next moves of a shop floor.

    Args:
        config: options of the environment (``JobShopConfig``).
        policy: an ``.onnx`` file or a rule, with suffixes where wanted; None = ``mwkr``.
        input: file of one shop, as a rule the JSON of a live floor.
        limit: most moves given; None = all to the end.
        budget_s: wall-clock seconds of planning; None = the policy's own plan.
        seed: of sampling.

    Returns:
        JSON-ready: ``objective`` and its value at the end of the plan; ``clock``; ``now``, the
        moves to make at once, and ``moves``, all in order of their start: each ``job``,
        ``operation`` (from 0), ``machine``, ``start`` and ``end``, in ticks and the file's own
        names; ``seconds`` of planning; ``is_deadlocked``.

    Raises:
        InstanceError: the file cannot be read or does not hold exactly one shop.
        UnknownName: there is no such rule.
        CheckpointError: the exported policy cannot be used.
    """
    chosen = make_policy(policy or "mwkr", RULES, config, seed, partial(variants, config), SUFFIXES)
    shops = load_instances(input)
    if len(shops) != 1:
        raise InstanceError(f"'{input}' holds {len(shops)} shops; dispatch takes one.")
    sim = _simulator(config, shops)
    planner = chosen if budget_s is None else Improved(chosen, budget_s, seed)
    _warm_up(planner, sim)
    begin = perf_counter()
    plan = rollout(sim, 0, planner).choices
    seconds = perf_counter() - begin
    for choice in plan:
        sim.step(np.array([choice], np.int32))
    return _document(sim, limit, seconds)


def _warm_up(planner: Policy, sim: JobShopSimulator) -> None:
    """Let what a first plan would compile be compiled before the time counts."""
    if isinstance(planner, Improved):
        planner.warm_up(sim, 0)
    elif not isinstance(planner, Planner):
        rollout(sim, 0, planner)


def _simulator(config: Any, shops: Sequence[Any]) -> JobShopSimulator:
    sim = JobShopSimulator(
        shops,
        buffer=config.buffer,
        swap=config.swap,
        deadlock=config.deadlock,
        hold=config.hold,
        after_repair=config.after_repair,
        objective=config.objective,
    )
    sim.reset(instances=[0])
    return sim


def _document(sim: JobShopSimulator, limit: int | None, seconds: float) -> dict[str, Any]:
    schedule, figures = sim.schedule(0), sim.metrics()
    clock = int(sim.host_shops.clock[0])
    moves = _moves(schedule, clock)[:limit]
    return {
        "objective": sim.objective,
        sim.objective: int(figures[sim.objective][0]),
        "clock": clock,
        "now": [move for move in moves if move["start"] == clock],
        "moves": moves,
        "is_deadlocked": bool(figures["is_deadlocked"][0]),
        "seconds": round(seconds, 4),
    }


def _moves(schedule: Schedule, clock: int) -> list[dict[str, Any]]:
    """Return the operations that are still to start, in the order of their start."""
    shop, under_way = schedule.shop, set[int]()
    if shop.floor is not None:
        first = shop.op_begin[:-1] + shop.floor.num_done
        under_way = set(first[shop.floor.left > 0].tolist())
    rows = [o for o in np.argsort(schedule.start, kind="stable") if schedule.start[o] >= clock]
    return [
        {
            "job": shop.job_label(int(shop.op_job[o])),
            "operation": int(o - shop.op_begin[shop.op_job[o]]),
            "machine": shop.machine_label(int(schedule.machine[o])),
            "start": int(schedule.start[o]),
            "end": int(schedule.end[o]),
        }
        for o in rows
        if int(o) not in under_way
    ]
