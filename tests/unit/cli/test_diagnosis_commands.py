"""The commands that report faults: `plugins` and `doctor`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.delegating import Delegating
from tests.unit.cli.conftest import Invoke, answering, checks, csv_rows

from statcore.errors import AccessDeniedError
from statcore.ports import ServerFacts, ServerState, Topology
from statcore_web.tokens import secret_hash

UNKNOWN: Final = "it is not known whether the user may do this"


class TestPlugins:
    """`statcore plugins`."""

    def test_it_lists_plugins_and_exits_with_1_for_a_broken_one(
        self, statcore: Invoke, install: Callable[..., Path]
    ) -> None:
        """Each has its distribution, version, status and offers; a broken one has an error and a remedy."""
        site = install("acme-broken", version="0.1", bad="\n1 / 0")

        result = statcore("plugins", "--format", "json")

        plugins = {plugin["name"]: plugin for plugin in json.loads(result.stdout)["plugins"]}
        assert 1 == result.exit_code
        error = f"ZeroDivisionError: division by zero; at {site}/acme_broken_bad.py:2"
        assert ["acme-broken", "0.1", "broken", error] == [
            plugins["bad"][key] for key in ("distribution", "version", "status", "error")
        ]
        assert "STATCORE_DISABLE_PLUGINS=bad" in plugins["bad"]["remedy"]
        assert ("ok", ["querier container"]) == (plugins["builtin"]["status"], plugins["builtin"]["offers"])

    @pytest.mark.parametrize(
        "arguments",
        [["plugins", "--disable-plugins", "{others}"], ["--disable-plugins", "{others}", "plugins"]],
        ids=["after", "before"],
    )
    def test_disabled_plugins_are_no_fault(self, statcore: Invoke, arguments: list[str]) -> None:
        """The option may stand before the command or after it."""
        others = "memory,valkey,prometheus"

        result = statcore(*(argument.format(others=others) for argument in arguments), "--format", "csv")

        statuses = {row["name"]: row["status"] for row in csv_rows(result.stdout)}
        assert 0 == result.exit_code
        assert {"builtin": "ok", "fake": "ok", **dict.fromkeys(others.split(","), "blocked")} == statuses


class TestDoctor:
    """`statcore doctor`."""

    OFF = ("--disable-plugins", "memory,valkey,prometheus")

    def test_everything_is_ok(self, statcore: Invoke, fake: Any) -> None:
        """Store and backend are opened, pinged and closed; credentials are not shown."""
        url = "fake://user:secret@host:1/x?password=secret"

        result = statcore("doctor", *self.OFF, "--format", "json", "--metrics-url", url)

        assert 0 == result.exit_code, result.output
        assert {
            "settings": ("ok", "rate_interval 5m from the default", ""),
            "plugins": ("ok", "5 installed", ""),
            "store": ("ok", "fake: from STATCORE_STATISTICS_URL", ""),
            "backend": ("ok", "fake://host:1/x from --metrics-url", ""),
        } == checks(result)
        assert [("fake:", {}), "ping", "closed", (url, {}), "ping", "closed"] == fake.CALLS

    def test_a_missing_setting_is_off(self, statcore: Invoke) -> None:
        """The answer says how to configure it, and the exit code is 0."""
        result = statcore("doctor", *self.OFF, env={"STATCORE_STATISTICS_URL": "", "STATCORE_METRICS_URL": ""})

        assert 0 == result.exit_code
        assert 2 == result.stdout.count("not configured")
        assert "give --statistics-url URL or set STATCORE_STATISTICS_URL" in result.stdout

    @pytest.mark.parametrize(
        ("url", "detail", "remedy"),
        [
            ("down://u:secret@h", "down://h from --metrics-url: refused\nby host", "check that a server runs there"),
            ("denied://u:secret@h", "wrong password", "correct the credentials in --metrics-url"),
            ("unfit://u:secret@h", "part of a cluster", "correct --metrics-url"),
            ("driverless:", "no module named 'redis'", "pip install 'statcore[valkey]'"),
            ("foreign:", "open() raised ZeroDivisionError", "report this to the author of the plugin fake"),
            ("nowhere:", "--metrics-url: there is no metric backend nowhere:", "correct it there"),
            ("memory:", "--metrics-url: a memory: store or backend exists in one process only", "correct it there"),
            ("http://[::1", "a malformed URL", ""),
        ],
    )
    def test_a_wrong_check_has_a_remedy(self, statcore: Invoke, url: str, detail: str, remedy: str) -> None:
        """The other checks run nevertheless."""
        result = statcore("doctor", "--format", "json", "--metrics-url", url)

        found = checks(result)
        assert 1 == result.exit_code
        assert "wrong" == found["backend"][0]
        assert detail in found["backend"][1] or url.startswith("http")
        assert remedy in found["backend"][2]
        assert "ok" == found["store"][0]
        assert "secret" not in result.output

    def test_an_adapter_that_hangs_or_crashes_is_wrong(
        self, statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The check needs neither a deadline of the adapter's own nor a `StatcoreError`."""

        async def hang(_: Any) -> None:
            import asyncio  # noqa: PLC0415

            await asyncio.Event().wait()

        monkeypatch.setattr(fake.Backend, "ping", answering(ZeroDivisionError("division by zero")))
        found = checks(statcore("doctor", "--format", "json"))
        assert "ping() raised ZeroDivisionError: division by zero; at " in found["backend"][1]

        monkeypatch.setattr("statcore_cli.commands.doctor._PING_S", 0.01)
        monkeypatch.setattr(fake.Store, "ping", hang)
        found = checks(statcore("doctor", "--format", "json"))
        assert "fake: from STATCORE_STATISTICS_URL: no answer within 0.01 s" == found["store"][1]

    def test_the_finding_of_an_adapter_is_the_remedy(
        self, statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a finding the check is ok."""
        for finding, status, code in (("write other://", "wrong", 1), (None, "ok", 0)):
            monkeypatch.setattr(fake.Backend, "diagnose", answering(finding), raising=False)

            result = statcore("doctor", *self.OFF, "--format", "json")

            assert (status, "fake: from STATCORE_METRICS_URL", finding or "") == checks(result)["backend"]
            assert code == result.exit_code

    def test_the_servers_of_an_adapter_are_checks(
        self, statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each server has a row with role, slots and lag; a fault, and slots without an owner, are wrong."""
        servers = (
            ServerState(address="a:1", role="primary", slots="0-5"),
            ServerState(address="b:1", role="replica of a:1", lag_bytes=7),
            ServerState(address="c:1", role="replica of a:1", fault="no answer"),
        )
        topology = Topology(servers=servers, unowned_slots="6-9")
        monkeypatch.setattr(fake.Backend, "topology", answering(topology), raising=False)

        result = statcore("doctor", *self.OFF, "--format", "json")

        found = checks(result)
        assert ("ok", "primary of slots 0-5", "") == found["backend server a:1"]
        assert ("ok", "replica of a:1, 7 bytes behind", "") == found["backend server b:1"]
        assert ("wrong", "replica of a:1: no answer") == found["backend server c:1"][:2]
        assert ("wrong", "no server owns slots 6-9") == found["backend slots"][:2]
        assert 1 == result.exit_code

    def test_what_is_known_of_a_server_is_a_check(
        self, statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What an adapter does not check has no row, and what a server does not tell is off; a warning is no fault."""
        partly = ServerFacts(address="a:1", program="Acme 1.0", clock_offset_s=0.5, writes={"SET": True, "DEL": False})
        monkeypatch.setattr(fake.Backend, "server_facts", answering([partly, ServerFacts(address="b:1")]), raising=False)

        result = statcore("doctor", *self.OFF, "--format", "json")

        found = {name: status for name, (status, _, _) in checks(result).items() if name.startswith("backend ")}
        assert {
            "backend version a:1": "ok",
            "backend clock a:1": "ok",
            "backend writing a:1": "warning",
            "backend version b:1": "off",
            "backend clock b:1": "off",
        } == found
        assert 0 == result.exit_code

    def test_the_fault_of_the_only_server_is_a_check(
        self, statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A backend may answer a ping, and not the questions about its version and clock; another finding is enough."""
        facts = [ServerFacts(fault="no answer within 5 s")]
        monkeypatch.setattr(fake.Backend, "server_facts", answering(facts), raising=False)

        result = statcore("doctor", *self.OFF, "--format", "json")

        assert 1 == result.exit_code
        assert "ok" == checks(result)["backend"][0]
        assert ("wrong", "no answer within 5 s", "check that server") == checks(result)["backend server"]
        monkeypatch.setattr(fake.Backend, "ping", answering(AccessDeniedError("wrong password")))
        assert "backend server" not in checks(statcore("doctor", *self.OFF, "--format", "json"))

    def test_a_server_has_one_check_of_its_fault(
        self, statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A fault of the topology has the role; a fault that only the facts have replaces a server that looks well."""
        down = ServerState(address="a:1", role="primary", fault="refused")
        topology = Topology(servers=(down, ServerState(address="b:1", role="primary")))
        facts = [ServerFacts(address=address, fault="no answer") for address in ("a:1", "b:1")]
        monkeypatch.setattr(fake.Backend, "topology", answering(topology), raising=False)
        monkeypatch.setattr(fake.Backend, "server_facts", answering(facts), raising=False)

        found = checks(statcore("doctor", *self.OFF, "--format", "json"))

        assert ("wrong", "primary: refused") == found["backend server a:1"][:2]
        assert ("wrong", "no answer") == found["backend server b:1"][:2]

    @pytest.mark.parametrize(
        ("reads", "writes", "expected"),
        [
            (
                {"GET": True, "TYPE": None},
                {"SET": True, "DEL": None},
                {
                    "reading": ("wrong", f"{UNKNOWN}: TYPE"),
                    "writing": ("warning", f"{UNKNOWN}: DEL"),
                },
            ),
            (
                {"GET": False, "TYPE": None},
                {"SET": False, "DEL": None},
                {
                    "reading": (
                        "wrong",
                        f"the user may not do what reading needs: GET; {UNKNOWN}: TYPE",
                    ),
                    "writing": (
                        "warning",
                        f"the user may not do all that `statcore collect` needs: SET; {UNKNOWN}: DEL",
                    ),
                },
            ),
        ],
    )
    def test_a_permission_that_could_not_be_asked_is_not_known(
        self,
        statcore: Invoke,
        fake: Any,
        monkeypatch: pytest.MonkeyPatch,
        reads: dict[str, bool | None],
        writes: dict[str, bool | None],
        expected: dict[str, tuple[str, str]],
    ) -> None:
        """It is neither allowed nor refused."""
        facts = [ServerFacts(program="Acme 1.0", clock_offset_s=0.5, reads=reads, writes=writes)]
        monkeypatch.setattr(fake.Backend, "server_facts", answering(facts), raising=False)

        found = checks(statcore("doctor", *self.OFF, "--format", "json"))

        assert expected == {name: found[f"backend {name}"][:2] for name in expected}

    def test_a_certificate_that_has_expired_is_wrong(
        self, statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The days since then are shown."""
        facts = [ServerFacts(program="Acme 1.0", clock_offset_s=0.5, certificate_expires_s=time.time() - 4.5 * 86_400)]
        monkeypatch.setattr(fake.Backend, "server_facts", answering(facts), raising=False)

        result = statcore("doctor", *self.OFF, "--format", "json")

        status, detail, _ = checks(result)["backend certificate"]
        assert (1, "wrong", "expired 4 days ago") == (result.exit_code, status, detail.partition(",")[0])

    def test_a_store_that_delegates_is_checked_as_a_whole(
        self, statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A plugin may open a store that finds its methods by `__getattr__` alone; its servers and its finding are shown.

        With `isinstance` of a port in place of `as_port`, this fails on Python 3.12 and later, and passes on Python 3.11.
        """
        store = fake.Store()
        for name, answer in (
            ("topology", Topology(servers=(ServerState(address="a:1", role="primary"),))),
            ("server_facts", [ServerFacts(address="a:1", program="Acme 1.0", clock_offset_s=0.5)]),
            ("diagnose", "write other://"),
        ):
            monkeypatch.setattr(fake.Store, name, answering(answer), raising=False)
        monkeypatch.setattr(fake, "Store", lambda: Delegating(store))

        found = checks(statcore("doctor", *self.OFF, "--format", "json"))

        assert ("ok", "primary", "") == found["store server a:1"]
        assert ("ok", "Acme 1.0", "") == found["store version a:1"]
        assert ("wrong", "fake: from STATCORE_STATISTICS_URL", "write other://") == found["store"]

    def test_bad_settings_are_a_finding(self, statcore: Invoke) -> None:
        """The command reports them instead of failing."""
        result = statcore("doctor", "--config", "/no/such/file")

        assert 1 == result.exit_code
        assert "--config: cannot read /no/such/file: No such file or directory" in result.stdout

    def test_faults_of_plugins_are_findings(self, statcore: Invoke, install: Callable[..., Path]) -> None:
        """The findings are a broken plugin, and a disabled name that no plugin has."""
        site = install("acme-broken", bad="1 / 0")

        result = statcore("doctor", "--disable-plugins", "nodse", "--format", "json")

        found = checks(result)
        assert 1 == result.exit_code
        error = f"ZeroDivisionError: division by zero; at {site}/acme_broken_bad.py:1"
        assert ("wrong", f"broken in acme-broken 1.0: {error}") == found["plugin bad"][:2]
        assert "disabled, but not installed: nodse" == found["plugins"][1]

    @pytest.mark.parametrize(
        ("text", "status"),
        [
            ('[tokens.ci]\nhash = "HASH"\nscope = "everything"\n', "ok"),
            ('[tokens.ci]\nhash = "HASH"\nscope = "everything"\nexpires = 2020-01-01T00:00:00Z\n', "warning"),
            ("", "warning"),
            ('[tokens.ci]\nhash = "HASH"\n', "wrong"),
        ],
    )
    def test_the_file_of_tokens_is_checked(self, text: str, status: str, statcore: Invoke, tmp_path: Path) -> None:
        """A token that has expired is named, and no hash is shown."""
        file = tmp_path / "tokens.toml"
        file.write_text(text.replace("HASH", secret_hash("secret")))

        result = statcore("doctor", *self.OFF, "--token-file", str(file), "--format", "json")

        found, detail, remedy = checks(result)["tokens"]
        assert (status, status == "ok") == (found, remedy == "")
        assert ("expired: ci" in detail) is ("expires" in text)
        assert secret_hash("secret") not in result.stdout
