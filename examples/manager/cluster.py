"""What exists: sessions, endpoints, and the rules that scale these. A real manager asks its database instead."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs

from statcore import InputError
from statcore.consumers import Deployment, ThresholdRule
from statcore.model.inventory import EndpointRecord, KernelRecord, ReplicaRecord
from statcore_memory import MemoryInventory


@attrs.frozen(kw_only=True)
class Cluster:
    """What exists, and what is to be scaled."""

    inventory: MemoryInventory
    deployments: tuple[Deployment, ...]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file such as cluster.toml beside this module.

        Raises:
            InputError: it cannot be read, or does not say what it should; the message names the file.
        """
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
            return cls._read(document)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def _read(cls, document: Mapping[str, Any]) -> Self:
        inventory = MemoryInventory()
        for session in document.get("sessions", []):
            for kernel_id in session["kernels"]:
                owners = {"session_id": session["session_id"], "agent_id": session.get("agent_id")}
                inventory.register_kernel(KernelRecord(kernel_id=kernel_id, **owners))
        deployments: list[Deployment] = []
        for endpoint in document.get("endpoints", []):
            replicas = tuple(ReplicaRecord(**replica) for replica in endpoint["replicas"])
            inventory.register_endpoint(EndpointRecord(endpoint_id=endpoint["endpoint_id"], replicas=replicas))
            rules = tuple(ThresholdRule(**rule) for rule in endpoint.get("rules", []))
            deployments.append(Deployment(endpoint_id=endpoint["endpoint_id"], replicas=len(replicas), rules=rules))
        return cls(inventory=inventory, deployments=tuple(deployments))
