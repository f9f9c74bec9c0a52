"""An exported policy, run by onnxruntime; torch is not needed.

The file's inputs are the observation's arrays as the graph declares them
(``GraphSpec.input_names``), raw and batch first; its outputs are ``logits`` (B, A) float32, masked
choices very low, and ``value`` (B,) float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlsched.core.errors import CheckpointError, MissingExtra
from rlsched.core.graph import GraphSpec
from rlsched.core.lanes import num_threads
from rlsched.core.policy import Guide
from rlsched.core.simulator import Simulator, host

GRAPH_KEY, VERSION_KEY = "rlsched_graph", "rlsched_version"
"""Metadata: the graph's declaration as JSON, and the version of rlsched that wrote the file."""
OUTPUTS = ("logits", "value")
MAX_BYTES = 512 * 2**20


class OnnxPolicy(Guide):
    """A policy from an ``.onnx`` file that ``python -m rlsched.export`` wrote.

    Args:
        path: the file.
        threads: CPU threads of one evaluation; None = as many as the lanes use.

    Attributes:
        version: version of rlsched that wrote it.

    Raises:
        CheckpointError: the file is missing, too large, corrupted, or not a policy of rlsched.
        MissingExtra: onnxruntime is not installed.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.path, self.name = Path(path), Path(path).stem
        self._session = _open(self.path, threads or num_threads())
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._graph, self.version = metadata.get(GRAPH_KEY, ""), metadata.get(VERSION_KEY, "")
        self._inputs = self._check_signature()
        self._value: NDArray[np.float64] | None = None
        self._checked = ""

    def scores(self, sim: Simulator) -> NDArray[np.float32]:
        """Return (B, A) float32 log probabilities; masked choices are -inf.

        Raises:
            CheckpointError: the policy was made for another environment or version of its graph.
        """
        if sim.graph.digest != self._checked:
            sim.graph.check_schema(self._graph, f"'{self.path}'")
            self._checked = sim.graph.digest
        observation = sim.observation()
        feed = {name: np.ascontiguousarray(host(observation[name])) for name in self._inputs}
        logits, value = self._session.run(list(OUTPUTS), feed)
        self._value = value.astype(np.float64)
        mask = host(sim.action_mask)
        logits = np.where(mask, logits, -np.inf)
        high = np.where(mask.any(axis=1, keepdims=True), logits.max(axis=1, keepdims=True), 0)
        total = np.exp(logits - high).sum(axis=1, keepdims=True)
        return (logits - high - np.log(np.maximum(total, 1e-30))).astype(np.float32)

    @property
    def last_value(self) -> NDArray[np.float64] | None:
        """(B,) value of the states last scored: the expected sum of rewards from there."""
        return self._value

    def _check_signature(self) -> tuple[str, ...]:
        session = self._session
        inputs = tuple(i.name for i in session.get_inputs())
        outputs = {o.name for o in session.get_outputs()}
        try:
            known = set(GraphSpec.from_json(self._graph).input_names)
        except (ValueError, KeyError, TypeError):
            raise CheckpointError(
                f"'{self.path}' is an ONNX model but no policy of rlsched: its metadata lack "
                f"a readable {GRAPH_KEY!r}. Write one with python -m rlsched.export."
            ) from None
        if not set(inputs) <= known or not outputs >= set(OUTPUTS):
            raise CheckpointError(
                f"'{self.path}': inputs {sorted(inputs)} and outputs {sorted(outputs)}; expected "
                f"inputs among {sorted(known)} and outputs {sorted(OUTPUTS)}. Export it again."
            )
        return inputs


def _open(path: Path, threads: int) -> Any:
    try:
        import onnxruntime as ort
    except ImportError:
        raise MissingExtra("onnxruntime", "export") from None
    if not path.is_file():
        raise CheckpointError(
            f"'{path}': there is no such file; python -m rlsched.export writes one."
        )
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES:
        raise CheckpointError(f"'{path}': {size} bytes; allowed: 1 to {MAX_BYTES}.")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # errors are raised; warnings are about the exporter's habits
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # From bytes, so that a model cannot make onnxruntime read other files as its weights.
        return ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many types without a common base
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(
            f"'{path}': onnxruntime cannot read it ({first}); it is corrupted or no ONNX file. "
            "Export it again."
        ) from error
