"""PPO with RLlib: every RLlib class of the house is in this file.

RLlib's stock environment runner loops in Python over lanes and episodes; ours plays a tensor
rollout (:class:`~rlsched.agents.rollout.Collector`) and hands it to RLlib's own learner. So Ray
brings what Ray is good at: runners and learners in other processes or on other machines, and
runners that come back when they die.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core import (
    ALL_MODULES,
    COMPONENT_LEARNER,
    COMPONENT_OPTIMIZER,
    COMPONENT_RL_MODULE,
    DEFAULT_MODULE_ID,
)
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    SAMPLE_TIMER,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)
from torch import Tensor

from rlsched.agents.phase import Phase
from rlsched.agents.policy import GraphPolicy, torch_device
from rlsched.agents.progress import RETURN
from rlsched.agents.ray_session import quiet, start_ray, stop_ray
from rlsched.agents.rollout import Collector, Rollout
from rlsched.config.schema import AgentConfig, TrainConfig
from rlsched.core.errors import RlschedError
from rlsched.core.graph import GraphSpec
from rlsched.core.gym import SimulatorVectorEnv
from rlsched.core.registry import problem
from rlsched.core.simulator import Simulator

LOSSES = {
    "total_loss": "loss",
    "policy_loss": "policy_loss",
    "vf_loss_unclipped": "value_loss",
    "entropy": "entropy",
}
"""RLlib's names of the figures that the reference loop logs, and ours."""
RECOVERY_TIMEOUT_S = 600.0
"""How long training waits for a first runner to come back when all are dead."""
RECOVERY_POLL_S = 0.5
SAMPLE_TIMEOUT_S = 3600.0
"""A runner that takes longer for one rollout counts as dead; RLlib's minute is too short."""


class RayFailure(RlschedError):  # noqa: N818
    """Ray can no longer do the work, e.g. because no environment runner comes back."""


class RllibPhase(Phase):
    """The PPO phase by RLlib.

    Args:
        network: its weights are where learning starts; :meth:`sync` brings back what was learned.
        sim: the lanes of this process, used where ``trainer.num_env_runners`` is 0.
        config: of the whole run.
    """

    def __init__(self, network: GraphPolicy, sim: Simulator, config: TrainConfig) -> None:
        self.network, self.config = network, config
        self.steps, self.total_steps = 0, config.trainer.total_steps
        trainer = config.trainer
        self._started_ray = start_ray(config, 1 + trainer.num_env_runners + trainer.num_learners)
        self.algorithm: Any = None
        try:
            with quiet():
                self.algorithm = ppo_config(network, sim, config).build_algo()
            self._publish({})
        except BaseException:
            self.close()
            raise

    def iterate(self) -> dict[str, float]:
        """Let RLlib sample and learn once; return the figures the reference loop logs.

        Raises:
            RayFailure: every environment runner is gone and none comes back.
        """
        algorithm, deadline = self.algorithm, time.monotonic() + RECOVERY_TIMEOUT_S
        algorithm.figures, algorithm.steps = {}, self.steps
        while True:
            algorithm.train()
            if algorithm.figures:
                self.steps = algorithm.steps
                return algorithm.figures
            if time.monotonic() > deadline:
                raise RayFailure(
                    f"no environment runner came back within {RECOVERY_TIMEOUT_S:.0f} s; "
                    "see the logs of the Ray session, then go on with resume=."
                )
            time.sleep(RECOVERY_POLL_S)

    def tensors(self) -> dict[str, Tensor]:
        slots = self._optimizer()["state"]["state"]
        return {
            f"optimizer.{i}.{key}": torch.tensor(value, dtype=torch.float32)
            for i, moments in slots.items()
            for key, value in moments.items()
        }

    def restore(self, tensors: dict[str, Tensor], steps: int) -> None:
        self.steps = steps
        self._publish(tensors)

    def sync(self) -> None:
        component = f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}"
        state = self.algorithm.learner_group.get_state(component)
        weights = state[COMPONENT_LEARNER][COMPONENT_RL_MODULE][DEFAULT_MODULE_ID]
        prefix = "network."
        self.network.load_state_dict(
            {
                k[len(prefix) :]: torch.as_tensor(v)
                for k, v in weights.items()
                if k.startswith(prefix)
            }
        )

    def close(self) -> None:
        with quiet():
            if self.algorithm is not None:
                self.algorithm.stop()
                shutil.rmtree(self.algorithm.logdir, ignore_errors=True)  # empty, in ~/ray_results
            stop_ray(self._started_ray)

    # --- the learner's state ------------------------------------------------------------------

    def _publish(self, tensors: dict[str, Tensor]) -> None:
        """Give all the network's weights, and the learners the optimizer's moments."""
        weights = {
            f"network.{k}": v.detach().cpu().numpy() for k, v in self.network.state_dict().items()
        }
        learner: dict[str, Any] = {COMPONENT_RL_MODULE: {DEFAULT_MODULE_ID: weights}}
        slots: dict[int, dict[str, Any]] = {}
        for name, value in tensors.items():
            kind, *rest = name.split(".")
            if kind == "optimizer":
                slots.setdefault(int(rest[0]), {})[rest[1]] = value.numpy()
        if slots:
            optimizer = self._optimizer()
            optimizer["state"]["state"] = slots
            left = max(0.0, 1 - self.steps / self.total_steps)
            for group in optimizer["state"]["param_groups"]:
                group["lr"] = self.config.trainer.lr * left
            learner[COMPONENT_OPTIMIZER] = {self._optimizer_name: optimizer}
        self.algorithm.learner_group.set_state({COMPONENT_LEARNER: learner})
        self.algorithm.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.algorithm.learner_group, inference_only=True
        )

    def _optimizer(self) -> dict[str, Any]:
        component = f"{COMPONENT_LEARNER}/{COMPONENT_OPTIMIZER}"
        state = self.algorithm.learner_group.get_state(component)
        ((self._optimizer_name, optimizer),) = state[COMPONENT_LEARNER][COMPONENT_OPTIMIZER].items()
        return optimizer


def ppo_config(network: GraphPolicy, sim: Simulator, config: TrainConfig) -> PPOConfig:
    """Return RLlib's form of our settings."""
    trainer = config.trainer
    num_learners = max(1, trainer.num_learners)
    batch = trainer.num_envs * trainer.rollout_length * max(1, trainer.num_env_runners)
    model = {
        "graph": network.graph.to_json(),
        "agent": asdict(network.config),
        "torch_threads": trainer.torch_threads,
    }
    on_gpu = torch_device(config.device).type == "cuda"
    return (
        PPOConfig(algo_class=GraphPPO)
        .environment(SimulatorVectorEnv, env_config={"lanes": Lanes(config, sim)})
        .env_runners(
            env_runner_cls=TensorEnvRunner,
            num_env_runners=trainer.num_env_runners,
            num_envs_per_env_runner=trainer.num_envs,
            rollout_fragment_length=trainer.rollout_length,
            sample_timeout_s=SAMPLE_TIMEOUT_S,
        )
        .learners(num_learners=trainer.num_learners, num_gpus_per_learner=int(on_gpu))
        .training(
            train_batch_size_per_learner=batch // num_learners,
            minibatch_size=max(1, min(trainer.minibatch_size, batch) // num_learners),
            num_epochs=trainer.num_epochs,
            shuffle_batch_per_epoch=True,
            lr=[[0, trainer.lr], [trainer.total_steps, 0.0]],
            gamma=trainer.gamma,
            lambda_=trainer.gae_lambda,
            clip_param=trainer.clip,
            vf_clip_param=float("inf"),
            vf_loss_coeff=trainer.value_coef,
            entropy_coeff=trainer.entropy_coef,
            use_kl_loss=False,
            grad_clip=trainer.max_grad_norm,
            grad_clip_by="global_norm",
        )
        .rl_module(rl_module_spec=RLModuleSpec(module_class=GraphModule, model_config=model))
        .fault_tolerance(restart_failed_env_runners=True, delay_between_env_runner_restarts_s=0.0)
        .debugging(seed=config.seed, log_level="ERROR")
    )


class Lanes:
    """Makes a runner's simulator: in this process the one given, elsewhere one from the config.

    Args:
        config: of the whole run.
        sim: the lanes of this process; never copied, never sent.
    """

    def __init__(self, config: TrainConfig, sim: Simulator | None = None) -> None:
        self.config, self.sim = config, sim

    def __deepcopy__(self, memo: dict[int, Any]) -> Lanes:
        return self

    def __reduce__(self) -> tuple[type[Lanes], tuple[TrainConfig]]:
        return Lanes, (self.config,)

    def make(self) -> Simulator:
        """Return the lanes; all runners share one bank, so that their rollouts have one shape."""
        if self.sim is not None:
            return self.sim
        config = self.config
        return problem(config.env.name).make(config.env, config.trainer.num_envs, seed=config.seed)


class GraphModule(TorchRLModule, ValueFunctionAPI):
    """Our network in RLlib's clothes."""

    def setup(self) -> None:
        model: Any = self.model_config
        torch.set_num_threads(model["torch_threads"])
        self.network = GraphPolicy(
            GraphSpec.from_json(model["graph"]), AgentConfig(**model["agent"])
        )

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        logits, value = self.network(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: logits, Columns.EMBEDDINGS: value}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        return self.network(batch[Columns.OBS])[1] if embeddings is None else embeddings


class TensorEnvRunner(SingleAgentEnvRunner):
    """Plays all lanes together and returns one :class:`Rollout` per call."""

    config: Any
    module: Any

    def make_env(self) -> None:
        """Make the lanes; each runner draws its own instances, choices and random numbers."""
        sim = self.config.env_config["lanes"].make()
        self.env = SimulatorVectorEnv(sim)
        self.num_envs = sim.num_envs
        matching = self.config.env_config["lanes"].config.trainer.matching
        self.collector = Collector(sim, int(self._seed or 0), matching=matching)
        self._ended: list[Rollout] = []

    def sample(self, **kwargs: Any) -> Rollout:  # type: ignore[override]
        """Return T steps of every lane, with advantages."""
        config = self.config
        with self.metrics.log_time(SAMPLE_TIMER):
            rollout = self.collector.collect(
                self._forward, config.rollout_fragment_length, config.gamma, config.lambda_
            )
        self.num_env_steps_sampled_lifetime += rollout.num_steps
        self._increase_sampled_metrics(rollout.num_steps, len(rollout.episode_returns))
        self._ended.append(rollout)
        return rollout

    def get_metrics(self) -> Any:
        """Return RLlib's metrics of the episodes that ended since the last call."""
        for rollout in self._ended:
            if rollout.episode_returns:
                length = rollout.num_steps / len(rollout.episode_returns)
                self._log_episode_metrics(length, float(np.mean(rollout.episode_returns)), 0.0)
        self._ended.clear()
        return self.metrics.reduce()

    def _forward(self, observation: Any) -> tuple[Tensor, Tensor]:
        return self.module.network(observation)


class GraphPPO(PPO):
    """RLlib's PPO on tensor rollouts.

    Attributes:
        steps: choices made so far, which RLlib's learning rate schedule follows.
        figures: of the last iteration; empty where no rollout came.
    """

    config: Any
    metrics: Any
    learner_group: Any
    env_runner_group: Any
    steps: int = 0
    figures: dict[str, float] = {}  # noqa: RUF012

    def training_step(self) -> None:
        """Sample, normalise, shuffle, learn, and give the runners the new weights."""
        config = self.config
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            sampled: Any = synchronous_parallel_sample(
                worker_set=self.env_runner_group,
                max_env_steps=config.total_train_batch_size,
                sample_timeout_s=config.sample_timeout_s,
                concat=False,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
        rollouts, stats = sampled
        if not rollouts:
            return
        self.metrics.aggregate(stats, key=ENV_RUNNER_RESULTS)
        batch = train_batch(rollouts)
        self.steps += batch.env_steps()
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            results = self.learner_group.update(
                batch=batch,
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.steps},
                num_epochs=config.num_epochs,
                minibatch_size=config.minibatch_size,
                shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
            )
        self.figures = _losses(results) | _episode_figures(rollouts)
        self.metrics.aggregate(results, key=LEARNER_RESULTS)
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group,
                policies=set(results[0]) - {ALL_MODULES},
                inference_only=True,
            )


def train_batch(rollouts: list[Rollout]) -> MultiAgentBatch:
    """Return RLlib's form of the rollouts, advantages normalised, rows shuffled.

    RLlib's learner shuffles from the second epoch on; the first would see rows in time order.
    """
    advantages = torch.cat([r.advantages for r in rollouts])
    order = torch.randperm(len(advantages))

    def shuffled(parts: list[Tensor]) -> Tensor:
        return (parts[0] if len(parts) == 1 else torch.cat(parts))[order]

    normalised = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    keys = rollouts[0].observation
    columns = {
        Columns.OBS: {key: shuffled([r.observation[key] for r in rollouts]) for key in keys},
        Columns.ACTIONS: shuffled([r.actions for r in rollouts]),
        Columns.ACTION_LOGP: shuffled([r.log_probs for r in rollouts]),
        Columns.ACTION_DIST_INPUTS: shuffled([r.logits for r in rollouts]),
        Postprocessing.ADVANTAGES: normalised[order],
        Postprocessing.VALUE_TARGETS: shuffled([r.returns for r in rollouts]),
    }
    return MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=len(order))


def _losses(results: list[Any]) -> dict[str, float]:
    """Return the learners' losses of the last minibatch, by the reference loop's names."""
    figures = {}
    for theirs, ours in LOSSES.items():
        values = [r[DEFAULT_MODULE_ID][theirs] for r in results]
        figures[ours] = float(np.mean([float(getattr(v, "peek", lambda v=v: v)()) for v in values]))
    return figures


def _episode_figures(rollouts: list[Rollout]) -> dict[str, float]:
    """Return mean return and mean final metrics of the episodes that ended, none where none did."""
    figures: dict[str, list[float]] = {}
    for rollout in rollouts:
        figures.setdefault(RETURN, []).extend(rollout.episode_returns)
        for name, values in rollout.episode_metrics.items():
            figures.setdefault(name, []).extend(values)
    return {name: float(np.mean(values)) for name, values in figures.items() if values}
