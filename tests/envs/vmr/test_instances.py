"""Facts about the cluster type: derived capacity, moves, and what validate refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rlsched.core.errors import InstanceError
from rlsched.envs.vmr.instances import BOTH, AntiAffinitySet, Cluster, Migration


def two_hosts() -> Cluster:
    """Host x: an 8-core VM on node 0 and a double of 16 a node; host y: a 4-core VM on node 1."""
    return Cluster(
        name="hand",
        pm_ids=("x", "y"),
        vm_ids=("a", "b", "c"),
        pm_cores=np.full((2, 2), 44, np.int32),
        pm_mem_mb=np.full((2, 2), 100, np.int32),
        pm_rack=np.array([0, 1], np.int32),
        pm_active=np.ones(2, bool),
        vm_cores=np.array([8, 16, 4], np.int32),
        vm_mem_mb=np.array([10, 20, 30], np.int32),
        vm_pm=np.array([0, 0, 1], np.int32),
        vm_numa=np.array([0, BOTH, 1], np.int32),
        vm_movable=np.ones(3, bool),
        anti_affinity=(AntiAffinitySet("host", (0, 2)),),
    )


def test_a_double_vm_takes_its_cores_and_memory_on_both_nodes():
    cluster = two_hosts()
    assert cluster.free_cores.tolist() == [[20, 28], [44, 40]]
    assert cluster.free_mem_mb.tolist() == [[70, 80], [100, 70]]
    assert cluster.utilization == pytest.approx(44 / 176)


def test_utilization_counts_active_hosts_only():
    cluster = replace(two_hosts(), pm_active=np.array([True, False]))
    assert cluster.utilization == pytest.approx(40 / 88)


def test_migrate_moves_a_copy_in_order():
    before = two_hosts()
    after = before.migrate([Migration(0, 1, 0), Migration(1, 1, BOTH), Migration(0, 0, 1)])
    assert after.free_cores.tolist() == [[44, 36], [28, 24]]
    assert before.free_cores.tolist() == [[20, 28], [44, 40]]


def test_a_valid_cluster_is_returned():
    cluster = two_hosts()
    assert cluster.validate() is cluster


def test_a_snapshot_may_break_its_own_anti_affinity():
    two_hosts().migrate([Migration(2, 0, 1)]).validate()


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pm_cores": np.full((2, 2), -1, np.int32)}, r"pm_cores\[0, 0\] = -1 \('x'\); allowed"),
        ({"pm_cores": np.full((2, 2), 9999, np.int32)}, "allowed: 1 to 4096"),
        ({"pm_mem_mb": np.full((2, 2), 2**30, np.int32)}, "pm_mem_mb"),
        ({"pm_rack": ints(0, -1)}, r"pm_rack\[1\] = -1 \('y'\)"),
        ({"vm_cores": ints(8, 0, 4)}, r"vm_cores\[1\] = 0 \('b'\); allowed: 1 to"),
        ({"vm_mem_mb": ints(10, -20, 30)}, r"vm_mem_mb\[1\] = -20"),
        ({"vm_pm": ints(0, 0, 2)}, r"vm_pm\[2\] = 2 \('c'\); allowed: 0 to 1"),
        ({"vm_numa": ints(0, 3, 1)}, r"vm_numa\[1\] = 3 \('b'\); allowed: 0 to 2"),
        ({"vm_cores": ints(29, 16, 4)}, "host 'x' NUMA node 0 .* VMs use 45 of 44 cores"),
        ({"vm_mem_mb": ints(10, 20, 101)}, "host 'y' NUMA node 1 .* VMs use 101 of 100 MB"),
        ({"vm_cores": ints(8, 16)}, r"vm_cores is \(2,\) int32; give \(3,\) int32"),
        ({"vm_pm": np.zeros(3)}, r"vm_pm is \(3,\) float64"),
        ({"vm_movable": ints(1, 1, 1)}, r"give \(3,\) bool"),
        ({"pm_ids": ("x", "x")}, "host id 'x' occurs twice"),
        ({"vm_ids": ("a", "b", "a")}, "VM id 'a' occurs twice"),
        ({"vm_ids": ()}, "0 VMs; allowed: 1 to"),
        ({"anti_affinity": (AntiAffinitySet("zone", (0, 1)),)}, "allowed: host, rack"),  # type: ignore[arg-type]
        ({"anti_affinity": (AntiAffinitySet("host", (1,)),)}, "two or more rows"),
        ({"anti_affinity": (AntiAffinitySet("host", (1, 0)),)}, "ascending"),
        ({"anti_affinity": (AntiAffinitySet("rack", (0, 3)),)}, "VM rows are 0 to 2"),
    ],
)
def test_an_inconsistent_cluster_is_refused_by_name(change, words):
    with pytest.raises(InstanceError, match=words) as caught:
        replace(two_hosts(), **change).validate("'f.json'")
    assert str(caught.value).startswith("'f.json' 'hand': ")
