# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Says on which host a checkpoint is made, for its manifest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._container.host_facts import container_host_facts
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec, label_names

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine


def host_of(ctx: Context, engine: Engine, container: Container, criu: str) -> Host:
    """Returns the host, with the versions of all that takes part in the dump; empty is what cannot be read."""
    return Host(**container_host_facts(ctx, engine, container, criu))


def spec_of(engine: Engine, container: Container, threads: list[dict[str, Any]]) -> Spec | None:
    """Returns what a restore of the container brings to a host, with the labels of its ``threads``; None if unknown."""
    found = engine.spec(container)
    labels = label_names(one.get("label") for one in threads)
    return None if found is None else replace(found, labels=tuple(sorted({*found.labels, *labels})))
