"""What generated clusters look like: flavour mixes, the generator's settings, and named presets.

Source: VM2RL (EuroSys 2025) for sizes; mixes and shares are counted from the base snapshots its
authors publish (github.com/bytedance/DRL-based-VM-Rescheduling, data/).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rlsched.core.errors import ConfigError, UnknownName
from rlsched.envs.vmr.cluster import MAX_CORES, MAX_MEM_MB, MAX_PMS, MAX_RACK


@dataclass(frozen=True)
class Flavor:
    """One VM type and how common it is.

    Attributes:
        cores: cores per NUMA node touched.
        double: whether it takes both nodes of its PM.
        mem_mb: memory per NUMA node touched, MB.
        weight: share of the VMs, on any positive scale.
    """

    cores: int
    double: bool
    mem_mb: int
    weight: float


def _mix(gib_per_core: int, single: dict[int, int], double: dict[int, int]) -> tuple[Flavor, ...]:
    rows = [(c, False, w) for c, w in single.items()] + [(c, True, w) for c, w in double.items()]
    return tuple(Flavor(c, d, c * gib_per_core * 1024, w) for c, d, w in rows)


MEDIUM_MIX = _mix(
    2,
    single={2: 161, 4: 434, 8: 149, 16: 88, 32: 29},
    double={2: 1, 4: 27, 8: 22, 16: 24, 32: 62, 44: 2},
)
"""Per mille of the Medium snapshot's 2,089 VMs, by cores per node; family c1, 2 GiB a core."""
LARGE_MIX = _mix(
    4,
    single={2: 227, 4: 147, 8: 136, 16: 169, 32: 56},
    double={2: 2, 4: 18, 8: 33, 16: 105, 32: 59, 44: 48},
)
"""Per mille of the Large snapshot's 4,546 VMs, by cores per node; family g1, 4 GiB a core."""


@dataclass(frozen=True)
class GeneratorConfig:
    """What a generated cluster looks like; the defaults are the Medium snapshot's.

    Attributes:
        name: label of the clusters; the seed is appended.
        num_pms: physical machines, of two NUMA nodes each.
        cores_per_node: cores of a NUMA node.
        mem_mb_per_node: memory of a NUMA node, MB.
        flavors: VM types and their shares.
        utilization: share of all cores in use, 0.01 to 0.99; met from below to within the smallest
            VM.
        churn: least and most share of the VMs that leave, in [0, 1]; drawn per cluster.
        scatter: least and most share of VMs placed at random instead of best fit, in [0, 1]; drawn
            per cluster. More scatter is more fragments.
        num_racks: racks, each a contiguous block of hosts.
        anti_affinity_share: share of VMs drawn for anti-affinity sets, in [0, 1].
        rack_set_share: share of those sets that are of rack granularity, in [0, 1].
        pinned_share: share of VMs that must not move, in [0, 1].
    """

    name: str = "medium"
    num_pms: int = 279
    cores_per_node: int = 44
    mem_mb_per_node: int = 184_388
    flavors: tuple[Flavor, ...] = MEDIUM_MIX
    utilization: float = 0.943
    churn: tuple[float, float] = (0.1, 0.3)
    scatter: tuple[float, float] = (0.2, 0.8)
    num_racks: int = 10
    anti_affinity_share: float = 0.0
    rack_set_share: float = 0.1
    pinned_share: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible settings.

        Raises:
            ConfigError: names the setting, its value and its range.
        """
        for key, value, low, high in (
            ("num_pms", self.num_pms, 1, MAX_PMS),
            ("cores_per_node", self.cores_per_node, 1, MAX_CORES),
            ("mem_mb_per_node", self.mem_mb_per_node, 0, MAX_MEM_MB),
            ("utilization", self.utilization, 0.01, 0.99),
            ("churn[0]", self.churn[0], 0, self.churn[1]),
            ("churn[1]", self.churn[1], 0, 1),
            ("scatter[0]", self.scatter[0], 0, self.scatter[1]),
            ("scatter[1]", self.scatter[1], 0, 1),
            ("num_racks", self.num_racks, 1, MAX_RACK),
            ("anti_affinity_share", self.anti_affinity_share, 0, 1),
            ("rack_set_share", self.rack_set_share, 0, 1),
            ("pinned_share", self.pinned_share, 0, 1),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{self.name!r}: {key} = {value}; allowed: {low} to {high}.")
        self._check_flavors()

    def _check_flavors(self) -> None:
        if not self.flavors:
            raise ConfigError(f"{self.name!r}: flavors is empty; give at least one Flavor.")
        for flavor in self.flavors:
            cores_fit = 1 <= flavor.cores <= self.cores_per_node
            if (
                not cores_fit
                or not 0 <= flavor.mem_mb <= self.mem_mb_per_node
                or flavor.weight <= 0
            ):
                raise ConfigError(
                    f"{self.name!r}: {flavor} must have a weight > 0 and fit an empty node of "
                    f"{self.cores_per_node} cores and {self.mem_mb_per_node} MB."
                )


def _presets() -> dict[str, GeneratorConfig]:
    medium = GeneratorConfig()
    plain = {
        "small": replace(medium, num_pms=24, num_racks=4),
        "medium": medium,
        "medium-low": replace(medium, utilization=0.40, scatter=(1.0, 1.0)),
        "medium-mid": replace(medium, utilization=0.67, scatter=(1.0, 1.0)),
        "medium-high": replace(medium, utilization=0.90, scatter=(0.8, 1.0)),
        "medium-shuffled": replace(medium, churn=(0.0, 0.0), scatter=(1.0, 1.0)),
        "medium-fragmented": replace(medium, scatter=(1.0, 1.0)),
        "large": replace(medium, num_pms=1176, flavors=LARGE_MIX, utilization=0.819, num_racks=40),
    }
    constrained = {
        f"{name}-constrained": replace(plain[name], anti_affinity_share=0.5, pinned_share=0.06)
        for name in ("small", "medium", "large")
    }
    return {name: replace(cfg, name=name) for name, cfg in (plain | constrained).items()}


GENERATORS = _presets()
"""Configurations by name. Low, mid and high meet the PM loads of the paper's workload levels: 35,
7 and 0 % of the PMs use at most 20 % of their cores, and 95, 70 and 30 % at most 90 %. Constrained:
as in the raw Medium snapshot, half of the VMs are in anti-affinity sets and 6 % are pinned."""


def generator_config(name: str) -> GeneratorConfig:
    """Return a preset, e.g. ``medium-constrained``.

    Raises:
        UnknownName: no preset has this name; lists them.
    """
    if name not in GENERATORS:
        raise UnknownName("generator", name, GENERATORS)
    return GENERATORS[name]
