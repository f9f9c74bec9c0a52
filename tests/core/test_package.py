"""Facts about the package: what importing it costs, and who may import whom."""

from __future__ import annotations

import ast
import json
from importlib import import_module
from pathlib import Path

import pytest

import rlsched
from rlsched.core.registry import MODULES

PACKAGE = Path(rlsched.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LAYERS = {
    "core": {"core"},
    "envs": {"core", "envs"},
    "agents": {"core", "envs", "agents"},
}
HEAVY = {"torch", "ray", "torch_geometric", "stable_baselines3"}


def imported(path: Path) -> set[str]:
    """Return the modules a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
    return names


def test_importing_the_package_is_fast_and_light(run_python):
    code = """
import json, sys, time
import rlsched
names = "torch", "ray", "numba", "matplotlib", "onnxruntime", "rlsched.envs"
heavy = [m for m in names if m in sys.modules]
print(json.dumps([time.process_time(), heavy, rlsched.__version__]))
"""
    cpu_s, heavy, version = json.loads(run_python("-c", code))
    assert cpu_s < 1
    assert heavy == []
    assert version == rlsched.__version__


def test_making_an_environment_needs_neither_torch_nor_ray(run_python):
    code = """
import sys, rlsched
rlsched.make_vec("vmr", 2, num_instances=2).reset(seed=0)
print([m for m in ("torch", "ray") if m in sys.modules])
"""
    assert run_python("-c", code).strip() == "[]"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_imports_the_links_at_the_top(path):
    """``agents`` is another package on PyPI; the code is ``rlsched.agents``."""
    assert not {name.split(".")[0] for name in imported(path)} & {"envs", "agents"}


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_import_only_what_is_below(layer):
    for path in (PACKAGE / layer).rglob("*.py"):
        names = imported(path)
        inside = {n.split(".")[1] for n in names if n.startswith("rlsched.") and n != "rlsched"}
        above = (inside & {"core", "envs", "agents", "evaluation"}) - LAYERS[layer]
        assert not above, f"{path} imports {above}"
        if layer != "agents":
            assert not {n.split(".")[0] for n in names} & HEAVY, path


@pytest.mark.parametrize("name", MODULES)
def test_a_card_shows_the_features_of_its_graph(name):
    graph = import_module(f"rlsched.envs.{name}.observation").GRAPH
    assert graph.table() in (PACKAGE / "envs" / name / "card.md").read_text()
