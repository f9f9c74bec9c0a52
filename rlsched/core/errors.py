"""Errors that say what was given, what is allowed, and the next move."""

# ruff: noqa: N818  (the names say what happened; a suffix adds nothing)
from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches


class RlschedError(Exception):
    """Base of every error this package raises on purpose; the doors print it as one line."""


class InstanceError(RlschedError):
    """An instance or a file of the field's own format is inconsistent; names the record."""


class IllegalChoice(RlschedError):
    """A lane was asked to choose a node that its action mask forbids."""


class CheckpointError(RlschedError):
    """A checkpoint or an exported policy is missing, corrupted, foreign, or of another schema."""


class ConfigError(RlschedError):
    """A configuration key, type or value is not allowed."""


class MissingExtra(RlschedError):
    """An optional dependency is needed; names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'rlsched[{extra}]'.")


class UnknownName(RlschedError):
    """A name is not in a registry.

    Args:
        kind: what was looked up, e.g. ``"env"``.
        name: the name given.
        known: the names allowed.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.name, self.known = name, sorted(set(known))
        near = get_close_matches(name, self.known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(self.known)}.")


def check_one_of(key: str, value: str, known: Collection[str]) -> None:
    """Refuse a value that is not among those known.

    Raises:
        UnknownName: it is not.
    """
    if value not in known:
        raise UnknownName(key, str(value), known)
