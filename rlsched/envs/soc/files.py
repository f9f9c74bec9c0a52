"""What the readers of SoC and job files share: safe reading, JSON objects checked key by key."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from rlsched.core.errors import InstanceError

MAX_BYTES = 32 * 2**20
"""Of a file; a WfCommons file of 10,000 tasks has about 15 MB."""
MAX_NAME = 500
"""Characters of a name."""


def read_file(path: str | Path) -> str:
    """Return the text of a file, no more than ``MAX_BYTES`` of it.

    Raises:
        InstanceError: it is not a file, is too large, or is not UTF-8.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise OSError("not a regular file")
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InstanceError(f"'{path}': more than {MAX_BYTES} bytes; split the file.")
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise InstanceError(f"'{path}': cannot be read ({error}); give a text file.") from error


def read_object(path: str | Path) -> Record:
    """Return the JSON object in a file; a key twice in one object is refused.

    Raises:
        InstanceError: the file cannot be read or holds no JSON object.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record: dict[str, Any] = {}
        for key, value in pairs:
            if key in record:
                raise ValueError(f"key {key[:60]!r} twice in one object")
            record[key] = value
        return record

    text = read_file(path)
    try:
        return Record(json.loads(text, object_pairs_hook=once), f"'{path}'")
    except (ValueError, RecursionError) as error:
        raise InstanceError(f"'{path}': not valid JSON ({error}).") from error


class Record:
    """A JSON object at a place of the file; keys nobody asked for are refused by ``finish``.

    Args:
        content: what stands there.
        at: the place, for messages.

    Raises:
        InstanceError: ``content`` is not an object; from each method: the value is missing, of
            another type, or out of range.
    """

    def __init__(self, content: Any, at: str) -> None:
        if not isinstance(content, dict):
            raise InstanceError(f"{at}: is a {type(content).__name__}; give a JSON object.")
        self.content, self.at, self.asked = content, at, set[str]()

    def value(self, key: str, kind: type, default: Any = ...) -> Any:
        """Return the value of a key, of the right type."""
        self.asked.add(key)
        value = self.content.get(key, default)
        if value is ...:
            listed = f"{sorted(self.content)!r:.200}"
            raise InstanceError(f"{self.at}: key {key!r} is missing; it has {listed}.")
        if key in self.content and not isinstance(value, kind):
            raise InstanceError(
                f"{self.at}: {key} = {value!r:.60} is a {type(value).__name__}; give a "
                f"{kind.__name__}."
            )
        return value

    def text(self, key: str, default: Any = ...) -> str:
        """Return a text, neither empty nor endless."""
        value = self.value(key, str, default)
        if not 1 <= len(value) <= MAX_NAME:
            raise InstanceError(
                f"{self.at}: {key} has {len(value)} characters; allowed: 1 to {MAX_NAME}."
            )
        return value

    def whole(self, key: str, low: int, high: int, default: Any = ...) -> int:
        """Return a whole number in a range."""
        value = self.value(key, object, default)
        return whole(value, f"{self.at}: {key}", low, high) if key in self.content else value

    def number(self, key: str, low: float, high: float, default: Any = ...) -> float:
        """Return a number in a range."""
        value = self.value(key, object, default)
        return number(value, f"{self.at}: {key}", low, high) if key in self.content else value

    def items(self, key: str, most: int, default: Any = ...) -> list[tuple[Any, str]]:
        """Return the items of a list, each with its place."""
        items = self.value(key, list, default)
        if len(items) > most:
            raise InstanceError(f"{self.at}: {len(items)} {key}; at most {most} are allowed.")
        return [(item, f"{self.at}.{key}[{i}]") for i, item in enumerate(items)]

    def texts(self, key: str, most: int, default: Any = ...) -> list[str]:
        """Return a list of texts."""
        return [text(item, at) for item, at in self.items(key, most, default)]

    def records(self, key: str, most: int) -> list[Record]:
        """Return the objects of a list."""
        return [Record(item, at + _label(item)) for item, at in self.items(key, most)]

    def finish(self) -> None:
        """Refuse keys that nobody asked for."""
        unknown = [key for key in self.content if key not in self.asked]
        if unknown:
            raise InstanceError(
                f"{self.at}: unknown key {unknown[0][:60]!r}; allowed: "
                f"{', '.join(sorted(self.asked))}."
            )


def _label(entry: Any) -> str:
    """Return the name of an entry where it has one, for messages."""
    name = entry.get("name") if isinstance(entry, dict) else None
    return f" ({name[:60]!r})" if isinstance(name, str) else ""


def text(value: Any, at: str) -> str:
    """Return a value that must be a text, neither empty nor endless.

    Raises:
        InstanceError: it is not.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME:
        raise InstanceError(f"{at} = {value!r:.60}; give a text of 1 to {MAX_NAME} characters.")
    return value


def whole(value: Any, at: str, low: int, high: int) -> int:
    """Return a value that must be a whole number in a range.

    Raises:
        InstanceError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InstanceError(f"{at} = {value!r:.60}; allowed: whole numbers {low} to {high}.")
    return value


def number(value: Any, at: str, low: float, high: float) -> float:
    """Return a value that must be a finite number in a range.

    Raises:
        InstanceError: it is not.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        raise InstanceError(f"{at} = {value!r:.60}; allowed: numbers {low:g} to {high:g}.")
    return float(value)
