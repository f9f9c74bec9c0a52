"""Which names ``env=``, ``trainer=``, ``agent=`` and ``sweep=`` take, and what is behind."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib.resources import files
from typing import Any, get_args, get_type_hints

from omegaconf import OmegaConf

from rlsched.core.errors import UnknownName
from rlsched.core.registry import problem

SCHEMA = "_schema"
"""Ends the name under which Hydra knows the config dataclass of an environment."""


def options(group: str) -> list[str]:
    """Return the named variants of a group: its YAML files."""
    folder = files("rlsched.config") / group
    return sorted(
        f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")
    )


@cache
def env_name(option: str) -> str:
    """Return the environment of a variant: ``jobshop`` of ``jobshop`` and of ``bjssp``.

    The ``defaults`` of its YAML lead there, variant by variant, to ``jobshop_schema``.

    Raises:
        UnknownName: there is no such variant.
    """
    if option not in options("env"):
        raise UnknownName("env", option, options("env"))
    text = (files("rlsched.config") / "env" / f"{option}.yaml").read_text()
    bases = OmegaConf.select(OmegaConf.create(text), "defaults")
    base = next(name for name in bases if name != "_self_")
    return base.removesuffix(SCHEMA) if base.endswith(SCHEMA) else env_name(base)


def env_config(option: str) -> type:
    """Return the config dataclass of an environment; this imports the environment."""
    return problem(env_name(option)).config


def field_types(schema: type) -> dict[str, Any]:
    """Return field name -> type of a dataclass; an optional type without its None."""
    hints = get_type_hints(schema)
    return {f.name: _strip_none(hints[f.name]) for f in fields(schema)}


def group_of(schema: type, key: str) -> bool:
    """Return whether a key of a door's schema names a variant: ``trainer=sb3``."""
    return key in field_types(schema) and (files("rlsched.config") / key).is_dir()


def blank(schema: type, **values: Any) -> Any:
    """Return an instance with the given values; required fields that are not given are None.

    Raises:
        ConfigError: a value is out of range.
    """
    required = {
        f.name: None
        for f in fields(schema)
        if f.default is MISSING and f.default_factory is MISSING
    }
    return schema(**(required | values))


def type_name(kind: Any) -> str:
    """Return how a type is called in messages."""
    if is_dataclass(kind):
        return "a group of keys"
    plain = {int: "an integer", float: "a number", bool: "true or false", str: "text"}
    return plain.get(kind, "a list like [a,b]" if "list" in str(kind) else "a mapping")


def _strip_none(hint: Any) -> Any:
    if type(None) not in get_args(hint):
        return hint
    (inner,) = (a for a in get_args(hint) if a is not type(None))
    return inner
