"""HTTP sessions of the client and of the host, event loops, and closing."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from tests.faults.fake_prometheus import ANSWER, Begun, Reply, StartFake, never, values, vector
from tests.support.polling import until

from statcore.errors import ClosedError, InputError, ProtocolError, QueryRejectedError, StatcoreError, UnavailableError
from statcore.testing.cancellation import cancel_at_every_step
from statcore.testing.servers import Server
from statcore_prometheus import PrometheusClient, PrometheusOptions
from statcore_prometheus.plugin import open_prometheus


class Pool:
    """A host's pool that closes its session at any time, and makes another on demand."""

    def __init__(self) -> None:
        """Start without a session."""
        self.made: list[aiohttp.ClientSession] = []

    def session(self) -> aiohttp.ClientSession:
        """Return the open session."""
        if not self.made or self.made[-1].closed:
            self.made.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)))
        return self.made[-1]

    async def aclose(self) -> None:
        """Close the open session."""
        await self.made[-1].close()


class TestFactory:
    """A function that returns sessions takes the place of a session."""

    async def test_the_client_lives_on_when_a_pool_closes_its_session(
        self, start_prometheus: Callable[..., Server]
    ) -> None:
        """Requests to a real server go on with the next session; the client closes none of them."""
        pool = Pool()
        client = PrometheusClient(start_prometheus().url, session=pool.session)
        for _ in range(3):
            assert [1.0] == [sample.value for sample in (await client.query("vector(1)")).samples]
            await client.ping()
            await pool.aclose()
        await client.ping()
        await client.aclose()
        assert [True, True, True, False] == [session.closed for session in pool.made]
        await pool.aclose()

    async def test_a_request_is_sent_again_when_its_session_is_closed(
        self, fake_prometheus: StartFake, http_reply: Reply
    ) -> None:
        """The request under way and those that wait for a connection are sent again; none is cancelled."""
        begun = Begun()
        server = await fake_prometheus(begun, http_reply(vector("7")))
        pool = Pool()
        client = PrometheusClient(server.url, session=pool.session)
        queries = [asyncio.create_task(client.query("up")) for _ in range(3)]
        await begun.wait()
        await asyncio.sleep(0)
        await pool.aclose()
        assert [[7.0]] * 3 == [[sample.value for sample in (await query).samples] for query in queries]
        await pool.aclose()

    async def test_a_request_fails_when_its_session_is_closed(self, fake_prometheus: StartFake) -> None:
        """A client without a factory has no other session, so the request fails."""
        begun = Begun()
        server = await fake_prometheus(begun)
        session = aiohttp.ClientSession()
        query = asyncio.create_task(PrometheusClient(server.url, session=session).query("up"))
        await begun.wait()
        await session.close()
        with pytest.raises(ClosedError, match="session handed in is closed"):
            await query
        assert 1 == len(server.seen)

    async def test_an_error_of_ours_that_the_factory_raises_is_kept(self) -> None:
        """The host decides whether its error is worth a retry."""

        def refuse() -> aiohttp.ClientSession:
            raise UnavailableError("the pool is full")

        with pytest.raises(UnavailableError, match="pool is full"):
            await PrometheusClient("http://127.0.0.1:1", session=refuse).ping()

    async def test_a_bad_factory_is_refused(self, fake_prometheus: StartFake, http_reply: Reply) -> None:
        """A function must return a session, and neither fail nor be asynchronous; other values are no functions."""

        def fail() -> aiohttp.ClientSession:
            raise KeyError("pool")

        async def late() -> aiohttp.ClientSession:
            raise NotImplementedError

        server = await fake_prometheus(http_reply(vector("7")))
        for factory, words in ((fail, "failed: KeyError"), (late, "of type coroutine"), (lambda: None, "of type NoneType")):
            given: Any = factory
            client = PrometheusClient(server.url, session=given)
            with pytest.raises(InputError, match=f"session: the function that was handed in .*{words}"):
                await client.query("up")
        for given in ("session", 7):
            with pytest.raises(InputError, match=r"session must be an aiohttp.ClientSession or a function"):
                PrometheusClient(server.url, session=given)
        assert [] == server.seen

    async def test_a_factory_that_returns_closed_sessions_is_refused(self) -> None:
        """Another attempt would get a closed session again."""
        session = aiohttp.ClientSession()
        await session.close()
        for given in (session, lambda: session):
            with pytest.raises(ClosedError, match="session handed in is closed"):
                await PrometheusClient("http://127.0.0.1:1", session=given).query("up")


class TestLoops:
    """A client belongs to the event loop of its first request."""

    @pytest.mark.parametrize("kind", ["own", "session", "factory"])
    async def test_calls_in_another_loop_raise_and_the_first_loop_goes_on(
        self, fake_prometheus: StartFake, http_reply: Reply, kind: str
    ) -> None:
        """Calls in the event loop of a thread raise, closing too, while the first loop waits for its answer."""
        begun, go = asyncio.Event(), asyncio.Event()

        async def answer_late(writer: asyncio.StreamWriter) -> None:
            begun.set()
            await go.wait()
            writer.write(http_reply(vector("7")))

        server = await fake_prometheus(answer_late)
        async with aiohttp.ClientSession() as session:
            given: Any = {"own": None, "session": session, "factory": lambda: session}[kind]
            client = PrometheusClient(server.url, session=given)
            query = asyncio.create_task(client.query("up"))
            await begun.wait()
            errors: list[StatcoreError] = []

            async def use_there() -> None:
                for call in (client.query("up"), client.label_values("job"), client.aclose()):
                    try:
                        async with asyncio.timeout(30):
                            await call
                    except StatcoreError as error:
                        errors.append(error)

            thread = threading.Thread(target=asyncio.run, args=(use_there(),))
            thread.start()
            await asyncio.to_thread(thread.join)
            go.set()
            assert [7.0] == [sample.value for sample in (await query).samples]
            assert [7.0] == await values(client)
            await client.aclose()
        assert [ClosedError] * 3 == [type(error) for error in errors]
        assert all("another event loop" in str(error) for error in errors)
        assert 2 == len(server.seen)

    def test_a_session_of_another_loop_is_refused(self) -> None:
        """Nothing is sent, although the client itself is new."""

        async def open_session() -> aiohttp.ClientSession:
            return aiohttp.ClientSession()

        with asyncio.Runner() as first, asyncio.Runner() as second:
            session = first.run(open_session())
            for given in (session, lambda: session):
                with pytest.raises(ClosedError, match="session handed in belongs to another event loop"):
                    second.run(PrometheusClient("http://127.0.0.1:1", session=given).ping())
            first.run(session.close())

    def test_loops_one_after_the_other_are_distinguished(self) -> None:
        """A client cannot be used after its event loop has ended, but can be closed in any other."""

        async def use(client: PrometheusClient) -> None:
            with pytest.raises(UnavailableError):
                await client.ping()

        client = PrometheusClient("http://127.0.0.1:1", options=PrometheusOptions(attempts=1))
        asyncio.run(use(client))
        with pytest.raises(ClosedError, match="another event loop"):
            asyncio.run(client.ping())
        asyncio.run(client.aclose())
        with pytest.raises(ClosedError, match="closed"):
            asyncio.run(client.ping())


async def check_no_connection_to(server: Any) -> None:
    """Return once this process has no connection to a server."""
    port = urlsplit(server.url).port

    def is_left() -> bool:
        return any(found.raddr and found.raddr.port == port for found in psutil.Process().net_connections("tcp4"))

    await until(lambda: not is_left(), "the end of the connections")


class TestClosing:
    """Cancellation at any await leaves no connection."""

    @pytest.mark.parametrize("is_answered", [True, False])
    async def test_closing_that_is_cancelled_leaves_no_connection(
        self,
        fake_prometheus: StartFake,
        http_reply: Reply,
        is_answered: bool,  # noqa: FBT001
    ) -> None:
        """Idle connections and connections that wait for an answer are closed."""
        server = await fake_prometheus(http_reply(vector("7")) if is_answered else never)
        clients: list[PrometheusClient] = []
        queries: list[asyncio.Task[Any]] = []

        async def begin() -> None:
            clients.append(PrometheusClient(server.url))
            queries[:] = [asyncio.create_task(clients[-1].query("up")) for _ in range(3)]
            if is_answered:
                await asyncio.wait(queries)
            await until(lambda: 3 * len(clients) == len(server.seen), "the requests")

        async def close() -> None:
            await clients[-1].aclose()

        async def check_and_begin_again() -> None:
            if not clients[-1]._transport._http_sessions._lifetime.closed:  # cancelled before its first step
                await close()
            await check_no_connection_to(server)
            await asyncio.wait(queries)
            if not is_answered:
                assert {ClosedError} == {type(query.exception()) for query in queries}
            await begin()

        await begin()
        await cancel_at_every_step(close, then=check_and_begin_again)
        await close()
        await asyncio.wait(queries)
        assert [None if is_answered else ClosedError] * 3 == [
            None if query.exception() is None else type(query.exception()) for query in queries
        ]
        assert 2 < len(clients)

    async def test_opening_and_asking_that_is_cancelled_leaves_no_connection(
        self, fake_prometheus: StartFake, http_reply: Reply
    ) -> None:
        """Any await between the opening by the plugin and the closing is cancelled once."""
        server = await fake_prometheus(http_reply(vector("7")))

        async def use() -> None:
            async with aclosing(await open_prometheus(server.url, {})) as client:
                await client.ping()

        await cancel_at_every_step(use, then=lambda: check_no_connection_to(server))
        assert server.seen


async def test_a_session_handed_in_is_used_and_left_open(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """The host's settings of the session are kept, but its errors for a status, redirects and time-out do not count."""
    redirect = http_reply(status=302, location="http://127.0.0.1:1/")
    server = await fake_prometheus(http_reply(ANSWER), redirect, http_reply("no", status=400))
    timeout = aiohttp.ClientTimeout(total=1e-6)
    async with aiohttp.ClientSession(headers={"X-Host": "yes"}, raise_for_status=True, timeout=timeout) as session:
        client = PrometheusClient(server.url, session=session)
        assert 1 == len((await client.query("up")).samples)
        with pytest.raises(ProtocolError, match="redirect"):
            await client.query("up")
        with pytest.raises(QueryRejectedError, match="no"):
            await client.query("up")
        await client.aclose()
        assert not session.closed
    assert "yes" == server.seen[0].headers["x-host"]
    with pytest.raises(InputError, match="closed"):
        await PrometheusClient(server.url, session=session).query("up")


async def test_two_credentials_are_a_mistake_of_the_host(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """A session with its own credentials cannot be used with other ones."""
    server = await fake_prometheus(http_reply(ANSWER))
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        own = aiohttp.ClientSession(auth=aiohttp.BasicAuth("ann", "x"))
    async with own as session:
        client = PrometheusClient(server.url, session=session, options=PrometheusOptions(bearer_token="abc"))  # noqa: S106
        with pytest.raises(InputError, match="cannot get the request"):
            await client.query("up")
    assert [] == server.seen


async def test_a_closed_client_says_so(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """Closing twice is allowed; a query after that is refused, and nothing is sent."""
    server = await fake_prometheus(http_reply(ANSWER))
    client = PrometheusClient(server.url)
    assert [7.0] == await values(client)
    await client.aclose()
    await client.aclose()
    with pytest.raises(ClosedError):
        await client.query("up")
    assert 1 == len(server.seen)


async def test_closing_ends_the_retries(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """A call that waits for its next attempt raises after that pause, and nothing more is sent."""
    answered = Begun(http_reply(status=429, retry_after="1"))
    server = await fake_prometheus(answered)
    client = PrometheusClient(server.url)
    query = asyncio.create_task(client.query("up"))
    await answered.wait()
    await asyncio.wait([query], timeout=0.2)
    await client.aclose()
    with pytest.raises(ClosedError):
        await query
    assert 1 == len(server.seen)
