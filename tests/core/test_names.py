"""Facts about the names of policies: a base, and suffixes from left to right."""

import pytest

from rlsched.core.errors import ConfigError, UnknownName
from rlsched.core.names import make_policy, split_name, with_suffixes
from rlsched.core.policy import Guide


class Rule(Guide):
    """Scores nothing: only its name counts here."""

    def __init__(self, name="rule"):
        self.name = name

    def scores(self, sim):
        raise NotImplementedError


def own(policy, suffix):
    """Read ``plus_<text>`` as the environment's own."""
    return Rule(f"{policy.name}+{suffix[5:]}") if suffix.startswith("plus_") else None


@pytest.mark.parametrize(
    ("name", "base", "suffixes"),
    [
        ("ha", "ha", ()),
        ("mwkr:wip_5", "mwkr", ("wip_5",)),
        ("mwkr:wip_5:best_of_16", "mwkr", ("wip_5", "best_of_16")),
        ("checkpoints/x:pilot_2s", "checkpoints/x", ("pilot_2s",)),
        ("runs/09:30:00/best:beam_8", "runs/09:30:00/best", ("beam_8",)),
        ("a/policy.onnx", "a/policy.onnx", ()),
        ("ha:", "ha", ("",)),
    ],
)
def test_names_are_split_at_colons_after_the_last_slash(name, base, suffixes):
    assert split_name(name) == (base, suffixes)


def test_suffixes_work_from_left_to_right_and_the_environments_own_come_first():
    made = with_suffixes(Rule(), ("plus_a", "plus_b", "best_of_8"), seed=3, own=own)
    assert (made.name, made.guide.name, made.seed) == ("rule+a+b:best_of_8", "rule+a+b", 3)


def test_a_suffix_that_nobody_reads_is_refused_with_all_that_is_allowed():
    with pytest.raises(ConfigError, match=r"'minus_a' .* best_of_<K>.*; plus_<text>\.$"):
        with_suffixes(Rule(), ("plus_a", "minus_a"), own=own, others=("plus_<text>",))


def test_a_search_cannot_guide_another():
    with pytest.raises(ConfigError, match="'rule:beam_8' scores no choices"):
        with_suffixes(Rule(), ("beam_8", "best_of_2"))


def test_a_name_without_torch_is_a_rule_or_an_onnx_file():
    rules = {"rule": lambda config: Rule(config)}
    assert make_policy("rule:plus_a:lns_2", rules, "r", own=own).name == "r+a:lns_2"
    with pytest.raises(UnknownName, match=r"'rul'. Did you mean 'rule'\? Known: <file>.onnx, rule"):
        make_policy("rul:beam_2", rules, "r")
