"""Facts about errors: what was given, what is allowed, the next move."""

from __future__ import annotations

import gymnasium
import pytest

import rlsched
from rlsched.core.errors import MissingExtra, RlschedError, UnknownName
from rlsched.core.registry import GYM_IDS, MODULES, problem


def test_an_unknown_name_suggests_the_nearest_and_lists_all():
    error = UnknownName("env", "vmrr", ["vmr", "jobshop"])
    assert str(error) == "Unknown env 'vmrr'. Did you mean 'vmr'? Known: jobshop, vmr."


def test_a_name_unlike_any_other_gets_no_suggestion():
    error = UnknownName("rule", "zzz", ["potential"])
    assert str(error) == "Unknown rule 'zzz'. Known: potential."


def test_a_missing_extra_says_what_to_install():
    error = MissingExtra("onnxruntime", "export")
    assert str(error) == "onnxruntime is not installed; run: pip install 'rlsched[export]'."
    assert isinstance(error, RlschedError)


def test_an_unknown_env_and_an_unknown_option_are_refused():
    with pytest.raises(UnknownName, match=r"Unknown env 'vrm'\. Did you mean 'vmr'\?"):
        rlsched.make("vrm")
    with pytest.raises(
        UnknownName, match=r"Unknown option of 'vmr' 'objectiv'\. Did you mean 'obj"
    ):
        rlsched.make("vmr", objectiv="fr16")


@pytest.mark.parametrize("name", MODULES)
def test_every_registered_problem_describes_itself(name):
    pytest.importorskip(MODULES[name], exc_type=ModuleNotFoundError)
    found = problem(name)
    assert (found.name, found.gym_id) == (name, GYM_IDS[name])
    assert gymnasium.spec(found.gym_id).kwargs == {"env": name}
    assert set(found.default_policies(found.config())) <= set(found.rules)
