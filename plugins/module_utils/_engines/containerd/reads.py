# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what containerd has on a host: its release, containers, tasks and images."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, ImageInfo, Options
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.answers import (
    name_of,
    parse_images,
    parse_info,
    parse_task,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.place import (
    folder_of,
    kept_container,
    read_config,
    stamp_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, word
from ansible_collections.criu.hosts.plugins.module_utils._engines.missing import run_engine
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

ENGINE = "containerd"
# The namespace of ctr and nerdctl. Docker's is moby, the kubelet's k8s.io.
NAMESPACE = "default"
CTR = ("ctr", "--namespace", NAMESPACE)
PACKAGE = "containerd"
# Where containerd keeps what belongs to the shim of a task: until the next boot, and over boots.
TASKS = "io.containerd.runtime.v2.task"
STATE, ROOT = f"/run/containerd/{TASKS}", f"/var/lib/containerd/{TASKS}"
RUNC = tuple(f"{folder}/runc" for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"))


def time_text(nanoseconds: int) -> str:
    """Returns a time as containerd prints it."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


@dataclass(frozen=True)
class Reads:
    """The part of the engine containerd that looks at the host."""

    paths: Paths = field(default_factory=Paths)
    uid: int = 0

    def bundle(self, name: str) -> str:
        """Returns the folder of a task, which is there as long as containerd has the task."""
        return self.paths.below(f"{STATE}/{NAMESPACE}/{name}")

    def kept(self, name: str) -> str:
        """Returns the folder with the log of the last restore of a task."""
        return self.paths.below(f"{ROOT}/{NAMESPACE}/{name}")

    def ask(self, ctx: Context, argv: tuple[str, ...]) -> Completed:
        return run_engine(ctx.runner, argv, PACKAGE)

    def version(self, ctx: Context) -> str:
        return parse_version(self.ask(ctx, ("ctr", "--version")).out) or ""

    def inspect(self, ctx: Context, name: str) -> Container | None:
        wanted, name = name, name_of(name)
        completed = self.ask(ctx, (*CTR, "containers", "info", name))
        if completed.rc != 0:
            listed = check(self.ask(ctx, (*CTR, "containers", "ls", "--quiet")), "list the containers of containerd")
            if name in listed.out.split("\n"):
                check(completed, f"read container {name!r}")
            found = kept_container(self.paths, name)
        else:
            found = self._seen(ctx, parse_info(completed.out))
        return found if found is not None and wanted in (found.name, found.id) else None

    def _seen(self, ctx: Context, found: Container) -> Container:
        """Returns the container with what its task and its checkpoint in place say."""
        listed = check(self.ask(ctx, (*CTR, "tasks", "ls")), "list the tasks of containerd")
        status, pid = parse_task(listed.out, found.name)
        started = self._started(found.name)
        if status == "running" and not started:
            raise CheckpointError(
                f"Cannot read container {found.name!r}: {self.bundle(found.name)!r} has no init.pid. The collection "
                "works with a containerd that has its files in /run/containerd and /var/lib/containerd.",
                reason="tool_failed",
            )
        # One that an earlier task has left paused runs on, and is dumped, in this one.
        image_id = self.digests(ctx).get(found.image, "") if status in ("running", "paused") else ""
        # Of the last restore of this task; a new task has a new folder.
        restored = started if os.path.exists(f"{self.kept(found.name)}/restore.log") else ""
        found = replace(
            found, status=status, pid=pid, image_id=image_id, started_at=started, restored_at=restored, stamp=""
        )
        found = replace(found, stamp=self.stamp(found))
        return replace(found, checkpointed=self._is_in_dump(found))

    def _started(self, name: str) -> str:
        """Returns when the task was started or restored: runc writes the pid then. Empty if it has not run."""
        try:
            return time_text(os.stat(f"{self.bundle(name)}/init.pid").st_mtime_ns)
        except OSError:
            return ""

    def _is_in_dump(self, container: Container) -> bool:
        """Returns whether its checkpoint in place has ended the container, as far as containerd knows."""
        if container.alive or not container.stamp:
            return False
        more = inner(read_config(folder_of(self.paths, container.name)) or {}, "containerd")
        return more.get("exit") is True and container.started_at in ("", word(more, "run"))

    def digests(self, ctx: Context) -> dict[str, str]:
        """Returns the digests of the images on this host, by their names."""
        listed = check(self.ask(ctx, (*CTR, "images", "ls")), "list the images of containerd")
        return parse_images(listed.out)

    def stamp(self, container: Container) -> str:
        return stamp_of(self.paths, container.name, container.id)

    def live_pid(self, container: Container) -> int:
        return self.live_pid_of(container.name)

    def live_pid_of(self, name: str) -> int:
        """Returns the host pid of the task's first process; 0 if it has ended, or there is no task."""
        text = (read_text(f"{self.bundle(name)}/init.pid", may_fail=True) or "").strip()
        return int(text) if re.fullmatch("[0-9]{1,9}", text) and os.path.isdir(f"{self.paths.proc}/{text}") else 0

    def runtimes(self) -> dict[str, tuple[str, ...]]:
        return {"runc": RUNC}

    def has_image(self, ctx: Context, image_id: str) -> bool:
        return image_id in self.digests(ctx).values()

    def naming_command(self, image_id: str, name: str) -> str:
        return ""  # require_image

    def require_image(self, ctx: Context, name: str, image_id: str, what: str) -> None:
        """Refuses a restore if the name leads to no image, or to a different one, onto which ctr would restore.

        Raises:
            CheckpointError: image_missing.
        """
        digests = self.digests(ctx)
        if not image_id or digests.get(name) == image_id:
            return
        other = next((one for one in digests if digests[one] == image_id), "")
        advice = f"Give it that name: '{' '.join(CTR)} images tag --force {other} {name}'."
        raise CheckpointError(
            f"Cannot {what}: no image with the name {name!r} is the one of the container ({image_id[:12]}). "
            f"{advice if other else 'Pull or load that very image first.'}",
            reason="image_missing",
        )

    def image_digest(self, image_id: str) -> str:
        return f"sha256:{image_id}" if image_id else ""

    def has_volume(self, name: str) -> bool:
        return False

    def require_networks(self, ctx: Context, networks: Mapping[str, Any], what: str, *, mine: str) -> None:
        pass

    def published(self, options: Options) -> tuple[dict[str, Any], ...]:
        return ()

    def holder(self, container_id: str) -> str:
        return ""

    def sharing(self, process_label: str) -> tuple[str, ...]:
        return ()

    def find_image(self, ctx: Context, name: str) -> ImageInfo | None:
        found = self.digests(ctx).get(name)
        return ImageInfo(found) if found is not None else None
