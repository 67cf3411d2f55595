"""Which servers own which keys: addresses, shards and slots. This module does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, NamedTuple, Self, cast

import attrs
from redis.crc import key_slot

from statcore.errors import ProtocolError

SLOTS: Final = 16_384
_MAX_PORT: Final = 65_535
_DOWN: Final = frozenset({b"s_down", b"o_down", b"disconnected"})
_RANGE_PARTS: Final = 3
"""The first slot, the last slot, and the primary."""


class Address(NamedTuple):
    """Where a server listens: a host, or the path of a unix socket with port 0."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return `host:port`, with brackets around an IPv6 address, or the path."""
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen
class Shard:
    """A primary, which owns keys, and its replicas."""

    primary: Address
    replicas: tuple[Address, ...] = attrs.field(default=(), kw_only=True)


@attrs.frozen
class SlotMap:
    """The owner of each slot at one time.

    Args:
        ranges: the first and the last slot of each range, and the shard that owns it, in order.
        epoch: how many fail-overs the sentinel knew; 0 in a cluster.
    """

    ranges: tuple[tuple[int, int, Shard], ...]
    epoch: int = attrs.field(default=0, kw_only=True)

    @cached_property
    def owners(self) -> tuple[Shard | None, ...]:
        """The shard of each of the `SLOTS` slots; None for a slot without an owner. Equal shards are one object."""
        shards: dict[Shard, Shard] = {}
        owners: list[Shard | None] = [None] * SLOTS
        for first, last, shard in self.ranges:
            owners[first : last + 1] = [shards.setdefault(shard, shard)] * (last + 1 - first)
        return tuple(owners)

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """Every shard once, in the order of their first slots."""
        return tuple(dict.fromkeys(shard for _, _, shard in self.ranges))

    @cached_property
    def only(self) -> Shard | None:
        """The shard that owns all slots, or None if there are several owners, or slots without an owner."""
        shards = self.shards
        return shards[0] if len(shards) == 1 and not self.unowned else None

    @cached_property
    def addresses(self) -> frozenset[Address]:
        """The addresses of all servers."""
        return frozenset(address for shard in self.shards for address in (shard.primary, *shard.replicas))

    @property
    def followed(self) -> dict[Address, Address]:
        """The primary of each replica."""
        return {replica: shard.primary for shard in self.shards for replica in shard.replicas}

    @property
    def unowned(self) -> int:
        """How many slots have no owner."""
        return SLOTS - sum(last + 1 - first for first, last, _ in self.ranges)

    @classmethod
    def of_one(cls, shard: Shard, /, *, epoch: int = 0) -> Self:
        """Return the map of servers that are not a cluster: one shard owns every key."""
        return cls(((0, SLOTS - 1, shard),), epoch=epoch)

    @classmethod
    def parse(cls, answer: object, /, *, host: str) -> Self:
        """Return the map in an answer to `CLUSTER SLOTS`.

        Args:
            answer: the undecoded answer.
            host: the host of the server that answered; it takes the place of an empty host.

        Raises:
            ProtocolError: the answer has another form, or two shards own one slot.
        """
        ranges: list[tuple[int, int, Shard]] = []
        for part in _list(answer, 0):
            first, last, primary, *replicas = _list(part, _RANGE_PARTS)
            if not (_is_whole(first, SLOTS - 1) and _is_whole(last, SLOTS - 1) and first <= last):
                raise _fault(f"slots from 0 to {SLOTS - 1}")
            found = _address(primary, host)
            if found is None:
                continue  # the owner is known, but its address is not: these slots have no owner that can be reached
            known = (_address(replica, host) for replica in replicas)
            ranges.append((first, last, Shard(found, replicas=tuple(address for address in known if address is not None))))
        ranges.sort(key=lambda part: part[:2])
        if any(last >= after for (_, last, _), (after, _, _) in pairwise(ranges)):
            raise _fault("one owner of a slot")
        return cls(tuple(ranges))

    @classmethod
    def parse_sentinel(cls, address: object, master: object, replicas: object) -> Self:
        """Return the map in a sentinel's undecoded answers about a master.

        Args:
            address: the answer to `SENTINEL GET-MASTER-ADDR-BY-NAME`; in a fail-over, the address of the next master.
            master: the answer to `SENTINEL MASTER`.
            replicas: the answer to `SENTINEL REPLICAS`; replicas that are down are left out.

        Raises:
            ProtocolError: an answer has another form.
        """
        try:
            host, port = cast("list[bytes]", address)
            primary = Address(host.decode(), int(port))
            fields = _fields(cast("list[bytes]", master))
            epoch = int(fields[b"config-epoch"])
            up = [of for of in map(_fields, cast("list[Any]", replicas)) if _DOWN.isdisjoint(of[b"flags"].split(b","))]
            others = [Address(of[b"ip"].decode(), int(of[b"port"])) for of in up]
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ProtocolError("a sentinel's answers have another form than the address and fields of a master") from None
        # In a fail-over the next master is still among the replicas.
        others = [other for other in others if other != primary]
        return cls.of_one(Shard(primary, replicas=tuple(others)), epoch=epoch)

    def owner(self, key: str) -> Shard | None:
        """Return the shard that owns a key, or None if its slot has no owner.

        Raises:
            UnicodeEncodeError, AttributeError: the key is not text that can be encoded.
        """
        return self.owners[key_slot(key.encode())]


def _list(value: object, least: int) -> list[Any]:
    items = cast("list[Any]", cast("Any", value))
    if not isinstance(value, list) or len(items) < least:
        raise _fault(f"a list of at least {least} items")
    return items


def _address(value: object, host: str) -> Address | None:
    name, port = _list(value, 2)[:2]
    if not _is_whole(port, _MAX_PORT) or not (name is None or isinstance(name, bytes)):
        raise _fault("a host and a port")
    try:
        text = (name or b"").decode()
    except UnicodeDecodeError:
        raise _fault("a host in one word") from None
    if text and not (text.isprintable() and " " not in text):
        raise _fault("a host in one word")
    return None if text == "?" or not port else Address(text or host, port)


def _is_whole(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _fault(expected: str) -> ProtocolError:
    return ProtocolError(f"the answer to CLUSTER SLOTS has not the form of the command: expected {expected}")


def _fields(answer: list[bytes]) -> dict[bytes, bytes]:
    """Return what a sentinel tells about a server: names and values in turn."""
    return dict(zip(answer[::2], answer[1::2], strict=True))


def slot_ranges(slots: Sequence[int]) -> str:
    """Return slots as ranges, such as "0-5460, 5462"."""
    ranges: list[list[int]] = []
    for slot in slots:
        if ranges and ranges[-1][1] == slot - 1:
            ranges[-1][1] = slot
        else:
            ranges.append([slot, slot])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
