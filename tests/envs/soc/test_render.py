"""Facts about the pictures of a lane."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
import workloads

from rlsched.core.errors import MissingExtra
from rlsched.envs.soc.chart import bars_of, transfers
from rlsched.envs.soc.gantt import MOST_BARS, PALETTE
from rlsched.envs.soc.render import plot, rgb_array
from rlsched.envs.soc.rules import Rule
from rlsched.envs.soc.simulator import SocSimulator
from rlsched.envs.soc.workload import Workload

pytest.importorskip("matplotlib")


def lane(workload: Workload, **options) -> SocSimulator:
    sim = SocSimulator([workload], observe=False, **options)
    sim.reset(instances=[0])
    return sim


def played(workload: Workload, num: int = 10**6, **options) -> SocSimulator:
    """Return a lane in which so many choices were made by etf."""
    sim, rule = lane(workload, **options), Rule("etf")
    while not sim.terminated[0] and num > 0:
        sim.step(rule.choose(sim))
        num -= 1
    return sim


@pytest.fixture
def ax():
    from matplotlib.figure import Figure

    return Figure(figsize=(10, 3)).subplots()


def bars(ax) -> dict[str, list[tuple[float, float, float]]]:
    """Return (row, from, until) of the bars of each status."""
    return {
        str(kind.get_label()): [
            (round(b.get_y() + b.get_height() / 2), b.get_x(), b.get_x() + b.get_width())
            for b in kind
        ]
        for kind in ax.containers
        if not str(kind.get_label()).startswith("_")
    }


def lines(ax) -> list[list[list[float]]]:
    (thread,) = [c for c in ax.collections if c.get_label() == "communication"]
    return [segment.tolist() for segment in thread.get_segments()]


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_task_is_a_bar_in_its_pes_row_and_data_are_a_line(ax):
    """1 tick on P1; data leave it at 1 and take 3 + floor(5 / 2); 5 ticks on P2 from 6."""
    sim = lane(workloads.masked(), mode="static")
    assert plot(sim, 0, ax) is ax
    assert bars(ax)["done"] == [(0, 0, 1), (1, 6, 11)]
    assert lines(ax) == [[[1, 0], [6, 1]]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["P1", "P2"]
    assert ax.get_title(loc="left") == "masked  ·  makespan 11"
    assert legend(ax) == ["job 0 masked", "communication"]
    top, bottom = ax.transData.transform([(0, 0), (0, 1)])[:, 1]
    assert top > bottom, "the first PE is on top"


def test_places_of_a_pe_are_rows_of_their_own(ax):
    """Three tasks of 3 ticks on two places: the third begins when the first ends."""
    workload = workloads.static("pool", [(3,)] * 3, capacity=[2])
    plot(played(workload, mode="static"), 0, ax)
    assert sorted(bars(ax)["done"]) == [(0, 0, 3), (0, 3, 6), (1, 0, 3)]
    assert ax.get_yticks().tolist() == [0.5]
    assert lines(ax) == []


def test_what_runs_or_is_placed_is_shown_as_expected(ax):
    """On one PE task 0 runs 0-2; a second job's is placed behind it, and begins at 2."""
    workload = workloads.static("pair", [(2,), (3,)], [(0, 1, 0)])
    sim = played(workload, mode="streaming", queue=2, num_jobs=2, length=1)
    plot(sim, 0, ax)
    assert bars(ax) == {"done": [], "running": [(0, 0, 2)], "placed": [(0, 2, 4)]}
    assert legend(ax) == ["job 0 pair", "job 1 pair", "running", "placed", "communication"]
    assert ax.get_title(loc="left") == "pair  ·  tick 1, no job done yet"


def test_the_clock_is_a_line_while_the_lane_runs(ax):
    sim = played(workloads.topcuoglu(), 30, mode="streaming")
    plot(sim, 0, ax)
    (line,) = [line for line in ax.lines if line.get_label() == "now"]
    assert list(line.get_xdata()) == [sim.state.clock[0]] * 2
    assert "now" in legend(ax)


def test_a_long_stream_shows_its_end_and_its_metric(ax):
    sim = played(workloads.topcuoglu(), mode="streaming", length=1500)
    plot(sim, 0, ax)
    shown = bars_of(sim)
    assert len(shown.begin) > MOST_BARS
    assert ax.get_xlim()[0] == shown.begin[-MOST_BARS]
    latency, count = (float(sim.metrics()[key][0]) for key in ("latency", "num_jobs"))
    assert f"tick 1500, {count:.0f} jobs done  ·  mean latency {latency:.1f}" in ax.get_title(
        "left"
    )
    assert legend(ax)[0].endswith(" earlier")


def test_jobs_in_the_system_together_have_colours_of_their_own():
    assert len(set(PALETTE)) == len(PALETTE) == 8


def test_no_two_tasks_lie_on_each_other_and_data_arrive_before_the_task_begins():
    """On a PE of two places and one of one, of what is remembered, runs and is placed."""
    times = [(4, 6), (3, 2), (5, 5), (2, 7)]
    edges = [(0, 1, 3), (0, 2, 1), (1, 3, 4), (2, 3, 2)]
    workload = workloads.static("diamond", times, edges, capacity=[2, 1])
    sim = played(workload, 200, mode="streaming", scale="8", noise="0.3")
    found = bars_of(sim)
    for key in set(zip(found.pe, found.place, strict=True)):
        here = (found.pe == key[0]) & (found.place == key[1])
        assert (found.begin[here][1:] >= found.end[here][:-1]).all()
    assert max(found.place[found.pe == 0]) == 1
    sent = transfers(sim, 0, found)
    assert len(sent) > 10
    for a, b, volume in sent:
        assert found.job[a] == found.job[b]
        assert found.begin[b] >= found.end[a] + volume or found.status[a] != found.status[b]


def test_a_picture_is_an_array_of_the_socs_size():
    small = rgb_array(lane(workloads.masked(), mode="static"))
    large = rgb_array(played(workloads.static("pool", [(3,)] * 3, capacity=[8]), mode="static"))
    assert (small.dtype, small.ndim, small.shape[2]) == (np.uint8, 3, 3)
    assert small.shape[0] < large.shape[0]
    assert len(np.unique(small.reshape(-1, 3), axis=0)) > 5


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    sim = lane(workloads.masked(), mode="static")
    for draw in (plot, rgb_array):
        with pytest.raises(MissingExtra, match=r"rlsched\[report\]"):
            draw(sim)
