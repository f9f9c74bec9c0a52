"""Ray's own life: joining or starting it, leaving it, and keeping it quiet."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from rlsched.config.schema import TrainConfig


def start_ray(config: TrainConfig, num_cpus: int) -> bool:
    """Join the Ray of ``ray.address``, or start one here; return whether there was none before.

    Args:
        config: of the whole run.
        num_cpus: what a Ray started here may hand out; more than the machine has means sharing.
    """
    if ray.is_initialized():
        return False
    with quiet():
        silent: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if config.ray.address is not None:
            ray.init(address=config.ray.address, **silent)
        else:
            ray.init(num_cpus=num_cpus, include_dashboard=False, **silent)
    return True


def stop_ray(started: bool) -> None:
    """Leave Ray, and stop it if it was started here."""
    if started:
        ray.shutdown()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Ray's greetings off the console; what is printed meanwhile only shows on errors."""
    for name in ("ray", "ray.rllib", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with tempfile.TemporaryFile() as notes, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stderr = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
