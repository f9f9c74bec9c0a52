"""The files of ``python -m rlsched.experiment``: a published comparison, section by section."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from rlsched.config import groups
from rlsched.config.compose import compose_config
from rlsched.config.overrides import check_overrides
from rlsched.config.schema import EvaluateConfig
from rlsched.core.errors import ConfigError, UnknownName

FILE_SUFFIX = re.compile(r"[^.]\.\w+$")
"""Ends the name of a file, and no range of names such as la01..la40."""


@dataclass
class Contestant:
    """A row: a policy's name alone, or these keys.

    Attributes:
        policy: name as for ``policies=``.
        time_limit_s: wall-clock limit per instance.
        label: name of the row; with a limit and no label the limit is part of it.
    """

    policy: str
    time_limit_s: float | None = None
    label: str | None = None

    @property
    def row(self) -> str:
        """Name of the row."""
        limit = "" if self.time_limit_s is None else f" {self.time_limit_s:g} s"
        return self.label or self.policy + limit


@dataclass
class Section:
    """One table of the page.

    Attributes:
        name: of its files.
        title: heading.
        text: Markdown before the table: the question asked.
        env: options of the environment.
        instances: file or folder, a relative path starts at the experiment's file; or benchmark
            instances by name; null = generated.
        num_instances: how many.
        policies: rows.
    """

    name: str
    policies: list[Any]
    title: str = ""
    text: str = ""
    env: dict[str, Any] = field(default_factory=dict)
    instances: str | None = None
    num_instances: int | None = None

    @property
    def contestants(self) -> list[Contestant]:
        """The rows, read."""
        return [
            Contestant(p) if isinstance(p, str) else _read(Contestant, p, f"section {self.name}")
            for p in self.policies
        ]


@dataclass
class Experiment:
    """A whole comparison.

    Attributes:
        title: heading of the page.
        env: the environment, or a variant of it.
        sections: tables, in order.
        text: Markdown under the heading.
        seed: of the instances and of everything random.
        train: checkpoint folder -> overrides of ``rlsched.train`` that make it where it is missing.
    """

    title: str
    env: str
    sections: list[Any]
    text: str = ""
    seed: int = 1
    train: dict[str, list[str]] = field(default_factory=dict)


def read_experiment(path: Path) -> tuple[Experiment, list[Section]]:
    """Return an experiment's file, checked down to the environment's options.

    Raises:
        ConfigError: it is missing, not YAML, or a key or value is not allowed.
    """
    if not path.is_file():
        raise ConfigError(f"'{path}': there is no such file; experiments/ holds some.")
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OmegaConfBaseException, YAMLError, OSError) as error:
        raise ConfigError(f"'{path}' cannot be read: {str(error).splitlines()[0]}") from None
    experiment = _read(Experiment, loaded, str(path))
    sections = [
        _read(Section, s, f"{path}, sections[{i}]") for i, s in enumerate(experiment.sections)
    ]
    for section in sections:
        values = [f"env.{k}={_typed(v)}" for k, v in section.env.items()]
        check_overrides(EvaluateConfig, [f"env={experiment.env}", *values])
        _ = section.contestants
    return experiment, sections


def env_options(experiment: Experiment, section: Section) -> Any:
    """Return the environment's config of a section."""
    variant = compose_config("evaluate", [f"env={experiment.env}"]).env
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(variant), section.env))


def instances_of(path: Path, section: Section) -> str | None:
    """Return a section's instances; what is a path and no name starts at the experiment's file.

    Args:
        path: the experiment's file.
        section: of it.
    """
    named = section.instances
    if named is None:
        return None
    found = path.parent / named
    is_path = found.exists() or "/" in named or FILE_SUFFIX.search(named)
    return str(found.resolve()) if is_path else named


def _read(schema: type, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise ConfigError(
            f"{where}: expected keys ({', '.join(groups.field_types(schema))}), got {data!r}."
        )
    known = groups.field_types(schema)
    for key in data:
        if key not in known:
            raise UnknownName(f"key in {where}:", str(key), known)
    for f in fields(schema):
        if f.name not in data and f.default is MISSING and f.default_factory is MISSING:
            raise ConfigError(f"{where}: {f.name} is missing.")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), data)
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{where}: {str(error).splitlines()[0]}") from None


def _typed(value: Any) -> str:
    if value is None:
        return "null"
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"'{value}'"
        if isinstance(value, str)
        else str(value)
    )
