"""Facts about GraphSpec: choices, spaces, schema."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rlsched.core.errors import CheckpointError
from rlsched.core.graph import EdgeType, Feature, GraphSpec, NodeType

SPEC = GraphSpec(
    env="toy",
    version=2,
    nodes=(
        NodeType("task", (Feature("size", "MB", 10.0, "what is sent"),), is_choosable=True),
        NodeType("link", (Feature("free", "MB", 5.0, "room"), Feature("on", "1", 1.0, "flag"))),
        NodeType("host", (Feature("cores", "core", 8.0, "cores"),), is_choosable=True),
    ),
    edges=(EdgeType("task", "uses", "link"),),
    context=(Feature("time", "s", 60.0, "clock"),),
)
SIZES = {"task": 4, "link": 3, "host": 2}


def test_choices_are_the_choosable_rows_in_order_then_stop():
    assert SPEC.num_choices(SIZES) == 7
    assert (SPEC.offset("task", SIZES), SPEC.offset("host", SIZES)) == (0, 4)
    assert replace(SPEC, has_stop=False).num_choices(SIZES) == 6
    with pytest.raises(KeyError, match="'link' is not a choosable node type"):
        SPEC.offset("link", SIZES)


def test_input_names_are_nodes_edges_then_the_rest():
    assert SPEC.input_names == (
        "task",
        "link",
        "host",
        "task__uses__link",
        "context",
        "num_nodes",
        "action_mask",
    )


def test_features_of_edges_are_inputs_of_their_own():
    features = (Feature("volume", "MB", 2.0, "sent"),)
    spec = replace(SPEC, edges=(EdgeType("task", "uses", "link", features),))
    assert spec.input_names[3:5] == ("task__uses__link", "task__uses__link__features")
    space = spec.space(SIZES, {"task__uses__link": 6})
    assert space["task__uses__link__features"].shape == (6, 1)
    assert "| edge `task__uses__link` | `volume` | MB | 2 | sent |" in spec.table()
    assert GraphSpec.from_json(spec.to_json()).to_json() == spec.to_json() != SPEC.to_json()


def test_space_follows_the_declaration():
    space = SPEC.space(SIZES, {"task__uses__link": 6})
    shapes = {key: (s.shape, s.dtype) for key, s in space.spaces.items()}
    assert shapes == {
        "task": ((4, 1), np.float32),
        "link": ((3, 2), np.float32),
        "host": ((2, 1), np.float32),
        "task__uses__link": ((6, 2), np.int32),
        "context": ((1,), np.float32),
        "num_nodes": ((3,), np.int32),
        "action_mask": ((7,), np.bool_),
    }


def test_digest_changes_with_any_feature():
    assert SPEC.digest == replace(SPEC).digest
    assert len({SPEC.digest, replace(SPEC, version=3).digest, replace(SPEC, env="x").digest}) == 3
    other = replace(SPEC, context=(Feature("time", "min", 60.0, "clock"),))
    assert other.digest != SPEC.digest


def test_schema_text_of_the_same_graph_is_accepted_and_read_back():
    """Texts for people are not part of it: a reworded one does not make a checkpoint foreign."""
    SPEC.check_schema(SPEC.to_json(), "policy.onnx")
    again = GraphSpec.from_json(SPEC.to_json())
    assert again.to_json() == SPEC.to_json()
    assert again.nodes[1].features[0] == Feature("free", "MB", 5.0)
    reworded = replace(SPEC, context=(Feature("time", "s", 60.0, "the clock"),))
    assert reworded.digest == SPEC.digest


def test_schema_of_another_version_is_refused_by_name():
    with pytest.raises(
        CheckpointError, match=r"policy\.onnx: graph schema toy/1, this build has toy/2"
    ):
        SPEC.check_schema(replace(SPEC, version=1).to_json(), "policy.onnx")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "3", '{"env": "toy"}'])
def test_unreadable_schema_is_refused(text):
    with pytest.raises(CheckpointError, match="policy: the graph schema is unreadable"):
        SPEC.check_schema(text, "policy")


def test_table_has_a_row_per_feature():
    assert SPEC.table().splitlines()[2] == "| node `task` | `size` | MB | 10 | what is sent |"
    assert len(SPEC.table().splitlines()) == 2 + 5
