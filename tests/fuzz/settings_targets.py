"""What is promised for any text that an operator writes: URLs, options, and files of settings, tokens and presets."""

from __future__ import annotations

import tomllib
from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import attrs
from tests.fuzz.promises import SECRET, outcome, refusal
from tests.support.promql_templates import VALID, filled, places, read

from statcore.errors import InputError, UnsupportedError
from statcore.model.validation import from_settings, read_toml
from statcore.plugins.presets import PresetCatalog
from statcore.plugins.registry import PluginRegistry
from statcore.promql.templates import Preset, Template
from statcore.runtime import Settings, url_scheme
from statcore_cli.serve_settings import ServeSettings
from statcore_cli.settings import CliSettings, address
from statcore_prometheus.options import PrometheusOptions
from statcore_prometheus.server import Server
from statcore_valkey.options import ValkeyOptions
from statcore_valkey.server import ServerUrl
from statcore_valkey.slot_map import Address
from statcore_web import Limits
from statcore_web.tokens import read_tokens

_REGISTRY: Final = PluginRegistry((), {})


def check_url(data: bytes) -> None:
    """A URL is refused without being shown, or its parts make the same URL again; any text can be the name or password."""
    text = data.decode(errors="surrogateescape")
    assert isinstance(address(text), str)
    for read_url in (_valkey_url, _prometheus_url, partial(url_scheme, setting="url")):
        assert SECRET not in refusal(partial(read_url, text))
    word = data.decode(errors="replace")
    for url in _valkey_urls_of(word):
        assert url == ServerUrl.from_url(_written(url))
    server = Server.from_url(f"http://me:{quote(word, safe='')}@h:1/p", options=PrometheusOptions())
    assert server.address == "http://h:1/p"
    assert server.request_headers().get("Authorization") == f"Basic {b64encode(f'me:{word}'.encode()).decode()}"


def check_options(data: bytes) -> None:
    """A table of options is refused with an error of ours that shows none of its texts, or makes options of its values."""
    table = _document(data.decode(errors="replace"))
    for kind in (ValkeyOptions, PrometheusOptions):
        assert SECRET not in refusal(partial(kind.from_settings, table)) or SECRET in _names(table)
        options = outcome(partial(kind.from_settings, table), InputError)
        for name, value in table.items() if options is not None else ():
            assert getattr(options, name) == (tuple(value) if isinstance(value, list) else value)
    refusal(partial(Limits.from_settings, table))
    refusal(partial(from_settings, ServeSettings, table, adapter="statcore serve"))


def check_settings(data: bytes) -> None:
    """A file of settings is refused with an error of ours that names it, or read as plain TOML reads it."""
    text = data.decode(errors="replace")
    settings = outcome(lambda: Settings.from_toml(text), InputError)
    if settings is not None:
        document = tomllib.loads(text)
        for name in ("statistics_url", "metrics_url"):
            assert document.get(name) == getattr(settings, name)
        assert document.get("kernel_statistics", "store") == settings.kernel_statistics
        for name in ("statistics", "metrics"):
            assert repr(document.get(name, {})) == repr(getattr(settings, f"{name}_options"))
        assert SECRET not in repr(settings)
    with TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.exists() else None) as folder:
        file = Path(folder) / "statcore.toml"
        file.write_bytes(data)
        refused = refusal(lambda: CliSettings.read({"config": str(file)}, {}).normalization_interval_s)
        assert not refused or str(file) in refused


def check_tokens(data: bytes) -> None:
    """A file of tokens is refused with an error of ours that shows none of its texts, or read as plain TOML reads it."""
    text = data.decode(errors="replace")
    assert SECRET not in refusal(partial(read_tokens, text)) or SECRET in _names(_document(text))
    tokens = outcome(partial(read_tokens, text), InputError)
    if tokens is None:
        return
    tables: dict[str, Any] = tomllib.loads(text).get("tokens", {})
    assert list(tables) == [token.name for token in tokens]
    for token, table in zip(tokens, tables.values(), strict=True):
        assert table["hash"] == token.hash
        assert (table.get("expires"), table.get("requests_per_s")) == (token.expires, token.requests_per_s)
        scope = table["scope"]
        assert (scope == "everything") == token.scope.includes()  # nothing is known of the owners of the object
        for alternative in () if scope == "everything" else scope if isinstance(scope, list) else [scope]:
            assert token.scope.includes(**{label: _first_owner(label, values) for label, values in alternative.items()})


def check_presets(data: bytes) -> None:
    """A file of presets, or a preset in it, is refused with an error that names the file; other presets are PromQL."""
    text = data.decode(errors="replace")
    refused = refusal(partial(PresetCatalog.read, _REGISTRY, {"f.toml": text}, strict=False))
    if refused:
        assert "f.toml" in refused
        return
    catalog = PresetCatalog.read(_REGISTRY, {"f.toml": text}, strict=False)
    assert catalog.presets.keys() | catalog.faults.keys() == tomllib.loads(text).get("presets", {}).keys()
    assert all("f.toml" in str(error) for error in catalog.faults.values())
    for preset in catalog.presets.values():
        assert preset is catalog.preset(preset.name)
        _check_preset(preset)


def check_template(data: bytes) -> None:
    """A template is refused, or values stay in their places; the data has the template, names and values between NULs."""
    text, *filled_in = data.decode(errors="surrogateescape").split("\0")
    template = outcome(lambda: Template(text), InputError)
    if template is None:
        return
    names, values = filled_in[::2], filled_in[1::2]
    labels = dict(zip(names, values, strict=False)) if "labels" in template.placeholders else {}
    group_by = names if "group_by" in template.placeholders else []
    promql = outcome(lambda: template.render(labels, window="90s", group_by=group_by), InputError)
    assert promql is None or filled(places(template), labels, "90s", group_by) == read(promql)


_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the folder in it has a name of its own


def _check_preset(preset: Preset) -> None:
    values = {label: ['a"\\}', "b"] for label in preset.filter_labels}
    promql = preset.promql(labels=values, group_labels=preset.group_labels)
    assert read(promql)
    confined = outcome(lambda: promql.confined((("owner", "me"),)), UnsupportedError)
    assert confined is None or read(confined)


def _document(text: str) -> dict[str, Any]:
    found: dict[str, Any] | None = outcome(lambda: read_toml(text), InputError)
    return found or {}


def _names(value: object) -> str:
    """Return the names of all settings in a document, however deep, which messages may show."""
    names, left = list[str](), [value]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            names += each
            left += each.values()
        elif isinstance(each, list):
            left += each
    return " ".join(names)


def _first_owner(label: str, values: str | list[str]) -> str:
    """Return the first value that a scope allows for a label, in the form in which objects have it."""
    value = values if isinstance(values, str) else values[0]
    return value if label == "agent_id" else str(UUID(value))


def _valkey_urls_of(word: str) -> list[ServerUrl]:
    """Return a URL of each kind that has a word in each place where any text may be."""
    user: dict[str, Any] = {"username": word or None, "password": word or None}
    addresses = (Address("a", 1), Address("::1", 2))
    return [
        ServerUrl(host="h", port=1, db=2, tls=True, **user),
        ServerUrl(path=f"/{word}", **user),
        ServerUrl(cluster=addresses, db=0, **user),
        ServerUrl(sentinels=addresses, master=word or "m", db=15, tls=True, **user),
    ]


def _valkey_url(text: str) -> None:
    url = ServerUrl.from_url(text)
    assert url == ServerUrl.from_url(_written(url))
    if SECRET not in "".join(
        str(part) for part in (url.host, url.path, url.username, url.master, url.cluster, url.sentinels)
    ):
        assert SECRET not in repr(url)
    url.databases(ValkeyOptions(statistics_db=url.db or 0, live_db=0))
    if not url.tls:  # reading the certificates of the system takes long
        url.connection_settings(ValkeyOptions())


def _written(url: ServerUrl) -> str:
    """Return the URL of its parts."""
    scheme = "valkeys" if url.tls else "valkey"
    user = quote(url.username or "", safe="") + (f":{quote(url.password, safe='')}" if url.password else "")
    login = f"{user}@" if user else ""
    database = "" if url.db is None else f"/{url.db}"
    if url.path is not None:
        return f"unix://{login}{quote(url.path)}"
    if url.cluster:
        return f"{scheme}+cluster://{login}{_hosts(url.cluster)}{database}"
    if url.sentinels:
        return f"{scheme}+sentinel://{login}{_hosts(url.sentinels)}/{quote(url.master or '', safe='')}{database}"
    return f"{scheme}://{login}{_hosts([(url.host, url.port)])}{database}"


def _hosts(addresses: Sequence[Any]) -> str:
    pairs = [(each[0], each[1]) if isinstance(each, tuple) else (each.host, each.port) for each in addresses]
    return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in pairs)


def _prometheus_url(text: str) -> None:
    server = Server.from_url(text, options=PrometheusOptions())
    again = Server.from_url(server.address, options=PrometheusOptions())
    assert server.address == again.address
    assert server.request_headers()
    assert "@" not in server.address


URLS: Final = (
    b"",
    b"valkey://127.0.0.1:6379/0",
    f"valkeys://me:{SECRET}@[::1]:6380/15".encode(),
    f"unix://:{SECRET}@/run/valkey%20x.sock".encode(),
    f"valkey+cluster://me:{SECRET}@a:1,b,[::1]:3".encode(),
    b"rediss+sentinel://:p%40%2F@a:26379,b/my%20master/2",
    b"VALKEY://h:0/x?db=1#f",
    f"http://me:{SECRET}@127.0.0.1:9090/prometheus/api/v1/".encode(),
    b"https://[::1%25eth0]/",
    b"http://h:65536/@",
    "http://\uff48\uff1a80/é".encode(),
    b"memory://",
    b"valkey://[::1",
    f"unix://:9/0{SECRET}@/run/valkey.sock".encode(),
    b"//[:y+cluster://me:x@a",
    "//\uff48\uff1a80/é:/".encode(),
)
_KINDS: Final[tuple[Any, ...]] = (ValkeyOptions, PrometheusOptions, ServeSettings, Limits)
_NAMES: Final = sorted({field.name for kind in _KINDS for field in attrs.fields(kind)})
_VALUES: Final = (f"'{SECRET}'", "5", "1.5", "true", f"['{SECRET}']", f"{{a = '{SECRET}'}}", "07:32:00")

OPTIONS: Final = (
    *(f"{name} = {value}".encode() for name in _NAMES for value in _VALUES),
    b"timeout_s = 5\npool_size = 4\nfreshness_s = 60.5\nread_from_replicas = true\npassword_file = '/x'",
    f"password = '{SECRET}'\nusername = 'me'\nheaders = {{X-A = 'b'}}\nparameters = {{dedup = 'x'}}".encode(),
    f"timeout_s = '{SECRET}'".encode(),
    f"fallback_urls = ['{SECRET}', 5]\ntenant_header = '{SECRET} x'".encode(),
    f"bearer_token = '{SECRET}\\n'\nmax_answer_bytes = {10**30}".encode(),
    b"timeout_s = 1e400\nattempts = nan\nlive_db = -1",
    b"port = 99999\norigins = ['https://a', 5]\ntls_key_file = 'k'\nbody_bytes = 1\nrequest_s = inf\n",
    b"x = [[[[[[[[1979-05-27T07:32:00Z]]]]]]]]\n'a.b' = {c.d = 07:32:00}",
    b"a = " + b"[" * 20_000,
)
SETTINGS: Final = (
    f"statistics_url = 'valkey://me:{SECRET}@h'\nmetrics_url = 'http://h:9090'\nrate_interval = '5m'".encode(),
    b"disable_plugins = ['a', 5]\npresets = ['p.toml']\n[statistics]\ntimeout_s = 1",
    b"[metrics]\nnormalization_interval_s = 'x'",
    b"kernel_statistics = 'metrics'\n[serve]\nport = 1\ntoken_file = 't.toml'\n[limits]\nids = 5",
    b"[metrics]\nnormalization_interval_s = [1]",
    b"statistics_url = 5",
    b"\xef\xbb\xbfrate_interval = '1\xc3\xa9m'",
    b"\xff\xfe",
    b"a = " + b"[" * 20_000,
)
_ID: Final = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
TOKENS: Final = (
    f"[tokens.{SECRET}]\nhash = 'x'\n[tokens.b]\nscope = {{project = ['p']}}".encode(),
    f"[tokens.a]\nhash = '{'0' * 64}'\nscope = 'everything'\nexpires = 2027-01-01T00:00:00Z\nsecret = '{SECRET}'".encode(),
    f"[tokens.{SECRET}]\n{'.'.join(['h'] * 1_000)} = 1".encode(),
    (
        f"[tokens.a]\nhash = 'sha256:{'0' * 64}'\nscope = 'everything'\nexpires = 2027-01-01T00:00:00Z\n"
        f"[tokens.b]\nhash = 'sha256:{'1' * 64}'\nscope = {{project_id = ['{_ID}'], agent_id = 'i-1'}}\n"
        f"[tokens.c]\nhash = 'sha256:{'2' * 64}'\nscope = [{{user_id = '{_ID}'}}, {{kernel_id = ['{_ID.upper()}']}}]\n"
        "requests_per_s = 1.5"
    ).encode(),
    f"[tokens.a]\nhash = 'sha256:{'0' * 64}'\nscope = {{user_id = '{SECRET}'}}".encode(),
    b"tokens = 5",
)
TEMPLATES: Final = (
    *(text.encode() for text in VALID),
    *(f'{text}\0a\0b\0job\0x"\\{{}}\n'.encode() for text in VALID[:9]),
    b'up{a="${{ labels }}"}',
    b"sum(((((((((up{${{ labels }}})))))))))[5m:${{ window }}]",
    b"-" * 3_000 + b"1",
    b"(" * 3_000,
    b"info(up{${{ labels }}})\0__name__\0x",
    b"\xed\xa0\x80up",
)
PRESETS: Final = (
    *(
        f"[presets.p{number}]\ndescription = 'd'\ntemplate = '''{text}'''\nfilter_labels = ['pod', 'b']".encode()
        for number, text in enumerate(VALID[:6])
    ),
    b"[presets.x]\ndescription = 'd'\ntemplate = '''rate(x{${{ labels }}}[${{ window }}])'''\nwindow = '8d'",
    b"[presets.x]\ndescription = 5\ntemplate = ['up']\ngroup_labels = [['a']]\nwindow = [1]",
    b"[presets.x]\ndescription = 'd'\ntemplate = 'up'\n[presets.'x y']\ntemplate = 'up'\n[other]",
    b"presets = 5",
    b"[presets]\nx = 5",
    b"a = " + b"[" * 20_000,
)
