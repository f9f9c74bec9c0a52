"""The text of ``--help``, from the schemas and their docstrings: keys, defaults, meanings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from rlsched.config import groups

KEY_WIDTH = 44


def help_text(door: str, schema: type, overrides: Sequence[str], examples: str = "") -> str:
    """Return what a door does and every key it takes; with ``env=`` also that environment's."""
    summary = inspect.getdoc(schema).splitlines()[0]  # type: ignore[union-attr]
    lines = [f"python -m rlsched.{door} key=value ...", "", summary]
    lines += ["", *(f"  {line}" for line in examples.strip().splitlines())] if examples else []
    lines += ["", *_section(schema, "")]
    env = next((o.partition("=")[2] for o in overrides if o.startswith("env=")), None)
    for name, kind in groups.field_types(schema).items():
        if name == "env":
            lines += [""]
            envs = groups.options("env")
            if env is None:
                lines += [f"env.<key>: add env=<name> to --help. Known: {', '.join(envs)}."]
            else:
                lines += _section(groups.env_config(env), "env.")
        elif is_dataclass(kind):
            lines += ["", *_section(kind, f"{name}.")]
    lines += [
        "",
        "--multirun runs every combination of key=a,b,c; --cfg job prints the config and stops.",
    ]
    return "\n".join(lines)


def _section(schema: Any, prefix: str) -> list[str]:
    docs, types = field_docs(schema), groups.field_types(schema)
    lines = []
    for f in fields(schema):
        if is_dataclass(types[f.name]) and not groups.group_of(schema, f.name):
            continue
        shown = prefix + f.name + "=" + _default(f, schema)
        text = docs.get(f.name, "")
        if groups.group_of(schema, f.name):
            shown = f"{f.name}={'|'.join(groups.options(f.name))}"
        lines += (
            [f"  {shown:{KEY_WIDTH}} {text}"]
            if len(shown) <= KEY_WIDTH
            else [f"  {shown}", _pad(text)]
        )
    return lines


def _pad(text: str) -> str:
    return " " * (KEY_WIDTH + 3) + text


def _default(f: Field, schema: Any) -> str:
    if f.default is MISSING and f.default_factory is MISSING:
        return "<required>"
    value = f.default if f.default_factory is MISSING else f.default_factory()
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "")


def field_docs(schema: type) -> dict[str, str]:
    """Return field -> description from the ``Attributes:`` section of a dataclass's docstring."""
    _, _, text = (inspect.getdoc(schema) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", text, re.MULTILINE)
    return {name: " ".join(doc.split()) for name, doc in found}
