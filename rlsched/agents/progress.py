"""What a training run tells: a live line, ``metrics.jsonl`` and TensorBoard."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

METRICS = "metrics.jsonl"
RETURN = "episode_return"
VALIDATION, RULE = "validation_", "best_rule_"
"""What stands before a metric: of the policy, of the best rule, on the validation instances."""


class Log:
    """Writes each iteration's figures and keeps one live line of progress.

    Args:
        folder: of the run.
        total_steps: of the last phase, for the bar.
    """

    def __init__(self, folder: Path, total_steps: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.total_steps = folder, total_steps
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._task = self.progress.add_task("start", total=1.0, text="")
        self._rule: tuple[str, float] | None = None
        self._score, self._return, self._speed = "", float("nan"), 0.0
        self._mark = (time.monotonic(), 0, "")

    def open(self, best_rule: tuple[str, float]) -> None:
        """Start the live line; ``best_rule`` is what the metric is shown against."""
        self._rule = best_rule
        self._lines = (self.folder / METRICS).open("a", buffering=1)
        self._board = SummaryWriter(str(self.folder / "tensorboard"))
        self.progress.start()

    def add(self, phase: str, steps: int, total: int, figures: Mapping[str, float]) -> None:
        """Record one iteration."""
        before, steps_before, phase_before = self._mark
        if phase != phase_before:
            self.progress.reset(self._task, total=total, description=phase)
            steps_before = min(steps, steps_before) if phase == phase_before else 0
        now = time.monotonic()
        if now > before and phase == phase_before:
            speed = (steps - steps_before) / (now - before)
            self._speed = 0.8 * self._speed + 0.2 * speed if self._speed else speed
        self._mark = (now, steps, phase)
        self._return = figures.get(RETURN, self._return)
        self._write(phase, steps, {**figures, "steps_per_s": self._speed})
        self.progress.update(self._task, completed=steps, total=total, text=self._text())

    def validated(self, phase: str, steps: int, metric: str, score: float) -> None:
        """Record a validation score."""
        self._score = f"{metric} {score:.4f}"
        figures = {VALIDATION + metric: score}
        if self._rule is not None:
            self._score += f" (best rule, {self._rule[0]}: {self._rule[1]:.4f})"
            figures[RULE + metric] = self._rule[1]
        self._write(phase, steps, figures)
        self.progress.update(self._task, text=self._text())

    def say(self, text: str) -> None:
        """Print one line above the live one."""
        self.progress.console.print(text)

    def close(self) -> None:
        self.progress.stop()
        self._board.close()
        self._lines.close()

    def _write(self, phase: str, steps: int, figures: Mapping[str, float]) -> None:
        line = {"time": round(time.time(), 3), "phase": phase, "steps": steps, **figures}
        self._lines.write(json.dumps(line) + "\n")
        for name, value in figures.items():
            self._board.add_scalar(f"{phase}/{name}", value, steps)

    def _text(self) -> str:
        return f"{self._speed:,.0f} steps/s  return {self._return:.3f}  {self._score}"
