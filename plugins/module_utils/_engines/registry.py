# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The engines by the names that the option engine takes.

A new engine is a package ``_engines/NAME`` with a class in ``engine.py`` that has the methods of ``engine.Engine``, and
is made with the host's paths, the caller's user id and the folder of the option engine_root (empty: its own default).
It needs here a function with its import, since what finds the files of a module follows import statements only, and an
entry in ENGINES; then its name in the choices of _container_engine (doc_fragments). Nothing outside its package knows
it. What it has to keep in mind:

- ``paths.containers``, not ``paths.state``, has our notes and records about its containers: two engines may have
  containers of one name. ``select`` sets it.
- ``Container.id`` is a word without "/", the same after a restore, and different for each container ever made if the
  engine has such ids; ``Container.run`` differs between two runs. Its record has both.
- What the engine cannot do is an ability that is false: the modules then refuse the option.
- A container that another engine has made by means of it has that one as ``owner``; the modules refuse it.
- If it is not installed, commands raise what missing.py raises (engine_missing).
- Its archives have the layout of podman's, which checkpointctl reads (archive.py): ``config.dump``, ``spec.dump``, and
  ``checkpoint/`` with CRIU's images; and all else that its restore needs. So checkpoint_info reads them, too.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

    Make = Callable[[Paths, int, str], Engine]


def _podman(paths: Paths, uid: int, dummy_root: str) -> Engine:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import Podman

    return Podman(paths, uid)


def _runc(paths: Paths, uid: int, root: str) -> Engine:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.engine import Bundle

    return Bundle("runc", paths, uid, root or "/run/runc")


def _crun(paths: Paths, uid: int, root: str) -> Engine:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.engine import Bundle

    return Bundle("crun", paths, uid, root or "/run/crun")


def _containerd(paths: Paths, uid: int, dummy_root: str) -> Engine:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.engine import Containerd

    return Containerd(paths, uid)


def _docker(paths: Paths, uid: int, dummy_root: str) -> Engine:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.engine import Docker

    return Docker(paths, uid)


def _lxc(paths: Paths, uid: int, root: str) -> Engine:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.engine import Lxc

    return Lxc(paths, uid, root or "/var/lib/lxc")


ENGINES: dict[str, Make] = {
    "podman": _podman,
    "docker": _docker,
    "runc": _runc,
    "crun": _crun,
    "containerd": _containerd,
    "lxc": _lxc,
}
DEFAULT = "podman"
# The choice that finds the engine which has the container.
AUTO = "auto"


def select(name: str, ctx: Context, root: str = "") -> tuple[Context, Engine]:
    """Returns the engine of this name for the folder ``root``, and the context whose paths are for its containers."""
    scope = "" if name == DEFAULT else name
    if root:
        scope = f"{name}-{hashlib.sha256(root.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"
    scoped = replace(ctx, paths=replace(ctx.paths, scope=scope))
    return scoped, ENGINES[name](scoped.paths, ctx.uid, root)


def engine_for(name: str, ctx: Context) -> Engine:
    """Returns an engine for the host and the caller of the task, for its default folder."""
    return select(name, ctx)[1]
