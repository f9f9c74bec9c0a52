"""Facts about the readers and writers, and every refusal by its words."""

from __future__ import annotations

import copy
import gzip
import io
import json
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from rlsched.core.errors import InstanceError
from rlsched.envs.vmr import formats, npz
from rlsched.envs.vmr.instances import (
    BOTH,
    GENERATORS,
    AntiAffinitySet,
    Cluster,
    generate_cluster,
    load_instances,
    read_clusters,
    read_npz,
    write_clusters,
    write_npz,
)
from rlsched.envs.vmr.objectives import parse_objective

DATA = Path(__file__).parents[4] / "shared" / "data" / "vmr"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"public snapshots are not at {DATA}")
SNAPSHOTS = [  # stem, FR16, PMs, VMs, pinned VMs, anti-affinity sets
    ("instance_3000vm_1_1", 0.490, 1264, 3000, 0, 330),
    ("json_stream_c1_2022-03-28_32c", 0.977, 280, 2089, 134, 288),
    ("reset_vm_pm_id_clear2", 0.977, 279, 2089, 0, 0),
    ("reset_vm_pm_id_clear_big2", 0.600, 1176, 4546, 0, 0),
]


def assert_same(a: Cluster, b: Cluster) -> None:
    for field in fields(Cluster):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype, field.name
            np.testing.assert_array_equal(x, y, err_msg=field.name)
        else:
            assert x == y, field.name


def host(name: str, status: str = "ACTIVE", rack: int | str = 0) -> dict:
    numa = [{"node": k, "total_cpu": 44, "memory_huge_total_mb": 184388.0} for k in (1, 0)]
    return {"node_id": name, "status": status, "numa": numa, "rack_id": rack}


def vm(name: str, on: str, cores: int, nodes: tuple[int, ...] = (0,)) -> dict:
    numa = [{"node": k, "cpu": cores, "mem_mb": cores * 2048.0} for k in nodes]
    return {"instance_id": name, "host_id": on, "numa": numa, "allow_migration": 1}


def entry(name: str, hosts: list[dict], vms: list[dict], sets: list[dict]) -> dict:
    return {
        "cluster_name": name,
        "host_info": hosts,
        "vm_instance": vms,
        "other_requirement": {"deployment_set": sets},
    }


def document() -> dict:
    """Two entries that repeat a set, name a foreign VM, and hold a host that is out of service."""
    sets = [
        {"granularity": "host", "data": ["d", "a", "elsewhere"]},
        {"granularity": "rack", "data": ["a", "elsewhere"]},
    ]
    one = [vm("a", "x", 8), vm("b", "x", 16, (0, 1)), vm("c", "y", 4, (1,))]
    return {
        "cluster_list": [
            entry("one", [host("x", rack=7), host("y", "OUTAGE", 3)], one, sets),
            entry("two", [host("z", rack=7)], [vm("d", "z", 2)], sets),
        ]
    }


def saved(tmp_path: Path, content: object, name: str = "c.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(content))
    return path


def test_a_merged_file_is_one_cluster_with_one_copy_of_each_set(tmp_path):
    (cluster,) = read_clusters(saved(tmp_path, document()))
    assert cluster.name == "c"
    assert cluster.pm_ids == ("x", "y", "z")
    assert cluster.pm_rack.tolist() == [1, 0, 1]
    assert cluster.pm_active.tolist() == [True, False, True]
    assert cluster.vm_ids == ("a", "b", "c", "d")
    assert cluster.vm_numa.tolist() == [0, BOTH, 1, 0]
    assert cluster.vm_cores.tolist() == [8, 16, 4, 2]
    assert cluster.vm_movable.tolist() == [True, True, False, True]
    assert cluster.free_cores.tolist() == [[20, 28], [44, 40], [42, 44]]
    assert cluster.anti_affinity == (AntiAffinitySet("host", (0, 3)),)


def test_an_unmerged_file_is_one_cluster_per_entry_without_sets_across_them(tmp_path):
    one, two = read_clusters(saved(tmp_path, document()), merge=False)
    assert (one.name, two.name) == ("one", "two")
    assert (one.num_vms, two.num_vms) == (3, 1)
    assert one.anti_affinity == two.anti_affinity == ()


def test_rack_names_are_numbered_as_they_appear(tmp_path):
    named = document()
    first, second = named["cluster_list"][0]["host_info"]
    first["rack_id"], second["rack_id"] = "rack_9", "rack_2"
    (cluster,) = read_clusters(saved(tmp_path, named))
    assert cluster.pm_rack.tolist() == [0, 1, 2]


def test_free_capacity_in_the_file_is_not_believed(tmp_path):
    lying = document()
    lying["cluster_list"][0]["host_info"][0]["numa"][0]["free_cpu"] = 44
    (cluster,) = read_clusters(saved(tmp_path, lying))
    assert cluster.free_cores[0].tolist() == [20, 28]


@needs_data
@pytest.mark.parametrize(("stem", "rate", "pms", "vms", "pinned", "sets"), SNAPSHOTS)
def test_public_snapshots(stem, rate, pms, vms, pinned, sets):
    """FR16 from the VMs' placement: what the published environment starts from."""
    (cluster,) = load_instances(DATA / "bytedance" / f"{stem}.json.gz")
    assert parse_objective("fr16").rate(cluster) == pytest.approx(rate, abs=5e-4)
    assert (cluster.num_pms, cluster.num_vms) == (pms, vms)
    assert int((~cluster.vm_movable).sum()) == pinned
    assert len(cluster.anti_affinity) == sets


@needs_data
@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("stem", [row[0] for row in SNAPSHOTS])
def test_public_snapshots_survive_a_round_trip(stem, merge, tmp_path):
    before = read_clusters(DATA / "bytedance" / f"{stem}.json.gz", merge)
    write_clusters(tmp_path / "again.json.gz", before)
    after = read_clusters(tmp_path / "again.json.gz", merge)
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        assert_same(a, b)


@needs_data
def test_training_bank_has_the_rates_it_states():
    """FR16 equals the file's own column: its cores are per VM, half on each node of a double."""
    path = DATA / "derived_train.npz"
    with np.load(path, allow_pickle=False) as bank:
        stated = bank["fr16"]
    rates = [parse_objective("fr16").rate(cluster) for cluster in read_npz(path)]
    np.testing.assert_allclose(rates, stated, atol=1e-12)


@pytest.fixture
def bank() -> list[Cluster]:
    return [generate_cluster(GENERATORS["small-constrained"], seed) for seed in range(3)]


@pytest.mark.parametrize("name", ["bank.json", "bank.json.gz", "bank.npz"])
def test_generated_clusters_survive_a_round_trip(name, bank, tmp_path):
    write = write_npz if name.endswith("npz") else write_clusters
    write(tmp_path / name, bank)
    after = load_instances(tmp_path / name, merge=False)
    assert len(after) == 3
    for a, b in zip(bank, after, strict=True):
        assert_same(a, b)


def test_inactive_hosts_survive_a_round_trip_through_both_formats(tmp_path):
    before = read_clusters(saved(tmp_path, document()))
    write_npz(tmp_path / "a.npz", before)
    write_clusters(tmp_path / "a.json", before)
    (from_npz,), (from_json,) = read_npz(tmp_path / "a.npz"), read_clusters(tmp_path / "a.json")
    assert_same(before[0], from_json)
    ids = {"pm_ids": from_npz.pm_ids, "vm_ids": from_npz.vm_ids}
    assert_same(replace(before[0], **ids), from_npz)


@pytest.mark.parametrize("name", ["same.json.gz", "same.npz"])
def test_the_same_clusters_are_the_same_bytes(name, bank, tmp_path):
    write = write_npz if name.endswith("npz") else write_clusters
    written = []
    for _ in range(2):
        write(tmp_path / name, bank)
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_a_folder_is_read_by_file_name(bank, tmp_path):
    write_npz(tmp_path / "b.npz", bank[:2])
    write_clusters(tmp_path / "a.json", bank[2:])
    (tmp_path / "notes.txt").write_text("not an instance")
    assert [c.name for c in load_instances(tmp_path)] == [bank[i].name for i in (2, 0, 1)]


def edited(path: str, value: object) -> dict:
    """The document with one value replaced, or removed if it is ...; ``path`` is dotted."""
    content = copy.deepcopy(document())
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    record: object = content
    for key in parents:
        record = record[key]  # type: ignore[index]
    if value is ...:
        del record[last]  # type: ignore[attr-defined]
    else:
        record[last] = value  # type: ignore[index]
    return content


ONE = "cluster_list.0."


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("cluster_list", ..., r"'c.json': key 'cluster_list' is missing; add it"),
        ("cluster_list", [], r"cluster_list is empty"),
        ("cluster_list", {}, r"cluster_list = {} is a dict; give list"),
        ("cluster_list.0", 3, r"cluster_list\[0\]: is a int; give a JSON object"),
        (ONE + "host_info", ..., r"cluster_list\[0\]: key 'host_info' is missing"),
        (ONE + "host_info.0", [], r"host_info\[0\]: is a list; give a JSON object"),
        (ONE + "host_info.0.node_id", ..., r"host_info\[0\]: key 'node_id' is missing"),
        (ONE + "host_info.0.node_id", True, r"node_id = True is a bool; give str or int"),
        ("cluster_list.1.host_info", [host("z"), host("z")], r"host id 'z' occurs twice"),
        (ONE + "host_info.0.rack_id", None, r"\('x'\): rack_id = None is a NoneType"),
        (ONE + "host_info.0.status", 1, r"status = 1 is a int; give str"),
        (ONE + "host_info.0.numa.0.node", 2, r"node = 2; allowed: whole numbers 0 to 1"),
        (ONE + "host_info.0.numa.0.node", 0, r"numa lists nodes \[0, 0\]; give 2 different"),
        (ONE + "host_info.0.numa.0.total_cpu", 0, r"total_cpu = 0; allowed: whole numbers 1 to"),
        (ONE + "host_info.0.numa.0.total_cpu", 1e9, r"total_cpu = 1000000000.0; allowed"),
        (ONE + "host_info.0.numa.0.total_cpu", 4, r"host 'x' NUMA node 1 is over-committed"),
        (ONE + "host_info.0.numa.0.memory_huge_total_mb", float("nan"), r"_mb = nan; allowed"),
        (ONE + "host_info.0.numa.0.memory_huge_total_mb", 10, r"use 32768 of 10 MB"),
        (ONE + "vm_instance.0.instance_id", "b", r"VM id 'b' occurs twice"),
        (ONE + "vm_instance.0.host_id", "gone", r"vm_instance\[0\] \('a'\): host_id 'gone' is not"),
        (ONE + "vm_instance.0.numa", [], r"numa lists nodes \[\]; give 1 or 2"),
        (ONE + "vm_instance.0.numa.0.node", -1, r"node = -1; allowed"),
        (ONE + "vm_instance.0.numa.0.cpu", -8, r"\('a'\): cpu = -8; allowed: whole numbers 1 to"),
        (ONE + "vm_instance.0.numa.0.cpu", 8.5, r"cpu = 8.5; allowed: whole numbers"),
        (ONE + "vm_instance.0.numa.0.cpu", "8", r"cpu = '8' is a str; give int or float"),
        (ONE + "vm_instance.0.numa.0.cpu", 40, r"over-committed, its VMs use 56 of 44 cores"),
        (ONE + "vm_instance.1.numa.0.cpu", 8, r"\('b'\): its NUMA halves differ"),
        (ONE + "vm_instance.1.allow_migration", 2, r"allow_migration = 2; allowed: 0, 1"),
        (ONE + "other_requirement", [], r"other_requirement = \[\] is a list; give dict"),
        (ONE + "other_requirement.deployment_set.0.granularity", "zone", r"allowed: host, rack"),
        (ONE + "other_requirement.deployment_set.0.data", [[]], r"data must list instance ids"),
    ],
)
def test_a_wrong_record_is_named(path, value, words, tmp_path):
    with pytest.raises(InstanceError, match=words) as caught:
        read_clusters(saved(tmp_path, edited(path, value)))
    assert "'c.json'" in str(caught.value)


def test_separate_clusters_that_reuse_ids_ask_for_merge_false(bank, tmp_path):
    write_clusters(tmp_path / "c.json", bank)
    with pytest.raises(InstanceError, match="merge=False"):
        read_clusters(tmp_path / "c.json", merge=True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"\xff\xfe\xff", "not valid JSON"),
        ("a.json", b"[" * 200_000, "not valid JSON"),
        ("a.json.gz", b"not gzip", "cannot be read"),
        ("a.json.gz", gzip.compress(b"x" * 1000, mtime=0)[:-9], "cannot be read"),
        ("a.npz", b"not a zip", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_named(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InstanceError, match=words) as caught:
        load_instances(tmp_path / name)
    assert name in str(caught.value)


def test_a_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAX_JSON_BYTES", 1000)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b" " * 1_000_000))
    with pytest.raises(InstanceError, match="more than 1000 bytes unpacked"):
        load_instances(tmp_path / "bomb.json.gz")


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MAX_NPZ_BYTES", 1000)
    np.savez_compressed(tmp_path / "bomb.npz", vm=np.zeros((1, 10_000, 4), np.int32))
    with pytest.raises(InstanceError, match="bytes unpacked; allowed: 1000"):
        load_instances(tmp_path / "bomb.npz")


def test_a_pickle_in_an_npz_is_not_loaded(tmp_path):
    np.savez(tmp_path / "p.npz", vm=np.array([{}], object))
    with pytest.raises(InstanceError, match="of plain arrays"):
        load_instances(tmp_path / "p.npz")


def test_an_npz_header_may_not_claim_more_than_the_file_holds(tmp_path):
    header = io.BytesIO()
    claim = {"descr": "<i4", "fortran_order": False, "shape": (10**6, 10**6, 4)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(tmp_path / "h.npz", "w") as archive:
        archive.writestr("vm.npy", header.getvalue())
    with pytest.raises(InstanceError, match="cannot be read"):
        load_instances(tmp_path / "h.npz")


def bank_arrays(**changed: np.ndarray) -> dict[str, np.ndarray]:
    vm = np.array([[[0, 2, 8, 2048], [0, 0, 4, 1024], [-1, -1, -1, -1]]], np.int32)
    return {"vm": vm, **changed}


def test_an_npz_needs_only_its_vms(tmp_path):
    np.savez(tmp_path / "b.npz", **bank_arrays())
    (cluster,) = read_npz(tmp_path / "b.npz")
    assert cluster.vm_cores.tolist() == [4, 4]
    assert cluster.vm_mem_mb.tolist() == [1024, 1024]
    assert cluster.free_cores.tolist() == [[36, 40]]
    assert (cluster.name, cluster.vm_ids) == ("b-0", ("vm_0", "vm_1"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"vm": np.zeros((0, 3, 4), np.int32)}, "give vm"),
        ({"vm": np.zeros((2, 3), np.int32)}, "give vm"),
        ({"vm": np.zeros((1, 1, 4))}, "vm is .* float64"),
        ({"vm": np.array([[[0, 2, 7, 2]]], np.int32)}, "cannot be halved"),
        ({"vm": np.array([[[-2, 0, 4, 2]]], np.int32)}, "outside -1"),
        ({"vm": np.array([[[0, 3, 4, 2]]], np.int32)}, r"vm_numa\[0\] = 3 \('vm_0'\)"),
        ({"vm": np.array([[[0, 0, 45, 2]]], np.int32)}, "over-committed"),
        ({"vm": np.full((1, 1, 4), -1, np.int32)}, "0 VMs"),
        ({"pm": np.array([[[44, 44, 9, 9, 0, 1]]], np.int32)}, "use 2048 of 9 MB"),
        ({"pm": np.zeros((1, 0, 6), np.int32)}, "0 PMs"),
        ({"pm": np.zeros((2, 1, 6), np.int32)}, "pm is"),
        ({"movable": np.ones((1, 2), bool)}, "movable is"),
        ({"anti_affinity": np.array([[1, 0, 0, 0]], np.int32)}, "names clusters 1 to 1"),
        ({"anti_affinity": np.array([[0, 0, 5, 0]], np.int32)}, "anti_affinity kind 5"),
        ({"anti_affinity": np.array([[0, 0, 0, 9], [0, 0, 0, 1]], np.int32)}, "VM rows are 0 to 1"),
    ],
)
def test_a_wrong_npz_is_named(changed, words, tmp_path):
    np.savez(tmp_path / "b.npz", **bank_arrays(**changed))
    with pytest.raises(InstanceError, match=words) as caught:
        read_npz(tmp_path / "b.npz")
    assert "'b.npz'" in str(caught.value)


def test_an_npz_without_vms_says_what_it_has(tmp_path):
    np.savez(tmp_path / "b.npz", obs=np.zeros(3))
    with pytest.raises(InstanceError, match=r"array 'vm' is missing; found \['obs'\]"):
        read_npz(tmp_path / "b.npz")


def test_other_suffixes_empty_folders_and_missing_files_are_refused(bank, tmp_path):
    with pytest.raises(InstanceError, match=r"allowed: .json, .json.gz, .npz"):
        load_instances(tmp_path / "cluster.pkl")
    with pytest.raises(InstanceError, match=r"holds no \.json"):
        load_instances(tmp_path)
    with pytest.raises(InstanceError, match="cannot be read"):
        load_instances(tmp_path / "none.json")
    with pytest.raises(InstanceError, match="unknown suffix"):
        write_clusters(tmp_path / "c.yaml", bank)
    with pytest.raises(InstanceError, match="0 clusters; give"):
        write_npz(tmp_path / "c.npz", [])
