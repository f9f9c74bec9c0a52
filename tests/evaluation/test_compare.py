"""A comparison end to end, in process, on tiny clusters."""

import csv
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from rlsched.core.errors import CheckpointError, ConfigError, InstanceError, UnknownName
from rlsched.evaluation.compare import PolicySpec, compare, load
from rlsched.evaluation.policies import check_policies, resolve_policy
from rlsched.evaluation.runner import ScoreFile, instance_names, read_scores

POLICIES = [PolicySpec("random"), PolicySpec("stop"), PolicySpec("first")]
QUIET = Console(quiet=True)


def run(vmr, env, out, policies=POLICIES, **options):
    return compare(vmr, env, policies, out, num_instances=3, console=QUIET, **options)


def test_the_three_files_agree(vmr, env, tmp_path):
    table = run(vmr, env, tmp_path)
    data = json.loads((tmp_path / "results.json").read_text())
    with (tmp_path / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 3 * 3
    assert [r["policy"] for r in data["rows"]] == [r.policy for r in table.rows]
    for row in data["rows"]:
        values = [float(x["value"]) for x in lines if x["policy"] == row["policy"]]
        assert row["mean"] == pytest.approx(sum(values) / 3)
    assert all(row["policy"] in (tmp_path / "report.html").read_text() for row in data["rows"])


def test_stopping_at_once_leaves_the_start_as_it_was(vmr, env, tmp_path):
    run(vmr, env, tmp_path)
    stopped = [s for s in read_scores(tmp_path / "results.csv") if s.policy == "stop"]
    assert all((s.value, s.rounds) == (s.start, 1) for s in stopped)


def test_the_same_seed_gives_the_same_scores(vmr, env, tmp_path):
    first, again = run(vmr, env, tmp_path / "a"), run(vmr, env, tmp_path / "b")
    other = run(vmr, env, tmp_path / "c", seed=2)
    assert first.values.tolist() == again.values.tolist()
    assert first.instances != other.instances


def test_finished_scores_are_not_computed_again(vmr, env, tmp_path, first_legal):
    run(vmr, env, tmp_path)
    calls = first_legal.calls
    again = run(vmr, env, tmp_path, [*POLICIES[1:], PolicySpec("random", label="other")])
    assert first_legal.calls == calls
    assert {r.policy for r in again.rows} == {"stop", "first", "other"}
    run(vmr, replace(env, migration_limit=2), tmp_path)
    assert first_legal.calls > calls


def test_ctrl_c_keeps_what_is_complete(vmr, env, tmp_path, monkeypatch, first_legal):
    def interrupt(self, sim):
        if first_legal.calls > 13:  # in the second instance: six choices, at first played twice
            raise KeyboardInterrupt
        return original(self, sim)

    original = first_legal.choose
    monkeypatch.setattr(first_legal, "choose", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(vmr, env, tmp_path)
    monkeypatch.setattr(first_legal, "choose", original)
    assert len(json.loads((tmp_path / "results.json").read_text())["instances"]) == 1
    assert len(run(vmr, env, tmp_path).instances) == 3


def test_a_line_cut_short_by_a_kill_is_played_again(vmr, env, tmp_path):
    table = run(vmr, env, tmp_path)
    path = tmp_path / "results.csv"
    path.write_text(path.read_text()[:-12])
    assert len(read_scores(path)) == 8
    assert run(vmr, env, tmp_path).values.tolist() == table.values.tolist()
    assert len(read_scores(path)) == 9


def test_the_report_loads_nothing_from_elsewhere(vmr, env, tmp_path):
    run(vmr, env, tmp_path)
    page = (tmp_path / "report.html").read_text()
    namespaces = re.findall(r'xmlns(?::\w+)?="https?://[^"]*"', page)
    loaded = re.findall(
        r'(?:src|href|srcset|action)\s*=\s*"(?!data:|#)[^"]*"|url\((?!#)|@import', page
    )
    assert loaded == []
    assert page.count("://") == len(namespaces)
    assert page.count("<svg") == 3
    assert 'src="data:image/png;base64,' in page


def test_names_are_escaped_in_the_report(vmr, env, tmp_path):
    run(vmr, env, tmp_path, [PolicySpec("stop", label="<b>stop</b>"), PolicySpec("first")])
    assert "<b>stop</b>" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("policies", "error", "text"),
    [
        ([], ConfigError, "policies is empty"),
        (["stopp"], UnknownName, "Did you mean 'stop'"),
        (["no/such/checkpoint"], CheckpointError, "no such file or folder"),
        (["no.onnx:beam_8"], CheckpointError, "no such file or folder"),
        (["stop", "stop"], ConfigError, "named twice"),
        (["stop:beam_4"], ConfigError, "cannot guide a search"),
        (["random:bem_4"], ConfigError, "allowed: best_of_<K>"),
    ],
)
def test_wrong_policies_are_refused_before_anything_is_played(
    vmr, env, tmp_path, policies, error, text
):
    with pytest.raises(error, match=re.escape(text)):
        run(vmr, env, tmp_path / "out", [PolicySpec(p) for p in policies])
    assert not (tmp_path / "out").exists()


def test_a_time_limit_reaches_policies_that_have_one(vmr, env, first_legal):
    class Solver(first_legal):
        time_limit_s = 60.0

    solver = resolve_policy(
        "s", replace(vmr, rules={"s": lambda config: Solver()}), env, time_limit_s=2
    )
    assert (solver.time_limit_s, solver.name) == (2, "s")


def test_the_environments_own_suffixes_come_first_and_searches_follow(vmr, env):
    def variants(config, policy, suffix):
        if suffix == "capped_0":
            raise ConfigError("capped_0: must be >= 1.")
        return vmr.rules["first"](config) if suffix.startswith("capped_") else None

    capped = replace(vmr, variants=variants, suffixes=("capped_<num>",))
    assert resolve_policy("random:capped_2", capped, env).name == "random:capped_2"
    portfolio = resolve_policy("random:capped_2:portfolio_1.5s", capped, env)
    assert (portfolio.time_limit_s, portfolio.policy.name) == (1.5, "first")
    for name, text in (
        ("random:capped_0", "capped_0: must be >= 1."),
        ("random:caped_2", "'caped_2' is unreadable; .* capped_<num>; portfolio_<seconds>s"),
        ("random:beam_2:beam_4", "'random:beam_2' scores no choices"),
        ("random:", "'' is unreadable"),
    ):
        with pytest.raises(ConfigError, match=text):
            check_policies(["random:capped_1", name], capped, env)


def test_suffixes_of_a_checkpoint_are_checked_without_loading_it(vmr, env, tmp_path):
    check_policies([f"{tmp_path}:best_of_4", f"{tmp_path}:portfolio_1s"], vmr, env)
    with pytest.raises(ConfigError, match="'bst_of_4' is unreadable"):
        check_policies([f"{tmp_path}:bst_of_4"], vmr, env)


def test_gaps_to_the_literature_reach_the_files(vmr, env, tmp_path):
    published = replace(vmr, reference=lambda config, cluster: (None, 0.01))
    table = run(published, env, tmp_path)
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["reference"] == table.reference == "best known, literature"
    assert data["literature"] == [[None, 0.01]] * 3
    assert "the best known in the literature" in (tmp_path / "report.html").read_text()


def test_instances_may_be_names_that_are_no_path(vmr, env, tmp_path):
    clusters = vmr.generate_instances(env, 3, 0)
    named = replace(vmr, load_instances=lambda config, name: {"la01..la40": clusters}[name])
    assert run(named, env, tmp_path, instances="la01..la40").instances


def test_instances_of_one_name_are_told_apart():
    assert instance_names(["a", "b"]) == ["instance-0", "instance-1"]

    class Named:
        name = "x"

    assert instance_names([Named(), Named()]) == ["x#0", "x#1"]


def test_more_instances_than_a_file_holds_are_refused(vmr, env, tmp_path):
    from rlsched.envs.vmr.instances import write_clusters

    path = tmp_path / "two.json"
    write_clusters(path, vmr.generate_instances(env, 1, 0))
    assert len(load(vmr, env, str(path), None, 1)) == 1
    with pytest.raises(InstanceError, match=r"holds 1 instances; num_instances=5"):
        load(vmr, env, str(path), 5, 1)


def test_an_empty_store_is_no_file(tmp_path):
    ScoreFile(tmp_path / "results.csv").rewrite([])
    assert not (tmp_path / "results.csv").exists()


def test_a_file_that_holds_no_scores_is_refused(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("la01,spt,800\n")
    with pytest.raises(ConfigError, match=r"results.csv', line 1: no column .*Delete the file"):
        read_scores(path)
