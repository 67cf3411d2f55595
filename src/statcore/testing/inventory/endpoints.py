"""Endpoints with their replicas; an inventory that does not know them raises `UnsupportedError`."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import attrs

from statcore.errors import UnsupportedError
from statcore.model.inventory import EndpointRecord
from statcore.ports.inventory import InventoryPort
from statcore.testing.expectations import expect, expect_error
from statcore.testing.inventory.dataset import InventoryDataset, planted_id


def _sorted(endpoints: Sequence[EndpointRecord]) -> list[EndpointRecord]:
    by_replica, by_endpoint = attrgetter("replica_id"), attrgetter("endpoint_id")
    inside = [attrs.evolve(endpoint, replicas=tuple(sorted(endpoint.replicas, key=by_replica))) for endpoint in endpoints]
    return sorted(inside, key=by_endpoint)


async def check_endpoints_are_all_listed_or_unsupported(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """Each endpoint is listed once, with its owners and all of its replicas; or both methods raise `UnsupportedError`."""
    try:
        page = await inventory.list_endpoints()
    except UnsupportedError:
        with expect_error(UnsupportedError, about="a page of endpoints where they are unsupported"):
            await inventory.list_endpoints(limit=5, offset=5)
        with expect_error(UnsupportedError, about="finding an endpoint where they are unsupported"):
            await inventory.find_endpoints([planted.endpoints[0].endpoint_id])
        return
    expect(len(planted.endpoints), len(page.items), "the number of endpoints")
    for expected, found in zip(_sorted(planted.endpoints), _sorted(page.items), strict=True):
        expect(expected, found, "an endpoint")


async def check_endpoints_are_found_in_the_order_asked(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """The answer has the endpoint of each id in the order of the ids, which may recur, and None for an unknown id."""
    try:
        listed = (await inventory.list_endpoints()).items
    except UnsupportedError:
        return  # the check above covers such an inventory
    by_id = {endpoint.endpoint_id: endpoint for endpoint in listed}
    known = [endpoint.endpoint_id for endpoint in planted.endpoints]
    ids = [*known[::-1], planted_id("nothing", 1), known[2], known[0], known[2], planted.sessions[0].session_id] * 10
    found = await inventory.find_endpoints(ids)
    expect([by_id.get(endpoint_id) for endpoint_id in ids], list(found), "the endpoints found, as they are listed")
    expect([], list(await inventory.find_endpoints([])), "the endpoints of no ids")
