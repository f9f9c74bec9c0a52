"""Refuse a wrong command line before anything heavy is imported, and say what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Any, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlsched.config import groups
from rlsched.core.errors import ConfigError, UnknownName


def check_overrides(schema: type, overrides: Sequence[str], sweeps: bool = False) -> None:
    """Check every ``key=value`` against a door's schema: key, name of the variant, type and range.

    Args:
        schema: config dataclass of the door.
        overrides: as typed.
        sweeps: ``key=a,b`` is allowed, for ``--multirun``; the values are checked one by one.

    Raises:
        ConfigError: an argument is not of this form, or a value is not allowed.
        UnknownName: there is no such key or variant.
    """
    parsed = [_parse(text, schema) for text in overrides]
    env = next((str(v) for o in parsed if o.key_or_group == "env" for v in _values(o)), None)
    for override in parsed:
        if override.is_sweep_override() and not sweeps:
            raise ConfigError(
                f"{override.input_line}: several values need --multirun; a list is key=[a,b], "
                f"a text with a comma {_quoted(str(override.input_line))}."
            )
        for value in _values(override):
            _check(schema, override.key_or_group, value, env)
    resumes = any(o.key_or_group == "resume" for o in parsed)
    if "env" in groups.field_types(schema) and env is None and not resumes:
        raise ConfigError(f"env= is missing. Known: {', '.join(groups.options('env'))}.")


def hydra_form(schema: type, overrides: Sequence[str]) -> list[str]:
    """Return overrides as Hydra wants them: ``++`` before a key that takes a free mapping."""
    return [f"++{o}" if _takes_mapping(schema, o.partition("=")[0]) else o for o in overrides]


def parsed_value(override: str) -> Any:
    """Return the value of a ``key=value`` that :func:`check_overrides` let pass, as Hydra reads it.

    YAML would read ``off`` as false.
    """
    return OverridesParser.create().parse_override(override).value()


def _takes_mapping(schema: type, key: str) -> bool:
    kind: Any = schema
    for part in key.split("."):
        kind = (
            groups.field_types(kind).get(part)
            if isinstance(kind, type) and is_dataclass(kind)
            else None
        )
        if get_origin(kind) is dict:
            return True
    return False


def _parse(text: str, schema: type) -> Override:
    if "=" not in text:
        known = groups.field_types(schema)
        near = get_close_matches(text.lstrip("-"), known, n=1)
        hint = f" Did you mean '{near[0]}=...'?" if near else ""
        raise ConfigError(f"{text!r} is not key=value.{hint} Keys: {', '.join(known)}; see --help.")
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        raise ConfigError(f"{text!r} cannot be read; quote the value: {_quoted(text)}.") from None
    is_change = override.type is None or override.type.name == "CHANGE"
    if not is_change and not override.key_or_group.startswith("hydra"):
        raise ConfigError(f"{text!r}: every key exists already; write key=value.")
    return override


def _quoted(text: str) -> str:
    key, _, value = text.partition("=")
    return f"\"{key}='{value}'\""


def _values(override: Override) -> list[Any]:
    if override.is_sweep_override():
        return list(override.sweep_iterator()) if override.is_discrete_sweep() else []
    return [override.value()]


def _check(schema: type, key: str, value: Any, env: str | None) -> None:
    if key.split(".")[0].split("/")[0] == "hydra":
        return
    if groups.group_of(schema, key):
        if key == "env":
            groups.env_name(str(value))
        elif value not in groups.options(key):
            raise UnknownName(key, str(value), groups.options(key))
        return
    owner, prefix = schema, ""
    *path, leaf = key.split(".")
    for part in path:
        owner = _member(owner, prefix, part, env)
        prefix += f"{part}."
        if not is_dataclass(owner):  # inside a free mapping such as sweep.space
            return
    kind = _member(owner, prefix, leaf, env)
    if is_dataclass(kind):
        raise ConfigError(
            f"{key}={value} sets a whole group; set one of its keys: {_keys(key, kind)}."
        )
    _check_value(owner, prefix, leaf, kind, value)


def _member(owner: Any, prefix: str, name: str, env: str | None) -> Any:
    """Return the type of a field; of ``env`` the config dataclass of the environment."""
    types = groups.field_types(owner)
    if name not in types:
        raise UnknownName("key", prefix + name, [prefix + known for known in types])
    if name == "env" and not prefix:
        if env is None:
            raise ConfigError(f"env= is missing. Known: {', '.join(groups.options('env'))}.")
        return groups.env_config(env)
    return types[name]


def _keys(key: str, kind: Any) -> str:
    return ", ".join(f"{key}.{name}" for name in groups.field_types(kind))


def _check_value(owner: Any, prefix: str, leaf: str, kind: Any, value: Any) -> None:
    if isinstance(value, str) and "${" in value:  # resolved later, and checked then
        return
    node = OmegaConf.structured(owner)
    try:
        node[leaf] = value
    except OmegaConfBaseException:
        raise ConfigError(f"{prefix}{leaf}={value}: must be {groups.type_name(kind)}.") from None
    converted = OmegaConf.to_container(node)
    assert isinstance(converted, dict)
    groups.blank(owner, **{leaf: converted[leaf]})
