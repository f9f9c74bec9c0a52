"""Clusters of physical machines and VMs: one import place for the type, generator and files.

``cluster.py`` holds the type and its checks, ``formats.py`` and ``npz.py`` the files,
``workloads.py`` the generator's settings and presets, ``generator.py`` the seeded generator.
"""

from rlsched.envs.vmr.cluster import BOTH, AntiAffinitySet, Cluster, Migration
from rlsched.envs.vmr.formats import load_instances, read_clusters, write_clusters
from rlsched.envs.vmr.generator import generate_cluster
from rlsched.envs.vmr.npz import read_npz, write_npz
from rlsched.envs.vmr.workloads import GENERATORS, Flavor, GeneratorConfig, generator_config

__all__ = [
    "BOTH",
    "GENERATORS",
    "AntiAffinitySet",
    "Cluster",
    "Flavor",
    "GeneratorConfig",
    "Migration",
    "generate_cluster",
    "generator_config",
    "load_instances",
    "read_clusters",
    "read_npz",
    "write_clusters",
    "write_npz",
]
