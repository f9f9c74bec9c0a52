"""Workloads from files of any format, or of the field's own by name.

- ``.json``: our own, see ``soc_json.py``, or a WfCommons workflow, told apart by their content;
- ``.stg``: a task graph of the Standard Task Graph set, see ``workflow_formats.py``;
- ``SOC.txt+JOB.txt``, with more jobs as ``SOC.txt+JOB.txt+JOB.txt``: DS3's text, see
  ``ds3_text.py``;
- a folder: a workload per ``.json`` and ``.stg`` file, by name, and one of all ``.txt`` files, of
  which exactly one must be a SoC;
- jobs by name, on a SoC by name, as ``gym_ds3/all``, ``ds3/WiFi_TX,ds3/WiFi_RX`` or
  ``ds3/all@ds3/BAL_only``, see ``profiles.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

from rlsched.core.errors import InstanceError
from rlsched.envs.soc.ds3_text import is_ds3_soc, read_ds3
from rlsched.envs.soc.profiles import DEFAULT_SOC, builtin_workload
from rlsched.envs.soc.soc_json import read_json
from rlsched.envs.soc.workflow_formats import Platform, is_wfcommons, read_stg, read_wfcommons
from rlsched.envs.soc.workload import Workload

FORMS = (
    ".json (our own or WfCommons), .stg, SOC.txt+JOB.txt, a folder of those, or names such as "
    "gym_ds3/all or ds3/WiFi_TX@ds3/BAL_only"
)


def load_instances(path: str | Path, platform: Platform | None = None) -> list[Workload]:
    """Read workloads from a file, a folder, or by name; see the module for the forms.

    Args:
        path: what to read.
        platform: where WfCommons and STG tasks run; None = as their readers say.

    Raises:
        InstanceError: there is no such thing, or a reader refuses it.
        UnknownName: there is no job or SoC of that name.
    """
    given = str(path)
    if os.path.isdir(given):
        return _folder(Path(path), platform)
    if not os.path.exists(given) and given.partition("/")[0] in DEFAULT_SOC:
        names, _, soc = given.partition("@")
        return [builtin_workload(names, soc)]
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        return [read_wfcommons(path, platform) if is_wfcommons(path) else read_json(path)]
    if suffix == ".stg":
        return [read_stg(path, platform)]
    if suffix == ".txt":
        soc, *jobs = given.split("+")
        if jobs and not os.path.exists(given):
            return [read_ds3(soc, list(jobs))]
    raise InstanceError(f"'{path}' cannot be read; allowed: {FORMS}.")


def _folder(path: Path, platform: Platform | None) -> list[Workload]:
    files = sorted(file for file in path.iterdir() if file.is_file())
    texts = [file for file in files if file.suffix.lower() == ".txt"]
    others = [file for file in files if file.suffix.lower() in (".json", ".stg")]
    if not texts and not others:
        raise InstanceError(f"'{path}' holds nothing to read; allowed: {FORMS}.")
    found = [workload for file in others for workload in load_instances(file, platform)]
    return [*found, _ds3_folder(path, texts)] if texts else found


def _ds3_folder(path: Path, texts: list[Path]) -> Workload:
    socs = [file for file in texts if is_ds3_soc(file)]
    if len(socs) != 1 or len(texts) < 2:
        raise InstanceError(
            f"'{path}': {len(socs)} SoC and {len(texts) - len(socs)} job files among the .txt; "
            "give one SoC and its jobs, or name them as SOC.txt+JOB.txt."
        )
    return read_ds3(socs[0], [file for file in texts if file != socs[0]])
