"""VM rescheduling (VMR): fewer fragments by a limited number of live migrations; see card.md."""

from rlsched.envs.vmr.instances import Cluster, Migration, generate_cluster, load_instances
from rlsched.envs.vmr.simulator import VMRSimulator

__all__ = ["Cluster", "Migration", "VMRSimulator", "generate_cluster", "load_instances"]
