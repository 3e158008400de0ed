# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses options that an engine does not pass on to CRIU, unless CRIU's configuration files set them.

Docker's checkpoint create and start --checkpoint have no such options, nor has ctr, and containerd's shim sets none
(Docker 26.1.5, containerd 1.7.24). runc names a file to CRIU: the one in the annotation org.criu.config, or else
/etc/criu/runc.conf. CRIU reads its default file as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.config_file import read_config_file
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.lint import parse
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DEFAULT_CONFIG

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options

RUNC_FILE = "/etc/criu/runc.conf"
# Option of the modules -> option of CRIU
_NAMES = {"tcp_established": "tcp-established", "file_locks": "file-locks", "tcp_close": "tcp-close"}


def require_criu_options(paths: Paths, engine: str, named: str, options: Options, what: str) -> None:
    """Refuses ``what`` with options that no configuration file gives to CRIU; ``named`` is that of the annotation.

    ``engine`` is its name for people. A default file that cannot be read counts as one without options.

    Raises:
        CheckpointError: ability_missing; as read_config_file explains, the named file cannot be read.
    """
    wanted = [option for option in _NAMES if getattr(options, option)]
    if not wanted:
        return
    path = named or RUNC_FILE
    texts = (read_config_file(paths.below(path)).demand_text(), read_config_file(paths.below(DEFAULT_CONFIG)).text)
    known = {line.name for text in texts for line in parse(text or "")}
    for option in wanted:
        if _NAMES[option] not in known:
            raise CheckpointError(
                f"Cannot {what} with {option}: {engine} does not pass it on to CRIU, and {path!r} does not set "
                f"{_NAMES[option]}. Set it there with criu_config, or leave {option} out.",
                reason="ability_missing",
                path=path,
            )
