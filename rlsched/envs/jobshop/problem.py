"""The job shop as the rest of the house sees it: options, construction, rules, dispatch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from rlsched.core.policy import Policy
from rlsched.core.registry import Problem, first_seed
from rlsched.core.search import rollout
from rlsched.envs.jobshop.dispatch import dispatch
from rlsched.envs.jobshop.exact_policy import exact_plan
from rlsched.envs.jobshop.improve import improve_plan
from rlsched.envs.jobshop.instances import (
    Shop,
    generate_shop,
    generator_config,
    load_instances,
    reference,
)
from rlsched.envs.jobshop.render import plot
from rlsched.envs.jobshop.rules import RULES, SUFFIXES, Improved, Portfolio, variants
from rlsched.envs.jobshop.simulator import JobShopSimulator
from rlsched.envs.jobshop.teacher import LookAheadTeacher, PlanTeacher

EXACT_TEACHER_S, SEARCH_TEACHER_S = 1.0, 0.5


@dataclass
class JobShopConfig:
    """Options of ``env=jobshop``.

    Attributes:
        name: the environment.
        generator: preset of generated shops with an optional size or range of sizes, e.g.
            ``uniform-6x6``, ``taillard-15x15``, ``uniform-6x6-10x10``, ``due_dates-10x10``; several
            joined by ``+`` take turns.
        num_instances: shops in a generated training bank.
        buffer: places in each machine's output buffer: 0 = blocking, inf = a job never blocks.
        swap: blocked jobs in a cycle swap: auto (at once), choice (it is offered), off.
        deadlock: without swaps, end (a deadlock ends the episode, at the cost of the longest
            schedule) or avoid (unsafe choices are masked).
        hold: a machine may stay idle though a job waits: on, off, auto = where buffers are finite.
        interruption: law of breakdowns: none, start:<p>, step:<p>, exponential:<mean>,
            weibull:<scale>:<shape>, the last three also with :calendar.
        repair: law of repair times: fixed:<a>, uniform:<a>:<b>, exponential:<mean>,
            lognormal:<mean>:<sigma>.
        after_repair: an interrupted operation will resume or restart.
        repair_known: the end of a repair is seen when it begins.
        objective: makespan, flow_time, total_tardiness or weighted_tardiness.
        reward: simple (share of work started less objective over its lower bound), bound (L2D),
            waiting (Park et al.) or elapsed.
    """

    name: str = "jobshop"
    generator: str = "uniform-6x6-10x10"
    num_instances: int = 384
    buffer: float = 0
    swap: str = "auto"
    deadlock: str = "end"
    hold: str = "auto"
    interruption: str = "none"
    repair: str = "uniform:20:100"
    after_repair: str = "resume"
    repair_known: bool = True
    objective: str = "makespan"
    reward: str = "simple"


def make(
    config: JobShopConfig,
    num_envs: int = 1,
    instances: Sequence[Shop] | None = None,
    seed: int = 0,
    observe: bool = True,
    device: str = "cpu",
) -> JobShopSimulator:
    """Return B lanes over the given shops, or over a bank generated from the seed.

    Raises:
        ConfigError: an option is not allowed.
    """
    if instances is None:
        instances = generate_instances(config, config.num_instances, seed, "train")
    return JobShopSimulator(
        instances,
        num_envs,
        buffer=config.buffer,
        swap=config.swap,
        deadlock=config.deadlock,
        hold=config.hold,
        interruption=config.interruption,
        repair=config.repair,
        after_repair=config.after_repair,
        repair_known=config.repair_known,
        objective=config.objective,
        reward=config.reward,
        seed=seed,
        observe=observe,
        device=device,
    )


def generate_instances(
    config: JobShopConfig, num: int, seed: int, split: str = "test"
) -> list[Shop]:
    """Return generated shops; the first of a seed are the same however many are asked for.

    Args:
        config: which generator.
        num: how many.
        seed: any integer >= 0.
        split: ``train``, ``validation`` or ``test``; no shop is in two of them.
    """
    generators = [generator_config(name) for name in config.generator.split("+")]
    first = first_seed(seed, split)
    return [generate_shop(generators[i % len(generators)], first + i) for i in range(num)]


def load(config: JobShopConfig, path: str) -> list[Shop]:
    """Return the shops of a file, a folder, or of benchmark names such as ``la01..la40``."""
    return load_instances(path)


def _at_size(config: JobShopConfig, size: str) -> JobShopConfig:
    names = [name.split("-")[0] for name in config.generator.split("+")]
    return replace(config, generator="+".join(f"{name}-{size}" for name in names))


def sizes(config: JobShopConfig) -> list[JobShopConfig]:
    """Return options of three sizes, for checks that a policy must pass at any size."""
    return [_at_size(config, size) for size in ("4x3", "8x6", "15x10")]


def larger(config: JobShopConfig) -> JobShopConfig:
    """Return the options with shops of 20 jobs and 15 machines, to show a trained policy on."""
    return _at_size(config, "20x15")


def literature(config: JobShopConfig, shop: Shop) -> tuple[float | None, float | None]:
    """Return the proven bound and the best known makespan of a benchmark, None where unknown."""
    is_classic = math.isinf(config.buffer)
    is_blocking = config.buffer == 0 and config.swap != "off"
    is_plain = config.objective == "makespan" and config.interruption == "none"
    if not (is_plain and (is_classic or is_blocking)):
        return None, None
    return reference(shop.name, is_blocking) or (None, None)


def _search_teacher(config: JobShopConfig) -> PlanTeacher:
    """Return local search on the portfolio's plan as a teacher."""
    portfolio = Portfolio()

    def plan(sim: JobShopSimulator, lane: int) -> list[int]:
        first = rollout(sim, lane, portfolio).choices
        return improve_plan(sim, lane, first, perf_counter() + SEARCH_TEACHER_S)[1]

    return PlanTeacher(plan, "search")


def _exact_teacher(config: JobShopConfig) -> PlanTeacher:
    """Return the exact solver as a teacher."""
    return PlanTeacher(lambda sim, lane: exact_plan(sim, lane, EXACT_TEACHER_S), "exact")


def _portfolio(config: JobShopConfig, policy: Policy, time_limit_s: float) -> Policy:
    return Improved(policy, time_limit_s)


PROBLEM = Problem(
    name="jobshop",
    gym_id="rlsched/JobShop-v0",
    config=JobShopConfig,
    make=make,
    load_instances=load,
    generate_instances=generate_instances,
    rules=RULES,
    teachers={
        "search": _search_teacher,
        "exact": _exact_teacher,
        "pilot": lambda config: LookAheadTeacher(),
    },
    sizes=sizes,
    larger=larger,
    default_policies=lambda config: (
        "random",
        "spt",
        "lpt",
        "spt_twkr",
        "mwkr",
        "lwkr",
        "mopnr",
        "lopnr",
        "fifo",
        "lifo",
        "edd",
        "mdd",
        "atc",
        "cr",
        "slack",
    ),
    dispatch=dispatch,
    portfolio=_portfolio,
    plot=plot,
    variants=variants,
    suffixes=SUFFIXES,
    reference=literature,
)
