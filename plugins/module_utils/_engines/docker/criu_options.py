# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses options that Docker does not pass on to CRIU, unless CRIU's configuration file sets them.

Neither docker checkpoint create nor docker start --checkpoint has such options, and containerd's shim sets none
(26.1.5, 1.7.24). runc names a file to CRIU: the one in the annotation org.criu.config, or else /etc/criu/runc.conf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, attempt
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.config_file import read_config_file
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import parse
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.archive import read_description
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, word

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options

RUNC_FILE = "/etc/criu/runc.conf"
# Option of the modules -> option of CRIU
_NAMES = {"tcp_established": "tcp-established", "file_locks": "file-locks", "tcp_close": "tcp-close"}


def config_in(archive: str) -> str:
    """Returns the file that the annotation of the archived container names; empty if that is not known."""
    found, error = attempt("read the archive", lambda: read_description(archive))
    try:
        annotations = {} if error is not None else inner(inner(found, "HostConfig"), "Annotations")
        return word(annotations, "org.criu.config")
    except ValueError:
        return ""


def require_criu_options(paths: Paths, named: str, options: Options, what: str) -> None:
    """Refuses ``what`` with options that no configuration file gives to CRIU; ``named`` is that of the annotation.

    Raises:
        CheckpointError: ability_missing; as read_config_file explains, the file cannot be read.
    """
    wanted = [option for option in _NAMES if getattr(options, option)]
    if not wanted:
        return
    path = named or RUNC_FILE
    known = {line.name for line in parse(read_config_file(paths.below(path)).demand_text())}
    for option in wanted:
        if _NAMES[option] not in known:
            raise CheckpointError(
                f"Cannot {what} with {option}: Docker does not pass it on to CRIU, and {path!r} does not set "
                f"{_NAMES[option]}. Set it there with criu_config, or leave {option} out.",
                reason="ability_missing",
                path=path,
            )
