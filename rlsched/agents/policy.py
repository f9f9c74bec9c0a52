"""Pointer policy and value over a graph: one network for every environment.

A node's logit is a small network of its embedding and the graph's; STOP is scored from the graph
alone. The action mask is applied here, so no runner can lose it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlsched.agents.encoder import GraphEncoder
from rlsched.config.schema import AgentConfig
from rlsched.core.errors import ConfigError
from rlsched.core.graph import ACTION_MASK, GraphSpec
from rlsched.core.policy import Guide
from rlsched.core.simulator import Simulator, host

MASKED = -1e9
"""Logit of a forbidden choice; finite, so that exported graphs and mixed batches hold no NaN."""


class Pointer(nn.Module):
    """Scores each node against a query: ``w . relu(A node + B query)``."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.node, self.query = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)
        self.score = nn.Linear(hidden, 1)

    def forward(self, nodes: Tensor, query: Tensor) -> Tensor:
        return self.score(torch.relu(self.node(nodes) + self.query(query)[:, None])).squeeze(-1)


class GraphPolicy(nn.Module):
    """Logits over all choices and the value of the state.

    Args:
        graph: declaration of the observation.
        config: size of the network.
    """

    def __init__(self, graph: GraphSpec, config: AgentConfig) -> None:
        super().__init__()
        self.graph, self.config = graph, config
        self.encoder = GraphEncoder(graph, config.hidden, config.layers, config.aggr)
        choosable = [n.name for n in graph.nodes if n.is_choosable]
        self.pointers = nn.ModuleDict({name: Pointer(config.hidden) for name in choosable})
        self.stop = _head(config.hidden)
        self.value = _head(config.hidden)

    def forward(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return ((B, A) float32 masked logits, (B,) float32 values)."""
        nodes, query = self.encoder(observation)
        logits = [pointer(nodes[name], query) for name, pointer in self.pointers.items()]
        if self.graph.has_stop:
            logits.append(self.stop(query))
        scores = torch.cat(logits, dim=1).float()
        mask = observation[ACTION_MASK].bool()
        return scores.masked_fill(~mask, MASKED), self.value(query).squeeze(-1).float()


def _head(hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))


def torch_device(name: str) -> torch.device:
    """Return the device that ``device=auto|cpu|cuda`` means on this machine.

    Raises:
        ConfigError: cuda is asked for and torch sees no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda: torch sees no GPU here; use device=cpu, or auto.")
    has_gpu = name != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if has_gpu else "cpu")


def as_tensors(
    observation: Mapping[str, NDArray], device: str | torch.device = "cpu"
) -> dict[str, Tensor]:
    """Return the observation as tensors that share its memory where the device allows it."""
    return {key: torch.as_tensor(value, device=device) for key, value in observation.items()}


class TorchPolicy(Guide):
    """A trained network as a policy: greedy choices, log-probabilities as scores.

    Args:
        network: the network, put in evaluation mode.
        name: label in tables.
    """

    def __init__(self, network: GraphPolicy, name: str = "policy") -> None:
        self.network, self.name = network.eval(), name

    @torch.inference_mode()
    def scores(self, sim: Simulator) -> NDArray[np.float32]:
        device = next(self.network.parameters()).device
        logits, _ = self.network(as_tensors(sim.observation(), device))
        out = torch.log_softmax(logits, dim=-1).cpu().numpy()
        out[~host(sim.action_mask)] = -np.inf
        return out
