"""``sweep=tune``: a search over settings with Ray Tune, one training run per trial."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.tune.search import BasicVariantGenerator
from rich.console import Console

from rlsched.agents import training
from rlsched.agents.ray_session import quiet, start_ray, stop_ray
from rlsched.config.schema import SweepConfig, TrainConfig
from rlsched.core.errors import ConfigError, RlschedError, UnknownName

LOSS = "loss"
"""What Tune minimises: the best validation metric so far, negated where higher is better."""


def sweep(config: TrainConfig, folder: Path) -> Path:
    """Train once per sample of ``config.sweep.space``, print the best and return its folder.

    Args:
        config: of every trial, but for what the space says.
        folder: of the sweep; trial i writes to ``trial_<i>``, the ranking is ``sweep.json``.

    Raises:
        ConfigError, UnknownName: the space names an unknown setting or is malformed.
        RlschedError: every trial failed.
    """
    torch.set_num_threads(config.trainer.torch_threads)  # for what this process does afterwards
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    space = {key: domain(config, key, spec) for key, spec in config.sweep.space.items()}
    if not space:
        raise ConfigError(
            "sweep.space is empty; name settings, e.g. '+sweep.space={trainer.lr: [1e-4, 1e-3]}'."
        )
    trainer = config.trainer
    num_cpus = 1 + trainer.num_env_runners + trainer.num_learners
    started = start_ray(config, num_cpus * config.sweep.max_concurrent)
    try:
        results: Any = _tuner(config, folder, space, num_cpus).fit()
    finally:
        stop_ray(started)
    trials = sorted((r.metrics for r in results if r.metrics and LOSS in r.metrics), key=_loss)
    if not trials:
        raise RlschedError(
            f"every trial of the sweep failed: {_first_error(results)}; see {folder}/tune."
        )
    ranking = [{k: t[k] for k in (*_REPORTED, "config")} for t in trials]
    (folder / "sweep.json").write_text(json.dumps(ranking, indent=2))
    _say(f"Best: {_line(trials[0])}")
    return Path(trials[0]["folder"])


def domain(config: TrainConfig, key: str, spec: Any) -> Any:
    """Return Tune's form of one entry of the space.

    Args:
        config: the setting is one of its keys.
        key: dotted, e.g. ``trainer.lr``.
        spec: a list of values, or {low, high, log}; of whole numbers both ends count.

    Raises:
        UnknownName: there is no such setting.
        ConfigError: the entry is neither form, or a value is not allowed.
    """
    if isinstance(spec, Mapping) and {"low", "high"} <= set(spec) <= {"low", "high", "log"}:
        low, high = spec["low"], spec["high"]
        for value in (low, high):
            changed(config, {key: value})
        if not low < high or (spec.get("log") and low <= 0):
            raise ConfigError(
                f"sweep.space {key}: {dict(spec)}; low must be below high, and above 0 for log."
            )
        if isinstance(low, int) and isinstance(high, int):
            return (
                tune.lograndint(low, high + 1) if spec.get("log") else tune.randint(low, high + 1)
            )
        return tune.loguniform(low, high) if spec.get("log") else tune.uniform(low, high)
    if isinstance(spec, str | Mapping) or not hasattr(spec, "__iter__") or not list(spec):
        raise ConfigError(
            f"sweep.space {key}: {spec!r}; give a list of values, or {{low, high, log}}."
        )
    for value in spec:
        changed(config, {key: value})
    return tune.choice(list(spec))


def changed(config: Any, settings: Mapping[str, Any], prefix: str = "") -> Any:
    """Return a copy of a config with dotted settings changed, checked as the doors check them.

    Raises:
        UnknownName: there is no such setting.
        ConfigError: a value is not allowed.
    """
    for key, value in settings.items():
        head, _, rest = key.partition(".")
        known = {f.name for f in fields(config)}
        if head not in known or bool(rest) != is_dataclass(getattr(config, head)):
            raise UnknownName(
                "sweep.space setting", prefix + key, [prefix + name for name in known]
            )
        if rest:
            value = changed(getattr(config, head), {rest: value}, f"{prefix}{head}.")
        config = replace(config, **{head: value})
    return config


def _tuner(config: TrainConfig, folder: Path, space: dict[str, Any], num_cpus: int) -> tune.Tuner:
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its tables are printed whatever verbose says
    trial = tune.with_parameters(_trial, config=config, folder=folder)
    with quiet():
        return tune.Tuner(
            tune.with_resources(trial, {"cpu": num_cpus}),
            param_space=space,
            tune_config=tune.TuneConfig(
                metric=LOSS,
                mode="min",
                search_alg=BasicVariantGenerator(
                    max_concurrent=config.sweep.max_concurrent, random_state=config.seed
                ),
                num_samples=config.sweep.num_samples,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune", storage_path=str(folder), verbose=0, callbacks=[_Announce()]
            ),
        )


_REPORTED = (LOSS, "metric", "score", "steps", "folder")


def _trial(settings: dict[str, Any], config: TrainConfig, folder: Path) -> None:
    """Run one trial, in a process of its own."""
    number = tune.get_context().get_trial_id().rpartition("_")[2]
    out = folder / f"trial_{int(number)}"
    trial = replace(changed(config, settings), sweep=SweepConfig(), out=str(out))

    def report(run: training.Run) -> None:
        score = run.best if run.sim.lower_is_better else -run.best
        figures = (run.best, run.sim.metric, score, run.steps, str(out))
        tune.report(dict(zip(_REPORTED, figures, strict=True)))

    training.train(trial, out, report)


class _Announce(tune.Callback):
    """Prints one line per finished trial."""

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        if trial.last_result and LOSS in trial.last_result:
            _say(_line(trial.last_result | {"config": trial.config}))

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        _say(f"{trial.trial_id} failed: {trial.config}")


def _say(text: str) -> None:
    Console(stderr=True).print(text, highlight=False)


def _line(result: Mapping[str, Any]) -> str:
    settings = " ".join(
        f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in result["config"].items()
    )
    return f"{Path(result['folder']).name}: {result['metric']} {result['score']:.4f}  {settings}"


def _loss(result: Mapping[str, Any]) -> float:
    return float(result[LOSS])


def _first_error(results: Any) -> str:
    errors = [str(e).strip().splitlines()[-1] for e in results.errors]
    return errors[0] if errors else "no trial reported a score"
