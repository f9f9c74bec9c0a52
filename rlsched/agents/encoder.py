"""Hetero-graph encoder: raw observation in, embeddings of every node and of the whole graph out.

Padded arrays are flattened to one PyG graph per batch; every node type gets a sacrificial row per
lane, to which padding edges point, and which no pooling or pointer looks at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch_geometric.nn import HeteroConv, MessagePassing, SAGEConv

from rlsched.core.graph import CONTEXT, NUM_NODES, EdgeType, Feature, GraphSpec

HARMONICS = (1, 2, 4, 8)
"""Multiples of the base frequency of a periodic feature: together they tell 16 residues apart."""


class Features(nn.Module):
    """Raw features to network inputs: scaled, and periodic ones with sines and cosines too.

    Args:
        features: of one node type, or of the context.
        context: features of the context, which others may be measured in.
    """

    scale: Tensor
    frequency: Tensor
    per: Tensor
    squashed: Tensor

    def __init__(self, features: tuple[Feature, ...], context: tuple[Feature, ...]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor([f.scale for f in features]), persistent=False)
        self.periodic = [i for i, f in enumerate(features) if f.period > 0]
        periods = torch.tensor([features[i].period for i in self.periodic])
        multiples = 2 * math.pi * torch.tensor(HARMONICS, dtype=torch.float32)
        frequency = (multiples / periods[:, None]).reshape(-1) if self.periodic else torch.zeros(0)
        self.register_buffer("frequency", frequency, persistent=False)
        column = {f.name: k for k, f in enumerate(context, start=1)} | {"": 0}
        self.is_relative = any(f.per for f in features)
        self.register_buffer(
            "per", torch.tensor([column[f.per] for f in features]), persistent=False
        )
        squashed = [float(f.is_squashed) for f in features]
        self.has_squashed = any(squashed)
        self.register_buffer("squashed", torch.tensor(squashed), persistent=False)
        self.width = len(features) + 2 * len(frequency)

    def forward(self, raw: Tensor, context: Tensor) -> Tensor:
        """Return (B, ..., width) inputs of (B, ..., F) raw features and the (B, C) raw context."""
        scaled = raw / self.scale
        if self.is_relative:
            one = torch.ones_like(context[:, :1])
            measure = torch.cat([one, context], dim=1)[:, self.per].clamp(min=1e-6)
            scaled = scaled / (measure if raw.dim() == 2 else measure[:, None])
        if self.has_squashed:
            scaled = scaled + self.squashed * (squash(scaled) - scaled)
        if not self.periodic:
            return scaled
        columns = [raw[..., i : i + 1] for i in self.periodic for _ in HARMONICS]
        phase = torch.cat(columns, dim=-1) * self.frequency
        return torch.cat([scaled, torch.sin(phase), torch.cos(phase)], dim=-1)


def squash(x: Tensor) -> Tensor:
    """Return x where it is within -1 to 1, and sign(x) (1 + log |x|) beyond."""
    return x.clamp(-1, 1) + x.sign() * x.abs().clamp(min=1).log()


class EdgeConv(MessagePassing):
    """SAGE whose messages also carry the features of their edge.

    Args:
        hidden: width of the embeddings.
        width: of the edges' inputs.
        aggr: how messages are joined.
    """

    def __init__(self, hidden: int, width: int, aggr: str) -> None:
        super().__init__(aggr=aggr)
        self.source, self.edge = nn.Linear(hidden, hidden), nn.Linear(width, hidden, bias=False)
        self.joined, self.own = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden, bias=False)

    def forward(
        self, x: Tensor | tuple[Tensor, Tensor], edge_index: Tensor, edge_attr: Tensor
    ) -> Tensor:
        """Return (N, hidden) updates of the target nodes."""
        source, target = (x, x) if isinstance(x, Tensor) else x
        size = source.shape[0], target.shape[0]
        message = self.propagate(
            edge_index, x=(self.source(source), target), edge=self.edge(edge_attr), size=size
        )
        return self.joined(message) + self.own(target)

    def message(self, x_j: Tensor, edge: Tensor) -> Tensor:
        return torch.relu(x_j + edge)


class GraphEncoder(nn.Module):
    """Message passing along every edge type in both directions, then pooling over the real nodes.

    Args:
        graph: declaration of the observation.
        hidden: width H of all embeddings.
        layers: rounds of message passing.
        aggr: how a node joins what one edge type brings: sum, mean or max.
    """

    def __init__(self, graph: GraphSpec, hidden: int, layers: int, aggr: str = "sum") -> None:
        super().__init__()
        self.graph = graph
        self.features = nn.ModuleDict(
            {n.name: Features(n.features, graph.context) for n in graph.nodes}
        )
        self.context = Features(graph.context, graph.context)
        self.embed = nn.ModuleDict(
            {n.name: _embedding(self.features[n.name].width, hidden) for n in graph.nodes}  # type: ignore[arg-type]
        )
        self.edge_features = nn.ModuleDict(
            {e.key: Features(e.features, graph.context) for e in graph.edges if e.features}
        )
        self.relations = _relations(graph)
        self.convs = nn.ModuleList(
            HeteroConv(
                {r: self._conv(e, hidden, aggr) for r, e in self.relations.items()}, aggr="sum"
            )
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(
            nn.ModuleDict({n.name: nn.LayerNorm(hidden) for n in graph.nodes})
            for _ in range(layers)
        )
        pooled = self.context.width + 2 * hidden * len(graph.nodes)
        self.pool = nn.Sequential(nn.Linear(pooled, hidden), nn.ReLU(), nn.Linear(hidden, hidden))

    def forward(self, observation: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Return ({node type: (B, N, H)}, (B, H) embedding of the whole graph)."""
        names = [n.name for n in self.graph.nodes]
        sizes = {name: observation[name].shape[1] for name in names}
        batch = observation[CONTEXT].shape[0]
        context = observation[CONTEXT]
        x = {name: self._flat(observation[name], context, name) for name in names}
        edges = self._edges(observation, sizes, batch)
        extra = self._edge_inputs(observation)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            update = conv(x, edges, **extra)
            x |= {name: x[name] + torch.relu(norm[name](u)) for name, u in update.items()}  # type: ignore[index]
        nodes = {name: x[name].view(batch, sizes[name] + 1, -1)[:, :-1] for name in names}
        return nodes, self._pooled(observation, nodes)

    def _conv(self, edge: EdgeType, hidden: int, aggr: str) -> MessagePassing:
        if not edge.features:
            return SAGEConv(hidden, hidden, aggr=aggr)
        width: int = self.edge_features[edge.key].width  # type: ignore[assignment]
        return EdgeConv(hidden, width, aggr)

    def _edge_inputs(self, observation: Mapping[str, Tensor]) -> dict[str, dict]:
        """Return the inputs of the edges that have features, as HeteroConv takes them."""
        inputs = {}
        for relation, e in self.relations.items():
            if e.features:
                raw = observation[e.features_key]
                scaled = self.edge_features[e.key](raw, observation[CONTEXT])
                inputs[relation] = scaled.flatten(0, 1)
        return {"edge_attr_dict": inputs} if inputs else {}

    def _flat(self, raw: Tensor, context: Tensor, name: str) -> Tensor:
        embedded = self.embed[name](self.features[name](raw, context))
        return nn.functional.pad(embedded, (0, 0, 0, 1)).flatten(0, 1)

    def _edges(
        self, observation: Mapping[str, Tensor], sizes: dict[str, int], batch: int
    ) -> dict[tuple[str, str, str], Tensor]:
        lane = torch.arange(batch, device=observation[CONTEXT].device)[:, None]
        edges = {}
        for e in self.graph.edges:
            rows = observation[e.key].long()
            source = (rows[..., 0] + lane * (sizes[e.source] + 1)).flatten()
            target = (rows[..., 1] + lane * (sizes[e.target] + 1)).flatten()
            edges[e.source, e.name, e.target] = torch.stack([source, target])
            if e.source != e.target:
                edges[e.target, f"rev_{e.name}", e.source] = torch.stack([target, source])
        return edges

    def _pooled(self, observation: Mapping[str, Tensor], nodes: dict[str, Tensor]) -> Tensor:
        parts = [self.context(observation[CONTEXT], observation[CONTEXT])]
        for t, node in enumerate(self.graph.nodes):
            x, count = nodes[node.name], observation[NUM_NODES][:, t : t + 1]
            real = (torch.arange(x.shape[1], device=x.device)[None] < count)[..., None].to(x.dtype)
            if node.presence:
                column = node.column(node.presence)
                real = real * observation[node.name][..., column : column + 1]
            x = x * real
            parts += [x.sum(1) / real.sum(1).clamp(min=1), x.amax(1)]
        return self.pool(torch.cat(parts, dim=-1))


def _embedding(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())


def _relations(graph: GraphSpec) -> dict[tuple[str, str, str], EdgeType]:
    forward = {(e.source, e.name, e.target): e for e in graph.edges}
    apart = [e for e in graph.edges if e.source != e.target]
    return forward | {(e.target, f"rev_{e.name}", e.source): e for e in apart}
