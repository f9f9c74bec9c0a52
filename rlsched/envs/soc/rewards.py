"""Rewards: what a step earned on the way, and what its state promises.

``bound`` pays minus the growth of the jobs' earliest ends, so an episode sums to minus the ticks by
which its jobs exceeded their critical paths. Sources of the published ones: DeepSoCS (``duration``,
``makespan``), SoCRATES (``completion``). Each may have the energy spent taken off.
"""

from __future__ import annotations

from rlsched.core.lanes import helper
from rlsched.envs.soc.outlook import look_ahead
from rlsched.envs.soc.state import REWARD_BOUND, State, Workloads


@helper
def pay(lane: int, c: Workloads, s: State) -> None:
    """Set the reward of a step."""
    now = potential(lane, c, s)
    s.reward[lane] = s.earned[lane] + now - s.paid[lane]
    s.paid[lane], s.earned[lane] = now, 0.0


@helper
def potential(lane: int, c: Workloads, s: State) -> float:
    """Return minus what is spent, and minus the excess that the jobs in the system will have.

    That is by how much they will exceed their critical paths.
    """
    i, energy, excess = s.instance[lane], 0.0, 0
    if c.energy_weight[0] > 0.0:
        energy = s.busy_energy[lane] + s.idle_energy[lane]
        energy *= c.energy_weight[0] / (c.unit[i] * c.full_power[i])
    if c.reward[0] != REWARD_BOUND:
        return -energy
    look_ahead(lane, c, s)
    for q in range(s.slot_job.shape[1]):
        if s.slot_job[lane, q] >= 0:
            path = c.critical_path[i, s.slot_kind[lane, q]]
            excess += s.slot_bound[lane, q] - s.slot_arrival[lane, q] - path
    return -energy - excess / c.unit[i]
