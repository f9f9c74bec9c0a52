"""The doors as a user meets them: what they print, write, refuse, and with which exit code."""

import importlib
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from rlsched.config.door import guarded
from rlsched.core.errors import ConfigError

DOORS = ("train", "evaluate", "export", "dispatch", "bench", "curve", "experiment")
QUICK_S = 2.0
"""CPU seconds; the promise is one second on an idle machine, a busy one inflates even CPU time."""


def run(door, *arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", f"rlsched.{door}", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=300,
    )


def timed(door, *arguments):
    """Return what a door did and the CPU seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run(door, *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("door", DOORS)
def test_help_answers_at_once(door):
    done, seconds = timed(door, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"python -m rlsched.{door} ")
    assert seconds < QUICK_S


@pytest.mark.parametrize(
    ("door", "arguments", "text"),
    [
        ("train", ["env=vmrr"], "rlsched: Unknown env 'vmrr'. Did you mean 'vmr'? Known: "),
        ("train", ["env=vmr", "trainer.lr=fast"], "rlsched: trainer.lr=fast: must be a number."),
        ("evaluate", ["env=vmr", "env.objectiv=fr16"], "Did you mean 'env.objective'?"),
        ("evaluate", ["env=vmr", "policies=[haa]"], "rlsched: Unknown policy 'haa'."),
        (
            "export",
            ["checkpoint=nowhere", "ot=x"],
            "rlsched: Unknown key 'ot'. Did you mean 'out'?",
        ),
        (
            "dispatch",
            ["env=vmr", "input=none.json"],
            "rlsched: input 'none.json': there is no such",
        ),
        ("experiment", ["none.yaml"], "rlsched: 'none.yaml': there is no such file"),
    ],
)
def test_mistakes_are_refused_at_once_in_one_line(door, arguments, text):
    done, seconds = timed(door, *arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert seconds < QUICK_S


def test_errors_and_interrupts_become_exit_codes(capsys):
    def refuse():
        raise ConfigError("no")

    def interrupt():
        raise KeyboardInterrupt

    for work, code in ((refuse, 2), (interrupt, 130), (lambda: 3, 3), (lambda: None, 0)):
        with pytest.raises(SystemExit) as caught:
            guarded(work)
        assert caught.value.code == code
    assert capsys.readouterr().err == "rlsched: no\nrlsched: interrupted.\n"


def test_evaluate_prints_the_table_and_writes_its_files(tmp_path):
    done = run("evaluate", "env=vmr", "env.num_pms=8", "env.migration_limit=3", "policies=[random]",
               "num_instances=3", f"out={tmp_path}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "random" in done.stdout
    data = json.loads((tmp_path / "results.json").read_text())
    assert (data["env"], data["metric"], data["lower_is_better"]) == ("vmr", "fragment_rate", True)
    assert len(data["instances"]) == 3
    assert {
        "policy",
        "mean",
        "ci95",
        "gap_pct",
        "bound_mean",
        "paired_p",
        "decision_ms",
        "seconds",
    } <= set(data["rows"][0])
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + 3
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_a_sweep_gives_each_job_its_own_folder(tmp_path):
    done = run("evaluate", "--multirun", "env=vmr", "env.num_pms=8", "env.migration_limit=2,3",
               "policies=[random]", "num_instances=2", f"out={tmp_path}", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "0/results.json").is_file()
    assert (tmp_path / "1/results.json").is_file()


def test_bench_prints_one_json_line_per_batch_size():
    done = run("bench", "env=vmr", "env.num_pms=8", "bench.num_envs=[1,64]", "bench.seconds=0.01",
               "bench.policy=false", "num_instances=2")  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["num_envs"] for line in lines] == [1, 64]
    for line in lines:
        assert {
            "env": "vmr",
            "threads": 1,
            "device": "cpu",
            "unit": "migration",
        }.items() <= line.items()
        assert line["sim_steps_per_s"] > 0
        assert line["sim_obs_steps_per_s"] > 0
        assert line["sim_policy_steps_per_s"] is None
        assert line["sim_policy_skipped"] == "bench.policy=false"


NO_TORCH = """
import runpy, sys
sys.argv = ["rlsched.dispatch", *sys.argv[1:]]
try:
    runpy.run_module("rlsched.dispatch", run_name="__main__")
finally:
    heavy = {"torch", "ray", "torch_geometric", "matplotlib"} & set(sys.modules)
    print("imported:", sorted(heavy))
"""


def test_dispatch_makes_a_plan_without_torch_or_ray(tmp_path):
    from rlsched.core.registry import problem
    from rlsched.envs.vmr.instances import write_clusters

    vmr = problem("vmr")
    write_clusters(
        tmp_path / "cluster.json.gz", vmr.generate_instances(vmr.config(num_pms=8), 1, 0)
    )
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, "env=vmr", f"input={tmp_path}/cluster.json.gz", "limit=4",
         "policy=random", f"out={tmp_path}/plan.json"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "imported: []" in done.stdout
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert {"fragment_rate_before", "fragment_rate_after", "migrations", "seconds"} <= set(plan)
    assert len(plan["migrations"]) <= 4
    for move in plan["migrations"]:
        assert {"vm", "from_pm", "from_numa", "to_pm", "to_numa"} <= set(move)


def test_dispatch_refuses_a_checkpoint_and_says_how_to_export_it(tmp_path):
    (tmp_path / "cluster.json").write_text("{}")
    done = run("dispatch", "env=vmr", f"input={tmp_path}/cluster.json", f"policy={tmp_path}")
    assert done.returncode == 2
    assert f"python -m rlsched.export checkpoint={tmp_path} out=policy.onnx" in done.stderr


EXPERIMENT = """
title: A tiny comparison
env: vmr
sections:
  - name: tiny
    title: Eight PMs
    env: {num_pms: 8, migration_limit: 3}
    num_instances: 3
    policies: [random, {policy: random, label: again}]
"""


def experiment(monkeypatch, *arguments):
    door = importlib.import_module("rlsched.experiment")
    monkeypatch.setattr(sys, "argv", ["rlsched.experiment", *map(str, arguments)])
    return door.experiment()


def test_experiment_writes_its_page_and_figures(tmp_path, monkeypatch, capsys):
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT)
    assert experiment(monkeypatch, tmp_path / "tiny.yaml", f"out={tmp_path}/scores") == 0
    page = (tmp_path / "tiny.md").read_text()
    assert "## Eight PMs" in page
    assert "| again |" in page
    assert "seed 1" in page
    for name in ("intervals", "time", "paired"):
        assert f"(tiny/tiny-{name}.svg)" in page
        assert (tmp_path / f"tiny/tiny-{name}.svg").read_text().startswith("<svg")
    assert json.loads((tmp_path / "tiny/tiny.json").read_text())["env"] == "vmr"
    assert "Eight PMs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("title:", "titel:"), "Did you mean 'title'?"),
        (("policies: [", "polices: ["), "Did you mean 'policies'?"),
        (("migration_limit: 3", "migration_limits: 3"), "Did you mean 'env.migration_limit'?"),
        (("num_pms: 8", "num_pms: many"), "env.num_pms=many: must be an integer"),
        (("label: again", "lable: again"), "Did you mean 'label'?"),
        (("env: vmr", "env: vmrr"), "Did you mean 'vmr'?"),
    ],
)
def test_an_experiment_with_a_mistake_is_refused(tmp_path, monkeypatch, change, text):
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT.replace(*change))
    with pytest.raises(Exception, match=text.replace("?", r"\?")):
        experiment(monkeypatch, tmp_path / "tiny.yaml")


@pytest.mark.parametrize("path", sorted(Path("experiments").glob("*.yaml")), ids=str)
def test_the_published_experiments_are_well_formed(path):
    from rlsched.config.experiment import read_experiment

    _, sections = read_experiment(path)
    names = [row.row for s in sections for row in s.contestants]
    assert names


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("env.objective=fr", "allowed: fr<cores>"),
        ("env.generator=medum", "Did you mean 'medium'?"),
        ("env.reward=sparse", "allowed: simple, vm2rl"),
        ("trainer.warm_start=potental", "Did you mean 'potential'?"),
    ],
)
def test_train_refuses_wrong_options_before_torch_is_imported(tmp_path, override, text):
    done, seconds = timed("train", "env=vmr", override, f"out={tmp_path}/run")
    assert done.returncode == 2
    assert text in done.stderr
    assert seconds < 2 * QUICK_S
    assert not (tmp_path / "run").exists()


def test_train_refuses_a_folder_that_holds_a_run(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    done = run("train", "env=vmr", f"out={tmp_path}")
    assert done.returncode == 2
    assert f"go on with resume={tmp_path}" in done.stderr
