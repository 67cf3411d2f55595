"""Which sessions, kernels, endpoints and replicas exist."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class KernelRecord:
    """A kernel and its owners; an owner that is not known is None."""

    kernel_id: str
    session_id: str
    agent_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None


@attrs.frozen(kw_only=True)
class EndpointRecord:
    """An inference endpoint with its replicas, in a stable order."""

    endpoint_id: str
    replica_ids: tuple[str, ...] = ()
