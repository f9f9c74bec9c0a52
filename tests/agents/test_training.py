"""Whole runs: what they write, and what is left of them when they are interrupted or killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from rlsched.agents import training
from rlsched.agents.checkpoint import TRAINER, load_checkpoint, load_tensors
from rlsched.agents.phase import Phase
from rlsched.core import registry
from rlsched.core.errors import CheckpointError, ConfigError, UnknownName

INTERVAL_S = 1.0
SCRIPT = """
import json, sys
from dataclasses import replace
from pathlib import Path
from rlsched.agents import training
from rlsched.config.schema import AgentConfig, TrainConfig, TrainerConfig
from rlsched.envs.vmr import problem as vmr
vmr.PROBLEM = replace(vmr.PROBLEM, default_policies=lambda config: ("random",))
c = json.loads(sys.argv[1])
config = TrainConfig(
    vmr.VMRConfig(**c["env"]), TrainerConfig(**c["trainer"]), AgentConfig(**c["agent"])
)
training.train(config, Path(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def _cheap_comparison(monkeypatch):
    """Leave out the rules that take seconds: which rule is best is not the matter here."""
    real = registry.problem("vmr")
    cheap = replace(real, default_policies=lambda config: ("random", "potential"))
    monkeypatch.setattr(training, "problem", lambda name: cheap)


@pytest.fixture
def run_config(small):
    trainer = replace(
        small.trainer, total_steps=320, eval_instances=4, checkpoint_interval_s=0, eval_interval_s=0
    )
    return replace(small, trainer=trainer)


def lines(folder: Path) -> list[dict]:
    path = folder / "metrics.jsonl"
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def counters(folder: Path) -> dict:
    return json.loads(load_tensors(folder / "checkpoint/latest" / TRAINER)[1]["counters"])


def test_a_run_writes_checkpoints_metrics_and_tensorboard(run_config, tmp_path):
    validations = []
    training.train(run_config, tmp_path, lambda run: validations.append(run.best))
    assert counters(tmp_path) == {"phase": "ppo", "steps": 320, "best": min(validations)}
    assert validations == sorted(validations, reverse=True)  # the best so far
    assert list((tmp_path / "tensorboard").iterdir())
    for name in ("latest", "best"):
        _, info = load_checkpoint(tmp_path / "checkpoint" / name)
        assert info.env == asdict(run_config.env)
    iterations = [line for line in lines(tmp_path) if "loss" in line]
    assert [line["steps"] for line in iterations] == [64, 128, 192, 256, 320]
    scores = [line for line in lines(tmp_path) if "validation_fragment_rate" in line]
    assert len(scores) == len(validations)
    assert min(s["validation_fragment_rate"] for s in scores) == pytest.approx(min(validations))
    assert all("best_rule_fragment_rate" in line for line in scores)


def test_a_warm_start_comes_first_and_is_not_repeated_on_resume(run_config, tmp_path):
    run_config.trainer.warm_start, run_config.trainer.warm_start_steps = "potential", 4
    training.train(run_config, tmp_path)
    assert list(dict.fromkeys(line["phase"] for line in lines(tmp_path))) == ["imitation", "ppo"]
    done = len(lines(tmp_path))
    run_config.trainer.total_steps = 448
    training.train(replace(run_config, resume=str(tmp_path)), tmp_path)
    more = [line for line in lines(tmp_path)[done:] if "loss" in line]
    assert [(line["phase"], line["steps"]) for line in more] == [("ppo", 384), ("ppo", 448)]


def test_an_unknown_teacher_is_refused_with_those_known(run_config, tmp_path):
    run_config.trainer.warm_start = "potentail"
    with pytest.raises(UnknownName, match=r"potentail.*Did you mean 'potential'.*exact"):
        training.train(run_config, tmp_path)


@pytest.mark.parametrize("names", [("first", "second"), ()])
def test_the_default_teacher_is_the_environments_first_one(
    run_config, tmp_path, monkeypatch, names
):
    teachers = {name: lambda env, name=name: name for name in names}
    taught = replace(
        registry.problem("vmr"), teachers=teachers, default_policies=lambda config: ("random",)
    )
    monkeypatch.setattr(training, "problem", lambda name: taught)
    run_config.trainer.warm_start = "auto"
    run = training.Run(run_config, tmp_path)
    assert run._has_teacher() == bool(names)
    assert not names or run._teacher() == "first"


def test_what_is_saved_is_the_running_mean_of_the_weights(run_config, tmp_path):
    trainer = replace(run_config.trainer, averaging=1.0)
    run = training.Run(replace(run_config, trainer=trainer), tmp_path)
    run.log.open(run.best_rule)
    start = {k: v.clone() for k, v in run.network.state_dict().items()}
    run.train()
    run.log.close()
    assert any(not torch.equal(v, start[k]) for k, v in run.network.state_dict().items())
    saved, _ = load_checkpoint(tmp_path / "checkpoint/latest")
    assert all(torch.equal(v, start[k]) for k, v in saved.state_dict().items())


def test_resume_refuses_what_is_not_a_run_of_this_network(run_config, tmp_path):
    resume = replace(run_config, resume=str(tmp_path))
    with pytest.raises(CheckpointError, match="there is no such checkpoint file"):
        training.train(resume, tmp_path)
    training.train(run_config, tmp_path)
    other = replace(resume, agent=replace(resume.agent, hidden=9))
    with pytest.raises(CheckpointError, match=r"do not fit .*config\.yaml"):
        training.train(other, tmp_path)


class Interrupted(Phase):
    """Learns something, then Ctrl-C is pressed; what it learned is gone once it is closed."""

    def __init__(self, network, sim, trainer, seed) -> None:
        self.network, self.steps, self.total_steps, self.closed = network, 0, 1000, False

    def iterate(self) -> dict[str, float]:
        if self.steps == 3:
            raise KeyboardInterrupt
        self.steps += 1
        return {}

    def sync(self) -> None:
        assert not self.closed
        torch.nn.init.constant_(self.network.stop[0].bias, float(self.steps))

    def tensors(self):
        assert not self.closed
        return {"optimizer.0.step": torch.tensor(float(self.steps))}

    def restore(self, tensors, steps) -> None:
        raise AssertionError

    def close(self) -> None:
        self.closed = True


def test_ctrl_c_saves_before_the_trainer_is_closed(run_config, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "ReferencePhase", Interrupted)
    run_config.trainer.checkpoint_interval_s = run_config.trainer.eval_interval_s = 1e9
    training.train(run_config, tmp_path)
    assert counters(tmp_path)["steps"] == 3
    network, _ = load_checkpoint(tmp_path / "checkpoint/latest")
    assert (network.stop[0].bias == 3).all()


@pytest.fixture
def endless(small):
    """Return a function that starts a run in a process and waits for its checkpoints."""
    trainer = replace(
        small.trainer,
        total_steps=10_000_000,
        eval_instances=2,
        checkpoint_interval_s=INTERVAL_S,
        eval_interval_s=1e9,
    )
    config = replace(small, trainer=trainer)
    text = json.dumps({k: asdict(getattr(config, k)) for k in ("env", "trainer", "agent")})
    started = []

    def start(folder: Path, saves: int) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, text, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        seen: set[int] = set()
        deadline = time.monotonic() + 240
        while len(seen) < saves or not lines(folder):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            if (folder / "checkpoint/latest" / TRAINER).exists():
                seen.add(counters(folder)["steps"])
            time.sleep(0.05)
        return process

    yield config, start
    for process in started:
        process.kill()
        process.communicate()


def test_after_kill_9_a_run_goes_on_and_has_lost_at_most_one_interval(endless, tmp_path):
    config, start = endless
    process = start(tmp_path, saves=2)
    time.sleep(INTERVAL_S / 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    played = [line for line in lines(tmp_path) if "loss" in line]
    saved = counters(tmp_path)
    assert 0 < saved["steps"] <= played[-1]["steps"]
    at_save = next(line["time"] for line in played if line["steps"] == saved["steps"])
    iteration_s = max(b["time"] - a["time"] for a, b in pairwise(played))
    assert played[-1]["time"] - at_save <= INTERVAL_S + iteration_s

    already = len(lines(tmp_path))
    config.trainer.total_steps = saved["steps"] + 128
    training.train(replace(config, resume=str(tmp_path)), tmp_path)
    more = [line for line in lines(tmp_path)[already:] if "loss" in line]
    assert [line["steps"] for line in more] == [saved["steps"] + 64, saved["steps"] + 128]
    assert counters(tmp_path)["steps"] == saved["steps"] + 128


def test_ctrl_c_leaves_a_good_checkpoint(endless, tmp_path):
    _, start = endless
    process = start(tmp_path, saves=1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert "keeping what was learned" in output
    last = max(line["steps"] for line in lines(tmp_path) if "loss" in line)
    assert last <= counters(tmp_path)["steps"] <= last + 64
    for name in ("latest", "best"):
        load_checkpoint(tmp_path / "checkpoint" / name)


def test_a_device_that_is_not_there_is_refused(run_config, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device=cuda: torch sees no GPU here; use device=cpu"):
        training.train(replace(run_config, device="cuda"), tmp_path)
