# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds an archive that a kubelet has made not long ago, in its own folder on the node."""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._kubelet.request import Request
from ansible_collections.criu.hosts.plugins.module_utils._store.listing import Contents, list_checkpoints

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)"


def made_at(request: Request, name: str) -> float | None:
    """Returns the time in the name of an archive, in seconds since 1970; None for another name.

    The kubelet names it checkpoint-POD_NAMESPACE-CONTAINER-TIME.tar (pkg/kubelet/kubelet.go), in which a namespace and
    a container of other hyphens may give the same name.
    """
    of = re.escape(f"checkpoint-{request.pod}_{request.namespace}-{request.container}-")
    found = re.fullmatch(rf"{of}({_TIME})\.tar", name)
    try:
        return None if found is None else datetime.fromisoformat(found.group(1).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _young(request: Request, names: list[str], now: float, seconds: int) -> Iterator[str]:
    """Yields the archives that are not older than that, the newest first; none from the future."""
    times = {name: made_at(request, name) for name in names}
    young = {name: time for name, time in times.items() if time is not None and 0 <= now - time <= seconds}
    yield from sorted(young, key=lambda name: -young[name])


def find_kept(folder: str, request: Request, contents: Contents, *, now: float, seconds: int) -> str | None:
    """Returns the newest whole archive of this very container that is not older than ``seconds``; None without one.

    Raises:
        CheckpointError: archive_unreadable, the folder cannot be read.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(
            f"Cannot look for archives in {folder!r}: {error.strerror}. Set become, or leave max_age_seconds out.",
            reason="archive_unreadable",
            path=folder,
        ) from error
    of = (request.namespace, request.pod, request.container)
    for name in _young(request, names, now, seconds):
        path = os.path.join(folder, name)
        try:
            (found,) = list_checkpoints(path, contents, (), verify=False)
        except CheckpointError:
            continue
        if tuple(found.entry[key] for key in ("namespace", "pod", "container")) == of:
            return path
    return None
