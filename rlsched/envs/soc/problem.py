"""SoC DAG scheduling as the rest of the house sees it: options, construction, rules, dispatch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from rlsched.core.policy import Policy, Teacher
from rlsched.core.registry import Problem, first_seed
from rlsched.envs.soc.dispatch import Within, dispatch
from rlsched.envs.soc.instances import (
    Workload,
    builtin_workload,
    generate_workload,
    generator_config,
    load_instances,
)
from rlsched.envs.soc.render import plot
from rlsched.envs.soc.rules import RULES, SUFFIXES, Rollout, variants
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.teacher import RolloutTeacher


@dataclass
class SocConfig:
    """Options of ``env=soc``.

    Attributes:
        name: the environment.
        mode: static (one DAG, planned beforehand: makespan) or streaming (jobs keep arriving).
        soc: built-in SoC, as gym_ds3/Top; empty = that of the jobs' family.
        jobs: built-in jobs: static, one instance each; streaming, the mix that arrives.
        generator: preset of generated workloads with an optional size or range of sizes, e.g.
            mix-6x3-12x4, layered-30x4, or built-in jobs as gym_ds3/all; several joined by + take
            turns. Empty = ``jobs``.
        num_instances: workloads in a training bank.
        scale: mean ticks between arrivals, a number or a range as 25-200.
        arrivals: poisson, fixed, or trace (of the workload's file).
        queue: most jobs in the system, a number or a range as 3-8.
        admission: of a job that finds it full: defer, queue or drop.
        fill: begin with a full system.
        length: ticks of an episode; 0 = no limit.
        num_jobs: jobs of an episode; 0 = no limit.
        warmup: ticks before which finished jobs are not counted.
        noise: standard deviation of execution times as a share, a number or a range as 0-0.2.
        comm: data go from pe to PE, or through shared memory.
        order: which placed task begins first on a PE: fifo or of the oldest_job.
        defer: ready tasks may be left for later.
        dvfs: operating point: performance, powersave, a frequency in MHz, or choose.
        reward: simple (less the time of all jobs in the system), bound, or the published duration
            (DeepSoCS), completion (SoCRATES) and makespan.
        energy_weight: of the energy spent, taken off the reward: critical paths that one costs in
            which every PE is as busy and as fast as it can be.
    """

    name: str = "soc"
    mode: str = "streaming"
    soc: str = ""
    jobs: list[str] = field(default_factory=lambda: ["gym_ds3/Top"])
    generator: str = ""
    num_instances: int = 256
    scale: str = "25"
    arrivals: str = "poisson"
    queue: str = "3"
    admission: str = "defer"
    fill: bool = True
    length: int = 5000
    num_jobs: int = 0
    warmup: int = 0
    noise: str = "0"
    comm: str = "pe"
    order: str = "fifo"
    defer: bool = False
    dvfs: str = "performance"
    reward: str = "simple"
    energy_weight: float = 0.0


def make(
    config: SocConfig,
    num_envs: int = 1,
    instances: Sequence[Workload] | None = None,
    seed: int = 0,
    observe: bool = True,
    device: str = "cpu",
) -> SocSimulator:
    """Return B lanes over the given workloads, or over a bank generated from the seed.

    Raises:
        ConfigError: an option is not allowed.
    """
    if instances is None:
        instances = generate_instances(config, config.num_instances, seed, "train")
    return SocSimulator(
        instances,
        num_envs,
        mode=config.mode,
        scale=str(config.scale),
        arrivals=config.arrivals,
        queue=str(config.queue),
        admission=config.admission,
        fill=config.fill,
        length=config.length,
        num_jobs=config.num_jobs,
        warmup=config.warmup,
        noise=str(config.noise),
        comm=config.comm,
        order=config.order,
        defer=config.defer,
        dvfs=str(config.dvfs),
        reward=config.reward,
        energy_weight=config.energy_weight,
        seed=seed,
        observe=observe,
        device=device,
    )


def generate_instances(
    config: SocConfig, num: int, seed: int, split: str = "test"
) -> list[Workload]:
    """Return workloads; the first of a seed are the same however many are asked for.

    Built-in jobs give one static instance each, however many are asked for, or ``num`` streaming
    ones that differ in what is random.

    Args:
        config: which generator, or which jobs.
        num: how many.
        seed: any integer >= 0.
        split: ``train``, ``validation`` or ``test``; no generated workload is in two of them.
    """
    if config.generator:
        draws = [_draw(name) for name in config.generator.split("+")]
        first = first_seed(seed, split)
        return [draws[i % len(draws)](first + i) for i in range(num)]
    if config.mode == "static":
        jobs = builtin_workload(config.jobs, config.soc)
        return [replace(jobs, name=job.name, jobs=(job,)) for job in jobs.jobs][:num]
    mix = builtin_workload(config.jobs, config.soc)
    return [replace(mix, name=f"{mix.name}#{n + 1}") for n in range(num)]


def _draw(name: str) -> Callable[[int], Workload]:
    """Return what makes a workload of a seed; built-in jobs are the same for every seed."""
    if "/" in name:
        built_in = builtin_workload(name)
        return lambda seed: built_in
    return partial(generate_workload, generator_config(name))


def load(config: SocConfig, path: str) -> list[Workload]:
    """Return the workloads of a file or a folder."""
    return load_instances(path)


def sizes(config: SocConfig) -> list[SocConfig]:
    """Return options of three sizes, for checks that a policy must pass at any size.

    The second is a system whose PEs have several operating points.
    """
    if config.mode == "static":
        names = "layered-6x2", "gym_ds3/Top", "layered-40x8"
        return [replace(config, generator=name) for name in names]
    small = replace(config, length=600, num_jobs=0)
    return [
        replace(small, generator=name, queue=str(queue))
        for name, queue in (("mix-5x2", 2), ("gym_ds3/Top", 3), ("mix-16x6", 6))
    ]


def larger(config: SocConfig) -> SocConfig:
    """Return options of a size on which a trained policy is shown."""
    if config.mode == "static":
        return replace(config, generator="layered-60x6")
    return replace(config, generator="mix-16x6", queue="8")


def default_policies(config: SocConfig) -> tuple[str, ...]:
    """Return the rules of a comparison; list schedulers plan single DAGs alone."""
    if config.mode == "static":
        return "random", "etf", "met", "online_heft", "heft", "cpop", "peft", "lookahead", "hbmct"
    return "random", "etf", "etf_start", "eft", "met", "stf", "rr", "online_heft", "heft_rt"


def _rollout(config: SocConfig) -> Teacher:
    return RolloutTeacher()


def _portfolio(config: SocConfig, policy: Policy, time_limit_s: float) -> Policy:
    return Within(Rollout(policy, is_parallel=True), policy, time_limit_s)


PROBLEM = Problem(
    name="soc",
    gym_id="rlsched/SoC-v0",
    config=SocConfig,
    make=make,
    load_instances=load,
    generate_instances=generate_instances,
    rules=RULES,
    teachers={"rollout": _rollout},
    sizes=sizes,
    larger=larger,
    default_policies=default_policies,
    dispatch=dispatch,
    portfolio=_portfolio,
    plot=plot,
    variants=variants,
    suffixes=SUFFIXES,
)
