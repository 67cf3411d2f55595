"""Live statistics in Valkey or Redis. Names are loaded on first use, so that discovering the plugin imports no driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statcore.imports import on_demand

if TYPE_CHECKING:
    from statcore_valkey.discovery import Discovery
    from statcore_valkey.error_mapping import RedirectError, WrongTypeError, error_from_reply
    from statcore_valkey.keyspace import Keyspace
    from statcore_valkey.node import Node
    from statcore_valkey.options import ValkeyOptions
    from statcore_valkey.server import ServerUrl
    from statcore_valkey.sink import ValkeyStatisticsSink
    from statcore_valkey.slot_map import Address, Shard, SlotMap
    from statcore_valkey.statistics import ValkeyStatistics
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            "discovery": "Discovery",
            "error_mapping": "RedirectError WrongTypeError error_from_reply",
            "keyspace": "Keyspace",
            "node": "Node",
            "options": "ValkeyOptions",
            "server": "ServerUrl",
            "sink": "ValkeyStatisticsSink",
            "slot_map": "Address Shard SlotMap",
            "statistics": "ValkeyStatistics",
        },
    )

__all__ = [
    "Address",
    "Discovery",
    "Keyspace",
    "Node",
    "RedirectError",
    "ServerUrl",
    "Shard",
    "SlotMap",
    "ValkeyOptions",
    "ValkeyStatistics",
    "ValkeyStatisticsSink",
    "WrongTypeError",
    "error_from_reply",
]
