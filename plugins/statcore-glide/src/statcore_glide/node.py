"""One server behind a glide client: sends commands in batches, and returns an answer to each, or raises our errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import attrs
from glide import (
    Batch,
    ByAddressRoute,
    ClosingError,
    ClusterBatch,
    ClusterBatchOptions,
    GlideClient,
    GlideClusterClient,
    RandomNode,
    RequestError,
    TEncodable,
)

from statcore import InputError, ProtocolError, StatcoreError
from statcore.concurrency import Deadline
from statcore_glide.error_mapping import from_driver

Command: TypeAlias = tuple[str | bytes | int, ...]
Client: TypeAlias = GlideClient | GlideClusterClient
Words: TypeAlias = list[TEncodable]

_WORDS_PER_BATCH: Final = 1_000
"""How many words are packed for glide between two turns of the event loop: a few milliseconds of work."""


@attrs.frozen(kw_only=True, eq=False)
class GlideNode:
    """A `statcore_valkey.Node` behind a glide client.

    Cancelling a call leaves no answer for another call: glide gives each batch an id, and drops the answer to a batch that
    nobody waits for.

    Args:
        client: the client.
        service: the server's address for messages, without credentials.
        route: the server, if the client is one of a cluster.
        owned: whether the client is closed with the node.
    """

    client: Client = attrs.field(repr=False)
    service: str
    route: ByAddressRoute | RandomNode | None = attrs.field(default=None, repr=False)
    owned: bool = False

    @property
    def is_cluster(self) -> bool:
        """Whether the server is part of a cluster."""
        return isinstance(self.client, GlideClusterClient)

    @property
    def user(self) -> str:
        """The ACL user for messages."""
        credentials = self.client.config.credentials
        return repr((credentials and credentials.username) or "default")

    async def exchange(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        """Send commands and return the undecoded answer to each, as `Node.exchange` does."""
        answers: list[Any] = []
        for part in _parts(commands):
            deadline.waiting_for = f"an answer from {self.service}"
            try:
                found = await self._send(part)
            except (ClosingError, RequestError) as error:
                raise self._failure(error) from None
            if found is None or len(found) != len(part):
                raise ProtocolError(f"{self.service} did not answer each of {len(part)} commands")
            answers += map(self._answer, found)
        return answers

    async def _send(self, commands: Sequence[Words]) -> list[Any] | None:
        batch = ClusterBatch(is_atomic=False) if self.is_cluster else Batch(is_atomic=False)
        for words in commands:
            batch.custom_command(words)
        options = ClusterBatchOptions(route=self.route) if self.is_cluster else None
        client: Any = self.client  # the types of its answers are not complete
        answers: list[Any] | None = await client.exec(batch, raise_on_error=False, options=options)
        return answers

    def _answer(self, answer: object) -> object:
        if isinstance(answer, RequestError):
            failure = self._failure(answer)
            if not self.is_cluster:
                raise failure
            return failure
        return answer.encode() if isinstance(answer, str) else answer  # glide decodes `OK`

    def _failure(self, error: ClosingError | RequestError) -> StatcoreError:
        return from_driver(error, service=self.service, user=self.user, is_cluster=self.is_cluster)

    async def aclose(self) -> None:
        """Close the client if it is owned; closing twice is allowed."""
        if self.owned:
            await self.client.close()


def _parts(commands: Sequence[Command]) -> Iterator[list[Words]]:
    """Yield the commands in parts of about `_WORDS_PER_BATCH` words.

    Raises:
        InputError: a word is not text, or is text that cannot be encoded.
    """
    part: list[Words] = []
    count = 0
    for command in commands:
        part.append([_encoded(word) for word in command])
        count += len(command)
        if count >= _WORDS_PER_BATCH:
            yield part
            part, count = [], 0
    if part:
        yield part


def _encoded(word: object) -> bytes:
    if isinstance(word, bytes):
        return word
    if isinstance(word, int):
        return b"%d" % word
    if not isinstance(word, str):
        raise InputError("an id is not text; expected text for every id")
    try:
        return word.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"an id holds a lone surrogate at position {error.start}: {word!r:.80}") from None
