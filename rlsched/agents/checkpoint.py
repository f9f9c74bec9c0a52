"""Checkpoints: a folder with weights (safetensors) that say what they are for.

``weights.safetensors`` is complete in itself: its metadata carries the format, the version of
rlsched, the graph
schema, the size of the network and the environment's options. Nothing is ever unpickled. Files are
replaced atomically, so a kill at any time leaves the one before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import rlsched
from rlsched.agents.policy import GraphPolicy, TorchPolicy
from rlsched.config.schema import AgentConfig
from rlsched.core.errors import CheckpointError
from rlsched.core.graph import GraphSpec

FORMAT = "rlsched-checkpoint/1"
WEIGHTS, TRAINER = "weights.safetensors", "trainer.safetensors"
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself.

    Attributes:
        version: version of rlsched that wrote it.
        graph: observation graph it was trained on.
        agent: size of the network.
        env: options of the environment it was trained in.
        figures: counters and scores at the time, e.g. steps and the validation metric.
    """

    version: str
    graph: GraphSpec
    agent: AgentConfig
    env: dict[str, Any]
    figures: dict[str, float]


def save_checkpoint(
    folder: Path, network: GraphPolicy, env: Any, figures: Mapping[str, float]
) -> None:
    """Write ``weights.safetensors`` into a folder, replacing what is there.

    Args:
        folder: made if missing.
        network: whose weights.
        env: the environment's options (a dataclass).
        figures: counters and scores to keep with them.
    """
    metadata = {
        "format": FORMAT,
        "rlsched_version": rlsched.__version__,
        "graph": network.graph.to_json(),
        "agent": json.dumps(asdict(network.config)),
        "env": json.dumps(
            asdict(env) if is_dataclass(env) and not isinstance(env, type) else dict(env)
        ),
        "figures": json.dumps({k: float(v) for k, v in figures.items()}),
    }
    save_tensors(folder / WEIGHTS, network.state_dict(), metadata)


def load_checkpoint(folder: str | Path, device: str = "cpu") -> tuple[GraphPolicy, CheckpointInfo]:
    """Return the network of a checkpoint folder, in evaluation mode, and what it says of itself.

    Raises:
        CheckpointError: there is none, it is corrupted, or it is not one of ours.
    """
    path = Path(folder)
    path = path / WEIGHTS if path.is_dir() else path
    tensors, metadata = load_tensors(path, device)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: format {metadata.get('format')!r}, expected {FORMAT!r}; "
            "it was not written by rlsched.train."
        )
    try:
        info = CheckpointInfo(
            metadata["rlsched_version"],
            GraphSpec.from_json(metadata["graph"]),
            AgentConfig(**json.loads(metadata["agent"])),
            json.loads(metadata["env"]),
            json.loads(metadata["figures"]),
        )
        network = GraphPolicy(info.graph, info.agent)
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: the checkpoint is inconsistent ({_first_line(error)})."
        ) from None
    return network.to(device).eval(), info


def load_policy(folder: str | Path, device: str = "cpu") -> TorchPolicy:
    """Return a checkpoint as a policy, named after its folder.

    Raises:
        CheckpointError: see :func:`load_checkpoint`.
    """
    network, _ = load_checkpoint(folder, device)
    return TorchPolicy(network, str(folder))


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, partial, dict(metadata)
    )
    os.replace(partial, path)


def load_tensors(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

    Raises:
        CheckpointError: it is missing, too large, or not safetensors.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there is no such checkpoint file; give a folder that holds {WEIGHTS}."
        )
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(
            f"{path}: {path.stat().st_size} bytes, more than the {MAX_BYTES} allowed."
        )
    try:
        with safe_open(path, framework="pt", device=device) as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({_first_line(error)})."
        ) from None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return Adam's moments as flat tensors."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{i}.{key}": torch.as_tensor(value, dtype=torch.float32)
        for i, slots in state.items()
        for key, value in slots.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer the moments that :func:`optimizer_tensors` wrote."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        kind, *rest = name.split(".")
        if kind == "optimizer":
            slots.setdefault(int(rest[0]), {})[rest[1]] = value
    if slots:
        optimizer.load_state_dict(
            {"state": slots, "param_groups": optimizer.state_dict()["param_groups"]}
        )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
