"""RewardSpec: progress times soft factors, minus hard terminations.

``r_t = c * dPhi_t * prod_j p_j,t - sum_k T_k [k fires]``. Phi is the share of the task done; with
``running_max`` only a new best pays, which suits quantities that can be lost and regained (route
progress). Where every choice may undo an earlier one and the final state is what counts, it is off,
and the rewards of an episode sum to ``c * (Phi_T - Phi_0)`` exactly.

Source: the general form of CaRL (Jaeger et al. 2025).
"""

from __future__ import annotations

from dataclasses import dataclass

from rlsched.core.lanes import helper


@dataclass(frozen=True)
class RewardSpec:
    """How an environment's simple reward is made up, for its card and its tests.

    Attributes:
        progress: what Phi is.
        scale: c.
        running_max: only a new best of Phi pays.
        soft: factors in [0, 1] that multiply progress, with their meaning.
        hard: events that end the episode, with the amount T_k each costs.
    """

    progress: str
    scale: float = 1.0
    running_max: bool = True
    soft: tuple[tuple[str, str], ...] = ()
    hard: tuple[tuple[str, float], ...] = ()


@helper
def progress_reward(scale: float, before: float, after: float, soft: float, hard: float) -> float:
    """Return ``scale * (after - before) * soft - hard``."""
    return scale * (after - before) * soft - hard
