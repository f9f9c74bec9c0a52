"""Exact."""
from rlsched.envs.vmr.exact_cpsat import solve_aggregated, solve_per_vm
from rlsched.envs.vmr.exact_columns import solve_columns
