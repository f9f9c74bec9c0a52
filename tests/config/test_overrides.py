"""A wrong command line is refused with what is allowed; a right one is the door's dataclass."""

import dataclasses
import math
import re

import pytest
from omegaconf import OmegaConf

from rlsched.config import groups
from rlsched.config.compose import DOORS, compose_config, resumed
from rlsched.config.help import field_docs, help_text
from rlsched.config.overrides import check_overrides
from rlsched.config.schema import AgentConfig, RayConfig, TrainConfig
from rlsched.core.errors import ConfigError, UnknownName
from rlsched.core.registry import MODULES
from rlsched.train import save_config


@pytest.mark.parametrize(
    ("override", "error", "text"),
    [
        ("env=vmrr", UnknownName, "Unknown env 'vmrr'. Did you mean 'vmr'?"),
        ("trainer=ppo2", UnknownName, "Known: reference, rllib, sb3."),
        ("agent=smal", UnknownName, "Did you mean 'small'?"),
        ("trainer.lrr=1", UnknownName, "Unknown key 'trainer.lrr'. Did you mean 'trainer.lr'?"),
        ("trian.lr=1", UnknownName, "Did you mean 'trainer'?"),
        ("sed=1", UnknownName, "Did you mean 'seed'?"),
        ("env.objectiv=fr16", UnknownName, "Did you mean 'env.objective'?"),
        ("trainer.lr=fast", ConfigError, "trainer.lr=fast: must be a number."),
        ("trainer.num_envs=1.5", ConfigError, "trainer.num_envs=1.5: must be an integer."),
        ("env.merge_clusters=7x", ConfigError, "env.merge_clusters=7x: must be true or false."),
        ("trainer.num_envs=0", ConfigError, "trainer.num_envs=0; must be >= 1."),
        ("trainer.gamma=1.5", ConfigError, "trainer.gamma=1.5; must be in [0, 1]."),
        ("seed=-1", ConfigError, "seed=-1; must be >= 0."),
        ("device=gpu", UnknownName, "Did you mean 'cpu'? Known: auto, cpu, cuda."),
        ("seed", ConfigError, "'seed' is not key=value. Did you mean 'seed=...'?"),
        ("--seed", ConfigError, "Did you mean 'seed=...'?"),
        ("seed=1,2", ConfigError, "several values need --multirun"),
        ("+trainer.lr=1", ConfigError, "every key exists already"),
        ("ray=auto", ConfigError, "sets a whole group; set one of its keys: ray.address."),
        ("out=a=b", ConfigError, "quote the value: \"out='a=b'\""),
    ],
)
def test_what_is_wrong_is_refused_with_what_is_allowed(override, error, text):
    overrides = [override] if override.startswith("env=") else ["env=vmr", override]
    with pytest.raises(error, match=re.escape(text)) as caught:
        check_overrides(TrainConfig, overrides)
    assert "\n" not in str(caught.value)


def test_every_value_of_a_sweep_is_checked():
    check_overrides(TrainConfig, ["env=vmr", "trainer=sb3,rllib", "seed=range(3)"], sweeps=True)
    with pytest.raises(ConfigError, match=r"trainer.lr=x"):
        check_overrides(TrainConfig, ["env=vmr", "trainer.lr=0.1,x"], sweeps=True)
    with pytest.raises(UnknownName, match="sb4"):
        check_overrides(TrainConfig, ["env=vmr", "trainer=sb3,sb4"], sweeps=True)


def test_options_of_an_environment_go_with_a_sweep_over_its_variants():
    sweep = ["env=vmr,vmr_constrained", "env.goal=0.3"]
    check_overrides(TrainConfig, sweep, sweeps=True)
    with pytest.raises(UnknownName, match=r"env\.gaol"):
        check_overrides(TrainConfig, [sweep[0], "env.gaol=0.3"], sweeps=True)


def test_the_environment_is_required():
    with pytest.raises(ConfigError, match=r"env= is missing\. Known: .*vmr"):
        compose_config("train", [])


def test_a_required_key_that_is_missing_is_named():
    with pytest.raises(ConfigError, match="checkpoint= is missing"):
        compose_config("export", [])
    with pytest.raises(ConfigError, match="input= is missing"):
        compose_config("dispatch", ["env=vmr"])


def test_variants_and_values_reach_the_dataclass():
    config = compose_config(
        "train",
        [
            "env=vmr_constrained",
            "trainer=sb3",
            "agent=small",
            "trainer.lr=1e-3",
            "ray.address=auto",
            "env.objective=0.7*fr16+0.3*fr64d",
            "env.goal=0.3",
            "sweep=tune",
        ],
    )
    assert isinstance(config, TrainConfig)
    assert (config.env.name, config.env.generator) == ("vmr", "small-constrained")
    assert (config.env.objective, config.env.goal) == ("0.7*fr16+0.3*fr64d", 0.3)
    assert (config.trainer.name, config.trainer.lr) == ("sb3", 1e-3)
    assert config.agent.hidden == 32
    assert config.ray == RayConfig("auto")
    assert "trainer.lr" in config.sweep.space


def test_a_space_on_the_command_line_replaces_the_default():
    config = compose_config(
        "train", ["env=vmr", "sweep=tune", "sweep.space={trainer.lr:[1e-4,1e-3]}"]
    )
    assert config.sweep.space == {"trainer.lr": [1e-4, 1e-3]}


def test_yaml_and_dataclass_agree_on_the_defaults():
    config = compose_config("train", ["env=vmr"])
    assert config.env == type(config.env)()
    assert config.trainer == type(config.trainer)()
    assert config.agent == AgentConfig()


def test_lists_of_policies_keep_paths_and_searches():
    config = compose_config(
        "evaluate",
        ["env=vmr", "policies=[random,mwkr:wip_5:best_of_16,checkpoints/vmr/default:beam_0.5s]"],
    )
    assert config.policies == [
        *("random", "mwkr:wip_5:best_of_16", "checkpoints/vmr/default:beam_0.5s")
    ]


def test_every_environment_has_a_variant_of_its_name():
    assert {name: groups.env_name(name) for name in MODULES} == {name: name for name in MODULES}


def test_a_variant_belongs_to_the_environment_that_its_defaults_lead_to():
    found = {option: groups.env_name(option) for option in groups.options("env")}
    assert set(found.values()) == set(MODULES)
    shops = {option for option, env in found.items() if env == "jobshop"}
    assert shops == {"jobshop", "bjssp", "isbjssp", "jssp", "fjsp"}


@pytest.mark.parametrize(
    ("option", "changes"),
    [
        ("jobshop", {}),
        ("bjssp", {"buffer": 0.0, "swap": "auto"}),
        ("isbjssp", {"buffer": 0.0, "swap": "auto", "interruption": "start:0.1"}),
        ("jssp", {"buffer": math.inf}),
        ("fjsp", {"buffer": math.inf, "generator": "flexible-10x5"}),
    ],
)
def test_variants_of_the_job_shop_change_what_their_names_say(option, changes):
    pytest.importorskip(MODULES["jobshop"], exc_type=ModuleNotFoundError)
    env = compose_config("train", [f"env={option}"]).env
    assert env == type(env)(**changes)
    assert env.name == "jobshop"
    changed = compose_config("train", [f"env={option}", "env.buffer=2", "env.swap=off"]).env
    assert (changed.buffer, changed.swap) == (2.0, "off")


def test_a_number_may_be_infinite_and_stays_so_when_a_run_is_gone_on_with(tmp_path):
    config = run_of(tmp_path, "env.goal=inf")
    assert config.env.goal == math.inf
    assert "goal: .inf" in (tmp_path / "config.yaml").read_text()
    assert resumed(str(tmp_path), []).env.goal == math.inf
    assert resumed(str(tmp_path), ["env.goal=0.5"]).env.goal == 0.5
    run_of(tmp_path, "env.goal=0.5")
    assert resumed(str(tmp_path), ["env.goal=inf"]).env.goal == math.inf


@pytest.mark.parametrize("door", DOORS)
def test_every_key_is_documented_in_help(door):
    schemas = [
        DOORS[door],
        *filter(dataclasses.is_dataclass, groups.field_types(DOORS[door]).values()),
    ]
    text = help_text(door, DOORS[door], ["env=vmr"])
    for schema in schemas:
        docs = field_docs(schema)
        for name in groups.field_types(schema):
            assert docs.get(name), f"{schema.__name__}.{name} has no description"
    if "env" in groups.field_types(DOORS[door]):
        assert "env.migration_limit=" in text


def run_of(tmp_path, *overrides):
    config = compose_config("train", ["env=vmr", f"out='{tmp_path}'", *overrides])
    save_config(config, tmp_path)
    return config


def test_a_run_is_gone_on_with_under_its_own_config(tmp_path):
    config = run_of(tmp_path, "trainer=sb3", "trainer.lr=0.01", "env.objective=fr32", "sweep=tune")
    again = resumed(str(tmp_path), ["trainer.total_steps=7", "env=vmr", "trainer=sb3"])
    assert again.resume == str(tmp_path)
    assert again.trainer == dataclasses.replace(config.trainer, total_steps=7)
    assert (again.env, again.sweep, again.out) == (config.env, config.sweep, str(tmp_path))
    changed = resumed(str(tmp_path), ["env.reward=off", "env.goal=null", "device=cpu"])
    assert (changed.env.reward, changed.env.goal, changed.device) == ("off", None, "cpu")


def test_a_run_is_not_gone_on_with_as_another(tmp_path):
    run_of(tmp_path)
    with pytest.raises(ConfigError, match=r"trainer=sb3: the run of .* has trainer=rllib"):
        resumed(str(tmp_path), ["trainer=sb3"])


def test_a_run_is_gone_on_with_as_the_variant_it_began_as(tmp_path):
    config = compose_config("train", ["env=vmr_constrained", f"out='{tmp_path}'"])
    save_config(config, tmp_path)
    assert resumed(str(tmp_path), ["env=vmr_constrained"]).env == config.env
    assert resumed(str(tmp_path), ["env=vmr"]).env == config.env
    run_of(tmp_path, "env.generator=large")
    with pytest.raises(ConfigError, match=r"env=vmr_constrained: the run .* has other options"):
        resumed(str(tmp_path), ["env=vmr_constrained"])
    again = resumed(str(tmp_path), ["env=vmr_constrained", "env.generator=medium"])
    assert again.env.generator == "medium"
    for option, error in (("jobshop", ConfigError), ("vmrr", UnknownName)):
        with pytest.raises(error, match=option):
            resumed(str(tmp_path), [f"env={option}"])


def test_resume_refuses_what_is_no_run(tmp_path):
    with pytest.raises(ConfigError, match="name the folder of a run"):
        resumed(str(tmp_path / "nowhere"), [])
    OmegaConf.save({"env": {"name": "vmr"}, "trainer": {"lrate": 1}}, tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="lrate"):
        resumed(str(tmp_path), [])
