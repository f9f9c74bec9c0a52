"""``python -m rlsched.bench``: how many full decisions per second; one JSON line per batch size.

A step is what ``unit`` says, in all lanes together. Timed are the steps alone (legality checks,
mask and reward included; with ``obs`` also the observation, with ``policy`` also the network's
choices); resets are not.
"""

from __future__ import annotations

from typing import Any

from rlsched.config.door import run_door
from rlsched.config.schema import BenchConfig

EXAMPLES = """
python -m rlsched.bench env=vmr bench.threads=1
python -m rlsched.bench env=vmr env.generator=medium bench.num_envs=[64] bench.policy=false
"""


def bench(config: BenchConfig) -> None:
    """Measure and print."""
    import json

    from rlsched.core.lanes import set_num_threads
    from rlsched.core.registry import problem
    from rlsched.evaluation.compare import load

    found = problem(config.env.name)
    bank = load(found, config.env, config.instances, config.num_instances, config.seed)
    set_num_threads(config.bench.threads)
    network, why_not = _network(config, found, bank)
    for num_envs in config.bench.num_envs:
        line = {"env": found.name, "num_envs": num_envs, "threads": config.bench.threads}
        line |= {"device": config.bench.device}
        for key, observe, policy in (
            ("sim_steps_per_s", False, None),
            ("sim_obs_steps_per_s", True, None),
            ("sim_policy_steps_per_s", True, network),
        ):
            if key == "sim_policy_steps_per_s" and network is None:
                line |= {key: None, "sim_policy_skipped": why_not}
                continue
            sim = found.make(
                config.env,
                num_envs,
                bank,
                seed=config.seed,
                observe=observe,
                device=config.bench.device,
            )
            chooser = policy or found.rules["random"](config.env)
            line[key] = round(steps_per_s(sim, chooser, config.bench.seconds, policy is not None))
        line["unit"] = sim.unit
        print(json.dumps(line), flush=True)


def steps_per_s(sim: Any, policy: Any, seconds: float, times_choices: bool) -> float:
    """Return full decisions per second in all lanes together.

    Args:
        sim: the lanes; reset as they end.
        policy: what chooses.
        seconds: least time measured.
        times_choices: count the time of choosing too.
    """
    from time import perf_counter

    from rlsched.core.simulator import host

    sim.reset(seed=0)
    taken, decisions, calls = 0.0, 0.0, 0
    while taken < seconds or calls < 2:
        begin = perf_counter()
        choice = policy.choose(sim)
        chosen = perf_counter()
        running = sim.num_envs - int(host(sim.terminated).sum())
        started = perf_counter()
        sim.step(choice)
        ended = perf_counter()
        calls += 1
        if calls > sim.choices_per_unit:  # what comes first may have compiled
            taken += ended - started + (chosen - begin) * times_choices
            decisions += running / sim.choices_per_unit
        ended_lanes = host(sim.terminated)
        if ended_lanes.any():
            sim.reset(ended_lanes.copy())
    return decisions / taken


def _network(config: BenchConfig, found: Any, bank: list[Any]) -> tuple[Any, str]:
    """Return an untrained network as a policy, or None and why there is none."""
    from importlib.util import find_spec

    if not config.bench.policy:
        return None, "bench.policy=false"
    for package in ("torch", "torch_geometric"):
        if find_spec(package) is None:
            return None, f"{package} is not installed; run: pip install 'rlsched[train]'."
    import torch

    from rlsched.agents.policy import GraphPolicy, TorchPolicy

    torch.set_num_threads(config.bench.threads)
    torch.manual_seed(config.seed)
    graph = found.make(config.env, 1, bank[:1], observe=False).graph
    network = GraphPolicy(graph, config.agent).to(config.bench.device)
    return TorchPolicy(network), ""


if __name__ == "__main__":
    run_door("bench", bench, EXAMPLES)
