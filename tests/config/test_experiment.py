"""Facts about an experiment's file: whose instances and which options its sections have."""

import math

import pytest

from rlsched.config.experiment import Section, env_options, instances_of, read_experiment
from rlsched.core.errors import ConfigError

TEXT = """
title: Two sections
env: vmr_constrained
sections:
  - {name: plain, policies: [random]}
  - {name: changed, policies: [random], env: {goal: GOAL, migration_limit: 5}}
"""


def options(tmp_path, goal):
    path = tmp_path / "two.yaml"
    path.write_text(TEXT.replace("GOAL", goal))
    experiment, sections = read_experiment(path)
    return [env_options(experiment, section) for section in sections]


@pytest.mark.parametrize(
    ("goal", "value"), [("0.3", 0.3), ("inf", math.inf), (".inf", math.inf), ("null", None)]
)
def test_sections_change_options_of_the_variant_that_the_experiment_names(tmp_path, goal, value):
    plain, changed = options(tmp_path, goal)
    assert plain == type(plain)(generator="small-constrained")
    assert (changed.generator, changed.goal, changed.migration_limit) == (
        *("small-constrained", value, 5.0),
    )
    assert isinstance(changed.migration_limit, float)


def test_an_option_that_cannot_be_null_is_refused(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(TEXT.replace("goal: GOAL", "generator: null"))
    with pytest.raises(ConfigError, match=r"env\.generator=None: must be text"):
        read_experiment(path)


@pytest.mark.parametrize(
    ("instances", "is_path"),
    [
        ("here", True),
        ("cluster.json.gz", True),
        ("../data/set", True),
        ("set/", True),
        ("nowhere", False),
        ("la01..la40", False),
        ("ft06,ft10", False),
    ],
)
def test_instances_that_are_a_path_start_at_the_experiments_file(tmp_path, instances, is_path):
    (tmp_path / "here").mkdir()
    section = Section("s", ["random"], instances=instances)
    found = instances_of(tmp_path / "two.yaml", section)
    assert found == (str((tmp_path / instances).resolve()) if is_path else instances)


def test_a_section_without_instances_has_generated_ones(tmp_path):
    assert instances_of(tmp_path / "two.yaml", Section("s", ["random"])) is None
