"""One workload in, the placements to make at once out; neither torch nor ray.

Static mode plans the whole DAG. Streaming mode takes a system at work and decides what can be
decided now, until the clock would move; nothing is known of jobs to come. With a budget every
choice is tried and played on by a rule, for as long as there is time, and what comes of that is
taken where it is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import InstanceError
from rlsched.core.names import make_policy
from rlsched.core.plans import Planner
from rlsched.core.policy import Policy
from rlsched.core.registry import problem
from rlsched.core.search import rollout
from rlsched.core.simulator import Simulator
from rlsched.envs.soc.chart import bars_of
from rlsched.envs.soc.instances import load_instances
from rlsched.envs.soc.rules import RULES, SUFFIXES, Rollout, Rule, variants
from rlsched.envs.soc.simulator import MAX_QUEUE, SocSimulator, parse_range
from rlsched.envs.soc.workload import Workload

MEASURE_S = 0.2
"""For which choices are repeated to measure one."""


class Within(Policy):
    """A policy for as long as there is time, then another.

    Args:
        first: the policy.
        then: the other.
        budget_s: seconds, from the first choice of an episode on.
    """

    def __init__(self, first: Policy, then: Policy, budget_s: float) -> None:
        self.first, self.then, self.budget_s = first, then, budget_s
        self.name, self.needs_observation = first.name, _needs_observation(then)
        self.deadline: float | None = None

    def play(self, sim: Simulator) -> int:
        self.deadline = None
        return super().play(sim)

    def choose(self, sim: Simulator) -> NDArray[np.int32]:
        if self.deadline is None:
            self.deadline = perf_counter() + self.budget_s
        return (self.first if perf_counter() < self.deadline else self.then).choose(sim)


def dispatch(
    config: Any,
    policy: str | None,
    input: str | Path,
    limit: int | None = None,
    budget_s: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Place the tasks of a workload that can be placed now, or plan its one DAG.

    Args:
        config: options of the environment (``SocConfig``); in streaming mode no job arrives.
        policy: an ``.onnx`` file or a rule, with suffixes where wanted; None = ``etf``.
        input: file of one workload; in streaming mode our JSON with a system at work (``live``).
        limit: most placements given; None = all.
        budget_s: wall-clock seconds of planning beyond the policy's own; None = none.
        seed: of sampling.

    Returns:
        JSON-ready: ``mode``; ``objective`` and its value, ``makespan`` of the plan or mean
        ``latency`` of the jobs in the system if the policy goes on; ``clock``; ``now``, the
        placements to make at once, and in static mode ``plan``, all of them, in order of their
        beginning: each ``job`` (its place in ``live``), ``kind``, ``task``, ``task_type``, ``pe``,
        ``begin`` and ``end`` as expected, in ticks, ``opp`` (MHz, mV); ``seconds`` of planning;
        ``decision_us``, microseconds that the policy takes to place a task, without the budget,
        None if it has nothing to choose; ``mean_task_us``, a task's mean time if a tick is a
        microsecond: decisions must take less.

    Raises:
        InstanceError: the file cannot be read, does not hold exactly one workload, or not what the
            mode needs.
        UnknownName: there is no such rule.
        ConfigError: an option or a suffix does not suit the workload or the mode.
        CheckpointError: the exported policy cannot be used.
    """
    chosen = make_policy(policy or "etf", RULES, config, seed, partial(variants, config), SUFFIXES)
    workload = _one_workload(config, input)
    if budget_s is not None and hasattr(chosen, "time_limit_s"):
        chosen.time_limit_s = min(chosen.time_limit_s, budget_s)
    decide = _plan if config.mode == "static" else _decide
    document, rows = decide(config, workload, chosen, budget_s, seed)
    rows = rows[:limit]
    is_now = [row["begin"] == 0 or config.mode != "static" for row in rows]
    now = [row for row, is_one in zip(rows, is_now, strict=True) if is_one]
    return document | {"now": now} | ({"plan": rows} if config.mode == "static" else {})


def _one_workload(config: Any, input: str | Path) -> Workload:
    found = load_instances(input)
    if len(found) != 1:
        raise InstanceError(f"'{input}' holds {len(found)} workloads; dispatch takes one.")
    workload = found[0]
    if config.mode == "static" and len(workload.jobs) != 1:
        raise InstanceError(
            f"'{input}' holds {len(workload.jobs)} jobs; env.mode=static plans one: leave the "
            "others out, or give a system at work ('live') and env.mode=streaming."
        )
    if config.mode != "static" and workload.live is None:
        raise InstanceError(
            f"'{input}' says nothing of the system at work; add 'live' (see the docs of the JSON), "
            "or plan its one job with env.mode=static."
        )
    if workload.live is not None and not workload.live.jobs:
        raise InstanceError(f"'{input}': no job is in the system ('live'): nothing to place.")
    return workload


Found = tuple[dict[str, Any], list[dict[str, Any]]]
"""What was found: the figures, and the placements."""


def _plan(
    config: Any, workload: Workload, chosen: Policy, budget_s: float | None, seed: int
) -> Found:
    """Plan a DAG, with a budget in two ways, and return the better plan."""
    sim = _simulator(config, workload, chosen, seed)
    sim.hide_future()
    attempts = _attempts(chosen, budget_s, sim)
    begin = perf_counter()
    plans = [rollout(sim, 0, policy) for policy in attempts[:1]]
    own_s = perf_counter() - begin
    plans += [rollout(sim, 0, policy) for policy in attempts[1:]]
    seconds = perf_counter() - begin
    is_planner = isinstance(chosen, Planner)
    us = 1e6 * own_s / workload.jobs[0].num_tasks if is_planner else _decision_us(sim, chosen)
    best = min(plans, key=lambda plan: plan.cost)
    figures = _figures(sim, 0, best.cost, seconds, us)
    _replay(sim, best.choices)
    return figures, _placements(sim, workload, {(0, t) for t in range(workload.jobs[0].num_tasks)})


def _decide(
    config: Any, workload: Workload, chosen: Policy, budget_s: float | None, seed: int
) -> Found:
    """Decide what can be decided now, with a budget in two ways, and return the better one.

    One lane ends when the clock would move. In another the policy goes on from what was decided.
    """
    assert workload.live is not None
    clock, jobs = workload.live.clock, workload.live.jobs
    present = _simulator(config, workload, chosen, seed, length=1)
    future = _simulator(config, workload, chosen, seed)
    future.hide_future()
    attempts = _attempts(chosen, budget_s, future)
    begin = perf_counter()
    decided = [_choices_now(present, policy) for policy in attempts]
    seconds = perf_counter() - begin
    costs = [_cost_after(future, choices, chosen) for choices in decided]
    best = int(np.argmin(costs))
    figures = _figures(future, clock, costs[best], seconds, _decision_us(future, chosen))
    present.reset(instances=[0])
    _replay(present, decided[best])
    kinds = [(j, t, task) for j, job in enumerate(jobs) for t, task in enumerate(job.tasks)]
    waiting = {(j, t) for j, t, task in kinds if task.status == "waiting"}
    return figures, _placements(present, workload, waiting)


def _attempts(chosen: Policy, budget_s: float | None, sim: SocSimulator) -> list[Policy]:
    """Return the policy, and with a budget what tries every choice, both compiled."""
    if budget_s is None:
        _warm_up(chosen, sim)
        return [chosen]
    base = Rule("etf") if isinstance(chosen, Planner) else chosen
    better = Rollout(base, is_parallel=True)
    for policy in (chosen, better):
        _warm_up(policy, sim)
    return [chosen, Within(better, base, budget_s)]


def _warm_up(policy: Policy, sim: SocSimulator) -> None:
    """Let what a first choice would compile be compiled before the time counts."""
    twin = _copy(sim)
    if not twin.terminated[0]:
        is_planner = isinstance(policy, Planner)
        twin.step((Rule("etf") if is_planner else policy).choose(twin))


def _simulator(
    config: Any, workload: Workload, policy: Policy, seed: int, length: int = 0
) -> SocSimulator:
    """Return a lane of a workload to which no job comes."""
    jobs = len(workload.live.jobs) if workload.live else 1
    room = max(jobs, round(parse_range("queue", config.queue, 1, MAX_QUEUE)[1]))
    options = {"length": length, "num_jobs": jobs, "warmup": 0, "queue": str(room)}
    observe = _needs_observation(policy)
    sim = problem("soc").make(
        replace(config, **options), 1, instances=[workload], seed=seed, observe=observe
    )
    sim.reset(instances=[0])
    return sim


def _needs_observation(policy: Policy) -> bool:
    return bool(getattr(policy, "needs_observation", True))


def _copy(sim: SocSimulator) -> SocSimulator:
    twin = sim.like(1)
    twin.adopt(sim, np.zeros(1, np.int_))
    return twin


def _choices_now(present: SocSimulator, policy: Policy) -> list[int]:
    """Return the choices that a policy makes until the lane ends."""
    present.reset(instances=[0])
    choices = list[int]()
    while not present.terminated[0]:
        choice = policy.choose(present)
        choices.append(int(choice[0]))
        present.step(choice)
    return choices


def _replay(sim: SocSimulator, choices: Sequence[int]) -> None:
    for choice in choices:
        sim.step(np.array([choice], np.int32))


def _cost_after(future: SocSimulator, choices: Sequence[int], policy: Policy) -> float:
    """Return the mean latency of the jobs if a policy goes on from some choices."""
    twin = _copy(future)
    _replay(twin, choices)
    return rollout(twin, 0, policy).cost


def _decision_us(sim: SocSimulator, policy: Policy) -> float | None:
    """Return the mean microseconds that a policy takes to place a task, over repeated play."""
    seconds, placed = 0.0, 0
    while seconds < MEASURE_S:
        twin = _copy(sim)
        if twin.terminated[0]:
            return None
        before = int(twin.state.num_decisions[0])
        while not twin.terminated[0] and seconds < MEASURE_S:
            begin = perf_counter()
            twin.step(policy.choose(twin))
            seconds += perf_counter() - begin
        placed += int(twin.state.num_decisions[0]) - before
    return 1e6 * seconds / max(1, placed)


def _figures(
    sim: SocSimulator, clock: int, cost: float, seconds: float, decision_us: float | None
) -> dict[str, Any]:
    return {
        "mode": sim.mode,
        "objective": sim.metric,
        sim.metric: int(cost) if sim.mode == "static" else round(cost, 3),
        "clock": clock,
        "seconds": round(seconds, 4),
        "decision_us": None if decision_us is None else round(decision_us, 1),
        "mean_task_us": round(float(sim.host_work.mean_time[0]), 1),
    }


def _placements(
    sim: SocSimulator, workload: Workload, wanted: set[tuple[int, int]]
) -> list[dict[str, Any]]:
    """Return those of the wanted tasks, (job, task), that are placed, by their beginning."""
    rows, pes = list[dict[str, Any]](), workload.soc.pes
    bars = bars_of(sim)
    for job, kind, task, p, begin, end, point in zip(*(c.tolist() for c in bars[:7]), strict=True):
        if (job, task) in wanted:
            rows.append(
                {
                    "job": job,
                    "kind": workload.jobs[kind].name,
                    "task": task,
                    "task_type": workload.jobs[kind].tasks[task],
                    "pe": pes[p].name,
                    "begin": begin,
                    "end": end,
                    "opp": list(pes[p].opps[point]),
                }
            )
    return rows
