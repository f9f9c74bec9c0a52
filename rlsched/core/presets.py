"""Presets of generators by name, with a size or a range of sizes: ``uniform-6x6-10x10``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from rlsched.core.errors import ConfigError, UnknownName

SIZE = re.compile(r"(\d{1,9})x(\d{1,9})")
Preset = TypeVar("Preset")


def sized_preset(name: str, presets: Mapping[str, Preset], keys: tuple[str, str]) -> Preset:
    """Return a preset, or one of another size.

    Args:
        name: as ``uniform``, ``uniform-10x5``, or ``uniform-6x6-10x10`` for sizes from - to.
        presets: name -> dataclass with a field ``name`` and the two of the sizes, each (from, to).
        keys: fields of the first and the second number of a size.

    Raises:
        UnknownName: there is no such preset.
        ConfigError: the size cannot be read or is out of range.
    """
    preset, *sizes = name.split("-")
    if preset not in presets:
        raise UnknownName("generator", preset, presets)
    if not sizes:
        return presets[preset]
    found = [SIZE.fullmatch(size) for size in sizes]
    if len(found) > 2 or None in found:
        raise ConfigError(
            f"{name!r}: give a size as {preset}-10x5 ({keys[0]} x {keys[1]}), or from - to as "
            f"{preset}-6x3-10x5."
        )
    low, high = ([int(n) for n in m.groups()] for m in (found[0], found[-1]) if m)
    change: dict[str, Any] = dict(zip(keys, zip(low, high, strict=True), strict=True))
    return replace(presets[preset], name=name, **change)  # type: ignore[type-var]
