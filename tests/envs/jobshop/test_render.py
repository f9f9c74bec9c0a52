"""Facts about the pictures of a schedule."""

from __future__ import annotations

import builtins
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from rlsched.core.errors import MissingExtra
from rlsched.envs.jobshop.chart import job_colours, swaps
from rlsched.envs.jobshop.gantt import gantt
from rlsched.envs.jobshop.render import frames, plot, rgb_array, write_animation
from rlsched.envs.jobshop.shop import Floor, Schedule, Shop

pytest.importorskip("matplotlib")

CYCLE = [[[(0, 3)], [(1, 2)]], [[(1, 5)], [(0, 1)]]]
"""Job 0 goes from machine 0 to 1, job 1 the other way: with blocking, they must swap at 5."""


def schedule(jobs, start, end, leave, *, clock=0, downs=(), **shop) -> Schedule:
    """Return a schedule of jobs with one machine per operation; -1 = not started."""
    shop = Shop.from_jobs(jobs, **shop)
    rows = np.array([start, end, leave], np.int32)
    machine = np.where(rows[0] < 0, -1, shop.alt_machine).astype(np.int32)
    downs = np.array(downs, np.int32).reshape(-1, 3)
    return Schedule(shop, machine, *rows, downs=downs, clock=clock)


def swap_schedule(**given) -> Schedule:
    """Job 0 works in [0, 3), blocks machine 0 in [3, 5), then both jobs change places."""
    return schedule(CYCLE, [0, 5, 0, 5], [3, 7, 5, 6], [5, 7, 5, 6], clock=7, **given)


@pytest.fixture
def ax():
    from matplotlib.figure import Figure

    return Figure(figsize=(10, 3)).subplots()


def bars(ax) -> dict[str, list[tuple[float, float, float]]]:
    """Return (row, from, until) of the bars of each kind."""
    return {
        str(kind.get_label()): [
            (round(b.get_y() + b.get_height() / 2), b.get_x(), b.get_x() + b.get_width())
            for b in kind
        ]
        for kind in ax.containers
        if not str(kind.get_label()).startswith("_")
    }


def legend(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def arrows(ax) -> list[tuple[list[float], list[float]]]:
    """Return the (tick, machine) at which each arrow begins and ends."""
    from matplotlib.patches import FancyArrowPatch

    found = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    ends = [p._path_original.vertices[[0, -1]].tolist() for p in found]
    return [(tail, head) for tail, head in ends]


def test_work_is_one_bar_per_operation_in_its_machines_row_and_its_jobs_colour(ax):
    assert gantt(swap_schedule(), ax) is ax
    assert bars(ax)["working"] == [(0, 0, 3), (1, 5, 7), (1, 0, 5), (0, 5, 6)]
    work = next(kind for kind in ax.containers if kind.get_label() == "working")
    faces = np.array([bar.get_facecolor()[:3] for bar in work])
    np.testing.assert_allclose(faces, job_colours(2)[[0, 0, 1, 1]])
    top, bottom = ax.transData.transform([(0, 0), (0, 1)])[:, 1]
    assert top > bottom, "machine 0 is on top"


def test_blocking_is_a_hatched_bar_from_the_end_of_the_work_to_leaving(ax):
    gantt(swap_schedule(), ax)
    assert bars(ax)["blocking"] == [(0, 3, 5)]
    (block,) = next(kind for kind in ax.containers if kind.get_label() == "blocking")
    assert block.get_hatch() == "////"
    assert min(block.get_facecolor()[:3]) > min(job_colours(2)[0]), "lighter than the job's own"


def test_a_job_that_waits_in_a_buffer_is_on_no_machine(ax):
    waits = schedule(CYCLE, [0, 5, 0, 5], [3, 7, 5, 6], [3, 7, 5, 6], clock=7)
    gantt(waits, ax)
    assert bars(ax)["blocking"] == []
    assert "blocking" not in legend(ax)


def test_a_swap_is_a_ring_of_arrows_at_its_tick(ax):
    gantt(swap_schedule(), ax)
    assert swaps(swap_schedule()) == [(5, (0, 1))]
    assert sorted(arrows(ax)) == [([5, 0], [5, 1]), ([5, 1], [5, 0])]
    assert "swap" in legend(ax)


def test_a_chain_of_moves_at_one_tick_is_no_swap(ax):
    """Job 0 leaves machine 0 for 1, which job 1 leaves for the idle machine 2."""
    jobs = [[[(0, 2)], [(1, 2)]], [[(1, 4)], [(2, 1)]]]
    chain = schedule(jobs, [0, 4, 0, 4], [2, 6, 4, 5], [4, 6, 4, 5], clock=6)
    gantt(chain, ax)
    assert (swaps(chain), arrows(ax)) == ([], [])


def test_two_rings_at_one_tick_are_told_apart():
    """Machines 0, 2, 1 pass their jobs round; 3 and 4 exchange theirs."""
    route = [(0, 2), (1, 0), (2, 1), (3, 4), (4, 3)]
    jobs = [[[(a, 3)], [(b, 1)]] for a, b in route]
    two = schedule(jobs, [0, 3] * 5, [3, 4] * 5, [3, 4] * 5, clock=4)
    assert swaps(two) == [(3, (0, 2, 1)), (3, (3, 4))]


def test_where_jobs_wait_off_the_machines_an_exchange_is_chance():
    """Job 2 waits for machine 0 from tick 2 to 6 in storage, and nobody ever blocks."""
    jobs = [*CYCLE, [[(2, 2)], [(0, 1)]]]
    stored = schedule(jobs, [0, 5, 0, 5, 0, 6], [5, 7, 5, 6, 2, 7], [5, 7, 5, 6, 2, 7], clock=7)
    assert swaps(stored) == []


def test_a_breakdown_lies_over_the_operation_that_it_stretched(ax):
    broken = schedule(
        [[[(0, 3)]], [[(1, 2)]]], [0, 0], [8, 2], [8, 2], clock=8, downs=[[0, 1, 6], [1, 4, 5]]
    )
    gantt(broken, ax)
    drawn = bars(ax)
    assert drawn["down"] == [(0, 1, 6), (1, 4, 5)]
    assert drawn["working"] == [(0, 0, 8), (1, 0, 2)]
    order = {kind.get_label(): kind[0].get_zorder() for kind in ax.containers if len(kind)}
    assert order["down"] > order["working"]
    labels = [(t.get_text(), t.get_position()) for t in ax.texts]
    assert labels == [("0", (7.0, 0)), ("1", (1.0, 1))], "a label is written where work was done"


def test_an_unfinished_schedule_ends_open_at_a_line(ax):
    """At tick 4 job 0 blocks machine 0, job 1 works on machine 1 until 5."""
    gantt(schedule(CYCLE, [0, -1, 0, -1], [3, -1, -1, -1], [-1] * 4, clock=4), ax)
    drawn = bars(ax)
    assert (drawn["working"], drawn["blocking"]) == ([(0, 0, 3), (1, 0, 4)], [(0, 3, 4)])
    (line,) = [line for line in ax.lines if line.get_label() == "now"]
    assert list(line.get_xdata()) == [4, 4]
    assert ax.get_title(loc="left") == "tick 4: 1 of 4 operations done"
    assert legend(ax) == ["now", "working", "blocking"]
    assert ax.get_xlim()[1] > 4


def test_until_shows_what_was_known_then_on_the_same_axis(ax):
    from matplotlib.figure import Figure

    whole = gantt(swap_schedule(), Figure().subplots())
    gantt(swap_schedule(downs=[[0, 6, 7]]), ax, until=4)
    assert bars(ax)["working"] == [(0, 0, 3), (1, 0, 4)]
    assert (bars(ax)["down"], arrows(ax)) == ([], [])
    assert ax.get_xlim() == whole.get_xlim()
    assert not [line for line in whole.lines if line.get_label() == "now"]
    assert whole.get_title(loc="left") == "makespan 7"


def test_an_empty_schedule_has_room_for_the_longest_job(ax):
    gantt(schedule(CYCLE, *[[-1] * 4] * 3), ax)
    assert bars(ax)["working"] == []
    assert ax.get_xlim()[1] >= 6


def test_planned_maintenance_is_outlined_until_it_comes(ax):
    gantt(swap_schedule(windows=[[1, 6, 7]]), ax, until=4)
    assert bars(ax)["planned"] == [(1, 6, 7)]
    assert "planned" in legend(ax)


def test_due_dates_are_flags_and_what_is_late_is_red(ax):
    """Job 0 is due at 6 and done at 7; job 1 is done in time."""
    gantt(swap_schedule(due=[6, 9], release=[0, 1], name="two"), ax)
    marks = {str(c.get_label()): c.get_offsets()[:, 0].tolist() for c in ax.collections}
    assert marks == {"due": [6, 9], "release": [1]}
    assert [(x, until) for _, x, until in bars(ax)["late"]] == [(6, 7)]
    assert ax.get_title(loc="left") == "two  ·  makespan 7  ·  1 of 2 jobs late, tardiness 1"
    assert legend(ax) == ["working", "blocking", "swap", "due", "late", "release"]


def test_what_holds_or_stops_a_machine_from_the_start_is_drawn_from_there(ax):
    """At tick 10 job 0 holds machine 0, until 12, and machine 1 is down, until 12."""
    none = np.full(2, -1, np.int32)
    zero = np.zeros(2, np.int32)
    floor = Floor(10, np.array([1, 0]), np.array([0, -1]), zero, none, zero, np.array([0, 12]))
    held = schedule(
        CYCLE, [-1, 12, -1, -1], [-1, 14, -1, -1], [12, 14, -1, -1], clock=14, floor=floor
    )
    gantt(held, ax)
    assert bars(ax)["blocking"] == [(0, 10, 12)]
    assert bars(ax)["down"] == [(1, 10, 12)]
    assert ax.get_xlim()[0] == 10
    assert ax.get_title(loc="left") == "tick 14: 2 of 4 operations done"


def test_labels_are_the_shops_own(ax):
    gantt(swap_schedule(job_names=["a", "b"], machine_names=["saw", "mill"]), ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["saw", "mill"]
    assert Counter(text.get_text() for text in ax.texts) == {"a": 2, "b": 2}


def test_a_hundred_jobs_have_a_hundred_colours_and_neighbours_differ_in_lightness():
    colours = job_colours(100)
    assert ((colours >= 0) & (colours <= 1)).all()
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=-1) + np.eye(100)
    assert apart.min() > 0.02
    grey = colours @ [0.2126, 0.7152, 0.0722]
    assert abs(np.diff(grey)).min() > 0.08


def test_a_figure_of_its_own_grows_with_the_machines():
    plt = pytest.importorskip("matplotlib.pyplot")
    heights = []
    for num_machines in (2, 12):
        heights.append(gantt(swap_schedule(num_machines=num_machines)).figure.get_figheight())
        plt.close()
    assert heights[0] < heights[1]


def test_a_lane_is_drawn_from_its_schedule(ax):
    sim = SimpleNamespace(schedule=lambda lane: [None, swap_schedule()][lane])
    assert plot(sim, 1, ax) is ax
    assert len(bars(ax)["working"]) == 4
    picture = rgb_array(sim, 1)
    assert (picture.dtype, picture.ndim, picture.shape[2]) == (np.uint8, 3, 3)


def test_frames_grow_into_the_whole_picture():
    sim = SimpleNamespace(schedule=lambda lane: swap_schedule())
    pictures = list(frames(swap_schedule(), num=3))
    assert [p.shape for p in pictures] == [rgb_array(sim).shape] * 3
    assert (pictures[0] != pictures[1]).any()
    np.testing.assert_array_equal(pictures[2], rgb_array(sim))


def test_an_animation_is_a_gif_whose_last_picture_stays(tmp_path):
    from PIL import Image

    path = tmp_path / "swap.gif"
    write_animation(swap_schedule(), path, fps=10)
    with Image.open(path) as gif:
        assert gif.format == "GIF"
        shown_ms = []
        for k in range(gif.n_frames):
            gif.seek(k)
            shown_ms.append(gif.info["duration"])
    assert len(shown_ms) == 8, "one picture per tick, 0 to 7: equal ones are merged"
    assert sum(shown_ms) == 39 * 100 + 2000
    assert shown_ms[-1] >= 2000
    with pytest.raises(ValueError, match=r"swap\.mp4: animations are written as \.gif"):
        write_animation(swap_schedule(), tmp_path / "swap.mp4")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"rlsched\[report\]"):
        gantt(swap_schedule())
    with pytest.raises(MissingExtra):
        next(frames(swap_schedule()))
