"""Training curves: what runs logged, one after another, as table and picture."""

from __future__ import annotations

import csv
import json

import pytest

pytest.importorskip("torch")

from rlsched.agents.progress import METRICS
from rlsched.core.errors import ConfigError
from rlsched.evaluation.curve import CURVE, PICTURE, curve_plot, read_runs, save_curve

VALIDATED = {"validation_makespan": 12.0, "best_rule_makespan": 10.0}


def log(folder, *records, end="\n"):
    """Write the log of a run: (phase, steps, figures) each."""
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"time": 1.5, "phase": p, "steps": s, **f}) for p, s, f in records]
    (folder / METRICS).write_text("\n".join(lines) + end)
    return folder


@pytest.fixture
def runs(tmp_path):
    first = log(
        tmp_path / "first",
        ("imitation", 0, VALIDATED),
        ("imitation", 8, {"imitation_loss": 0.5, "steps_per_s": 3.0}),
        ("imitation", 8, {**VALIDATED, "validation_makespan": 11.0}),
        ("ppo", 0, {**VALIDATED, "validation_makespan": 11.0}),
        ("ppo", 64, {"episode_return": -1.25, "entropy": 0.1}),
    )
    second = log(tmp_path / "second", ("ppo", 0, VALIDATED), ("ppo", 32, VALIDATED))
    return [first, second]


def test_runs_are_numbered_in_their_order_and_keep_what_a_curve_shows(runs):
    points = read_runs(runs)
    assert [(p.run, p.phase, p.steps) for p in points] == [
        (1, "imitation", 0),
        (1, "imitation", 8),
        (1, "imitation", 8),
        (1, "ppo", 0),
        (1, "ppo", 64),
        (2, "ppo", 0),
        (2, "ppo", 32),
    ]
    assert points[1].figures == {"imitation_loss": 0.5}
    assert points[4].figures == {"episode_return": -1.25}


def test_a_curve_that_was_written_can_be_gone_on_with(runs, tmp_path):
    save_curve(runs[:1], tmp_path / "a")
    save_curve([tmp_path / "a" / CURVE, runs[1]], tmp_path / "b")
    assert read_runs([tmp_path / "b" / CURVE]) == read_runs(runs)
    rows = list(csv.DictReader((tmp_path / "b" / CURVE).open()))
    assert list(rows[0]) == [
        *("run", "phase", "steps", "episode_return", "imitation_loss"),
        *("validation_makespan", "best_rule_makespan"),
    ]
    assert (tmp_path / "b" / PICTURE).read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_a_panel_per_phase_and_shows_runs_one_after_another(runs):
    imitation, ppo = curve_plot(read_runs(runs)).axes
    (line,) = [x for x in imitation.lines if x.get_label() == "run 1"]
    assert line.get_xydata().tolist() == [[0, pytest.approx(20)], [8, pytest.approx(10)]]
    later = {x.get_label(): list(x.get_xdata()) for x in ppo.lines}
    assert later["run 1"] == [0]  # nothing was validated after its start
    assert later["run 2"] == [64, 96]


def test_without_a_rule_the_metric_itself_is_shown(tmp_path):
    run = log(tmp_path / "run", ("ppo", 0, {"validation_makespan": 12.0}))
    (ax,) = curve_plot(read_runs([run])).axes
    assert list(ax.lines[0].get_ydata()) == [12.0]


def test_what_a_resumed_run_logged_again_counts_once(tmp_path):
    run = log(
        tmp_path / "run",
        *(("ppo", steps, VALIDATED) for steps in (0, 10, 20, 30)),
        *(("ppo", steps, VALIDATED) for steps in (20, 40)),
    )
    assert [p.steps for p in read_runs([run])] == [0, 10, 20, 20, 40]


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path):
    run = log(tmp_path / "run", ("ppo", 0, VALIDATED), end='\n{"phase": "pp')
    assert len(read_runs([run])) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no validation has been logged yet"),
        ('{"phase": "ppo", "steps": 3, "episode_return": 1}\n', "no validation has been logged"),
        ("{\n{}\n", "line 1: not JSON"),
        ("[]\n", "line 1: needs phase, steps and figures"),
        ('{"phase": "ppo"}\n', "line 1: needs phase, steps and figures"),
        ('{"phase": "ppo", "steps": -1}\n', "line 1: figures must be finite, steps >= 0"),
        ('{"phase": "p", "steps": 1, "validation_x": NaN}\n', "line 1: figures must be finite"),
    ],
)
def test_a_log_that_cannot_be_drawn_is_refused(tmp_path, text, message):
    (tmp_path / METRICS).write_text(text)
    with pytest.raises(ConfigError, match=message):
        save_curve([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"metrics.jsonl': there is no such file; give folders"):
        read_runs([tmp_path])
