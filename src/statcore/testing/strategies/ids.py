"""Ids of kernels, sessions, endpoints, replicas and agents."""

from __future__ import annotations

from uuid import UUID

from hypothesis import strategies as st

from statcore.testing.strategies.names import label_values


def ids() -> st.SearchStrategy[UUID | str]:
    """Return ids as callers have them: UUIDs, and text in the spellings that UUID reads."""
    uuids = st.uuids()
    spelled = st.one_of(
        uuids.map(str),
        uuids.map(lambda id_: str(id_).upper()),
        uuids.map(lambda id_: id_.hex),
        uuids.map(lambda id_: id_.urn),
    )
    return st.one_of(uuids, spelled)


def agent_ids() -> st.SearchStrategy[str]:
    """Return names of agents: usual ones, and any text that is not empty."""
    return st.one_of(st.from_regex(r"i-[a-z0-9]{1,12}", fullmatch=True), label_values().filter(bool))
