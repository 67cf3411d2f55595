"""The sessions, the endpoints, and the rules that scale them, from a TOML file; a real manager reads its database."""

from __future__ import annotations

import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import attrs

from statcore import InputError
from statcore.consumers import Deployment, ThresholdRule
from statcore.model.inventory import EndpointRecord, KernelRecord, ReplicaRecord
from statcore_memory import MemoryInventory


@attrs.frozen(kw_only=True)
class Cluster:
    """The inventory of the cluster, and the deployments that are scaled."""

    inventory: MemoryInventory
    deployments: tuple[Deployment, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file such as cluster.toml beside this module.

        Raises:
            InputError: the file cannot be read, or a session or endpoint in it is wrong; the message names the file.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise InputError(f"{path} is not TOML: {error}") from error
        inventory = MemoryInventory()
        for number, session in enumerate(document.get("sessions", [])):
            with _errors_prefixed_with(f"{path}, session {number}"):
                _register(inventory, session)
        deployments: list[Deployment] = []
        for number, endpoint in enumerate(document.get("endpoints", [])):
            with _errors_prefixed_with(f"{path}, endpoint {number}"):
                deployments.append(_deployment(inventory, endpoint))
        return cls(inventory=inventory, deployments=tuple(deployments))


def _register(inventory: MemoryInventory, session: Mapping[str, Any]) -> None:
    for kernel_id in session["kernels"]:
        owners = {"session_id": session["session_id"], "agent_id": session.get("agent_id")}
        inventory.register_kernel(KernelRecord(kernel_id=kernel_id, **owners))


def _deployment(inventory: MemoryInventory, endpoint: Mapping[str, Any]) -> Deployment:
    endpoint_id = endpoint["endpoint_id"]
    replicas = tuple(ReplicaRecord(**replica) for replica in endpoint["replicas"])
    inventory.register_endpoint(EndpointRecord(endpoint_id=endpoint_id, replicas=replicas))
    rules = tuple(ThresholdRule(**rule) for rule in endpoint.get("rules", []))
    return Deployment(endpoint_id=endpoint_id, replicas=sum(replica.active for replica in replicas), rules=rules)


@contextmanager
def _errors_prefixed_with(what: str) -> Generator[None]:
    """Turn errors of the block into an `InputError` that names the item.

    Raises:
        InputError: a key is missing, or a value cannot be used.
    """
    try:
        yield
    except KeyError as error:
        raise InputError(f"{what} lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: {error}") from error
