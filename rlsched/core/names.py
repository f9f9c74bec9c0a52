"""Policies by the names that users type: a base, then suffixes that change it one after another.

``mwkr:wip_5:best_of_16`` is the rule mwkr, kept to five jobs, guiding a search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlsched.core.errors import UnknownName
from rlsched.core.policy import Policy
from rlsched.core.search import with_search

ONNX = ".onnx"
Own = Callable[[Policy, str], Policy | None]
"""``own(policy, suffix)``: what a suffix that is no search makes of a policy, None if it is not."""


def split_name(name: str) -> tuple[str, tuple[str, ...]]:
    """Return (base, suffixes): ``ha`` has none; the folders of a path may hold colons."""
    folder, slash, last = name.rpartition("/")
    base, *suffixes = last.split(":")
    return folder + slash + base, tuple(suffixes)


def with_suffixes(
    policy: Policy,
    suffixes: Sequence[str],
    seed: int = 0,
    own: Own | None = None,
    others: Sequence[str] = (),
) -> Policy:
    """Return a policy changed by each suffix in turn.

    Args:
        policy: the base.
        suffixes: each is offered to ``own`` first, then read as a search.
        seed: of sampling.
        own: what the environment makes of its own suffixes.
        others: how those read, for the message.

    Raises:
        ConfigError: a suffix cannot be read, or does not suit what it follows.
    """
    for suffix in suffixes:
        made = None if own is None else own(policy, suffix)
        policy = with_search(policy, suffix, seed, others) if made is None else made
    return policy


def make_policy(
    name: str,
    rules: Mapping[str, Callable[[Any], Policy]],
    config: Any,
    seed: int = 0,
    own: Own | None = None,
    others: Sequence[str] = (),
) -> Policy:
    """Return the policy of a name that needs no torch: a rule or an ``.onnx`` file, and suffixes.

    Args:
        name: as typed.
        rules: name -> ``factory(config)``.
        config: options of the environment.
        seed: of sampling.
        own: see :func:`with_suffixes`.
        others: see :func:`with_suffixes`.

    Raises:
        UnknownName: the base is neither.
        CheckpointError: the exported policy cannot be used.
        ConfigError: see :func:`with_suffixes`.
    """
    base, suffixes = split_name(name)
    if base in rules:
        policy = rules[base](config)
    elif base.endswith(ONNX):
        from rlsched.core.onnx_policy import OnnxPolicy

        policy = OnnxPolicy(base)
    else:
        raise UnknownName("policy", base, [*rules, f"<file>{ONNX}"])
    return with_suffixes(policy, suffixes, seed, own, others)
