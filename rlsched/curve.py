"""``python -m rlsched.curve``: the training curve of one or several runs, as table and picture."""

from __future__ import annotations

from rlsched.config.door import run_door
from rlsched.config.schema import CurveConfig

EXAMPLES = """
python -m rlsched.curve runs=[runs/first] out=runs/first
python -m rlsched.curve runs=[runs/first/curve.csv,runs/more] out=runs/more
"""


def curve(config: CurveConfig) -> None:
    """Write ``curve.csv`` and ``curve.png``."""
    from rlsched.evaluation.curve import CURVE, PICTURE, save_curve

    save_curve(config.runs, config.out)
    print(f"{config.out}: {CURVE}, {PICTURE}")


if __name__ == "__main__":
    run_door("curve", curve, EXAMPLES)
