"""The table's figures, worked by hand."""

import json
from dataclasses import replace

import pytest

from rlsched.evaluation.report import finding
from rlsched.evaluation.runner import Score
from rlsched.evaluation.table import build_table, caption, cells, markdown_table

ROW_KEYS = {
    *("policy", "mean", "ci95", "gap_pct", "bound_mean", "paired_p", "decision_ms", "seconds"),
    *("wins", "diff", "diff_ci95", "beside"),
}


def score(policy, instance, value, bound=None, seconds=1.0):
    return Score(instance, policy, value, 0.6, bound, seconds, 1000 * seconds / 10, 10, "key")


def scores():
    table = {"random": (0.7, 0.6), "ha": (0.4, 0.5), "best": (0.4, 0.3)}
    return [score(p, f"i{k}", v) for p, pair in table.items() for k, v in enumerate(pair)]


def test_rows_are_sorted_and_compared_with_the_best_rule():
    table = build_table(scores(), "vmr", "fragment_rate", True, {"random", "ha"})
    assert [r.policy for r in table.rows] == ["best", "ha", "random"]
    assert table.baseline == "ha"
    best, ha, random = table.rows
    assert best.mean == pytest.approx(0.35)
    assert best.diff == pytest.approx(-0.1)
    assert (ha.diff, ha.paired_p) == (None, None)
    assert random.diff == pytest.approx(0.2)
    assert random.paired_p == pytest.approx(0.5)  # two pairs, both worse: 2 * 1/4


def test_ties_are_wins_of_both():
    table = build_table(scores(), "vmr", "fragment_rate", True, {"ha"})
    assert {r.policy: r.wins for r in table.rows} == {"best": 2, "ha": 1, "random": 0}


def test_gap_is_to_the_best_known_where_bounds_are_missing():
    table = build_table(scores(), "vmr", "fragment_rate", True, {"ha"})
    assert table.reference == "best known"
    assert table.rows[0].gap_pct == 0
    assert table.rows[1].gap_pct == pytest.approx(100 * (0.45 - 0.35) / 0.35)


def test_gap_is_to_the_tightest_proven_bound():
    exact = [score("exact", "i0", 0.3, 0.2), score("exact", "i1", 0.3, 0.25)]
    weak = [score("weak", "i0", 0.35, 0.1), score("weak", "i1", 0.35, 0.28)]
    table = build_table([*exact, *weak], "vmr", "fragment_rate", True, ())
    assert (table.reference, table.reference_mean) == ("bound", pytest.approx(0.24))
    assert table.rows[0].gap_pct == pytest.approx(25)
    assert table.rows[0].bound_mean == pytest.approx(0.225)
    assert table.baseline is None
    assert table.rows[0].diff is None


def test_gap_is_positive_for_worse_also_where_higher_is_better():
    table = build_table(scores(), "x", "goodput", False, {"ha"})
    assert [r.policy for r in table.rows] == ["random", "ha", "best"]
    assert table.rows[-1].gap_pct == pytest.approx(100 * 0.3 / 0.65)


def test_no_gap_to_a_reference_of_zero():
    table = build_table([score("a", "i", 0.0), score("b", "i", 0.1)], "x", "m", True, ())
    assert [r.gap_pct for r in table.rows] == [None, None]


def test_instances_that_one_policy_did_not_finish_are_left_out():
    table = build_table(scores()[:-1], "vmr", "fragment_rate", True, {"ha"})
    assert table.instances == ("i0",)


def long_scores(**values):
    return [score(p, f"i{k}", v) for p, pair in values.items() for k, v in enumerate(pair)]


def test_gap_to_the_literature_is_the_mean_of_the_instances_gaps():
    """10 % and 50 %; of the means it would be 410 to 300, 36.7 %."""
    known = {"i0": (90, 100), "i1": (None, 200), "other": (None, None)}
    table = build_table(long_scores(a=(110, 300)), "jobshop", "makespan", True, (), known)
    assert (table.reference, table.reference_mean) == ("best known, literature", 150)
    assert table.rows[0].gap_pct == pytest.approx(30)
    assert table.rows[0].bound_mean is None
    assert "Gap: mean of the instances' gaps to the best known in the lit" in caption(table)
    assert json.loads(table.to_json())["literature"] == [[90, 100], [None, 200]]


def test_gap_to_the_literature_is_positive_for_worse_where_higher_is_better():
    known = {"i0": (None, 100), "i1": (None, 200)}
    table = build_table(long_scores(a=(90, 220)), "x", "goodput", False, (), known)
    assert table.rows[0].gap_pct == pytest.approx((10 - 10) / 2)
    table = build_table(long_scores(a=(90, 160)), "x", "goodput", False, (), known)
    assert table.rows[0].gap_pct == pytest.approx(15)


@pytest.mark.parametrize("known", [{}, {"i0": (90, 100)}, {"i0": (90, 100), "i1": (200, None)}])
def test_gap_is_of_the_means_where_the_literature_has_no_best_for_some(known):
    table = build_table(
        long_scores(a=(110, 300), b=(100, 400)), "jobshop", "makespan", True, (), known
    )
    assert table.reference == "best known"
    assert table.rows[1].gap_pct == pytest.approx(100 * (500 - 400) / 400)
    assert "Gap: of the mean to that of the best scores known here, 200.00." in caption(table)


def test_no_gap_to_a_literature_of_zero():
    known = {"i0": (0, 0), "i1": (0, 5)}
    table = build_table(long_scores(a=(0, 5)), "jobshop", "total_tardiness", True, (), known)
    assert table.rows[0].gap_pct is None


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (0.45, "0.4500"),
        (9.5, "9.5000"),
        (12.5, "12.500"),
        (793, "793.00"),
        (1231.4, "1231.4"),
        (34567.8, "34568"),
        (1234567.8, "1234568"),
    ],
)
def test_scores_are_shown_with_five_digits_and_at_most_four_decimals(score, text):
    table = build_table(long_scores(a=(score, score)), "x", "m", True, ())
    assert cells(table, table.rows[0])[1] == text


def test_one_table_has_one_number_of_decimals():
    table = build_table(long_scores(a=(1000, 1200), b=(900, 902)), "x", "makespan", True, {"a"})
    assert cells(table, table.rows[0])[1:3] == ["901.0", "888.3 to 913.7"]
    assert cells(table, table.rows[0])[5] == "-199.0"


def test_a_start_that_is_no_result_is_not_shown():
    table = build_table(scores(), "vmr", "fragment_rate", True, {"ha"})
    assert "2 instances, 0.6000 before any choice." in caption(table)
    unstarted = [replace(s, start=None) for s in scores()]
    table = build_table(unstarted, "jobshop", "makespan", True, {"ha"})
    assert table.start_mean is None
    assert "2 instances. Intervals" in caption(table)
    assert "start" not in finding(table)


def test_results_json_keeps_the_contract():
    data = json.loads(build_table(scores(), "vmr", "fragment_rate", True, {"ha"}).to_json())
    assert {"env", "metric", "lower_is_better", "instances", "rows"} <= set(data)
    assert (data["env"], data["metric"], data["lower_is_better"]) == ("vmr", "fragment_rate", True)
    assert data["instances"] == ["i0", "i1"]
    assert all(set(row) == ROW_KEYS for row in data["rows"])
    assert all(low <= row["mean"] <= high for row in data["rows"] for low, high in [row["ci95"]])


def test_a_companion_stands_beside_the_metric():
    pairs = [replace(s, beside=10.0 + k) for k, s in enumerate(scores())]
    table = build_table(pairs, "soc", "latency", True, {"ha"}, companion="throughput")
    heading, _, *lines = markdown_table(table).splitlines()
    assert heading.startswith("| policy | mean | throughput | 95 % CI |")
    assert "| ha | 0.4500 | 12.5 |" in lines[1]


def test_markdown_has_a_line_per_policy_and_marks_the_best_rule():
    table = build_table(scores(), "vmr", "fragment_rate", True, {"ha"})
    lines = markdown_table(table).splitlines()
    assert len(lines) == 2 + 3
    assert "| ha | 0.4500 |" in lines[3]
    assert cells(table, table.rows[1])[5:7] == ["best", ""]
    assert "Wilcoxon signed-rank" in caption(table)
