"""Every error that leaves statcore.

StatcoreError                  500
├── InputError                 400  what the caller passed cannot be used; nothing was sent
│   ├── ClosedError            500  the client is closed, or belongs to another event loop
│   └── LimitError             413  the request is larger than a limit allows
├── UnavailableError           503  a service cannot be reached or cannot answer now (retryable)
│   ├── AccessDeniedError      502  the service refused the credentials (never retried)
│   └── UntrustedServerError   502  the certificate of the service is refused (never retried)
├── TimedOutError              504  the deadline of the call ran out (retryable)
├── ProtocolError              502  a service answered something that is not an answer
│   └── MalformedEntryError    502  one stored entry, or one metric in it, cannot be decoded
├── QueryRejectedError         422  the metric backend read the query and refused it
├── PartialAnswerError         503  strict mode, or a list: the backend answered, but not with everything
├── MissingExtraError          500  an optional dependency is not installed
├── PluginError                500  a plugin or a querier breaks its contract
└── UnsupportedError           501  valid, but not something this adapter can do

`retryable` says whether the same call may succeed when it is made again. Adapters retry until their deadline, so the
retries of a call are used up when a retryable error reaches the caller.

The number is `http_status`: the status with which a host answers its own HTTP client when the error ends a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar


class StatcoreError(Exception):
    """The root: catch it to catch everything statcore raises on purpose."""

    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500

    def __reduce__(self) -> tuple[Callable[..., StatcoreError], tuple[object, ...], dict[str, Any]]:
        """Copy and pickle without calling `__init__`: the exception remembers its message, but not those arguments."""
        return _rebuild, (type(self), *self.args), self.__dict__


def _rebuild(kind: type[StatcoreError], *args: object) -> StatcoreError:
    return kind.__new__(kind, *args)


class InputError(StatcoreError, ValueError):
    """What the caller passed cannot be used; nothing was sent anywhere."""

    http_status: ClassVar[int] = 400


class ClosedError(InputError):
    """The client is closed, or it belongs to another event loop; nothing was sent anywhere."""

    http_status: ClassVar[int] = 500


class LimitError(InputError):
    """The request is larger than a limit allows."""

    http_status: ClassVar[int] = 413

    def __init__(self, message: str, *, limit: str) -> None:
        """Name the `limit` that is exceeded."""
        super().__init__(message)
        self.limit = limit


class UnavailableError(StatcoreError):
    """A service cannot be reached, or says that it cannot answer now."""

    retryable: ClassVar[bool] = True
    http_status: ClassVar[int] = 503

    def __init__(self, message: str, *, service: str = "", retry_after_s: float | None = None) -> None:
        """Say what is unavailable: `service` is its address without credentials, `retry_after_s` the pause it asks for."""
        super().__init__(message)
        self.service = service
        self.retry_after_s = retry_after_s


class AccessDeniedError(UnavailableError):
    """The service refused the credentials, or the user lacks a permission."""

    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 502


class UntrustedServerError(UnavailableError):
    """The service's certificate is refused: it has expired, is for another host, or no trusted authority has signed it."""

    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 502


class TimedOutError(StatcoreError):
    """The deadline of the call ran out before the answer was complete."""

    retryable: ClassVar[bool] = True
    http_status: ClassVar[int] = 504

    def __init__(self, message: str, *, timeout_s: float) -> None:
        """Say what was waited for; `timeout_s` is the deadline that ran out, in seconds."""
        super().__init__(message)
        self.timeout_s = timeout_s


class ProtocolError(StatcoreError):
    """A service answered something that is not an answer to the request."""

    http_status: ClassVar[int] = 502


class MalformedEntryError(ProtocolError):
    """One stored entry, or one metric inside it, cannot be decoded."""

    def __init__(self, message: str, *, key: str, metric: str | None = None) -> None:
        """Name the store's `key` and, where only one metric is bad, the `metric`."""
        super().__init__(message)
        self.key = key
        self.metric = metric


class QueryRejectedError(StatcoreError):
    """The metric backend read the query and refused it."""

    http_status: ClassVar[int] = 422

    def __init__(self, message: str, *, query: str = "", status: int | None = None) -> None:
        """Carry the server's text; `status` is the HTTP status where there was one."""
        super().__init__(message)
        self.query = query
        self.status = status


class PartialAnswerError(StatcoreError):
    """The backend answered, but says that something is missing: an error in strict mode, and always for a list."""

    retryable: ClassVar[bool] = True
    http_status: ClassVar[int] = 503

    def __init__(self, message: str, *, warnings: tuple[str, ...]) -> None:
        """Carry the backend's own `warnings`."""
        super().__init__(message)
        self.warnings = warnings


class MissingExtraError(StatcoreError):
    """An optional dependency of an adapter or a feature is not installed."""

    def __init__(self, extra: str, *, module: str | None = None, requirement: str | None = None) -> None:
        """Name the `extra` of statcore, the `module` whose import failed, and what pip installs if not that extra."""
        missing = f" (no module named {module!r})" if module else ""
        self.extra = extra
        self.module = module
        self.requirement: str = requirement or f"statcore[{extra}]"
        needed = requirement or f"the extra {extra!r}"
        super().__init__(f"this needs {needed}{missing}: pip install '{self.requirement}'")


class PluginError(StatcoreError):
    """A plugin, or a querier that a plugin contributed, breaks its contract."""

    def __init__(self, message: str, *, plugin: str = "", method: str | None = None) -> None:
        """Name the `plugin` or querier class, and the `method` at fault where there is one."""
        super().__init__(message)
        self.plugin = plugin
        self.method = method


class UnsupportedError(StatcoreError):
    """The request is valid, but this adapter or this server cannot do it."""

    http_status: ClassVar[int] = 501
