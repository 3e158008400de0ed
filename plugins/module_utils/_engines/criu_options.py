# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses options that an engine does not pass on to CRIU, unless CRIU's configuration file sets them.

runc names a file to CRIU: the one in the annotation org.criu.config, or else /etc/criu/runc.conf. CRIU reads its
default file as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.before_dump import read_files
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DEFAULT_CONFIG

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options

RUNC_FILE = "/etc/criu/runc.conf"
# Option of the modules -> option of CRIU
_NAMES = {"tcp_established": "tcp-established", "file_locks": "file-locks"}


def require_criu_options(paths: Paths, engine: str, named: str, options: Options, what: str) -> None:
    """Refuses ``what`` with options that no configuration file gives to CRIU; ``named`` is that of the annotation.

    Raises:
        CheckpointError: ability_missing.
    """
    wanted = [option for option in _NAMES if getattr(options, option)]
    if not wanted:
        return
    path = named or RUNC_FILE
    known = {line.name for line in read_files(paths, (DEFAULT_CONFIG, path)) or ()}
    for option in wanted:
        if _NAMES[option] not in known:
            raise CheckpointError(
                f"Cannot {what} with {option}: {engine} does not pass it on to CRIU, and {path!r} does not set "
                f"{_NAMES[option]}. Set it there with criu_config, or leave {option} out.",
                reason="ability_missing",
                path=path,
            )
