"""Facts about our JSON: round trips, what may be left out, refusals by their words."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import workloads
from hypothesis import given
from hypothesis import strategies as st

from rlsched.core.errors import InstanceError
from rlsched.envs.soc import files
from rlsched.envs.soc.instances import (
    PRESETS,
    Pe,
    Workload,
    builtin_workload,
    generate_workload,
    load_instances,
    read_json,
    write_json,
)
from rlsched.envs.soc.workload import Live, LiveJob, LiveTask


def radio() -> dict[str, Any]:
    """A cluster of two and an accelerator that only runs ffts; two kinds of jobs."""
    return {
        "schema": "rlsched-soc/1",
        "name": "radio",
        "soc": {
            "name": "board",
            "pes": [
                {
                    "name": "A15",
                    "kind": "BIG",
                    "capacity": 2,
                    "opps": [[1000, 1000], [2000, 1362]],
                    "power": [3.32, 5.05],
                },
                {"name": "FFT", "kind": "ACC", "leaks": False},
            ],
            "times": {"fft": [114, 12], "crc": [3, None]},
            "bandwidth": [[None, 10], [10, 0.5]],
            "startup": [[0, 1], [1, 0]],
            "memory_bandwidth": [[2, 2], [None, 2]],
        },
        "jobs": [
            {"name": "rx", "tasks": ["fft", "crc"], "edges": [[0, 1, 80]], "weight": 2},
            {"name": "tx", "tasks": ["crc"]},
        ],
    }


def live() -> dict[str, Any]:
    """The radio at work at 940: one job half done, one placed, kinds and PEs by name or number."""
    return radio() | {
        "live": {
            "clock": 940,
            "jobs": [
                {
                    "kind": "rx",
                    "arrival": 800,
                    "tasks": [
                        {"status": "done", "pe": "FFT", "begin": 800, "end": 812},
                        {"status": "running", "pe": 0, "begin": 939, "end": 942},
                    ],
                },
                {"kind": 0, "arrival": 930, "tasks": [{"status": "waiting"}] * 2},
                {
                    "kind": "tx",
                    "arrival": 940,
                    "tasks": [{"status": "placed", "pe": "A15", "begin": 940}],
                },
            ],
        }
    }


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the radio with the value at a path of keys replaced, or removed if it is ``...``."""
    content = live() if path.startswith("live") else radio()
    *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    target: Any = content
    for key in way:
        target = target[key]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return content


def read(tmp_path: Path, content: Any) -> Workload:
    path = tmp_path / "radio.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return read_json(path)


def test_every_key_is_read(tmp_path):
    workload = read(tmp_path, radio())
    assert workload.name == "radio"
    assert workload.soc.name == "board"
    assert workload.soc.pes == (
        Pe("A15", "BIG", 2, ((1000, 1000), (2000, 1362)), (3.32, 5.05)),
        Pe("FFT", "ACC", leaks=False),
    )
    assert workload.soc.times == {"fft": (114, 12), "crc": (3, -1)}
    assert workload.soc.bandwidth == ((math.inf, 10), (10, 0.5))
    assert workload.soc.startup == ((0, 1), (1, 0))
    assert workload.soc.memory_bandwidth == ((2, 2), (math.inf, 2))
    assert workload.jobs[0].tasks == ("fft", "crc")
    assert workload.jobs[0].edges == ((0, 1, 80),)
    assert workload.weights == (2, 1)


@pytest.mark.parametrize("path", ["soc.startup", "soc.memory_bandwidth", "soc.name", "name"])
def test_what_is_left_out_is_as_the_module_says(path, tmp_path):
    workload = read(tmp_path, changed(path, ...))
    expected = {
        "soc.startup": workload.soc.startup == ((0, 0), (0, 0)),
        "soc.memory_bandwidth": workload.soc.memory_bandwidth == ((math.inf,) * 2,) * 2,
        "soc.name": workload.soc.name == "radio",
        "name": workload.name == "radio",  # the file's
    }
    assert expected[path]


def test_without_any_weight_jobs_come_equally_often(tmp_path):
    assert read(tmp_path, changed("jobs.0.weight", ...)).weights == ()


@pytest.mark.parametrize(
    "workload",
    [
        workloads.topcuoglu(),
        workloads.masked(),
        replace(builtin_workload("gym_ds3/all"), weights=tuple(map(float, range(10)))),
        builtin_workload("ds3/all"),
        builtin_workload("ds3/all", "ds3/MULTIPLE_BAL_cores"),
        *(generate_workload(config, 1) for config in PRESETS.values()),
    ],
    ids=lambda workload: workload.name,
)
def test_reading_gives_what_was_written(workload, tmp_path):
    write_json(tmp_path / "w.json", workload)
    assert read_json(tmp_path / "w.json") == workload
    assert load_instances(tmp_path / "w.json") == [workload]


def test_a_system_at_work_is_read_by_name_and_by_number(tmp_path):
    rx = (LiveTask("done", 1, 800, 812), LiveTask("running", 0, 939, 942))
    tx = (LiveTask("placed", 0, 940),)
    assert read(tmp_path, live()).live == Live(
        940, (LiveJob(0, 800, rx), LiveJob(0, 930, (LiveTask(),) * 2), LiveJob(1, 940, tx))
    )
    assert read(tmp_path, radio()).live is None


def test_a_system_at_work_is_read_as_it_was_written(tmp_path):
    workload = read(tmp_path, live())
    write_json(tmp_path / "w.json", workload)
    assert read_json(tmp_path / "w.json") == workload
    written = json.loads((tmp_path / "w.json").read_text("utf-8"))["live"]
    assert written["jobs"][0]["kind"] == "rx"
    assert written["jobs"][0]["tasks"][1]["pe"] == "A15"
    empty = replace(workload, live=Live(0, ()))
    write_json(tmp_path / "w.json", empty)
    assert read_json(tmp_path / "w.json") == empty


def test_pes_of_the_same_name_stand_there_by_number(tmp_path):
    content = live()
    content["soc"]["pes"][0]["name"] = "FFT"
    with pytest.raises(InstanceError, match="pe = 'FFT' is the name of several; give its number"):
        read(tmp_path, content)
    workload = read(tmp_path, live())
    same = replace(workload.soc.pes[0], name="FFT")
    workload = replace(workload, soc=replace(workload.soc, pes=(same, workload.soc.pes[1])))
    write_json(tmp_path / "w.json", workload)
    assert read_json(tmp_path / "w.json") == workload


def test_infinity_is_written_as_null(tmp_path):
    write_json(tmp_path / "w.json", workloads.topcuoglu())
    text = (tmp_path / "w.json").read_text("utf-8")
    assert "Infinity" not in text
    assert json.loads(text)["soc"]["bandwidth"][0] == [None, 1.0, 1.0]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("schema", ..., "key 'schema' is missing"),
        ("schema", "rlsched-soc/2", "this version reads 'rlsched-soc/1'"),
        ("clock", 3, "unknown key 'clock'; allowed: jobs, live, name, schema, soc"),
        ("soc.pes.0.colour", "red", r"pes\[0\] \('A15'\): unknown key 'colour'"),
        ("soc.speed", 1, "soc: unknown key 'speed'"),
        ("jobs.0.due", 1, r"jobs\[0\] \('rx'\): unknown key 'due'"),
        ("soc.pes", [], "has 0 PEs; must be 1 to 256"),
        ("soc.pes.0.capacity", 65, "capacity = 65; allowed: whole numbers 1 to 64"),
        ("soc.pes.0.capacity", True, "capacity = True; allowed: whole numbers"),
        ("soc.pes.0.opps.0", [1000], r"opps\[0\] = \[1000\]; give \[MHz, mV\]"),
        ("soc.pes.0.power.1", "much", r"power\[1\] = 'much'; allowed: numbers 0 to"),
        ("soc.pes.0.power.1", -1, r"power\[1\] = -1"),
        ("soc.pes.0.name", "", "name has 0 characters"),
        ("soc.pes.1.leaks", 0, "leaks = 0 is a int; give a bool"),
        ("soc.times.fft", 3, "fft = 3 is a int; give a list"),
        ("soc.times.fft.0", 1.5, r"times.fft\[0\] = 1.5; allowed: whole numbers 0 to"),
        ("soc.times.fft.0", -1, r"times.fft\[0\] = -1"),
        ("soc.times.fft", [1], r"times\['fft'\] = \[1\]; give 2 values"),
        ("soc.bandwidth", ..., "key 'bandwidth' is missing"),
        ("soc.bandwidth.0.1", 0, r"bandwidth\[0\]\[1\] = 0; allowed: numbers 1e-06 to"),
        ("soc.bandwidth.0", 5, r"bandwidth\[0\] = 5; give a list"),
        ("soc.bandwidth.0", [1, 2, 3], "bandwidth must be 2 x 2"),
        ("soc.startup.0.1", -1, r"startup\[0\]\[1\] = -1"),
        ("soc.memory_bandwidth", [[1, 1]], "memory_bandwidth must be 2 x 2"),
        ("jobs", {}, "jobs = {} is a dict; give a list"),
        ("jobs", [], "0 jobs; must be 1 to"),
        ("jobs.0.tasks.1", 7, r"tasks\[1\] = 7; give a text"),
        ("jobs.0.tasks.1", "dct", "task 1: soc 'board' has no times of 'dct'"),
        ("jobs.0.edges.0", [0, 1], r"edges\[0\] = \[0, 1\]; give \[task, task that needs it, vol"),
        ("jobs.0.edges.0.2", -1, r"edges\[0\]\[2\] = -1; allowed: numbers 0 to 1e\+12"),
        ("jobs.0.edges.0.1", 2, "edge 0: 0 -> 2; tasks are 0 to 1"),
        ("jobs.0.weight", -1, "weight = -1; allowed: numbers 0 to"),
        ("live", [], "live = \\[\\] is a list; give a dict"),
        ("live.clock", ..., "live: key 'clock' is missing"),
        ("live.speed", 1, "live: unknown key 'speed'; allowed: clock, jobs"),
        ("live.jobs.0.kind", "rxx", r"jobs\[0\]: kind = 'rxx' is unknown; .* rx, tx"),
        ("live.jobs.0.kind", 2, r"jobs\[0\]: kind = 2; allowed: whole numbers 0 to 1"),
        ("live.jobs.0.arrival", 941, "job 0 in the system: arrival = 941; must be 0 to 940"),
        ("live.jobs.0.due", 1, r"live.jobs\[0\]: unknown key 'due'"),
        ("live.jobs.0.tasks.0", ..., "has 1 tasks; 'rx' has 2"),
        ("live.jobs.0.tasks.0.status", "lost", "status = 'lost'; allowed: waiting, placed, run"),
        ("live.jobs.0.tasks.0.pe", "GPU", r"tasks\[0\]: pe = 'GPU' is unknown; .* A15, FFT"),
        ("live.jobs.0.tasks.1.pe", 1, "task 1: pe = 1 cannot run 'crc'"),
        ("live.jobs.0.tasks.1.end", ..., "key 'end' is missing"),
        ("live.jobs.0.tasks.0.end", 941, "task 0 is done: begin = 800, end = 941; the clock"),
        ("live.jobs.0.tasks.0", {"status": "waiting"}, "task 1 is running, but task 0"),
        ("live.jobs.1.tasks.0", {"status": "waiting", "pe": 1}, "unknown key 'pe'; allowed: sta"),
    ],
)
def test_refusals_name_the_place_and_what_is_allowed(path, value, words, tmp_path):
    with pytest.raises(InstanceError, match=words):
        read(tmp_path, changed(path, value))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("[1, 2]", "is a list; give a JSON object"),
        ('{"a": 1, "a": 2}', "key 'a' twice in one object"),
        ("[" * 100_000, "not valid JSON"),
        ('{"schema": "rlsched-soc/1", "soc": {"pes": [1]}}', r"soc.pes\[0\]: is a int"),
        (json.dumps(radio()).replace("0.5", "NaN"), "= nan; allowed: numbers"),
        (json.dumps(radio()).replace("0.5", "1e999"), "= inf; allowed: numbers"),
    ],
)
def test_text_that_is_no_workload_is_refused(text, words, tmp_path):
    with pytest.raises(InstanceError, match=words):
        read(tmp_path, text)


def test_files_that_cannot_be_read_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InstanceError, match="cannot be read"):
        read_json(tmp_path / "nothing.json")
    with pytest.raises(InstanceError, match="not a regular file"):
        read_json(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"name": "\xe9"}')
    with pytest.raises(InstanceError, match="cannot be read"):
        read_json(tmp_path / "latin.json")
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    with pytest.raises(InstanceError, match="more than 100 bytes; split the file"):
        read(tmp_path, radio())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
PLACES = [
    "name",
    "soc",
    "soc.pes",
    "soc.pes.0",
    "soc.pes.0.opps",
    "soc.times",
    "soc.times.fft",
    "soc.bandwidth",
    "soc.bandwidth.0",
    "soc.startup.1",
    "jobs",
    "jobs.0",
    "jobs.0.tasks",
    "jobs.0.edges",
    "jobs.0.edges.0",
    "jobs.0.edges.0.2",
    "jobs.0.weight",
    "live",
    "live.clock",
    "live.jobs",
    "live.jobs.0",
    "live.jobs.0.kind",
    "live.jobs.0.tasks",
    "live.jobs.0.tasks.0",
    "live.jobs.0.tasks.0.pe",
    "live.jobs.0.tasks.0.end",
]


@given(path=st.sampled_from(PLACES), value=json_values)
def test_any_value_anywhere_is_read_or_refused(path, value, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    with suppress(InstanceError):
        read(folder, changed(path, value))
