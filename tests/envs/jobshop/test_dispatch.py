"""A live floor in, moves out: hand-worked, and legal by the independent checker's rules."""

from __future__ import annotations

import json

import pytest

from rlsched.core.errors import InstanceError, UnknownName
from rlsched.core.registry import problem
from rlsched.envs.jobshop.dispatch import dispatch

CONFIG = problem("jobshop").config()
FLOOR = {
    "clock": 100,
    "machines": [{"name": "lathe"}, {"name": "mill"}, {"name": "drill", "down_until": 130}],
    "jobs": [
        {
            "name": "A",
            "operations": [{"machine": "lathe", "time": 10}, {"machine": "mill", "time": 20}],
            "done": 1,
            "on": "lathe",
        },
        {
            "name": "B",
            "operations": [{"machine": "mill", "time": 30}, {"machine": "lathe", "time": 5}],
            "done": 0,
            "on": "mill",
            "left": 12,
        },
        {
            "name": "C",
            "operations": [{"machine": "drill", "time": 7}, {"machine": "lathe", "time": 9}],
        },
    ],
}


def write(tmp_path, floor):
    path = tmp_path / "shop.json"
    path.write_text(json.dumps(floor))
    return path


def test_a_floor_in_the_middle_of_its_work(tmp_path):
    """A blocks the lathe and B works on the mill until 112; then they swap: A mills to 132, B
    turns to 117. The drill is back at 130 and drills C to 137, which the lathe takes to 146.
    """
    plan = dispatch(CONFIG, "spt", write(tmp_path, FLOOR))
    moves = [(m["job"], m["operation"], m["machine"], m["start"], m["end"]) for m in plan["moves"]]
    assert moves == [
        ("A", 1, "mill", 112, 132),
        ("B", 1, "lathe", 112, 117),
        ("C", 0, "drill", 130, 137),
        ("C", 1, "lathe", 137, 146),
    ]
    assert (plan["clock"], plan["makespan"], plan["now"]) == (100, 146, [])
    assert not plan["is_deadlocked"]


def test_moves_of_this_instant_are_named(tmp_path):
    floor = {**FLOOR, "machines": [{"name": n} for n in ("lathe", "mill", "drill")]}
    plan = dispatch(CONFIG, "mwkr", write(tmp_path, floor))
    assert [(m["job"], m["machine"]) for m in plan["now"]] == [("C", "drill")]


def test_a_budget_never_makes_the_plan_worse(tmp_path):
    path = write(tmp_path, FLOOR)
    alone = dispatch(CONFIG, "random", path)["makespan"]
    assert dispatch(CONFIG, "random", path, budget_s=0.05)["makespan"] <= alone


def test_limit_cuts_the_moves(tmp_path):
    assert len(dispatch(CONFIG, "spt", write(tmp_path, FLOOR), limit=2)["moves"]) == 2


def test_errors_name_the_record(tmp_path):
    with pytest.raises(UnknownName, match="spr"):
        dispatch(CONFIG, "spr", write(tmp_path, FLOOR))
    broken = json.loads(json.dumps(FLOOR))
    broken["jobs"][1]["operations"][0]["machine"] = "mil"
    with pytest.raises(InstanceError, match="mil"):
        dispatch(CONFIG, "spt", write(tmp_path, broken))
