"""Facts about the observation: every figure equals its definition, however many moves were made."""

from __future__ import annotations

import numpy as np
import pytest
from plays import INF, LAWS, VARIANTS, play, started, varied_shop
from shops import plain

from rlsched.core.errors import ConfigError
from rlsched.envs.jobshop.observation import FAR, GRAPH
from rlsched.envs.jobshop.shop import NO_DUE_DATE, Shop
from rlsched.envs.jobshop.simulator import JobShopSimulator
from rlsched.envs.jobshop.state import (
    BLOCKED,
    DONE,
    DOWN,
    IDLE,
    IN_PROCESS,
    OBJECTIVES,
    WAITING,
    WORKING,
)

NAMES = {node.name: [f.name for f in node.features] for node in GRAPH.nodes} | {
    "context": [f.name for f in GRAPH.context]
}
EDGES = {
    "op__then__op": ("op", "op"),
    "op__after__op": ("op", "op"),
    "op__of__job": ("op", "job"),
    "op__on__machine": ("op", "machine"),
    "job__at__machine": ("job", "machine"),
    "job__wants__machine": ("job", "machine"),
}


def seen(sim: JobShopSimulator, key: str, lane: int = 0) -> list[dict[str, float]]:
    """Return the features of each row by name, those that are not 0."""
    rows = np.atleast_2d(sim.observation()[key][lane])
    return [{n: float(x) for n, x in zip(NAMES[key], row, strict=True) if x} for row in rows]


def edges(sim: JobShopSimulator, key: str, lane: int = 0) -> list[tuple[int, int]]:
    """Return the edges that are no padding; a padding edge must be padding at both ends."""
    sizes, found = [sim.sizes[name] for name in EDGES[key]], []
    for a, b in sim.observation()[key][lane].tolist():
        assert (a == sizes[0]) == (b == sizes[1])
        if a < sizes[0]:
            found.append((a, b))
    return found


# --- followed by hand ----------------------------------------------------------------------------


def test_hand_checked_features_of_a_blocking_shop():
    """At 1 job 2 blocks machine 0, jobs 0 and 1 are new; machine 1 decides on job 1 or to hold."""
    sim = started(plain([(0, 3), (1, 2)], [(1, 2), (0, 4)], [(0, 1), (2, 2)]))
    for choice in (2, 3):
        sim.step([choice])
    assert (sim.state.clock[0], sim.state.deciding[0]) == (1, 1)
    assert seen(sim, "op") == [
        {"time": 3, "work_after": 2, "is_left": 1, "is_next": 1, "num_machines": 1},
        {"time": 2, "work_before": 3, "is_left": 1, "num_machines": 1},
        {"time": 2, "work_after": 4, "is_left": 1, "is_next": 1, "num_machines": 1},
        {"time": 4, "work_before": 2, "is_left": 1, "num_machines": 1},
        {},
        {"time": 2, "is_left": 1, "is_next": 1, "num_machines": 1},
    ]
    new = {"is_new": 1, "is_waiting": 1, "ops_left": 2, "waited": 1, "next_queue": 1}
    assert seen(sim, "job") == [
        new
        | {"time_here": 3, "time_next": 2, "work_left": 5, "time_over_work": np.float32(0.6)}
        | {"slack": 1, "next_load": 4, "next_is_idle": 1},
        new
        | {"is_candidate": 1, "time_here": 2, "time_next": 4, "work_left": 6}
        | {"time_over_work": np.float32(1 / 3), "next_load": 7},
        {"is_waiting": 1, "is_blocking": 1, "num_behind": 1, "time_here": 2, "work_left": 2}
        | {"ops_left": 1, "time_over_work": 1, "slack": 4},
    ]
    assert seen(sim, "machine") == [
        {"is_blocked": 1, "load": 7, "queue": 1, "queue_work": 3},
        {"is_deciding": 1, "is_idle": 1, "load": 4, "queue": 1, "queue_work": 2},
        {"is_idle": 1, "load": 2, "queue": 1, "queue_work": 2},
    ]
    assert seen(sim, "context") == [
        {"mean_time": np.float32(14 / 6), "jobs_left": 3, "on_floor": 1}
        | {"floor_share": np.float32(1 / 3), "num_machines": 3, "num_candidates": 1}
        | {"blocked_share": np.float32(1 / 3), "can_hold": 1, "work_done": np.float32(1 / 14)}
        | {"here_load": 4, "here_queue": 1, "here_queue_work": 2}
        | {"longest_job": 6, "largest_load": 7, "is_finite": 1}
    ]
    assert edges(sim, "op__then__op") == [(0, 1), (2, 3)]
    assert edges(sim, "op__after__op") == [(1, 0), (3, 2)]
    assert edges(sim, "op__of__job") == [(0, 0), (1, 0), (2, 1), (3, 1), (5, 2)]
    assert edges(sim, "op__on__machine") == [(0, 0), (1, 1), (2, 1), (3, 0), (5, 2)]
    assert edges(sim, "job__at__machine") == [(2, 0)]
    assert edges(sim, "job__wants__machine") == [(0, 0), (1, 1), (2, 2)]
    assert sim.observation()["num_nodes"][0].tolist() == [6, 3, 3]


def test_wait_for_edges_carry_the_cycle_of_a_swap():
    """Jobs 0 and 1 block each other at 3, job 2 works on: each is at what the other wants."""
    shop = plain([(0, 3), (1, 2)], [(1, 2), (0, 4)], [(2, 10)])
    sim = started(shop, swap="choice")
    while sim.state.clock[0] < 3:
        sim.step([int(sim.action_mask[0].argmax())])
    assert edges(sim, "job__at__machine") == [(0, 0), (1, 1), (2, 2)]
    assert edges(sim, "job__wants__machine") == [(0, 1), (1, 0)]
    assert edges(sim, "op__on__machine") == [(1, 1), (3, 0)]


def test_maintenance_due_dates_and_comers_are_seen_as_far_as_they_are_near():
    """Mean time 3, so 60 ticks are near: the window at 50 is, the due date 200 is not."""
    shop = plain(
        [(0, 5), (1, 3)],
        [(1, 1), (0, 3)],
        [(1, 3)],
        due=[9, 200, NO_DUE_DATE],
        weight=[4, 2, 3],
        release=[0, 0, 1],
        windows=[(0, 50, 60), (1, 70, 80)],
    )
    sim = started(shop, buffer=INF, objective="weighted_tardiness", hold="on")
    sim.step([0])
    assert (sim.state.clock[0], sim.state.deciding[0]) == (0, 1)
    jobs, machines = seen(sim, "job"), seen(sim, "machine")
    assert [job.get("until_due", 0) for job in jobs] == [9 - 8, 60, 0]
    assert [job.get("weight", 0) for job in jobs] == [4, 2, 0]
    assert [machine.get("until_window", 0) for machine in machines] == [10, 0]
    assert (jobs[0]["until_done"], machines[0]["until_done"]) == (5, 5)
    assert (machines[1]["coming"], machines[1]["until_coming"]) == (2, 1)
    assert seen(sim, "context")[0]["is_tardiness"] == 1


def test_of_several_machines_the_deciding_one_gives_the_time_and_the_least_loaded_comes_next():
    shop = Shop.from_jobs([[[(0, 4), (1, 6)], [(1, 5), (2, 9)]], [[(0, 2)], [(1, 8)]]])
    sim = started(shop, buffer=INF)
    assert sim.state.deciding[0] == 0
    job = seen(sim, "job")[0]
    assert (job["time_here"], job["time_next"]) == (4, 5)
    assert seen(sim, "machine")[1]["load"] == 4 / 2 + 5 / 2 + 8
    assert job["next_load"] == 5 / 2
    assert edges(sim, "job__wants__machine") == [(0, 0), (0, 1), (1, 0)]
    assert edges(sim, "op__on__machine") == [(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (3, 1)]


# --- every figure from its definition ------------------------------------------------------------


class Definition:
    """The figures of one lane, each computed from its definition."""

    def __init__(self, sim: JobShopSimulator, lane: int) -> None:
        s, self.sim, self.shop = sim.state, sim, sim.shop_of(lane)
        self.c, self.i = sim.host_shops, int(s.instance[lane])
        self.s = {name: value[lane] for name, value in zip(s._fields, s, strict=True)}
        self.now, self.here = int(s.clock[lane]), int(s.deciding[lane])
        self.mean, self.min_time = self.shop.min_time.mean(), self.shop.min_time.tolist()
        self.jobs, self.machines = range(self.shop.num_jobs), range(self.shop.num_machines)
        self.left = [
            range(int(self.s["next_op"][j]), int(self.shop.op_begin[j + 1])) for j in self.jobs
        ]
        self.alts = [self.shop.alternatives(o) for o in range(self.shop.num_ops)]
        self.work = [sum(self.min_time[o] for o in left) for left in self.left]
        self.unfinished = [j for j in self.jobs if self.s["status"][j] != DONE]
        self.waiting = [j for j in self.jobs if self.s["status"][j] == WAITING]
        self.latest = max((self.until_end(j) for j in self.unfinished), default=0)

    def until_done(self, m: int) -> int:
        if self.s["mode"][m] == WORKING:
            return int(self.s["done_at"][m]) - self.now
        if self.s["mode"][m] != DOWN:
            return 0
        return int(self.s["left"][m]) + int(self.until_up(m))

    def until_up(self, m: int) -> int:
        back = int(self.s["event"][m])
        is_planned = any(x == m and b == back for x, a, b in self.shop.windows if a <= self.now)
        if self.c.knows_repair[0] or is_planned:
            return back - self.now
        return max(1, int(self.s["since"][m]) + int(self.sim.law.mean_repair) - self.now)

    def until_ready(self, j: int) -> int:
        if self.s["status"][j] == IN_PROCESS:
            return self.until_done(int(self.s["at"][j]))
        return max(0, int(self.shop.release[j]) - self.now)

    def until_end(self, j: int) -> int:
        return self.until_ready(j) + self.work[j]

    def load(self, m: int) -> float:
        return sum(
            self.min_time[o] / len(self.alts[o])
            for left in self.left
            for o in left
            if m in dict(self.alts[o])
        )

    def queue(self, m: int) -> list[int]:
        return [j for j in self.waiting if m in dict(self.alts[self.left[j][0]])]

    def coming(self, m: int) -> list[int]:
        return [
            self.until_ready(j)
            for j in self.unfinished
            if j not in self.waiting and self.left[j] and m in dict(self.alts[self.left[j][0]])
        ]

    def op(self, o: int) -> dict[str, float]:
        j = int(self.shop.op_job[o])
        if o not in self.left[j]:
            return {}
        return {
            "time": self.min_time[o],
            "work_before": sum(self.min_time[q] for q in self.left[j] if q < o),
            "work_after": sum(self.min_time[q] for q in self.left[j] if q > o),
            "is_left": 1,
            "is_next": o == self.left[j][0],
            "num_machines": len(self.alts[o]),
        }

    def job(self, j: int) -> dict[str, float]:
        if j not in self.unfinished:
            return {}
        s, left, at, waits = self.s, list(self.left[j]), int(self.s["at"][j]), j in self.waiting
        works = s["status"][j] == IN_PROCESS
        time = dict(self.alts[left[0]]).get(self.here, self.min_time[left[0]]) if left else 0
        has_due = "tardiness" in self.sim.objective and self.shop.due[j] < NO_DUE_DATE
        slack = int(self.shop.due[j]) - self.now - self.until_end(j)
        far = FAR * self.mean
        weight = self.shop.weight[j] if self.sim.objective == "weighted_tardiness" else 1
        row = {
            "is_candidate": s["action_mask"][j],
            "is_new": len(left) == self.shop.op_begin[j + 1] - self.shop.op_begin[j],
            "is_waiting": waits,
            "is_blocking": at >= 0 and not works,
            "is_working": works,
            "num_behind": len(self.queue(at)) if at >= 0 else 0,
            "time_here": time,
            "time_next": self.min_time[left[1]] if len(left) > 1 else 0,
            "work_left": self.work[j],
            "ops_left": len(left),
            "time_over_work": time / self.work[j] if self.work[j] else 0,
            "waited": self.now - s["ready"][j] if waits else 0,
            "until_done": self.until_ready(j),
            "slack": self.latest - self.until_end(j),
            "until_due": np.clip(slack, -far, far) if has_due else 0,
            "weight": weight if has_due else 0,
        }
        if len(left) > 1:
            loads = {m: s["load"][m] for m, _ in self.alts[left[1]]}
            best = min(loads, key=loads.__getitem__)
            row |= {
                "next_load": loads[best],
                "next_queue": len(self.queue(best)),
                "next_is_idle": s["mode"][best] == IDLE,
                "next_until": self.until_done(best),
            }
        return row

    def machine(self, m: int) -> dict[str, float]:
        s, mode, coming = self.s, self.s["mode"][m], self.coming(m)
        windows = self.c.windows[self.i, s["next_window"][m] : self.c.window_begin[self.i, m + 1]]
        near = FAR * self.mean - max(0, windows[0][0] - self.now) if len(windows) else 0
        return {
            "is_deciding": m == self.here,
            "is_idle": mode == IDLE,
            "is_working": mode == WORKING,
            "is_blocked": mode == BLOCKED,
            "is_down": mode == DOWN,
            "is_held": s["is_held"][m],
            "until_done": self.until_done(m),
            "load": self.load(m),
            "queue": len(self.queue(m)),
            "queue_work": sum(dict(self.alts[self.left[j][0]])[m] for j in self.queue(m)),
            "coming": len(coming),
            "until_coming": min(coming, default=0),
            "buffer_used": 0 if self.sim.buffer == INF else (s["buffer_of"] == m).sum(),
            "until_window": max(0, near),
        }

    def context(self) -> dict[str, float]:
        s, M = self.s, len(self.machines)
        here = self.machine(self.here) if self.here >= 0 else {}
        started = [o for o in range(self.shop.num_ops) if s["op_start"][o] >= 0]
        on_floor = [
            j
            for j in self.unfinished
            if len(self.left[j]) < self.shop.op_begin[j + 1] - self.shop.op_begin[j]
        ]
        return {
            "mean_time": self.mean,
            "jobs_left": len(self.unfinished),
            "on_floor": len(on_floor),
            "floor_share": len(on_floor) / M,
            "num_machines": M,
            "busy_share": (s["mode"][:M] == WORKING).sum() / M,
            "blocked_share": (s["mode"][:M] == BLOCKED).sum() / M,
            "down_share": (s["mode"][:M] == DOWN).sum() / M,
            "num_candidates": s["action_mask"][:-1].sum(),
            "can_hold": self.here >= 0 and s["action_mask"][-1],
            **{
                f"here_{name}": here.get(name, 0)
                for name in ("load", "queue", "queue_work", "coming", "until_coming")
            },
            "work_done": sum(self.min_time[o] for o in started) / sum(self.min_time),
            "longest_job": self.latest,
            "largest_load": max(self.load(m) for m in self.machines),
            "is_finite": self.sim.buffer < INF,
            "capacity": min(8, self.sim.buffer) if self.sim.buffer < INF else 0,
            "is_flow_time": self.sim.objective == "flow_time",
            "is_tardiness": "tardiness" in self.sim.objective,
            "failure_rate": s["num_downs"] / max(1, len(started)),
        }

    def edges(self) -> dict[str, set[tuple[int, int]]]:
        left = [(o, j) for j in self.jobs for o in self.left[j]]
        then = {(o, o + 1) for o, j in left if o + 1 in self.left[j]}
        return {
            "op__then__op": then,
            "op__after__op": {(b, a) for a, b in then},
            "op__of__job": set(left),
            "op__on__machine": {(o, m) for o, _ in left for m, _ in self.alts[o]},
            "job__at__machine": {(j, int(m)) for j, m in enumerate(self.s["at"]) if m >= 0},
            "job__wants__machine": {
                (j, m) for j in self.waiting for m, _ in self.alts[self.left[j][0]]
            },
        }


def assert_observation_is_exact(sim: JobShopSimulator, lane: int = 0) -> None:
    d = Definition(sim, lane)
    rows = {
        "op": [d.op(o) for o in range(d.shop.num_ops)],
        "job": [d.job(j) for j in d.jobs],
        "machine": [d.machine(m) for m in d.machines],
        "context": [d.context()],
    }
    for key, expected in rows.items():
        found = np.atleast_2d(sim.observation()[key][lane])
        assert not found[len(expected) :].any()
        for row, (got, figures) in enumerate(zip(found, expected, strict=False)):
            for name, value in zip(NAMES[key], got, strict=True):
                right = pytest.approx(float(figures.get(name, 0)), rel=1e-5, abs=1e-4)
                assert value == right, f"{key} {row}: {name}"
    for key, expected in d.edges().items():
        found = edges(sim, key, lane)
        assert set(found) == expected, key
        assert len(found) == len(expected), key
    sizes = [d.shop.num_ops, d.shop.num_jobs, d.shop.num_machines]
    assert sim.observation()["num_nodes"][lane].tolist() == sizes


@pytest.mark.parametrize("name", VARIANTS)
def test_every_figure_equals_its_definition_all_along(name):
    for seed in range(24):
        sim = started(
            varied_shop(seed, 3 + seed % 3),
            objective=sorted(OBJECTIVES)[seed % 4],
            interruption=("none", *LAWS)[seed % 8],
            repair="uniform:3:9",
            repair_known=seed % 3 > 0,
            **VARIANTS[name],
        )
        assert_observation_is_exact(sim)
        for _ in play(sim, seed):
            assert_observation_is_exact(sim)


@pytest.mark.parametrize("law", ["none", *LAWS])
def test_what_steps_keep_up_to_date_equals_what_is_written_from_scratch(law):
    """Byte for byte, by adopting the lanes into a simulator that had not observed them."""
    bank = [varied_shop(seed, 2 + seed % 5, 2 + seed % 3) for seed in range(32)]
    for options in VARIANTS.values():
        sim = started(*bank, interruption=law, repair="exponential:9", **options)
        blind, fresh = sim.like(len(bank), observe=False), sim.like(len(bank))
        for _ in play(sim, 5, rounds=40):
            blind.adopt(sim, np.arange(len(bank)))
            fresh.adopt(blind, np.arange(len(bank)))
            for key, value in sim.observation().items():
                np.testing.assert_array_equal(value, fresh.observation()[key], err_msg=key)


def test_lanes_of_different_sizes_see_their_own_shop_and_padding():
    bank = [varied_shop(seed, 2 + seed % 4, 2 + seed % 3) for seed in range(16)]
    sim = started(*bank, num_envs=20)
    for _ in play(sim, 1, rounds=25):
        for lane in range(20):
            assert_observation_is_exact(sim, lane)


def test_a_reset_lane_forgets_a_larger_shop():
    sim = JobShopSimulator([varied_shop(1, 6, 4), varied_shop(0, 2, 2)], 2)
    sim.reset(instances=[0, 0])
    for _ in play(sim, rounds=6):
        pass
    sim.reset(np.array([True, False]), instances=[1, 0])
    assert_observation_is_exact(sim, 0)
    assert_observation_is_exact(sim, 1)


def test_a_job_that_is_done_is_nothing_but_padding():
    """Released at 5 and done at 7, between two decisions of the other machine."""
    shop = plain([(0, 2)], [(1, 9)], [(1, 9)], [(1, 9)], release=[5, 0, 0, 0])
    sim = started(shop, hold="off")
    assert "is_new" in seen(sim, "job")[0]
    sim.step([1])
    assert seen(sim, "job")[:2] == [{}, {}]
    assert edges(sim, "op__of__job") == [(2, 2), (3, 3)]
    assert edges(sim, "op__on__machine") == [(2, 1), (3, 1)]


def test_the_graph_names_what_the_observation_holds():
    sim = started(varied_shop(15), varied_shop(12), interruption="start:0.3")
    assert tuple(sim.observation()) == GRAPH.input_names
    space = GRAPH.space(sim.sizes, sim.num_edges)
    for _ in play(sim):
        for lane in range(2):
            assert space.contains({key: value[lane] for key, value in sim.observation().items()})


def test_without_observing_there_is_no_observation():
    sim = started(varied_shop(0), observe=False)
    with pytest.raises(ConfigError, match="observe=False; it has no observation"):
        sim.observation()
