"""``python -m rlsched.export``: write a checkpoint as ONNX and prove that it decides alike."""

from __future__ import annotations

from rlsched.config.door import run_door
from rlsched.config.schema import ExportConfig

EXAMPLES = "python -m rlsched.export checkpoint=checkpoints/vmr/default out=policy.onnx"
FAILED = 1


def export(config: ExportConfig) -> int:
    """Export, print the parity, and return 0 where it holds, else 1."""
    from importlib.util import find_spec

    from rlsched.core.errors import MissingExtra

    for package, extra in (("torch", "train"), ("onnx", "export"), ("onnxruntime", "export")):
        if find_spec(package) is None:
            raise MissingExtra(package, extra)
    from rlsched.agents import export as exporter

    parity = exporter.export(config.checkpoint, config.out)
    columns = (parity.sizes, parity.logit_difference, parity.choices, parity.different_choices)
    for size, difference, choices, different in zip(*columns, strict=True):
        print(
            f"{size} choices: largest logit difference {difference:.2e}; "
            f"{choices - different} of {choices} choices of whole episodes are the same"
        )
    verdict = "holds" if parity.holds else f"FAILS (tolerance {exporter.TOLERANCE:g})"
    print(f"{config.out}: parity {verdict}")
    return 0 if parity.holds else FAILED


if __name__ == "__main__":
    run_door("export", export, EXAMPLES)
