"""``python -m rlsched.dispatch``: a real state in, a plan out. Imports neither torch nor ray."""

from __future__ import annotations

from rlsched.config.door import run_door
from rlsched.config.schema import DispatchConfig

EXAMPLES = """
python -m rlsched.dispatch env=vmr input=cluster.json.gz limit=50 out=plan.json
python -m rlsched.dispatch env=vmr policy=policy.onnx input=cluster.json.gz limit=50 budget_s=5
out=plan.json
"""


def dispatch(config: DispatchConfig) -> None:
    """Make the plan, write it and print it in one line."""
    import json
    import os
    from pathlib import Path

    from rlsched.core.errors import CheckpointError, InstanceError
    from rlsched.core.names import split_name
    from rlsched.core.registry import problem
    from rlsched.evaluation.policies import check_policies

    found = problem(config.env.name)
    if not Path(config.input).exists():
        raise InstanceError(f"input '{config.input}': there is no such file.")
    if config.policy is not None:
        check_policies([config.policy], found, config.env)
        base, _ = split_name(config.policy)
        if Path(base).is_dir():
            raise CheckpointError(
                f"policy '{base}' is a checkpoint; dispatch runs without torch. First: "
                f"python -m rlsched.export checkpoint={base} out=policy.onnx"
            )
    plan = found.dispatch(
        config.env, config.policy, config.input, config.limit, config.budget_s, config.seed
    )
    out = Path(config.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    partial.write_text(json.dumps(plan, indent=1) + "\n")
    os.replace(partial, out)
    print(f"{out}: {summary(plan)}")


def summary(plan: dict) -> str:
    """Return a plan in one line: its figures, and the lengths of its lists."""
    parts = []
    for key, value in plan.items():
        if isinstance(value, list):
            parts.append(f"{len(value)} {key}")
        elif isinstance(value, float):
            parts.append(f"{key} {value:.4g}")
        elif value is not None:
            parts.append(f"{key} {value}")
    return ", ".join(parts)


if __name__ == "__main__":
    run_door("dispatch", dispatch, EXAMPLES)
