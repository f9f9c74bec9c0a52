"""Workloads: one import place for the types, the field's own, the generator and files.

``workload.py`` holds the types and their checks; ``profiles.py`` the field's SoCs and jobs by name;
``generator.py`` and ``layered.py`` the seeded generator; ``formats.py``, ``soc_json.py``,
``ds3_text.py``, ``workflow_formats.py`` and ``files.py`` the files.
"""

from rlsched.envs.soc.ds3_text import read_ds3, read_ds3_job, read_ds3_soc
from rlsched.envs.soc.formats import load_instances
from rlsched.envs.soc.generator import (
    PRESETS,
    GeneratorConfig,
    generate_workload,
    generator_config,
)
from rlsched.envs.soc.profiles import (
    builtin_jobs,
    builtin_soc,
    builtin_workload,
    job_names,
    soc_names,
    split_cores,
)
from rlsched.envs.soc.soc_json import read_json, write_json
from rlsched.envs.soc.workflow_formats import Platform, read_stg, read_wfcommons
from rlsched.envs.soc.workload import NOT_SUPPORTED, Edge, Job, Pe, Soc, Workload

__all__ = [
    "NOT_SUPPORTED",
    "PRESETS",
    "Edge",
    "GeneratorConfig",
    "Job",
    "Pe",
    "Platform",
    "Soc",
    "Workload",
    "builtin_jobs",
    "builtin_soc",
    "builtin_workload",
    "generate_workload",
    "generator_config",
    "job_names",
    "load_instances",
    "read_ds3",
    "read_ds3_job",
    "read_ds3_soc",
    "read_json",
    "read_stg",
    "read_wfcommons",
    "soc_names",
    "split_cores",
    "write_json",
]
