"""What all doors share: refuse early, run under Hydra, errors in one line, the right exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from rlsched.core.errors import ConfigError, RlschedError

OK, REFUSED, INTERRUPTED = 0, 2, 130
FLAGS = ("--help", "-h", "--multirun", "-m", "--cfg", "-c", "job", "--info", "--resolve")


class _Refused(BaseException):
    """Carries an error of this package past Hydra, which would print a traceback."""

    def __init__(self, error: RlschedError) -> None:
        super().__init__(str(error))
        self.error = error


def run_door(door: str, task: Callable[[Any], int | None], examples: str = "") -> NoReturn:
    """Check the command line, compose the config, call the task and exit.

    Exit codes: what the task returns (None = 0), 2 where something was refused, 130 after Ctrl-C.

    Args:
        door: name of the door, a key of :data:`rlsched.config.compose.DOORS`.
        task: the door's work; gets the config dataclass.
        examples: lines for ``--help``.
    """
    guarded(lambda: _run(door, task, examples))


def guarded(work: Callable[[], int | None]) -> NoReturn:
    """Call, and exit: errors of this package as one line, Ctrl-C without a traceback."""
    code: int | None
    try:
        code = work()
        sys.stdout.flush()
    except RlschedError as error:
        print(f"rlsched: {error}", file=sys.stderr)
        code = REFUSED
    except KeyboardInterrupt:
        print("rlsched: interrupted.", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe, e.g. head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    sys.exit(code or OK)


def _run(door: str, task: Callable[[Any], int | None], examples: str) -> int | None:
    from rlsched.config.compose import DOORS, compose_config, resumed
    from rlsched.config.overrides import check_overrides

    flags = [a for a in sys.argv[1:] if a in FLAGS]
    overrides = [a for a in sys.argv[1:] if a not in FLAGS]
    if "--help" in flags or "-h" in flags:
        from rlsched.config.help import help_text

        print(help_text(door, DOORS[door], overrides, examples))
        return OK
    if flags:
        sweeps = "--multirun" in flags or "-m" in flags
        check_overrides(DOORS[door], overrides, sweeps)
        return _run_hydra(door, task, overrides, sweeps)
    check_overrides(DOORS[door], overrides)
    if door == "train" and (folder := _value(overrides, "resume")):
        return task(resumed(folder, overrides))
    return task(compose_config(door, overrides))


def _run_hydra(
    door: str, task: Callable[[Any], int | None], overrides: list[str], sweeps: bool
) -> int:
    """Hand over to Hydra what it does better: sweeps with any launcher, showing the config."""
    import hydra

    from rlsched.config.compose import DOORS, register, to_config
    from rlsched.config.overrides import hydra_form

    register(overrides)
    flags = [a for a in sys.argv[1:] if a in FLAGS]
    sys.argv[1:] = [*flags, *hydra_form(DOORS[door], overrides)]
    codes: list[int] = []

    def run(composed: Any) -> None:
        try:
            config = to_config(composed)
            if sweeps and hasattr(config, "out"):
                config.out = _job_folder(config.out)
            codes.append(task(config) or OK)
        except RlschedError as error:
            raise _Refused(error) from error

    try:
        hydra.main("pkg://rlsched.config", door, version_base="1.3")(run)()
    except _Refused as refused:
        raise refused.error from None
    return max(codes, default=OK)


def _value(overrides: list[str], key: str) -> str | None:
    return next((o.partition("=")[2] for o in overrides if o.startswith(f"{key}=")), None)


def _job_folder(out: str | None) -> str:
    """Return the folder of one job of a ``--multirun``, so that jobs do not share one."""
    from hydra.core.hydra_config import HydraConfig

    settings = HydraConfig.get()
    if settings.job.num is None:
        raise ConfigError("--multirun gave the job no number.")
    return str(Path(out or settings.sweep.dir) / str(settings.job.num))
