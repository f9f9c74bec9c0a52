"""Facts about the readers and writers: formats by hand, round trips, refusals by their words."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rlsched.core.errors import InstanceError, UnknownName
from rlsched.envs.jobshop import files
from rlsched.envs.jobshop.instances import (
    NO_DUE_DATE,
    Floor,
    Shop,
    load_instances,
    read_fjs,
    read_json,
    read_text,
    write_fjs,
    write_json,
    write_standard,
    write_taillard,
)

STANDARD = """# two jobs, three machines
2 3

0 5  2 4  1 3   # job 0
1 2  0 6  2 7
"""
TAILLARD = """Nb of jobs, Nb of Machines, Time seed, Machine seed, Upper bound, Lower bound
2 3 840612802 398197754 18 15
Times
5 4 3
2 6 7
Machines
1 3 2
2 1 3
"""
BARE = "2 3\n5 4 3\n2 6 7\n1 3 2\n2 1 3\n"
FJS = """2 3 1.5
2  2 1 5 2 6  1 3 4
1  1 2 9
"""


def hall() -> dict:
    """At 120 J7 works on M2, J8 blocks M3 and waits for M2, J9 waits for M1, which is down."""
    return {
        "name": "hall 3",
        "clock": 120,
        "machines": [
            {"name": "M1", "down_until": 140, "windows": [[400, 430], [200, 230]]},
            {"name": "M2"},
            {"name": "M3"},
        ],
        "jobs": [
            {
                "name": "J7",
                "release": 10,
                "due": 300,
                "weight": 2,
                "operations": [{"machine": "M1", "time": 12}, {"machines": {"M2": 9, "M3": 15}}],
                "done": 1,
                "on": "M2",
                "left": 4,
            },
            {
                "name": "J8",
                "operations": [{"machine": "M3", "time": 8}, {"machine": "M2", "time": 6}],
                "done": 1,
                "on": "M3",
                "waiting_since": 110,
            },
            {"name": "J9", "release": 90, "operations": [{"machine": "M1", "time": 5}]},
        ],
    }


def saved(tmp_path: Path, content: str | dict, name: str = "x.txt") -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def assert_same(a: Any, b: Any) -> None:
    """Compare two shops, or floors, field by field."""
    for field in fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype, field.name
            np.testing.assert_array_equal(x, y, err_msg=field.name)
        elif is_dataclass(x):
            assert_same(x, y)
        else:
            assert x == y, field.name


def floor_of(shop: Shop) -> Floor:
    assert shop.floor is not None
    return shop.floor


def by_hand() -> Shop:
    jobs = [[[(0, 5)], [(2, 4)], [(1, 3)]], [[(1, 2)], [(0, 6)], [(2, 7)]]]
    return Shop.from_jobs(jobs, 3, name="x")


@pytest.mark.parametrize("text", [STANDARD, TAILLARD, BARE, BARE.replace("\n", "\r\n")])
@pytest.mark.parametrize("name", ["x.txt", "x", "x.TXT"])
def test_standard_and_taillard_are_told_apart_by_what_they_hold(text, name, tmp_path):
    (shop,) = load_instances(saved(tmp_path, text, name))
    assert_same(shop, by_hand())


def test_a_taillard_file_may_hold_several_instances(tmp_path):
    shops = load_instances(saved(tmp_path, TAILLARD + TAILLARD.replace("5 4 3", "9 9 9")))
    assert [shop.name for shop in shops] == ["x-1", "x-2"]
    assert [shop.alt_time[0] for shop in shops] == [5, 9]


def test_a_machine_may_come_twice_and_another_never(tmp_path):
    """A route may revisit a machine; the first line says how many machines there are."""
    (shop,) = read_text(saved(tmp_path, "1 4\n0 5 1 4 0 3\n"))
    assert (shop.num_machines, shop.num_ops) == (4, 3)
    assert shop.alt_machine.tolist() == [0, 1, 0]


def test_an_operation_may_take_no_time(tmp_path):
    (shop,) = read_text(saved(tmp_path, "1 2\n0 5 1 0\n"))
    assert shop.alt_time.tolist() == [5, 0]


def test_a_byte_order_mark_is_no_number(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"\xef\xbb\xbf" + STANDARD.encode())
    assert load_instances(tmp_path / "x.txt")[0].num_jobs == 2


def test_fjs_by_hand(tmp_path):
    (shop,) = load_instances(saved(tmp_path, FJS, "x.fjs"))
    assert shop.num_machines == 3
    assert shop.op_begin.tolist() == [0, 2, 3]
    assert [shop.alternatives(o) for o in range(3)] == [[(0, 5), (1, 6)], [(2, 4)], [(1, 9)]]


def test_fjs_without_an_average(tmp_path):
    assert read_fjs(saved(tmp_path, FJS.replace(" 1.5", "")))[0].num_ops == 3


def test_a_live_floor_by_hand(tmp_path):
    (shop,) = load_instances(saved(tmp_path, hall(), "x.json"))
    assert shop.name == "hall 3"
    assert shop.job_names == ("J7", "J8", "J9")
    assert shop.machine_names == ("M1", "M2", "M3")
    assert [shop.alternatives(o) for o in (0, 1)] == [[(0, 12)], [(1, 9), (2, 15)]]
    assert shop.release.tolist() == [10, 0, 90]
    assert shop.due.tolist() == [300, NO_DUE_DATE, NO_DUE_DATE]
    assert shop.weight.tolist() == [2, 1, 1]
    assert shop.windows.tolist() == [[0, 200, 230], [0, 400, 430]]
    floor = floor_of(shop)
    assert floor.clock == 120
    assert floor.num_done.tolist() == [1, 1, 0]
    assert floor.machine.tolist() == [1, 2, -1]
    assert floor.left.tolist() == [4, 0, 0]
    assert floor.buffer.tolist() == [-1, -1, -1]
    assert floor.ready.tolist() == [120, 110, 90]
    assert floor.down_until.tolist() == [140, 0, 0]


def small(**more) -> dict:
    """One machine, one job of two operations."""
    job = {"name": "J", "operations": [{"machine": "M", "time": 3}] * 2}
    return {"machines": [{"name": "M"}], "jobs": [job | more]}


def test_a_hall_of_which_nothing_is_said_has_no_floor(tmp_path):
    (shop,) = read_json(saved(tmp_path, small(), "plant.json"))
    assert shop.floor is None
    assert shop.name == "plant"


@pytest.mark.parametrize(
    "more", [{"done": 0}, {"done": 2}, {"on": "M", "left": 3}, {"waiting_since": 0}]
)
def test_anything_said_of_a_job_makes_a_floor_at_0(more, tmp_path):
    (shop,) = read_json(saved(tmp_path, small(**more)))
    assert floor_of(shop).clock == 0
    assert floor_of(shop).num_done.tolist() == [more.get("done", 0)]


def test_a_clock_or_a_machine_down_makes_a_floor(tmp_path):
    assert floor_of(read_json(saved(tmp_path, small() | {"clock": 0}))[0]).clock == 0
    down = small() | {"machines": [{"name": "M", "down_until": 7}]}
    assert floor_of(read_json(saved(tmp_path, down))[0]).down_until.tolist() == [7]


def test_a_job_in_a_buffer(tmp_path):
    waits = small(done=1, in_buffer_of="M", waiting_since=3) | {"clock": 5}
    (shop,) = read_json(saved(tmp_path, waits))
    floor = floor_of(shop)
    assert (floor.buffer[0], floor.machine[0], floor.ready[0]) == (0, -1, 3)


# Round trips

times = st.integers(0, 999)


@st.composite
def plain(draw: st.DrawFn) -> Shop:
    num_machines, length = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    op = st.tuples(st.integers(0, num_machines - 1), times).map(lambda pair: [pair])
    jobs = draw(st.lists(st.lists(op, min_size=length, max_size=length), min_size=1, max_size=5))
    return Shop.from_jobs(jobs, num_machines, name="x")


@st.composite
def flexible(draw: st.DrawFn, least: int = 0) -> Shop:
    num_machines = draw(st.integers(1, 4))
    pairs = st.tuples(st.integers(0, num_machines - 1), st.integers(least, 99))
    op = st.lists(pairs, min_size=1, max_size=3, unique_by=lambda pair: pair[0])
    jobs = draw(st.lists(st.lists(op, min_size=1, max_size=4), min_size=1, max_size=4))
    return Shop.from_jobs(jobs, num_machines, name="x")


@st.composite
def live(draw: st.DrawFn) -> Shop:
    """A shop with everything: dates, names, maintenance, and jobs at any place they can be."""
    shop, clock = draw(flexible(least=1)), draw(st.integers(0, 50))
    jobs, machines = range(shop.num_jobs), range(shop.num_machines)
    done, at, left, buffer, ready, free = [], [], [], [], [], set(machines)
    for job in jobs:
        length = int(shop.op_begin[job + 1] - shop.op_begin[job])
        done.append(draw(st.integers(0, length)))
        op = int(shop.op_begin[job]) + done[-1]
        places = [("waits", -1, 0)]
        if done[-1] < length:
            places += [("on", m, t) for m, t in shop.alternatives(op) if m in free]
        if 0 < done[-1] < length:
            behind = [m for m, _ in shop.alternatives(op - 1)]
            places += [("on", m, 0) for m in behind if m in free] + [("in", m, 0) for m in behind]
        kind, machine, time = draw(st.sampled_from(places))
        free -= {machine} if kind == "on" else set()
        at.append(machine if kind == "on" else -1)
        buffer.append(machine if kind == "in" else -1)
        left.append(draw(st.integers(1, time)) if time else 0)
        ready.append(draw(st.integers(0, clock)))
    windows = [(m, 10 * k, 10 * k + draw(st.integers(1, 10))) for m in machines for k in range(2)]
    i32 = lambda values: np.array(values, np.int32)  # noqa: E731
    down = [draw(st.sampled_from([0, clock + 1, clock + 9])) for _ in machines]
    floor = Floor(clock, i32(done), i32(at), i32(left), i32(buffer), i32(ready), i32(down))
    return replace(
        shop,
        release=i32([draw(st.integers(0, clock)) for _ in jobs]),
        due=i32([draw(st.sampled_from([0, 70, NO_DUE_DATE - 1, NO_DUE_DATE])) for _ in jobs]),
        weight=i32([draw(st.integers(0, 3)) for _ in jobs]),
        windows=i32(windows),
        floor=draw(st.sampled_from([None, floor])),
        job_names=draw(st.sampled_from([(), tuple(f"job «{j}»" for j in jobs)])),
        machine_names=draw(st.sampled_from([(), tuple(f"name\n{m}" for m in machines)])),
    )


@given(shop=plain())
@pytest.mark.parametrize("write", [write_standard, write_taillard])
def test_text_round_trip(write, shop, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "x.txt"
    write(path, shop)
    assert_same(load_instances(path)[0], shop)


@given(shop=plain())
def test_the_bare_taillard_form_reads_like_the_titled(shop, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "x.txt"
    write_taillard(path, shop)
    lines = [line for line in path.read_text().splitlines() if line[0].isdigit()]
    path.write_text("\n".join(lines))
    assert_same(load_instances(path)[0], shop)


@given(shop=flexible())
def test_fjs_round_trip(shop, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "x.fjs"
    write_fjs(path, shop)
    assert_same(load_instances(path)[0], shop)


@given(shop=live())
def test_json_round_trip(shop, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "x.json"
    write_json(path, shop)
    assert_same(load_instances(path)[0], shop)


def test_written_json_is_for_people(tmp_path):
    (shop,) = read_json(saved(tmp_path, hall()))
    write_json(tmp_path / "y.json", shop)
    assert (tmp_path / "y.json").read_text().splitlines()[:5] == [
        "{",
        ' "name": "hall 3",',
        ' "clock": 120,',
        ' "machines": [',
        '  {"name": "M1", "down_until": 140, "windows": [[200, 230], [400, 430]]},',
    ]


def test_a_machine_that_is_back_is_not_written_as_down(tmp_path):
    (shop,) = read_json(saved(tmp_path, hall()))
    back = replace(floor_of(shop), down_until=np.array([120, 5, 0], np.int32))
    write_json(tmp_path / "y.json", replace(shop, floor=back))
    assert floor_of(read_json(tmp_path / "y.json")[0]).down_until.tolist() == [0, 0, 0]


def refusal_of(path: Path) -> str:
    """Return why a file is refused, nothing if it is read."""
    try:
        load_instances(path)
    except InstanceError as error:
        return str(error)
    return ""


@given(data=st.binary(max_size=60), suffix=st.sampled_from(["", ".txt", ".fjs", ".json"]))
def test_any_bytes_are_read_or_refused(data, suffix, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"any1{suffix}"
    path.write_bytes(data)
    refusal = refusal_of(path)
    assert not refusal or str(path) in refusal


@given(
    text=st.sampled_from([STANDARD, TAILLARD, BARE, FJS, json.dumps(hall())]),
    start=st.integers(0, 400),
    length=st.integers(0, 40),
    middle=st.text("0123456789 -.\n#{}[]\"':,eNn", max_size=6),
)
def test_a_damaged_file_is_read_or_refused(text, start, length, middle, tmp_path_factory):
    assume(start < len(text))
    suffix = {FJS: ".fjs"}.get(text, ".json" if text.startswith("{") else ".txt")
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_text(text[:start] + middle + text[start + length :])
    refusal = refusal_of(path)
    assert not refusal or str(path) in refusal


# Refusals


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; give 'J M'"),
        ("# nothing\n", "is empty"),
        ("hello\n", "line 1: number of jobs 'hello'; allowed: whole numbers 1 to 10000"),
        ("2\n", "line 1 ends where a number of machines is due"),
        ("0 3\n", "line 1: number of jobs '0'; allowed: whole numbers 1 to"),
        ("2 3 4\n0 1\n", "line 1: '4' is left over after the numbers of jobs and machines"),
        ("9999999999 3\n", "number of jobs '9999999999'; allowed"),
        ("2 3\n0 5 2 4\n", "ends where the line of job 1 of 2 is due; is it cut off"),
        ("1 3\n0 5 2\n", "line 2 ends where a time is due"),
        ("1 3\n0 5 3 4\n", r"line 2: machine '3'; allowed: whole numbers 0 to 2"),
        ("1 3\n0 5 -1 4\n", "machine '-1'"),
        ("1 3\n0 -5\n", "time '-5'; allowed: whole numbers 0 to 268435456"),
        ("1 3\n0 5.5\n", r"time '5\.5'"),
        ("1 3\n0 nan\n", "time 'nan'"),
        ("1 3\n0 1e3\n", "time '1e3'"),
        ("1 3\n0 ٣\n", "time '٣'"),
        ("1 3\n0 1_0\n", "time '1_0'"),
        ("1 3\n0 300000000\n", "time '300000000'; allowed"),
        ("1 3\n0 200000000 1 200000000\n", "400000000 ticks of work; at most"),
        ("2 3\n0 1 1 1\n0 1\n", "line 3: 1 operations, the jobs before it have 2; jobs of unequal"),
        ("1 3\n0 1\n1 1\n2 2\n", "line 3: '1 1' is left over after 1 jobs"),
        ("2 3\nTimes\n1 2\n", "ends where the times of job 1 of 2"),
        ("1 3\nTimes\n1 2\nMachines\n1\n", "line 5: 1 machines; give 2, one for each operation"),
        ("2 3\nTimes\n1 2\n1\nMachines\n1 2\n1 2\n", "line 4: 1 times; give 2"),
        ("1 3\nTimes\n1 2\nMachines\n0 1\n", "line 5: machine '0'; allowed: whole numbers 1 to 3"),
        ("1 3\nTimes\n1 2\nMachines\n1 4\n", "machine '4'; allowed: whole numbers 1 to 3"),
        ("1 3\nMachines\n1 2\nTimes\n1 4\n", "line 2: time 'Machines'"),
    ],
)
def test_a_wrong_text_is_refused_by_file_and_line(text, words, tmp_path):
    path = saved(tmp_path, text)
    with pytest.raises(InstanceError, match=words) as caught:
        load_instances(path)
    assert str(caught.value).startswith(f"'{path}'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2 3\n1 1 1 5\n", "ends where the line of job 1 of 2 is due"),
        ("1 3\n2 1 1 5\n", "line 2 ends where a number of machines is due"),
        ("1 3\n1 2 1 5\n", "line 2 ends where a machine is due"),
        ("1 3\n1 1 1\n", "line 2 ends where a time is due"),
        ("1 3\n1 1 0 5\n", "machine '0'; allowed: whole numbers 1 to 3"),
        ("1 3\n1 4 1 5\n", "number of machines '4'; allowed: whole numbers 1 to 3"),
        ("1 3\n1 2 1 5 1 6\n", "line 2: machine 1 twice in one operation"),
        ("1 3\n1 1 1 5 7\n", "line 2: '7' is left over after its 1 operations"),
        ("1 3\n0\n", "number of operations '0'"),
        ("1 3\n1 1 1 2.5\n", r"time '2\.5'"),
        ("1 3\n1 1 1 5\n1 1 1 5\n", "line 3: '1 1 1 5' is left over after 1 jobs"),
    ],
)
def test_a_wrong_fjs_is_refused_by_file_and_line(text, words, tmp_path):
    path = saved(tmp_path, text, "x.fjs")
    with pytest.raises(InstanceError, match=words) as caught:
        load_instances(path)
    assert str(caught.value).startswith(f"'{path}'")


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("clock",), -1, r"clock = -1; allowed: whole numbers 0 to"),
        (("clock",), 1.0, r"clock = 1\.0; allowed: whole numbers"),
        (("clock",), float("nan"), "clock = nan"),
        (("clock",), True, "clock = True"),
        (("clock",), None, "clock = None"),
        (("clock",), 10**400, "clock = 10000"),
        (("colck",), 3, "unknown key 'colck'; allowed: clock, jobs, machines, name"),
        (("name",), "", "name has 0 characters; allowed: 1 to 100"),
        (("machines",), [], "0 machines; allowed: 1 to 10000"),
        (("machines",), {}, "machines = {} is a dict; give a list"),
        (("machines", 0), "M1", r"machines\[0\]: is a str; give a JSON object"),
        (("machines", 1, "name"), "M1", r"machines\[1\]: name 'M1' occurs twice"),
        (("machines", 1, "name"), 7, r"name = 7 is a int; give a str"),
        (("machines", 0, "speed"), 2, r"machines\[0\] \('M1'\): unknown key 'speed'"),
        (("machines", 0, "down_until"), 120, "down_until = 120; allowed: whole numbers 121 to"),
        (("machines", 0, "windows"), [[1, 2, 3]], r"windows\[0\] = \[1, 2, 3\]; give \[from"),
        (("machines", 0, "windows"), [[9, 9]], r"windows\[0\]\[1\] = 9; allowed: .* 10 to"),
        (("machines", 0, "windows"), [[1, 5], [4, 6]], "begins at 4, before another ends at 5"),
        (("jobs",), [], "0 jobs; allowed: 1 to"),
        (("jobs", 1, "name"), "J7", r"jobs\[1\]: name 'J7' occurs twice"),
        (("jobs", 0, "prio"), 3, r"jobs\[0\] \('J7'\): unknown key 'prio'; allowed: done, due"),
        (("jobs", 0, "release"), -1, r"jobs\[0\] \('J7'\): release = -1"),
        (("jobs", 0, "weight"), 10**7, "weight = 10000000; allowed: whole numbers 0 to 1000000"),
        (("jobs", 0, "operations"), [], r"0 operations; allowed: 1 to"),
        (("jobs", 0, "operations", 0), {}, "give either machine and time, or machines"),
        (("jobs", 0, "operations", 0, "machines"), {"M1": 2}, "give either machine and time, or"),
        (("jobs", 0, "operations", 0, "time"), -2, r"operations\[0\]: time = -2"),
        (("jobs", 0, "operations", 0, "time"), "2", r"time = '2'; allowed"),
        (("jobs", 0, "operations", 0, "machine"), "M4", "machine = 'M4' is not among the machines"),
        (("jobs", 0, "operations", 0, "setup"), 1, "unknown key 'setup'; allowed: machine, time"),
        (("jobs", 0, "operations", 1, "machines"), {}, "machines: is empty; give at least one"),
        (("jobs", 0, "operations", 1, "machines"), {"M9": 3}, "'M9' is not among the machines"),
        (("jobs", 0, "operations", 1, "machines", "M2"), 1.5, r"machines: M2 = 1\.5"),
        (("jobs", 0, "done"), 3, r"done = 3; allowed: whole numbers 0 to 2"),
        (
            ("jobs", 0, "on"),
            "M1",
            "job 'J7' works on machine 'M1', which cannot do its operation 1",
        ),
        (("jobs", 0, "on"), "M3", "jobs 'J7' and 'J8' are both on machine 'M3'"),
        (("jobs", 0, "left"), 10, "job 'J7' has 10 ticks left of operation 1 on machine 'M2'"),
        (("jobs", 0, "in_buffer_of"), "M1", "'J7' is on a machine and in an output buffer"),
        (("jobs", 0, "done"), 2, "job 'J7' is finished; it can be on no machine"),
        (("jobs", 1, "waiting_since"), 121, "job 'J8' waits since 121; the clock is 120"),
        (
            ("jobs", 1, "on"),
            "M1",
            "'J8' waits at machine 'M1', which cannot have done its operatio",
        ),
        (("jobs", 0, "release"), 130, "'J7' has been started, yet its release time 130 is after"),
        (("jobs", 2, "left"), 2, "job 'J9' has 2 ticks of work left and is on no machine"),
    ],
)
def test_a_wrong_floor_is_refused_by_file_and_place(where, value, words, tmp_path):
    document = hall()
    target = document
    for key in where[:-1]:
        target = target[key]
    target[where[-1]] = value
    path = saved(tmp_path, document, "x.json")
    with pytest.raises(InstanceError, match=words) as caught:
        load_instances(path)
    assert str(caught.value).startswith(f"'{path}'")


@pytest.mark.parametrize("where", [("machines",), ("jobs",), ("jobs", 0, "operations")])
def test_what_a_floor_cannot_do_without(where, tmp_path):
    document = hall()
    target = document
    for key in where[:-1]:
        target = target[key]
    del target[where[-1]]
    with pytest.raises(InstanceError, match=f"key '{where[-1]}' is missing; it has"):
        read_json(saved(tmp_path, document))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("[1, 2]", "is a list; give a JSON object"),
        ("{'a': 1}", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"clock": 1, "clock": 2}', "key 'clock' twice in one object"),
        ('{"clock": ' + "1" * 5000 + "}", "not valid JSON"),
        ('{"clock": NaN}', "clock = nan"),
        ('{"clock": 1e3}', r"clock = 1000\.0"),
    ],
)
def test_text_that_is_no_floor_is_refused(text, words, tmp_path):
    with pytest.raises(InstanceError, match=words):
        read_json(saved(tmp_path, text))


def test_a_pickle_is_not_loaded(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(InstanceError, match="cannot be read"):
        load_instances(tmp_path / "x.txt")
    with pytest.raises(InstanceError, match=r"unknown suffix; allowed: \.txt, \.fjs"):
        load_instances(tmp_path / "x.pkl")


def test_large_files_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = saved(tmp_path, STANDARD)
    monkeypatch.setattr(files, "MAX_BYTES", 20)
    with pytest.raises(InstanceError, match="more than 20 bytes"):
        load_instances(path)


def test_too_many_alternatives_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_ALTERNATIVES", 5)
    with pytest.raises(InstanceError, match="6 machines of operations; at most 5"):
        load_instances(saved(tmp_path, STANDARD))


def test_a_folder_is_read_by_name_and_other_files_are_left_alone(tmp_path):
    for name, text in (("b.fjs", FJS), ("a.txt", STANDARD), ("la01", BARE), ("LICENSE", "no")):
        saved(tmp_path, text, name)
    saved(tmp_path, hall(), "c.json")
    saved(tmp_path, "1,2", "d.csv")
    (tmp_path / "sub.txt").mkdir()
    assert [shop.name for shop in load_instances(tmp_path)] == ["a", "b", "hall 3", "la01"]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InstanceError, match=r"holds no \.txt, \.fjs or \.json file"):
        load_instances(tmp_path)


@pytest.mark.parametrize("name", ["none.txt", "sub/none", "none", "null\0.txt", "n" * 300])
def test_what_is_not_there_is_named_with_what_may_be_given(name, tmp_path):
    with pytest.raises(InstanceError, match=r"cannot be read .*benchmark names: .*la01\.\.la40"):
        load_instances(tmp_path / name)


def test_a_name_that_is_no_benchmark_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName, match="Unknown benchmark 'la99'"):
        load_instances("la99")


def test_a_file_goes_before_a_benchmark_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, STANDARD, "ft06")
    assert load_instances("ft06")[0].num_jobs == 2


def test_a_device_is_not_read():
    with pytest.raises(InstanceError, match="not a regular file"):
        load_instances("/dev/zero")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"release": np.array([0, 1], np.int32)}, "release times"),
        ({"due": np.array([5, NO_DUE_DATE], np.int32)}, "due dates"),
        ({"weight": np.array([1, 2], np.int32)}, "weights"),
        ({"windows": np.array([[0, 1, 2]], np.int32)}, "maintenance windows"),
        ({"job_names": ("a", "b")}, "names of jobs"),
        ({"machine_names": ("a", "b", "c")}, "names of machines"),
    ],
)
@pytest.mark.parametrize("write", [write_standard, write_taillard, write_fjs])
def test_text_refuses_what_it_would_lose(write, change, words, tmp_path):
    with pytest.raises(InstanceError, match=rf"x has {words}, which .* cannot hold; .*\.json"):
        write(tmp_path / "x", replace(by_hand(), **change))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("write", [write_standard, write_taillard])
@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ([[[(0, 1), (1, 2)]]], "several machines for an operation"),
        ([[[(0, 1)]], [[(0, 1)], [(1, 1)]]], "jobs of unequal length"),
    ],
)
def test_plain_text_refuses_flexible_and_unequal_jobs(write, jobs, words, tmp_path):
    with pytest.raises(InstanceError, match=rf"has {words}, which .*\.fjs"):
        write(tmp_path / "x", Shop.from_jobs(jobs))


def test_text_refuses_a_floor(tmp_path):
    (shop,) = read_json(saved(tmp_path, hall()))
    with pytest.raises(InstanceError, match="a floor"):
        write_fjs(tmp_path / "x.fjs", shop)
