"""Export a checkpoint to ONNX and prove that it decides as the network does."""

from __future__ import annotations

import json
import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

import rlsched
from rlsched.agents.checkpoint import load_checkpoint
from rlsched.agents.policy import GraphPolicy, TorchPolicy, as_tensors
from rlsched.core.graph import CONTEXT, NUM_NODES, GraphSpec
from rlsched.core.onnx_policy import GRAPH_KEY, VERSION_KEY, OnnxPolicy
from rlsched.core.registry import problem
from rlsched.core.simulator import Simulator

OPSET = 20
TOLERANCE = 1e-4
"""Largest difference allowed between a logit of torch and of onnxruntime, float32."""


@dataclass(frozen=True)
class Parity:
    """How closely the exported policy follows the network.

    Attributes:
        sizes: number of choices in each check, ascending.
        logit_difference: largest absolute difference of a legal choice's score, per size.
        choices: choices compared over whole greedy episodes, per size.
        different_choices: those that differ.
    """

    sizes: tuple[int, ...]
    logit_difference: tuple[float, ...]
    choices: tuple[int, ...]
    different_choices: tuple[int, ...]

    @property
    def holds(self) -> bool:
        """Whether all scores agree within the tolerance and all choices are the same."""
        return max(self.logit_difference) <= TOLERANCE and not any(self.different_choices)


class _Positional(nn.Module):
    """The network with its observation as positional inputs, for the exporter."""

    def __init__(self, network: GraphPolicy) -> None:
        super().__init__()
        self.network, self.names = network, network.graph.input_names

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(dict(zip(self.names, inputs, strict=True)))


def export(checkpoint: str | Path, out: str | Path) -> Parity:
    """Write a checkpoint's policy as ONNX and compare the two; see :class:`Parity`.

    Args:
        checkpoint: folder of the checkpoint.
        out: file to write, replaced atomically.

    Raises:
        CheckpointError: the checkpoint cannot be read or belongs to another version of the graph.
    """
    network, info = load_checkpoint(checkpoint)
    found = problem(info.graph.env)
    config = found.config(**info.env)
    sims = [
        found.make(sized, 2, instances=found.generate_instances(sized, 2, 0, "validation"))
        for sized in found.sizes(config)
    ]
    sims[0].graph.check_schema(info.graph.to_json(), str(checkpoint))
    write_onnx(network, sims[0], Path(out))
    return _compare(network, OnnxPolicy(out), sims)


def write_onnx(network: GraphPolicy, sim: Simulator, out: Path) -> None:
    """Write the network as ONNX with dynamic axes; ``sim`` gives an example input."""
    sim.reset(seed=0)
    example = as_tensors({k: np.array(v) for k, v in sim.observation().items()})
    names = network.graph.input_names
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Positional(network.eval()),
            tuple(example[name] for name in names),
            dynamo=True,
            dynamic_shapes=(tuple(_dynamic_axes(network.graph, name) for name in names),),
            input_names=list(names),
            output_names=["logits", "value"],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget_traces(model)
    metadata = {GRAPH_KEY: network.graph.to_json(), VERSION_KEY: rlsched.__version__}
    onnx.helper.set_model_props(
        model, metadata | {"rlsched_agent": json.dumps(vars(network.config))}
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    onnx.save_model(model, str(partial))
    os.replace(partial, out)


def _forget_traces(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes beside each node: call stacks with paths of this machine."""
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:]
        for node in graph.node:
            del node.metadata_props[:]
            node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]


def _dynamic_axes(graph: GraphSpec, name: str) -> dict[int, object]:
    axes = (0,) if name in (CONTEXT, NUM_NODES) else (0, 1)
    return {axis: torch.export.Dim.DYNAMIC for axis in axes}


def _compare(network: GraphPolicy, exported: OnnxPolicy, sims: list[Simulator]) -> Parity:
    torch.set_num_threads(1)  # small graphs; threads that wait for each other take 100 x longer
    reference = TorchPolicy(network)
    differences, choices, different = [], [], []
    for sim in sims:
        sim.reset(seed=0, instances=np.arange(sim.num_envs))
        worst, count, unequal = 0.0, 0, 0
        while not sim.terminated.all():
            ours, theirs = reference.scores(sim), exported.scores(sim)
            legal = np.isfinite(ours)
            worst = max(worst, float(np.abs(ours[legal] - theirs[legal]).max()))
            running = ~np.asarray(sim.terminated)
            choice = ours.argmax(axis=1).astype(np.int32)
            unequal += int(_really_differs(ours, theirs, running).sum())
            count += int(running.sum())
            sim.step(choice)
        differences.append(worst)
        choices.append(count)
        different.append(unequal)
    sizes = tuple(sim.num_choices for sim in sims)
    return Parity(sizes, tuple(differences), tuple(choices), tuple(different))


def _really_differs(ours: np.ndarray, theirs: np.ndarray, running: np.ndarray) -> np.ndarray:
    """Return lanes whose choices differ by more than a tie: equal nodes score alike."""
    lanes = np.arange(len(ours))
    mine, other = ours.argmax(axis=1), theirs.argmax(axis=1)
    return running & (ours[lanes, mine] - ours[lanes, other] > TOLERANCE)
