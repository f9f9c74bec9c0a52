"""From ``key=value`` to the dataclass of a door, by Hydra."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlsched.config import groups
from rlsched.config.overrides import check_overrides, hydra_form, parsed_value
from rlsched.config.schema import (
    AgentConfig,
    BenchConfig,
    CurveConfig,
    DispatchConfig,
    EvaluateConfig,
    ExportConfig,
    SweepConfig,
    TrainConfig,
    TrainerConfig,
)
from rlsched.core.errors import ConfigError

DOORS: dict[str, type] = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "export": ExportConfig,
    "dispatch": DispatchConfig,
    "bench": BenchConfig,
    "curve": CurveConfig,
}


def register(overrides: Sequence[str]) -> None:
    """Tell Hydra the schemas, among them those of the environments that the overrides name."""
    store = ConfigStore.instance()
    for door, schema in DOORS.items():
        store.store(name=f"{door}_schema", node=schema)
    for group, schema in (
        ("trainer", TrainerConfig),
        ("agent", AgentConfig),
        ("sweep", SweepConfig),
    ):
        store.store(group=group, name="base", node=schema)
    for text in overrides:
        key, _, value = text.partition("=")
        for option in value.split(",") if key == "env" else ():
            name = groups.env_name(option)
            store.store(group="env", name=f"{name}{groups.SCHEMA}", node=groups.env_config(option))


def compose_config(door: str, overrides: Sequence[str]) -> Any:
    """Return the config of a door, for use from Python and from tests.

    Raises:
        ConfigError: a value is not allowed, or a required key is missing.
        UnknownName: there is no such key or variant.
    """
    check_overrides(DOORS[door], overrides)
    register(overrides)
    GlobalHydra.instance().clear()
    with initialize_config_module("rlsched.config", version_base="1.3"):
        try:
            composed = compose(door, hydra_form(DOORS[door], overrides))
        except HydraException as error:
            cause = f" ({str(error.__cause__).splitlines()[0]})" if error.__cause__ else ""
            raise ConfigError(f"{str(error).splitlines()[0]}{cause}") from None
        return to_config(composed)


def to_config(composed: DictConfig) -> Any:
    """Return the dataclass instance of a composed config.

    Raises:
        ConfigError: a required key is missing or a value is out of range.
    """
    missing = sorted(OmegaConf.missing_keys(composed))
    if missing:
        raise ConfigError(f"{missing[0]}= is missing; see --help.")
    try:
        return OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from None


def resumed(folder: str, overrides: Sequence[str]) -> TrainConfig:
    """Return the config of an earlier run, with what the command line changes, to go on with it.

    Args:
        folder: of the run; holds ``config.yaml``.
        overrides: as typed; variants (``trainer=``) must be those of the run.

    Raises:
        ConfigError: there is no such run, its config is of another version, or a variant differs.
    """
    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"resume={folder}: there is no {path}; name the folder of a run.")
    saved = OmegaConf.load(path)
    name = OmegaConf.select(saved, "env.name")
    if name is None:
        raise ConfigError(f"{path}: env.name is missing; this is not the config of a run.")
    check_overrides(
        TrainConfig, [f"env={name}", *(o for o in overrides if not o.startswith("env="))]
    )
    config = OmegaConf.structured(TrainConfig)
    config.env = OmegaConf.structured(groups.env_config(str(name)))
    changes = {o.partition("=")[0]: o.partition("=")[2] for o in overrides}
    option = changes.pop("env", str(name))
    try:
        config.merge_with(saved)
        if not _began_as(option, config.env, changes):
            raise ConfigError(
                f"env={option}: the run of {path} has other options; leave env= out, or start a "
                "new run."
            )
        for key, value in changes.items():
            _change(config, key, value, path)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from None
    config.resume = folder
    config.out = changes.get("out", folder)
    return to_config(config)


def _began_as(option: str, env: DictConfig, changes: Collection[str]) -> bool:
    """Return whether a run's options hold what a variant of its environment changes."""
    if groups.env_name(option) != env.name:
        return False
    variant = compose_config("evaluate", [f"env={option}"]).env
    default = type(variant)()
    changed = [f.name for f in fields(variant) if f"env.{f.name}" not in changes]
    wanted = {key: getattr(variant, key) for key in changed}
    return all(env[k] == v for k, v in wanted.items() if v != getattr(default, k))


def _change(config: DictConfig, key: str, text: str, path: Path) -> None:
    if groups.group_of(TrainConfig, key):
        chosen = config[key].get("name", text)
        if text != chosen:
            raise ConfigError(
                f"{key}={text}: the run of {path} has {key}={chosen}; leave {key}= out, or start "
                "a new run."
            )
        return
    OmegaConf.update(config, key, parsed_value(f"{key}={text}") if text else None)
