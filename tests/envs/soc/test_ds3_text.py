"""Facts about DS3's text files: both dialects by hand, and refusals by their words."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlsched.core.errors import InstanceError
from rlsched.envs.soc.instances import (
    Pe,
    load_instances,
    read_ds3,
    read_ds3_job,
    read_ds3_soc,
    split_cores,
)

V1 = """# a cluster, an accelerator, memory
add_new_resource resource_type BIG resource_name A15 resource_ID 0 capacity 2 \
num_supported_functionalities 3 DVFS_mode performance
opp 2000 1362
opp 1000 1000   # in any order
trip_freq 1600 1000 600
DTPM_trip_freq 1200 1000 600
power_profile 1000 0.85 1.30
PG_profile 1000 0.59 0.96
power_profile 2000 3.32 5.05
fft_1 114
decode 739.5
decode 987

add_new_resource resource_type ACC_2 resource_name FFT resource_ID 1 capacity 1 \
num_supported_functionalities 1 DVFS_mode performance
opp 1000 900
power_profile 1000 0.0913
fft_1 12 12

add_new_resource resource_type MEM resource_name MEMORY resource_ID 2 capacity 1 \
num_supported_functionalities 1 DVFS_mode none
None 0

comm_band_self 10000
comm_band 0 0 1000
comm_band 0 1 10
comm_band 0 2 500
comm_band 2 2 0
"""
GYM = """
add_new_resource CPU P1 0 1 2 performance
opp 600 900
opp 2000 1362
task_1 14 14
task_2 13 13
add_new_resource CPU P2 1 1 1 performance
task_1 16 16
add_new_resource MEM M1 2 1 1 none
None 0 0
comm_band 0 0 100
comm_band 1 1 100
comm_band 2 2 0
comm_band 0 2 2
#comm_band 0 1 100
"""
JOB = """
job_name two steps
add_new_tasks 3
fft_1 0
fft_1 HEAD
fft_1 earliest_start 0 deadline 10 input_vol 1024 output_vol 1024
decode 1 0
decode earliest_start 0 deadline 10
fft_1 2 1 0
fft_1 TAIL

comm_vol 1 2 150
comm_vol 0 1 30
"""


def written(folder: Path, text: str, name: str = "file.txt") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_v1_is_read_by_its_keys(tmp_path):
    soc = read_ds3_soc(written(tmp_path, V1, "board.txt"))
    assert soc.name == "board"
    assert soc.pes == (
        Pe("A15", "BIG", 2, ((1000, 1000), (2000, 1362)), (3.32, 5.05)),
        Pe("FFT", "ACC_2", 1, ((1000, 900),), (0.0913,), leaks=False),
    )
    assert soc.times == {"fft_1": (114, 12), "decode": (740, -1)}
    assert soc.bandwidth == ((10000, 10), (10, 10000))
    assert soc.memory_bandwidth == ((500, 1), (500, 1))
    assert soc.startup == ((0, 0), (0, 0))


def test_the_first_dialect_is_read_by_its_places(tmp_path):
    soc = read_ds3_soc(written(tmp_path, GYM))
    assert soc.pes == (
        Pe("P1", "CPU", 1, ((600, 900), (2000, 1362))),
        Pe("P2", "CPU"),
    )
    assert soc.times == {"task_1": (14, 16), "task_2": (13, -1)}
    assert soc.bandwidth == ((100, 1), (1, 100))
    assert soc.memory_bandwidth == ((2, 1), (2, 1))


def test_the_first_dialect_counts_cores_in_its_bandwidths(tmp_path):
    text = """
add_new_resource BIG A15 0 2 1 performance
fft 114
add_new_resource ACC FFT 1 1 1 performance
fft 12
comm_band 0 0 10000
comm_band 0 1 1000
comm_band 0 2 10
comm_band 1 2 10
comm_band 2 2 9000
"""
    soc = read_ds3_soc(written(tmp_path, text))
    assert soc.bandwidth == ((10000, 10), (10, 9000))
    with pytest.raises(InstanceError, match="resource '3'; allowed: whole numbers 0 to 2"):
        read_ds3_soc(written(tmp_path, text + "comm_band 1 3 10"))


def test_cores_of_a_cluster_have_the_bandwidth_that_is_asked_for(tmp_path):
    soc = split_cores(read_ds3_soc(written(tmp_path, V1)), 1000)
    assert soc.bandwidth == ((10000, 1000, 10), (1000, 10000, 10), (10, 10, 10000))


def test_a_job_is_read_with_its_volumes(tmp_path):
    job = read_ds3_job(written(tmp_path, JOB))
    assert job.name == "two steps"
    assert job.tasks == ("fft_1", "decode", "fft_1")
    assert job.edges == ((1, 2, 150), (0, 1, 30), (0, 2, 0))


def test_a_soc_and_its_jobs_are_named_with_a_plus(tmp_path):
    soc, job = written(tmp_path, V1, "soc.txt"), written(tmp_path, JOB, "job.txt")
    (workload,) = load_instances(f"{soc}+{job}+{job}")
    assert workload == read_ds3(soc, [job, job])
    assert workload.name == "soc+job+job"
    assert len(workload.jobs) == 2


def test_a_folder_holds_one_soc_and_its_jobs(tmp_path):
    written(tmp_path, JOB, "a_job.txt")
    with pytest.raises(InstanceError, match="0 SoC and 1 job files"):
        load_instances(tmp_path)
    written(tmp_path, V1, "soc.txt")
    (workload,) = load_instances(tmp_path)
    assert [job.name for job in workload.jobs] == ["two steps"]
    written(tmp_path, V1, "soc2.txt")
    with pytest.raises(InstanceError, match="2 SoC and 1 job files"):
        load_instances(tmp_path)


def test_a_text_file_alone_is_refused(tmp_path):
    with pytest.raises(InstanceError, match=r"cannot be read; allowed: .*SOC.txt\+JOB.txt"):
        load_instances(written(tmp_path, V1))


def test_a_job_that_the_soc_cannot_run_is_refused(tmp_path):
    soc, job = written(tmp_path, GYM, "soc.txt"), written(tmp_path, JOB, "job.txt")
    with pytest.raises(InstanceError, match="has no times of 'fft_1'"):
        read_ds3(soc, [job])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("comm_band_self 10000", "comm_bond 3", "line 22: 'comm_bond' is not understood"),
        ("decode 987", "", "'add_new_resource' where 1 times of 'A15' are due"),
        ("decode 987", "decode 987\nextra 3", "'extra' is not understood"),
        ("decode 987", "decode -3", "time '-3'; allowed: 0 to 1e"),
        ("decode 987", "decode", "ends where a time is due"),
        ("capacity 2", "capacity 999", "capacity '999'; allowed: whole numbers 1 to 64"),
        ("capacity 2", "capacity 3", "power = .*; give 3 values in W"),
        ("resource_ID 1", "resource_ID 7", "resource_ID = 7; give 1, the next one"),
        ("opp 2000 1362", "opp 2000", "ends where a mV is due"),
        ("comm_band 0 1 10", "comm_band 0 3 10", "resource '3'; allowed: whole numbers 0 to 2"),
        ("comm_band 0 1 10", "comm_band 0 1 0", "comm_band 0 1 is 0; must be > 0"),
        ("comm_band 0 1 10", "comm_band 0 1 nan", "bandwidth 'nan'"),
        ("None 0\n", "", "'comm_band_self' where 1 times of 'MEMORY' are due"),
    ],
)
def test_a_soc_file_that_is_not_understood_is_refused(old, new, words, tmp_path):
    soc = written(tmp_path, V1.replace(old, new, 1), "soc.txt")
    with pytest.raises(InstanceError, match=words):
        read_ds3(soc, [written(tmp_path, JOB, "job.txt")])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("add_new_tasks 3", "add_new_tasks 4", "3 tasks; add_new_tasks says 4"),
        ("add_new_tasks 3", "", "allowed: whole numbers 0 to -2|predecessor '0'"),
        ("decode 1 0", "decode 2 0", "task '2'; allowed: whole numbers 1 to 1"),
        ("decode 1 0", "decode 1 3", "predecessor '3'; allowed: whole numbers 0 to 2"),
        ("comm_vol 0 1 30", "comm_vol 1 0 30", "but task 0 does not name 1 as its predecessor"),
        ("comm_vol 0 1 30", "comm_vol 0 1", "ends where a volume is due"),
        ("comm_vol 0 1 30", "comm_vol 0 9 30", "task '9'"),
        (JOB, "", "0 tasks; add_new_tasks says 0"),
    ],
)
def test_a_job_file_that_is_not_understood_is_refused(old, new, words, tmp_path):
    with pytest.raises(InstanceError, match=words):
        read_ds3_job(written(tmp_path, JOB.replace(old, new, 1)))


@given(line=st.integers(0, 24), text=st.text("add_new comb 0123456789.-#PE", max_size=30))
def test_any_line_anywhere_is_read_or_refused(line, text, tmp_path_factory):
    folder, lines = tmp_path_factory.getbasetemp(), V1.splitlines()
    lines[line : line + 1] = [text]
    soc = written(folder, "\n".join(lines), "soc.txt")
    with suppress(InstanceError):
        read_ds3(soc, [written(folder, JOB, "job.txt")])
