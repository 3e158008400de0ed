# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks the options of process_checkpoint and process_restore, and turns them into those of CRIU."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import work_path
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import check_images_path

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# The first version with configuration files and pidfd; Debian 10 has 3.11.
MINIMUM_CRIU = (3, 11)
# The part of the argument spec that process_checkpoint and process_restore share.
SHARED_SPEC: dict[str, Any] = {
    "images_path": {"type": "path"},
    "store": {"type": "path"},
    "name": {"type": "str"},
    "unit": {"type": "str"},
    # Unset, process_restore takes them from the record; process_checkpoint takes them as false.
    "shell_job": {"type": "bool"},
    "tcp_established": {"type": "bool"},
    "file_locks": {"type": "bool"},
    "external": {"type": "list", "elements": "str", "default": []},
}
PLACES = ("images_path", "store")
# The options of CRIU that the record holds as well.
FLAGS = (("shell_job", "--shell-job"), ("tcp_established", "--tcp-established"), ("file_locks", "--file-locks"))
EXTERNAL = re.compile(r"(mnt|dev|file|tty|unix|net|pid)\[[^\]\s]*\](:\S+)?\Z")


def log_path(images_path: str, action: str) -> str:
    return os.path.join(work_path(images_path), "dump.log" if action == "checkpoint" else "restore.log")


@dataclass(frozen=True)
class ProcessOptions:
    """The options of both modules. Those from ``terminal`` to ``on_label_mismatch`` belong to only one of them.

    ``off``: those that the task sets to false. ``unix_sockets``: the images have connections to Unix sockets outside.
    With ``store``, ``images_path`` is where the images are until the checkpoint ``name`` is whole. ``parent`` is the id
    of the one that it is built on, latest until that one is found, or empty. ``signing_key`` is the path of a file.
    """

    images_path: str
    unit: str | None
    shell_job: bool
    tcp_established: bool
    file_locks: bool
    external: tuple[str, ...]
    is_root: bool
    terminal: str | None = None
    parent_path: str | None = None
    pre_dump: bool = False
    leave_running: bool = False
    on_label_mismatch: str = "stop"
    restores: bool = False
    off: frozenset[str] = frozenset()
    unix_sockets: bool = False
    store: str | None = None
    name: str = ""
    why: str = ""
    checkpoint: str = ""
    parent: str = ""
    signing_key: str | None = None
    max_age: int | None = None
    when: str = "changed"

    @classmethod
    def of(cls, ctx: Context) -> ProcessOptions:
        """Returns the options; refuses what an argument spec cannot check.

        Raises:
            CheckpointError: external_invalid, parent_invalid, images_path_unsafe, option_invalid, store_unsafe.
        """
        params = ctx.params
        words = _place_of(params)
        path = words.pop("images_path")
        parent = (params.get("parent_path") or "").rstrip("/") or None
        for one in params["external"]:
            if not EXTERNAL.match(one):
                raise CheckpointError(
                    f"Cannot use external {one!r}: it has neither of CRIU's forms TYPE[ID] and TYPE[ID]:NAME. Write it "
                    "like unix[7097] or mnt[/data]:data.",
                    reason="external_invalid",
                )
        if parent is not None and (parent == path or os.path.dirname(parent) != os.path.dirname(path)):
            raise CheckpointError(
                f"Cannot use parent_path {parent!r}: it is not beside {path!r}. Keep both in one folder, so that they "
                "can be moved together.",
                reason="parent_invalid",
            )
        return cls(
            path,
            params.get("unit"),
            bool(params["shell_job"]),
            bool(params["tcp_established"]),
            bool(params["file_locks"]),
            tuple(params["external"]),
            ctx.is_root,
            params.get("terminal"),
            parent,
            params.get("pre_dump", False),
            params.get("leave_running", False),
            params.get("on_label_mismatch", "stop"),
            "on_label_mismatch" in params,
            frozenset(name for name, dummy_flag in FLAGS if params[name] is False),
            **words,
            **_age_of(params),
        )

    @property
    def place(self) -> dict[str, str]:
        """The place of the checkpoint, as a diff names it."""
        return {"images_path": self.images_path} if self.store is None else {"store": self.store, "name": self.name}

    @property
    def tracks(self) -> bool:
        """Whether a dump lets the kernel track changes of memory, so that the next one can be based on it."""
        return self.pre_dump or self.parent_path is not None

    def common_flags(self, folder: str, log: str) -> tuple[str, ...]:
        """Returns the arguments that dump, pre-dump and restore have in common."""
        return (
            "--images-dir",
            folder,
            "--work-dir",
            work_path(self.images_path),
            "--log-file",
            log,
            "-v4",
            *(() if self.is_root else ("--unprivileged",)),
            *(flag for name, flag in FLAGS if getattr(self, name)),
        )


def _place_of(params: Mapping[str, Any]) -> dict[str, Any]:
    if params.get("store") is not None:
        # Few tasks have a store: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._process.store_options import store_words

        return store_words(params)
    path = params["images_path"].rstrip("/") or "/"
    check_images_path(path)
    return {"images_path": path}


def _age_of(params: Mapping[str, Any]) -> dict[str, Any]:
    words = {"when": params["when"]} if params.get("when") else {}
    if params.get("max_age") is None:
        return words
    # Few tasks have it: the others need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._store.age import parse_max_age

    return {**words, "max_age": parse_max_age(params["max_age"])}


def require_root_for(options: ProcessOptions) -> None:
    """Refuses options for which only root can use systemd."""
    if not options.is_root and (options.unit or options.terminal):
        raise CheckpointError(
            f"Cannot use {'unit' if options.unit else 'terminal'} for {options.images_path!r}: only root can use "
            "systemd's services for this. Set become: true, or use a process without a unit.",
            reason="root_needed",
        )
