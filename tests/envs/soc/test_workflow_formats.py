"""Facts about WfCommons and STG files: by hand, on platforms, and refusals by their words."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlsched.core.errors import ConfigError, InstanceError
from rlsched.envs.soc.instances import (
    Platform,
    Workload,
    load_instances,
    read_stg,
    read_wfcommons,
)

STG = """4
0 0 0
1 3 1 0
2 4 1 0   # a comment
3 2 2 1 2
4 7 1 1
5 0 2 3 4
# Standard Task Graph Set Project
"""
PROTOTYPE = """2 3
1 14 0
2 20 1 1
3 0 2 1 2
"""


def workflow() -> dict[str, Any]:
    """One task writes two files, one of which two others read; the last names only its child."""
    specification = {
        "tasks": [
            {
                "name": "split",
                "id": "split_1",
                "parents": [],
                "children": ["count_1"],
                "inputFiles": ["in"],
                "outputFiles": ["part", "index"],
            },
            {
                "name": "count",
                "id": "count_1",
                "parents": ["split_1"],
                "children": [],
                "inputFiles": ["part", "index"],
            },
            {"name": "check", "id": "check_1", "parents": ["split_1"], "inputFiles": ["index"]},
            {"name": "wait", "id": "wait_1", "children": ["check_1"]},
        ],
        "files": [
            {"id": "in", "sizeInBytes": 9},
            {"id": "part", "sizeInBytes": 1_000_000},
            {"id": "index", "sizeInBytes": 500},
        ],
    }
    runtimes = {"check_1": 0.0001, "split_1": 1.5, "count_1": 2.0004, "wait_1": 0}
    execution = {
        "makespanInSeconds": 9,
        "tasks": [{"id": name, "runtimeInSeconds": s, "avgCPU": 7} for name, s in runtimes.items()],
    }
    return {
        "name": "words",
        "schemaVersion": "1.5",
        "workflow": {"specification": specification, "execution": execution},
    }


def old_workflow() -> dict[str, Any]:
    tasks = [
        {
            "name": "split",
            "id": "0001",
            "runtime": 1.5,
            "parents": [],
            "children": ["count"],
            "files": [{"link": "output", "name": "part", "size": 700}],
        },
        {
            "name": "count",
            "runtimeInSeconds": 2,
            "parents": ["split"],
            "files": [{"link": "input", "name": "part", "sizeInBytes": 700}],
        },
    ]
    return {"name": "words", "schemaVersion": "1.3", "workflow": {"tasks": tasks}}


def written(folder: Path, content: Any, name: str) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def times(workload: Workload) -> list[list[int]]:
    return workload.times(workload.jobs[0]).tolist()


def test_runtimes_become_milliseconds_and_files_volumes(tmp_path):
    workload = read_wfcommons(written(tmp_path, workflow(), "w.json"))
    assert workload.name == "words"
    assert workload.jobs[0].tasks == ("split_1", "count_1", "check_1", "wait_1")
    assert times(workload) == [[1500] * 4, [2000] * 4, [1] * 4, [0] * 4]
    assert workload.jobs[0].edges == ((0, 1, 1_000_500), (0, 2, 500), (3, 2, 0))


def test_links_are_of_one_gigabit_per_second(tmp_path):
    soc = read_wfcommons(written(tmp_path, workflow(), "w.json")).soc
    assert soc.bandwidth[0] == (math.inf, 125_000, 125_000, 125_000)


def test_older_versions_have_runtimes_and_files_in_their_tasks(tmp_path):
    workload = read_wfcommons(written(tmp_path, old_workflow(), "w.json"))
    assert workload.jobs[0].tasks == ("split", "count")
    assert times(workload) == [[1500] * 4, [2000] * 4]
    assert workload.jobs[0].edges == ((0, 1, 700),)


def test_ticks_may_be_seconds(tmp_path):
    workload = read_wfcommons(written(tmp_path, workflow(), "w.json"), Platform(1), tick_s=1.0)
    assert times(workload) == [[2], [2], [1], [0]]


def test_a_platform_says_how_fast_its_machines_and_links_are(tmp_path):
    platform = Platform(2, speeds=(1.0, 2.0), bandwidth=10.0, startup=3)
    workload = read_wfcommons(written(tmp_path, workflow(), "w.json"), platform)
    assert times(workload)[:2] == [[1500, 750], [2000, 1000]]
    assert workload.soc.bandwidth == ((math.inf, 10), (10, math.inf))
    assert workload.soc.startup == ((0, 3), (3, 0))


def test_heterogeneity_makes_machines_unrelated_and_is_seeded(tmp_path):
    path = written(tmp_path, STG, "g.stg")
    first, again, other = (
        times(read_stg(path, Platform(3, (0.001,) * 3, heterogeneity=1.0, seed=seed)))
        for seed in (1, 1, 2)
    )
    assert first == again != other
    ratio = np.array(first[1:5]) / (1000 * np.array([[3], [4], [2], [7]]))
    assert 0.5 <= ratio.min() < ratio.max() <= 1.5
    assert first[0] == [0, 0, 0]


def test_a_standard_task_graph_keeps_its_dummies(tmp_path):
    workload = read_stg(written(tmp_path, STG, "g.stg"))
    assert workload.name == "g"
    assert times(workload) == [[t] * 4 for t in (0, 3, 4, 2, 7, 0)]
    pairs = [(a, b) for a, b, _ in workload.jobs[0].edges]
    assert pairs == [(0, 1), (0, 2), (1, 3), (2, 3), (1, 4), (3, 5), (4, 5)]
    assert {volume for _, _, volume in workload.jobs[0].edges} == {0}


def test_a_prototype_graph_counts_from_1_and_says_its_processors(tmp_path):
    workload = read_stg(written(tmp_path, PROTOTYPE, "g.stg"))
    assert times(workload) == [[14] * 3, [20] * 3, [0] * 3]
    assert workload.jobs[0].edges == ((0, 1, 0), (0, 2, 0), (1, 2, 0))


def test_volumes_are_drawn_about_the_ratio_asked_for(tmp_path):
    lines = [f"{t} 100 1 {t - 1}" for t in range(1, 1001)]
    path = written(tmp_path, "\n".join(["1000", "0 100 0", *lines]), "chain.stg")
    volumes = [volume for _, _, volume in read_stg(path, ccr=2.0).jobs[0].edges]
    assert np.mean(volumes) == pytest.approx(200, rel=0.05)
    assert 0 <= min(volumes) < max(volumes) <= 400


def test_files_are_told_apart_by_content_and_folders_read_by_name(tmp_path):
    written(tmp_path, workflow(), "b.json")
    written(tmp_path, STG, "a.stg")
    written(tmp_path, "what these are", "README.md")
    names = [workload.name for workload in load_instances(tmp_path, Platform(2))]
    assert names == ["a", "words"]
    assert load_instances(tmp_path / "b.json")[0].num_pes == 4
    assert load_instances(tmp_path, Platform(2))[0].num_pes == 2


@pytest.mark.parametrize("name", ["nothing.xml", "nothing", "nothing.txt"])
def test_what_cannot_be_read_is_refused_with_what_can(name, tmp_path):
    with pytest.raises(InstanceError, match=r"allowed: \.json \(our own or WfCommons\), \.stg"):
        load_instances(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InstanceError, match="holds nothing to read"):
        load_instances(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (STG, "", "is empty"),
        ("4\n0", "7\n0", "6 lines of tasks; the first line says 7, and two dummy tasks at most"),
        ("4\n0", "3\n0", "6 lines of tasks; the first line says 3"),
        ("4\n0", "4 999\n0", "999 processors; allowed: 1 to 256"),
        ("1 3 1 0", "1 3 2 0", "give task 1, its time of at most 100000000, the number of its"),
        ("1 3 1 0", "1 3", "give task 1"),
        ("1 3 1 0", "9 3 1 0", "give task 1"),
        ("1 3 1 0", "1 -3 1 0", "'-3'; only whole numbers >= 0"),
        ("1 3 1 0", "1 999999999 1 0", "give task 1, its time of at most"),
        ("1 3 1 0", "1 3 1 9", "9 -> 1; tasks are 0 to 5"),
        ("1 3 1 0", "1 3 1 5", "waits for itself; break the cycle"),
    ],
)
def test_a_task_graph_that_is_not_understood_is_refused(old, new, words, tmp_path):
    with pytest.raises(InstanceError, match=words):
        read_stg(written(tmp_path, STG.replace(old, new, 1), "g.stg"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"workflow"', '"workflows"', "key 'workflow' is missing|key 'schema' is missing"),
        ('"execution"', '"executed"', "key 'execution' is missing"),
        ('"parents": ["split_1"]', '"parents": ["splat"]', "'count_1' names 'splat', which is non"),
        ('"id": "check_1", "runtime', '"id": "chick_1", "runtime', "'check_1' has no runtime"),
        ('"id": "check_1", "parents', '"id": "split_1", "parents', "two tasks have one id"),
        ('"runtimeInSeconds": 1.5', '"runtimeInSeconds": -1.5', "runtimeInSeconds = -1.5; allowed"),
        ('"runtimeInSeconds": 1.5', '"runtimeInSeconds": 1e8', r"times\['split_1'\]"),
        ('"runtimeInSeconds": 1.5', '"runtimeInSeconds": "1.5"', "allowed: numbers 0 to"),
        ('"sizeInBytes": 500', '"sizeInBytes": -5', "sizeInBytes = -5; allowed: numbers 0 to"),
        ('"children": ["check_1"]', '"children": ["wait_1"]', "edge 2: 3 -> 3"),
    ],
)
def test_a_workflow_that_is_not_understood_is_refused(old, new, words, tmp_path):
    text = json.dumps(workflow())
    assert old in text
    with pytest.raises(InstanceError, match=words):
        load_instances(written(tmp_path, text.replace(old, new, 1), "w.json"))


def test_a_file_that_neither_comes_nor_goes_is_refused(tmp_path):
    text = json.dumps(old_workflow()).replace('"link": "input"', '"link": "inout"')
    with pytest.raises(InstanceError, match="link = 'inout'; allowed: input, output"):
        read_wfcommons(written(tmp_path, text, "w.json"))


@pytest.mark.parametrize(
    "change",
    [
        {"num_pes": 0},
        {"num_pes": 257},
        {"speeds": (1.0,)},
        {"num_pes": 1, "speeds": (0.0,)},
        {"heterogeneity": 2.5},
        {"bandwidth": 0.0},
        {"bandwidth": math.nan},
        {"startup": -1},
        {"seed": -1},
    ],
)
def test_an_impossible_platform_is_refused(change):
    with pytest.raises(ConfigError, match=f"platform: {list(change)[-1]} = .*; allowed: num_pes 1"):
        Platform(**change)
