"""A cluster snapshot in, a migration plan out; no torch, no ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def dispatch(
    config: Any,
    policy: str | None,
    input: str | Path,
    limit: int,
    budget_s: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return a plan (being written)."""
    raise NotImplementedError
