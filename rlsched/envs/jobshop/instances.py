"""Shops: one import place for the type, generator, benchmarks and files.

``shop.py`` holds the types and their checks; ``formats.py``, ``floor_json.py`` and ``files.py`` the
files; ``benchmarks.py`` the field's instances by name; ``generator.py``, ``taillard.py`` and
``known_optimum.py`` the seeded generator.
"""

from rlsched.envs.jobshop.benchmarks import (
    FAMILIES,
    expand_names,
    load_benchmark,
    load_benchmarks,
    reference,
)
from rlsched.envs.jobshop.floor_json import read_json, write_json
from rlsched.envs.jobshop.formats import (
    load_instances,
    read_fjs,
    read_text,
    write_fjs,
    write_standard,
    write_taillard,
)
from rlsched.envs.jobshop.generator import (
    PRESETS,
    GeneratorConfig,
    generate_shop,
    generator_config,
)
from rlsched.envs.jobshop.known_optimum import known_optimum
from rlsched.envs.jobshop.shop import NO_DUE_DATE, Floor, Schedule, Shop
from rlsched.envs.jobshop.taillard import taillard_shop

__all__ = [
    "FAMILIES",
    "NO_DUE_DATE",
    "PRESETS",
    "Floor",
    "GeneratorConfig",
    "Schedule",
    "Shop",
    "expand_names",
    "generate_shop",
    "generator_config",
    "known_optimum",
    "load_benchmark",
    "load_benchmarks",
    "load_instances",
    "read_fjs",
    "read_json",
    "read_text",
    "reference",
    "taillard_shop",
    "write_fjs",
    "write_json",
    "write_standard",
    "write_taillard",
]
