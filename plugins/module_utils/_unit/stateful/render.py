# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Renders the unit of a stateful container and the spec that its program reads. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json

from ansible_collections.criu.hosts.plugins.module_utils._unit.description import Description
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import (
    DIGEST_LABEL,
    pid_file,
    stateful_create,
    stateful_service,
)
from ansible_collections.criu.hosts.plugins.module_utils._unit.text import (
    all_options,
    podman_argv,
    restart_lines,
    service_text,
)


def render_stateful(wanted: Description) -> str:
    """Returns a ``.service`` file whose start restores and whose stop dumps, by our own program."""
    return service_text(wanted, [*stateful_service(wanted.name, wanted.stop_timeout), *restart_lines(wanted)])


def render_spec(wanted: Description, environment_path: str, podman: str, key: str) -> str:
    """Returns everything that the program of a stateful unit has to know, as JSON. ``key`` is that of the host."""
    create = [
        *(*podman_argv(wanted, podman), "create", f"--name={wanted.name}"),
        *stateful_create(wanted.name),
        *all_options(wanted, environment_path),
        *(wanted.image, *wanted.command),
    ]
    digest, former = (
        digest_of(key, *create, wanted.environment_text),
        former_digest_of(*create, wanted.environment_text),
    )
    create.insert(create.index(f"--name={wanted.name}") + 1, f"--label={DIGEST_LABEL}={digest}")
    spec = {
        "version": 1,
        "name": wanted.name,
        "image": wanted.image,
        "create": create,
        "digest": digest,
        "former_digest": former,
        "conmon_pid_file": pid_file(wanted.name),
        "stop_timeout": wanted.stop_timeout,
        "tcp_established": wanted.tcp_established,
        "file_locks": wanted.file_locks,
        "on_restore_failure": wanted.on_restore_failure,
    }
    return json.dumps(spec, indent=1, sort_keys=True) + "\n"


def digest_of(key: str, *parts: str | None) -> str:
    """Returns a digest of everything that a container is made from.

    All users can see it, as a label and in the arguments of podman. The environment may hold a short secret: without
    the key of the host nobody can find it by trying.
    """
    return hmac.new(key.encode(), json.dumps(parts).encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def former_digest_of(*parts: str | None) -> str:
    """Returns the digest that earlier releases gave a container: those stay the same."""
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogateescape")).hexdigest()
