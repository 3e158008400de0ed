# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what LXC and the kernel know of a container, and the files that are kept about it."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Bind, Container, ImageInfo, Options
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.answers import (
    HOOKS,
    KEYS,
    MOUNTS,
    ROOTFS,
    SELINUX,
    Info,
    parse_info,
    parse_mounts,
    target_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.places import (
    HOOK,
    RESTORER,
    Place,
    payload,
    place_of,
    time_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.missing import run_engine
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of, stat_fields

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# The states of LXC; the others are those of a container that starts or ends.
STATUS = {"RUNNING": "running", "FROZEN": "paused", "STOPPED": "exited"}
PACKAGE = "lxc"


@dataclass(frozen=True)
class Reads:
    """The part of the engine lxc that looks at the host, for the containers in the folder ``root``."""

    paths: Paths
    uid: int
    root: str

    program: ClassVar[str] = "lxc-checkpoint"

    @property
    def storage(self) -> str:
        return self.paths.below(self.root)

    def target(self, name: str) -> tuple[str, ...]:
        """Returns the arguments by which LXC's programs find a container."""
        return (f"--name={name}", f"--lxcpath={self.root}")

    def place(self, name: str) -> Place:
        return place_of(self.paths, self.root, name)

    def version(self, ctx: Context) -> str:
        return parse_version(run_engine(ctx.runner, (self.program, "--version"), PACKAGE).out) or ""

    def _info(self, ctx: Context, name: str) -> Info | None:
        settings = (f"--config={key}" for key in KEYS)
        argv = ("lxc-info", *self.target(name), "--state", "--pid", *settings)
        completed = run_engine(ctx.runner, argv, PACKAGE)
        if not os.path.isfile(self.paths.below(f"{self.root}/{name}/config")):
            return None
        try:
            return parse_info(check(completed, f"read container {name!r}").out)
        except ValueError as error:
            raise CheckpointError(
                f"Cannot read the answer of lxc-info about container {name!r}: {error}. Run the command manually.",
                reason="answer_invalid",
            ) from error

    def inspect(self, ctx: Context, name: str) -> Container | None:
        info = self._info(ctx, name)
        if info is None:
            return None
        place = self.place(name)
        status = STATUS.get(info.state, "stopping")
        if status == "running" and self.is_half_restored(name):
            status = "exited"  # nothing of it has run since its checkpoint
        alive = status in ("running", "paused")
        started = time_of(place.started())
        return Container(
            id=name,
            name=name,
            status=status,
            pid=info.pid if alive else 0,
            image=info.settings[ROOTFS],
            image_id="",
            runtime="",
            process_label=info.settings[SELINUX],
            started_at=started,
            restored_at=started if alive and place.starter() == RESTORER else "",
            checkpointed=not alive and HOOK in info.settings[HOOKS].splitlines() and place.is_last_state(),
            stamp=place.stamp,
            own={
                **info.settings,
                "cgroup": cgroup_of(self.paths, info.pid) if info.pid else "",
                "noted": "yes" if place.was_started_by(self.paths, self._monitor(info.pid)) else "",
            },
        )

    def _monitor(self, pid: int) -> int:
        """Returns the monitor of a container, the parent of its first process; 0 if there is none."""
        fields = stat_fields(self.paths, pid, may_fail=True) if pid else []
        return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0

    def binds(self, container: Container) -> tuple[Bind, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._host.mounts import resolve

        # LXC leaves an optional mount out if its source is missing. A source that is a link does no harm (restore.py).
        return tuple(
            Bind(resolve(self.paths, one.source), target_of(one, container.own[ROOTFS]))
            for one in parse_mounts(container.own[MOUNTS])
            if one.source.startswith("/") and not (one.optional and not os.path.exists(self.paths.below(one.source)))
        )

    def events(self, name: str) -> list[str]:
        """Returns what the kernel says about the container's cgroup, such as "populated 1"."""
        return (read_text(f"{self.paths.cgroups}{payload(name)}/cgroup.events", may_fail=True) or "").splitlines()

    def has_ended(self, name: str) -> bool:
        return "populated 1" not in self.events(name)

    def is_half_restored(self, name: str) -> bool:
        """Returns whether a restore was cut off after CRIU's work: the container is still frozen, and has no limits."""
        place, events = self.place(name), self.events(name)
        unfinished = os.path.lexists(place.options) and place.starter() == RESTORER
        return unfinished and "populated 1" in events and "frozen 1" in events

    def pids(self, name: str) -> list[int]:
        """Returns the processes of the container now."""
        files = glob.glob(f"{glob.escape(self.paths.cgroups + payload(name))}/**/cgroup.procs", recursive=True)
        texts = (read_text(path, may_fail=True) or "" for path in files)
        return [int(one) for text in texts for one in text.split() if re.fullmatch("[1-9][0-9]{0,8}", one)]

    def checkpoint_files(self, container: Container) -> tuple[str, ...]:
        place = self.place(container.name)
        return (place.images, place.ends)

    def images_dir(self, container: Container) -> str:
        return self.place(container.name).images

    def stamp(self, container: Container) -> str:
        return self.place(container.name).stamp

    def outdated_records(self, container: Container) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._store.record import place_records_dir

        folder = place_records_dir(self.paths)
        listed = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        gone = (one for one in listed if not os.path.isdir(self.paths.below(f"{self.root}/{one[: -len('.json')]}")))
        return tuple(os.path.join(folder, one) for one in gone)

    def live_pid(self, container: Container) -> int:
        return 0  # only lxc-info knows it

    def cgroups(self, container: Container) -> tuple[str, ...]:
        return (payload(container.name)[1:],)

    def log_path(self, container: Container, action: str) -> str:
        place = self.place(container.name)
        if action == "checkpoint":
            return f"{place.work}/dump.log"
        # LXC has it written beside the images.
        return next((one for one in place.restore_logs if os.path.lexists(one)), place.restore_logs[-1])

    def statistics(self, container: Container | None, action: str, text: str) -> dict[str, Any]:
        from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import read_statistics

        kind = "dump" if action == "checkpoint" else "restore"
        return read_statistics(f"{self.place(container.name).work}/stats-{kind}") if container is not None else {}

    def runtimes(self) -> Mapping[str, tuple[str, ...]]:
        return {}

    def has_image(self, ctx: Context, image_id: str) -> bool:
        return True

    def image_digest(self, image_id: str) -> str:
        return ""

    def naming_command(self, image_id: str, name: str) -> str:
        return ""

    def find_image(self, ctx: Context, name: str) -> ImageInfo | None:
        return None

    def has_volume(self, name: str) -> bool:
        return False

    def require_networks(self, ctx: Context, networks: Mapping[str, Any], what: str, *, mine: str) -> None:
        pass  # they are in the configuration, and LXC looks for them

    def published(self, options: Options) -> tuple[dict[str, Any], ...]:
        return ()

    def holder(self, container_id: str) -> str:
        return ""  # the id is the name

    def sharing(self, process_label: str) -> tuple[str, ...]:
        return ()

    def ask(self, ctx: Context, argv: tuple[str, ...]) -> Completed:
        return run_engine(ctx.runner, argv, PACKAGE)
