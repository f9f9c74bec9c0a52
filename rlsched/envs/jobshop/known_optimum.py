"""Shops whose best makespan is known: a schedule without idle time, taken apart."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from rlsched.envs.jobshop.files import Route
from rlsched.envs.jobshop.shop import Shop

OPTIMUM = "-optimum-"
"""Ends a shop's name, before its best makespan."""


def known_optimum(shop: Shop) -> int | None:
    """Return the best makespan in the classic problem, None if it was not built in.

    A shop of kind ``known_optimum`` is a schedule taken apart. It had no idle time on any machine
    (with fewer jobs than machines: in any job), so none is shorter. The makespan is read off the
    shop's name and believed only where it equals that bound. Without buffers it may be longer.
    """
    found = re.fullmatch(rf".*{OPTIMUM}(\d{{1,9}})", shop.name)
    is_classic = not (shop.is_flexible or shop.release.any() or len(shop.windows) or shop.floor)
    if not found or not is_classic:
        return None
    load = np.bincount(shop.alt_machine, weights=shop.alt_time)
    work = np.bincount(shop.op_job, weights=shop.alt_time)
    optimum = int(found[1])
    return optimum if optimum == max(load.max(), work.max()) else None


def tiled_jobs(
    rng: np.random.Generator, num_jobs: int, num_machines: int, times: tuple[int, int]
) -> list[Route]:
    """Cut every machine's time line into one piece per job, such that no job is in two places.

    Of jobs and machines the fewer are servers, busy throughout; the others customers, each served
    once by each server. In as many slots of random length as there are customers it is drawn who
    is served by whom; then each server moves the borders between its slots, a customer's next
    server never before the one it comes from.
    """
    low, high = times
    reach = (high - low) // 8
    rounds = _rounds(rng, min(num_jobs, num_machines), max(num_jobs, num_machines))
    slots = rng.integers(low + 2 * reach, high - 2 * reach, size=len(rounds), endpoint=True)
    borders = np.tile(np.append(0, slots.cumsum())[:, None], len(rounds[0]))
    for s in range(1, len(rounds)):
        borders[s] += _moves(rng, rounds[s - 1], rounds[s], reach)
    jobs: list[Route] = [[] for _ in range(num_jobs)]
    for s, served in enumerate(rounds):
        for server, customer in enumerate(served):
            job, machine = (customer, server) if num_jobs >= num_machines else (server, customer)
            jobs[job].append([(machine, int(borders[s + 1, server] - borders[s, server]))])
    return jobs


def _rounds(rng: np.random.Generator, num_servers: int, num_customers: int) -> list[list[int]]:
    """Return whom each server serves in each of ``num_customers`` rounds: a random Latin rectangle.

    Each round takes out a matching of all servers, and of the customers who have no round to spare:
    there is one, as no customer has more servers left than rounds (König's edge colouring).
    """
    left = np.ones((num_servers, num_customers), bool)
    rounds = []
    for num_left in range(num_customers, 0, -1):
        match: dict[int, int] = {}
        tight = np.flatnonzero(left.sum(axis=0) == num_left)
        for customer in rng.permutation(tight).tolist():
            _augment(rng, left.T, customer, match, set())
        server_of = {customer: server for server, customer in match.items()}
        for server in rng.permutation(num_servers).tolist():
            if server not in match:
                _augment(rng, left, server, server_of, set())
                match = {server: customer for customer, server in server_of.items()}
        rounds.append([match[server] for server in range(num_servers)])
        left[np.arange(num_servers), rounds[-1]] = False
    return rounds


def _augment(
    rng: np.random.Generator, edges: NDArray, node: int, match: dict[int, int], seen: set[int]
) -> bool:
    """Match a node, moving others to another partner where needed; ``match``: partner -> node."""
    for partner in rng.permutation(np.flatnonzero(edges[node])).tolist():
        if partner not in seen:
            seen.add(partner)
            if partner not in match or _augment(rng, edges, match[partner], match, seen):
                match[partner] = node
                return True
    return False


def _moves(
    rng: np.random.Generator, served: list[int], next_served: list[int], reach: int
) -> NDArray:
    """Return by how much each server moves the border between two rounds, -reach to reach.

    A customer that goes from one server straight to another needs the first border not after the
    second: along a chain of such steps moves ascend, in a ring they are equal.
    """
    next_server = {customer: server for server, customer in enumerate(next_served)}
    step = {server: next_server.get(customer, -1) for server, customer in enumerate(served)}
    moves = np.zeros(len(served), np.int64)
    free = set(step)
    for first in sorted(set(step) - set(step.values())):
        chain = [first]
        while step[chain[-1]] >= 0:
            chain.append(step[chain[-1]])
        moves[chain] = np.sort(rng.integers(-reach, reach, size=len(chain), endpoint=True))
        free -= set(chain)
    while free:
        ring = [min(free)]
        while step[ring[-1]] != ring[0]:
            ring.append(step[ring[-1]])
        moves[ring] = rng.integers(-reach, reach, endpoint=True)
        free -= set(ring)
    return moves
