"""GraphSpec: what the observation graph of an environment is made of, declared once.

Spaces, documentation tables, network inputs and the metadata of exported policies are all generated
from it. An observation is a dict of arrays, batch axis first, sizes padded to the largest instance
of the batch:

- ``<node type>``: (B, N, F) float32, raw features in their units;
- ``<source>__<name>__<target>``: (B, E, 2) int32, (source, target) rows; a padding edge holds N,
  one past the last row, where the network keeps a sacrificial node;
- ``context``: (B, C) float32, features of the whole instance;
- ``num_nodes``: (B, T) int32, how many rows of each node type are real;
- ``action_mask``: (B, A) bool, True = allowed.

A choice is one index in 0 .. A-1: the rows of the choosable node types, in declared order, then
STOP.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from rlsched.core.errors import CheckpointError

CONTEXT, NUM_NODES, ACTION_MASK = "context", "num_nodes", "action_mask"
FEATURE_LIMIT = 1e9


@dataclass(frozen=True)
class Feature:
    """One raw quantity.

    Attributes:
        name: column name.
        unit: unit of the raw value, ``"1"`` for a count, flag or share.
        scale: the network divides by it.
        period: where the quantity matters modulo something, the period in the same unit (0 = none);
            the network then also sees sines and cosines of it.
        doc: one line for the tables.
        per: context feature that the network divides by too, so that times are seen in the
            instance's own measure; empty = none.
        is_squashed: values far beyond ``scale`` count by their logarithm, so that long-tailed
            quantities stay in reach of what training saw.
    """

    name: str
    unit: str
    scale: float
    doc: str = ""
    period: float = 0.0
    per: str = ""
    is_squashed: bool = False


@dataclass(frozen=True)
class NodeType:
    """A kind of node.

    Attributes:
        name: of the kind.
        features: its columns.
        is_choosable: its nodes can be the action.
        presence: feature that is 1 in the rows that hold a node and 0 in the others, where these
            lie between them; empty = the first ``num_nodes`` rows hold one.
    """

    name: str
    features: tuple[Feature, ...]
    is_choosable: bool = False
    presence: str = ""

    def column(self, feature: str) -> int:
        """Return the column of a feature."""
        return [f.name for f in self.features].index(feature)


@dataclass(frozen=True)
class EdgeType:
    """A kind of directed edge between two node types, with or without features of its own."""

    source: str
    name: str
    target: str
    features: tuple[Feature, ...] = ()

    @property
    def key(self) -> str:
        """Key of the edge list in the observation."""
        return f"{self.source}__{self.name}__{self.target}"

    @property
    def features_key(self) -> str:
        """Key of the edges' features in the observation, where they have any."""
        return f"{self.key}__features"


@dataclass(frozen=True)
class GraphSpec:
    """The observation graph of one environment and which of its nodes can be chosen.

    Attributes:
        env: registered name, e.g. ``"vmr"``.
        version: bumped whenever a feature, node or edge type changes.
        nodes: node types, in the order of ``num_nodes`` and of the choices.
        edges: edge types.
        context: features of the whole instance.
        has_stop: the last choice is STOP (or WAIT).
    """

    env: str
    version: int
    nodes: tuple[NodeType, ...]
    edges: tuple[EdgeType, ...]
    context: tuple[Feature, ...]
    has_stop: bool = True

    @property
    def input_names(self) -> tuple[str, ...]:
        """Observation keys in the order of the exported policy's inputs."""
        edges = [key for e in self.edges for key in (e.key, e.features_key)[: 1 + bool(e.features)]]
        graph = (*(n.name for n in self.nodes), *edges)
        return (*graph, CONTEXT, NUM_NODES, ACTION_MASK)

    def num_choices(self, sizes: Mapping[str, int]) -> int:
        """Return A, the number of choices, for padded node counts."""
        return sum(sizes[n.name] for n in self.nodes if n.is_choosable) + self.has_stop

    def offset(self, node: str, sizes: Mapping[str, int]) -> int:
        """Return the choice that stands for row 0 of a choosable node type."""
        start = 0
        for n in self.nodes:
            if n.name == node and n.is_choosable:
                return start
            start += sizes[n.name] * n.is_choosable
        raise KeyError(f"{node!r} is not a choosable node type of {self.env!r}.")

    def space(self, sizes: Mapping[str, int], num_edges: Mapping[str, int]) -> gym.spaces.Dict:
        """Return the observation space of one lane for padded node and edge counts."""
        box = gym.spaces.Box
        spaces: dict[str, gym.Space] = {
            n.name: box(-FEATURE_LIMIT, FEATURE_LIMIT, (sizes[n.name], len(n.features)), np.float32)
            for n in self.nodes
        }
        for e in self.edges:
            high = max(sizes[e.source], sizes[e.target])
            spaces[e.key] = box(0, high, (num_edges[e.key], 2), np.int32)
            if e.features:
                shape = num_edges[e.key], len(e.features)
                spaces[e.features_key] = box(-FEATURE_LIMIT, FEATURE_LIMIT, shape, np.float32)
        spaces[CONTEXT] = box(-FEATURE_LIMIT, FEATURE_LIMIT, (len(self.context),), np.float32)
        spaces[NUM_NODES] = box(0, max(sizes.values()), (len(self.nodes),), np.int32)
        spaces[ACTION_MASK] = box(0, 1, (self.num_choices(sizes),), np.bool_)  # type: ignore[arg-type]
        return gym.spaces.Dict(spaces)

    def to_json(self) -> str:
        """Return the declaration as JSON, without its texts; equal text means equal graphs."""

        def plain(item: dict[str, Any]) -> dict[str, Any]:
            return {k: v for k, v in item.items() if k != "doc" and (k not in optional or v)}

        optional = ("per", "is_squashed", "presence")

        raw = asdict(self)
        raw["context"] = [plain(f) for f in raw["context"]]
        raw["nodes"] = [
            plain(node) | {"features": [plain(f) for f in node["features"]]}
            for node in raw["nodes"]
        ]
        for edge in raw["edges"]:
            features = edge.pop("features")
            if features:
                edge["features"] = [plain(f) for f in features]
        return json.dumps(raw, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> GraphSpec:
        """Return the declaration that :meth:`to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: the text is something else.
        """
        raw = json.loads(text)

        def features(items: list[dict[str, Any]]) -> tuple[Feature, ...]:
            return tuple(Feature(**item) for item in items)

        raw["nodes"] = tuple(
            NodeType(**n | {"features": features(n["features"])}) for n in raw["nodes"]
        )
        raw["edges"] = tuple(
            EdgeType(**e | {"features": features(e.get("features", []))}) for e in raw["edges"]
        )
        return cls(**raw | {"context": features(raw["context"])})

    @property
    def digest(self) -> str:
        """Short fingerprint of the declaration."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def check_schema(self, text: str, origin: str) -> None:
        """Compare with the JSON a checkpoint or exported policy carries.

        Raises:
            CheckpointError: it was made for another environment or another version of the graph.
        """
        try:
            other: dict[str, Any] = json.loads(text)
            label = f"{other['env']}/{other['version']}"
        except (ValueError, KeyError, TypeError):
            message = f"{origin}: the graph schema is unreadable; export it again."
            raise CheckpointError(message) from None
        if json.dumps(other, sort_keys=True) != self.to_json():
            raise CheckpointError(
                f"{origin}: graph schema {label}, this build has {self.env}/{self.version}; "
                "retrain, or load with the version of rlsched that made it."
            )

    def table(self) -> str:
        """Return the Markdown tables of all features, for cards."""
        groups = [(f"node `{n.name}`", n.features) for n in self.nodes]
        groups += [(f"edge `{e.key}`", e.features) for e in self.edges if e.features]
        groups.append(("context", self.context))
        lines = ["| where | feature | unit | scale | meaning |", "|---|---|---|---|---|"]
        for where, features in groups:
            for f in features:
                scale = f"{f.scale:g} x {f.per}" if f.per else f"{f.scale:g}"
                lines.append(f"| {where} | `{f.name}` | {f.unit} | {scale} | {f.doc} |")
        return "\n".join(lines)
