"""What every door accepts: dataclasses whose fields are the keys of the command line.

Defaults live here and nowhere else; the YAML files beside this module only say what a named variant
changes. ``env`` is the config dataclass of the environment named
(:attr:`rlsched.core.registry.Problem.config`).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from rlsched.core.errors import ConfigError, UnknownName

DEVICES = ("auto", "cpu", "cuda")
TRAINERS = ("rllib", "sb3", "reference")
MATCHINGS = ("step", "task")
SWEEPS = ("none", "tune")
TUNE_SPACE: dict[str, Any] = {
    "trainer.lr": {"low": 1e-4, "high": 2e-3, "log": True},
    "trainer.entropy_coef": {"low": 1e-3, "high": 3e-2, "log": True},
    "trainer.clip": [0.1, 0.2, 0.3],
}
"""What ``sweep=tune`` varies where ``sweep.space`` is empty; a YAML's would be merged with it."""


@dataclass
class TrainerConfig:
    """How a policy is trained: ``trainer=rllib|sb3|reference`` and ``trainer.<key>=``.

    Attributes:
        name: which loop: rllib, sb3 or reference.
        total_steps: choices made in all lanes together before training ends.
        num_envs: lanes per environment runner.
        rollout_length: choices per lane in one rollout.
        num_epochs: passes over one rollout.
        minibatch_size: choices per gradient step.
        lr: Adam's learning rate at the start; it falls linearly to zero.
        gamma: discount per choice, or per unit of time where the environment measures it (soc: per
            critical path of a job).
        gae_lambda: lambda of the generalised advantage estimate.
        matching: of choices with what they led to: step (GAE from choice to choice), or task (soc:
            eclectic interaction matching of SoCRATES, the whole return since the choice, of choices
            whose task has ended within the rollout).
        clip: PPO's clip range of the probability ratio.
        entropy_coef: weight of the entropy bonus.
        value_coef: weight of the value loss.
        max_grad_norm: gradients are cut to this norm.
        averaging: share of the past, per rollout of PPO, in a running mean of the weights, which is
            what is evaluated and saved, e.g. 0.98; 0 = the weights as they are.
        checkpoint_interval_s: seconds between checkpoints; what a killed run loses at most.
        eval_interval_s: seconds between evaluations on the held-out instances.
        eval_instances: held-out instances of one such evaluation.
        warm_start: teacher imitated first: one of the environment's, such as exact, or a rule's
            name; or the folder of a checkpoint to start from; auto = the environment's first
            teacher where it has one; or none.
        warm_start_steps: gradient steps of imitation.
        warm_start_lr: its learning rate at the start; it falls linearly to a tenth.
        student_share: share of the choices in imitation that the student makes itself.
        num_env_runners: Ray processes that collect rollouts; 0 = in this process.
        num_learners: Ray processes that learn; 0 = in this process.
        torch_threads: CPU threads of torch in each process.
    """

    name: str = "rllib"
    total_steps: int = 60_000
    num_envs: int = 64
    rollout_length: int = 16
    num_epochs: int = 4
    minibatch_size: int = 256
    lr: float = 2e-4
    gamma: float = 1.0
    gae_lambda: float = 0.95
    matching: str = "step"
    clip: float = 0.2
    entropy_coef: float = 0.003
    value_coef: float = 0.5
    max_grad_norm: float = 0.5
    averaging: float = 0.0
    checkpoint_interval_s: float = 60.0
    eval_interval_s: float = 60.0
    eval_instances: int = 20
    warm_start: str = "auto"
    warm_start_steps: int = 600
    warm_start_lr: float = 2e-3
    student_share: float = 0.0
    num_env_runners: int = 0
    num_learners: int = 0
    torch_threads: int = 1

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        _choice("trainer.name", self.name, TRAINERS)
        _choice("trainer.matching", self.matching, MATCHINGS)
        if (self.name, self.matching) == ("sb3", "task"):
            raise ConfigError("trainer=sb3 matches by step alone; use trainer=rllib or reference.")
        at_least = {
            1: "total_steps num_envs rollout_length num_epochs minibatch_size torch_threads "
            "eval_instances",
            0: "lr entropy_coef value_coef checkpoint_interval_s eval_interval_s "
            "warm_start_steps num_env_runners num_learners",
        }
        for low, names in at_least.items():
            for key in names.split():
                _range(f"trainer.{key}", getattr(self, key), low)
        for key in ("gamma", "gae_lambda", "student_share", "averaging"):
            _range(f"trainer.{key}", getattr(self, key), 0.0, 1.0)
        for key in ("clip", "max_grad_norm", "warm_start_lr"):
            _range(f"trainer.{key}", getattr(self, key), 1e-9)


@dataclass
class AgentConfig:
    """The policy network: ``agent=default|small`` and ``agent.<key>=``.

    Attributes:
        hidden: width of the node embeddings.
        layers: rounds of message passing.
        aggr: how a node joins what its edge types bring: sum, mean or max.
    """

    hidden: int = 32
    layers: int = 2
    aggr: str = "sum"

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        _range("agent.hidden", self.hidden, 1)
        _range("agent.layers", self.layers, 0)
        _choice("agent.aggr", self.aggr, ("sum", "mean", "max"))


@dataclass
class RayConfig:
    """Where Ray runs: ``ray.<key>=``.

    Attributes:
        address: ``auto`` or ``host:port`` of a running cluster; none = a Ray of its own on this
            machine.
    """

    address: str | None = None


@dataclass
class SweepConfig:
    """A search over settings: ``sweep=tune`` and ``sweep.<key>=``.

    Attributes:
        name: none or tune.
        num_samples: trials.
        max_concurrent: trials at the same time.
        space: setting -> list of values, or {low, high, log}; e.g. ``trainer.lr``.
    """

    name: str = "none"
    num_samples: int = 8
    max_concurrent: int = 1
    space: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        _choice("sweep.name", self.name, SWEEPS)
        _range("sweep.num_samples", self.num_samples, 1)
        _range("sweep.max_concurrent", self.max_concurrent, 1)
        if self.name == "tune" and not self.space:
            self.space = deepcopy(TUNE_SPACE)


@dataclass
class TrainConfig:
    """Train a policy and compare it with the rules.

    Attributes:
        env: the problem, and its options as ``env.<key>=``.
        trainer: the training loop, and its options.
        agent: the policy network, and its options.
        sweep: none, or tune for a search with Ray Tune.
        ray: where Ray runs.
        seed: of instances, lanes and network.
        out: folder of the run; null = runs/<env>/<time>.
        resume: folder of an earlier run to go on with; its config.yaml is taken as it is.
        device: auto, cpu or cuda.
    """

    env: Any
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    seed: int = 0
    out: str | None = None
    resume: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        _choice("device", self.device, DEVICES)
        _range("seed", self.seed, 0)


@dataclass
class EvaluateConfig:
    """Compare policies, rules and exact solvers on the same instances.

    Attributes:
        env: the problem, and its options as ``env.<key>=``.
        policies: rules, ``exact``, checkpoint folders, .onnx files, each with ``:search`` after it
            where wanted; null = random and every standard rule.
        instances: file or folder of the field's own format, or benchmark instances by name where
            the environment knows some; null = generated ones.
        num_instances: how many; of a file the first ones, null = all of it, or 20 generated ones.
        time_limit_s: wall-clock limit per instance of solvers and searches; null = their own.
        seed: of the generated instances and of everything random in a policy.
        out: folder of results.json, results.csv and report.html; what it already holds is not
            computed again.
        device: auto, cpu or cuda, for networks.
    """

    env: Any
    policies: list[str] | None = None
    instances: str | None = None
    num_instances: int | None = None
    time_limit_s: float | None = None
    seed: int = 1
    out: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        _choice("device", self.device, DEVICES)
        _range("seed", self.seed, 0)
        _range("num_instances", self.num_instances, 1)
        _range("time_limit_s", self.time_limit_s, 1e-9)


@dataclass
class ExportConfig:
    """Export a checkpoint to ONNX and prove that it decides alike.

    Attributes:
        checkpoint: folder of the checkpoint.
        out: file to write.
    """

    checkpoint: str
    out: str = "policy.onnx"


@dataclass
class CurveConfig:
    """Draw what training runs reached on their validation instances, step by step.

    Attributes:
        runs: folders of runs, or curve.csv files written before; each went on from the one before.
        out: folder of curve.csv and curve.png.
    """

    runs: list[str]
    out: str = "."


@dataclass
class DispatchConfig:
    """Make a plan for a real state, with neither torch nor ray.

    Attributes:
        env: the problem, and its options as ``env.<key>=``.
        policy: an .onnx file, a rule or ``exact``, with ``:search`` after it where wanted; null =
            what the environment's own portfolio takes.
        input: file in the field's own format.
        limit: most decisions that the plan may take; null = what the environment's options say.
        budget_s: wall-clock seconds the plan may take to make; null = one greedy pass.
        seed: of everything random.
        out: file of the plan.
    """

    env: Any
    input: str
    policy: str | None = None
    limit: int | None = None
    budget_s: float | None = None
    seed: int = 0
    out: str = "plan.json"

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        _range("limit", self.limit, 0)
        _range("budget_s", self.budget_s, 1e-9)
        _range("seed", self.seed, 0)


@dataclass
class BenchSettings:
    """What is measured: ``bench.<key>=``.

    Attributes:
        num_envs: batch sizes, one JSON line each.
        threads: CPU threads of simulator and network.
        seconds: least time of each measurement.
        device: cpu or cuda, where the simulator runs.
        policy: measure steps with the network too.
    """

    num_envs: list[int] = field(default_factory=lambda: [1, 64, 1024])
    threads: int = 1
    seconds: float = 1.0
    device: str = "cpu"
    policy: bool = True

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        _choice("bench.device", self.device, ("cpu", "cuda"))
        _range("bench.threads", self.threads, 1)
        _range("bench.seconds", self.seconds, 1e-9)
        for n in self.num_envs:
            _range("bench.num_envs", n, 1)


@dataclass
class BenchConfig:
    """Measure speed; one JSON line per batch size on standard output.

    Attributes:
        env: the problem, and its options as ``env.<key>=``.
        bench: what is measured.
        agent: the network of ``sim_policy_steps_per_s``.
        instances: file or folder of the field's own format, or benchmark instances by name where
            the environment knows some; null = generated ones.
        num_instances: how many, in the bank.
        seed: of the generated instances.
    """

    env: Any
    bench: BenchSettings = field(default_factory=BenchSettings)
    agent: AgentConfig = field(default_factory=AgentConfig)
    instances: str | None = None
    num_instances: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        _range("num_instances", self.num_instances, 1)
        _range("seed", self.seed, 0)


def _choice(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UnknownName(key, value, known)


def _range(key: str, value: float | None, low: float, high: float | None = None) -> None:
    if value is None or (value >= low and (high is None or value <= high)):
        return
    if high is not None:
        raise ConfigError(f"{key}={value}; must be in [{low:g}, {high:g}].")
    raise ConfigError(f"{key}={value}; must be {'> 0' if 0 < low < 1 else f'>= {low:g}'}.")
