"""Job shop: blocking, swaps and interruptions (ISBJSSP), down to the plain one; see card.md."""

from rlsched.envs.jobshop.instances import Shop, generate_shop, load_instances
from rlsched.envs.jobshop.simulator import JobShopSimulator

__all__ = ["JobShopSimulator", "Shop", "generate_shop", "load_instances"]
