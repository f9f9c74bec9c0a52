"""A training run: warm start, PPO by the trainer chosen, checkpoints and validation.

The run's folder holds ``config.yaml``, ``metrics.jsonl``, ``tensorboard/``, ``checkpoint/latest``
and ``checkpoint/best``, ``summary.md`` and ``policy.onnx``. A killed run goes on from
``checkpoint/latest``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlsched.agents.checkpoint import (
    TRAINER,
    load_checkpoint,
    load_tensors,
    save_checkpoint,
    save_tensors,
)
from rlsched.agents.imitation import ImitationPhase, PolicyTeacher
from rlsched.agents.phase import Phase
from rlsched.agents.policy import GraphPolicy, TorchPolicy, torch_device
from rlsched.agents.ppo import ReferencePhase
from rlsched.agents.progress import Log
from rlsched.agents.rollout import check_matching
from rlsched.config.schema import TrainConfig
from rlsched.core.errors import CheckpointError, UnknownName
from rlsched.core.policy import Teacher
from rlsched.core.registry import Problem, problem
from rlsched.core.simulator import Simulator

STATE_FORMAT = "rlsched-training/2"


def train(
    config: TrainConfig, folder: Path, on_validation: Callable[[Run], None] | None = None
) -> Path:
    """Train as configured and return the run's folder; Ctrl-C ends training early but not the run.

    Args:
        config: everything the run depends on.
        folder: of the run; with ``config.resume`` set, the run in it is continued.
        on_validation: called after each validation, e.g. to report to a sweep.

    Raises:
        CheckpointError: there is nothing to resume in the folder.
    """
    torch.set_num_threads(config.trainer.torch_threads)
    torch.manual_seed(config.seed)
    run = Run(config, folder)
    run.on_validation = on_validation
    if config.resume:
        run.restore()
    run.log.open(run.best_rule)
    try:
        run.train()
    except KeyboardInterrupt:
        run.log.say("Interrupted: keeping what was learned so far.")
    finally:
        run.log.close()
    return folder


class Run:
    """One training run: its phases one after another, and what is written on the way.

    Args:
        config: everything the run depends on.
        folder: where it writes.
    """

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        self.config, self.folder = config, folder
        self.problem: Problem = problem(config.env.name)
        self.sim = self.problem.make(config.env, config.trainer.num_envs, seed=config.seed)
        check_matching(self.sim, config.trainer.matching)
        self.network = self._start_network().to(torch_device(config.device))
        self.averaged = deepcopy(self.network)
        instances = self.problem.generate_instances(
            config.env, config.trainer.eval_instances, config.seed, "validation"
        )
        self.validation = self.problem.make(config.env, len(instances), instances=instances)
        self.log = Log(folder, config.trainer.total_steps)
        self.best_rule = self._best_rule()
        self.phase_name, self.steps, self.best = "", 0, float("inf")
        self.on_validation: Callable[[Run], None] | None = None
        self._saved: dict[str, Tensor] = {}
        self._current: Phase | None = None
        self._last_save = self._last_validation = time.monotonic()

    # --- training
    # ----------------------------------------------------------------------------------------

    def train(self) -> None:
        """Run the phases that are left."""
        names = ["imitation", "ppo"] if self._has_teacher() else ["ppo"]
        for name in names[names.index(self.phase_name) if self.phase_name else 0 :]:
            resumed, self.phase_name = self.phase_name == name, name
            with self._phase(name) as phase:
                if resumed and self._saved:
                    phase.restore(self._saved, self.steps)
                self._run_phase(phase)
            self.steps, self._saved = 0, {}

    def _run_phase(self, phase: Phase) -> None:
        self._current = phase
        if not self._saved:
            self._validate(phase)
        while not phase.is_done:
            figures = phase.iterate()
            self.steps = phase.steps
            self._average(phase)
            self.log.add(self.phase_name, phase.steps, phase.total_steps, figures)
            now = time.monotonic()
            if now - self._last_validation >= self.config.trainer.eval_interval_s:
                self._validate(phase)
            if now - self._last_save >= self.config.trainer.checkpoint_interval_s:
                self.save()
        self._validate(phase)

    @torch.no_grad()
    def _average(self, phase: Phase) -> None:
        """Move the averaged weights towards those that PPO learned; in imitation take them over."""
        phase.sync()
        past = self.config.trainer.averaging if self.phase_name == "ppo" else 0.0
        for mine, new in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
            mine.lerp_(new, 1 - past)

    @contextmanager
    def _phase(self, name: str) -> Iterator[Phase]:
        """Save before closing: what was learned may live in processes that closing ends."""
        phase = self._make_phase(name)
        try:
            yield phase
        finally:
            try:
                self.save()
            finally:
                self._current = None
                phase.close()

    def _make_phase(self, name: str) -> Phase:
        config, trainer = self.config, self.config.trainer
        if name == "imitation":
            return ImitationPhase(self.network, self.sim, self._teacher(), trainer, config.seed)
        if trainer.name == "rllib":
            from rlsched.agents.rllib import RllibPhase

            return RllibPhase(self.network, self.sim, config)
        if trainer.name == "sb3":
            from rlsched.agents.sb3 import Sb3Phase

            return Sb3Phase(self.network, self.sim, config)
        return ReferencePhase(self.network, self.sim, trainer, config.seed)

    def _has_teacher(self) -> bool:
        """Return whether the run begins with imitation; a checkpoint's weights need none."""
        start = self.config.trainer.warm_start
        if start == "auto":
            return bool(self.problem.teachers)
        return start != "none" and not Path(start).is_dir()

    def _start_network(self) -> GraphPolicy:
        """Return a new network, or the one of the checkpoint that ``warm_start`` names."""
        graph, start = self.sim.graph, self.config.trainer.warm_start
        if not Path(start).is_dir():
            return GraphPolicy(graph, self.config.agent)
        network, info = load_checkpoint(start)
        graph.check_schema(info.graph.to_json(), start)
        if info.agent != self.config.agent:
            raise CheckpointError(
                f"{start}: agent is {info.agent}, this run's is {self.config.agent}."
            )
        return network.train()

    def _teacher(self) -> Teacher:
        name, env = self.config.trainer.warm_start, self.config.env
        name = next(iter(self.problem.teachers)) if name == "auto" else name
        if name in self.problem.teachers:
            return self.problem.teachers[name](env)
        if name in self.problem.rules:
            return PolicyTeacher(self.problem.rules[name](env))
        known = [*self.problem.teachers, *self.problem.rules, "auto", "none"]
        raise UnknownName("trainer.warm_start", name, known)

    # --- validation
    # --------------------------------------------------------------------------------------

    def _validate(self, phase: Phase) -> None:
        """Play the held-out instances greedily and keep the weights if they are the best so far."""
        self._last_validation = time.monotonic()
        score = _score(self.validation, TorchPolicy(self.averaged))
        signed = score if self.sim.lower_is_better else -score
        self.log.validated(self.phase_name, phase.steps, self.sim.metric, score)
        if signed < self.best:
            self.best = signed
            save_checkpoint(
                self.folder / "checkpoint/best",
                self.averaged,
                self.config.env,
                self._figures(score),
            )
        if self.on_validation is not None:
            self.on_validation(self)

    def _best_rule(self) -> tuple[str, float]:
        """Return the best of the standard rules on the held-out instances, with its mean metric."""
        scores = {}
        for name in self.problem.default_policies(self.config.env):
            rule = self.problem.rules[name](self.config.env)
            scores[name] = _score(self.validation, rule)
        pick = min if self.sim.lower_is_better else max
        name = pick(scores, key=scores.__getitem__)
        return name, scores[name]

    # --- checkpoints
    # -------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write ``checkpoint/latest``: the weights for use, and everything to go on training."""
        self._last_save = time.monotonic()
        phase = self._current
        if phase is None:
            return
        phase.sync()
        latest = self.folder / "checkpoint/latest"
        figures = self._figures(self.best)
        save_checkpoint(latest, self.averaged, self.config.env, figures)
        tensors = phase.tensors()
        for prefix, network in (("network.", self.network), ("averaged.", self.averaged)):
            tensors |= {prefix + k: v for k, v in network.state_dict().items()}
        counters = {"phase": self.phase_name, "steps": phase.steps, "best": self.best}
        save_tensors(
            latest / TRAINER, tensors, {"format": STATE_FORMAT, "counters": json.dumps(counters)}
        )

    def restore(self) -> None:
        """Take up ``checkpoint/latest``.

        Raises:
            CheckpointError: there is none, or it is of another network.
        """
        path = self.folder / "checkpoint/latest" / TRAINER
        tensors, metadata = load_tensors(path)
        if metadata.get("format") != STATE_FORMAT:
            raise CheckpointError(f"{path}: not a training state of this version; start a new run.")
        counters = json.loads(metadata["counters"])
        try:
            for prefix, network in (("network.", self.network), ("averaged.", self.averaged)):
                weights = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
                network.load_state_dict(weights)
        except RuntimeError:
            raise CheckpointError(
                f"{path}: the weights do not fit agent={vars(self.config.agent)}; "
                "resume with the run's own config.yaml."
            ) from None
        self.phase_name, self.steps, self.best = (
            counters["phase"],
            counters["steps"],
            counters["best"],
        )
        self._saved = tensors

    def _figures(self, score: float) -> dict[str, float]:
        return {"steps": float(self.steps), f"validation_{self.sim.metric}": float(score)}


def _score(sim: Simulator, policy: Any) -> float:
    """Return the mean metric of one policy over all instances of a simulator, one lane each."""
    sim.reset(seed=0, instances=np.arange(sim.num_envs))
    policy.play(sim)
    return float(sim.metrics()[sim.metric].mean())
