# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Implements the engine docker: reads containers, and plans docker's commands."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, ClassVar

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause, CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Step
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import (
    Abilities,
    Bind,
    Container,
    Health,
    Options,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker import places
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.answers import parse_inspect
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.reads import Reads, ask
from ansible_collections.criu.hosts.plugins.module_utils._engines.no_pre_dumps import NoPreDumps
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import in_user_namespace, read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.images import Images
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
    from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec

NO_CONTAINER = "No such container"


def _id(target: Container | str) -> str:
    return target if isinstance(target, str) else target.id


@dataclass(frozen=True)
class Docker(NoPreDumps, Reads):
    """The engine docker, with the daemon of this host that runs as root."""

    name: ClassVar[str] = "docker"
    program: ClassVar[str] = "docker"
    # runc, libcontainer/criu_linux.go
    minimum_criu: ClassVar[tuple[int, ...]] = (3, 0)
    abilities: ClassVar[Abilities] = Abilities(
        in_place=True,
        archive=True,
        new_name=True,
        leave_running=True,
        tcp_established=True,
        tcp_close=True,
        file_locks=True,
        ignore_static_ip=True,
        ignore_static_mac=True,
        pipe=True,
        files=True,
        new_id=True,
        pauses=True,
        keeps=True,
    )
    list_command: ClassVar[str] = "docker ps --all"

    @property
    def storage(self) -> str:
        return places.root(self.paths)

    def image_command(self, name: str) -> str:
        # It keeps the id, which a pull under the same name need not do.
        return f"docker save {name} | ssh HOST docker load"

    def require_caller(self, what: str) -> None:
        if self.uid == 0 and not in_user_namespace(self.paths):
            return
        raise CheckpointError(
            f"Cannot {what}: the files of Docker belong to root, and CRIU needs root. Run the task as root (become: "
            "true).",
            reason="rootless_unsupported",
        )

    def require_options(self, ctx: Context, options: Options, what: str, *, archive: bool) -> None:
        if archive or not (options.ignore_static_ip or options.ignore_static_mac):
            return
        raise CheckpointError(
            f"Cannot {what} with {'ignore_static_ip' if options.ignore_static_ip else 'ignore_static_mac'}: the "
            "container is there, and Docker keeps its addresses. Leave it out.",
            reason="ability_missing",
        )

    def explain_absence(self, name: str, what: str) -> None:
        pass

    def inspect(self, ctx: Context, name: str) -> Container | None:
        completed = ask(ctx, ("docker", "container", "inspect", name), f"read container {name!r}")
        if completed.rc != 0 and NO_CONTAINER in completed.err:
            return None
        found = parse_inspect(check(completed, f"read container {name!r}").out)
        # Docker takes what it is given for the beginning of an id, too.
        if name not in (found.name, found.id):
            return None
        restored = found.alive and places.was_restored(self.paths, found.id)
        return replace(found, stamp=self.stamp(found), restored_at=found.started_at if restored else "")

    def address(self, ctx: Context, name: str) -> str:
        found = self.inspect(ctx, name)
        if found is None:
            raise CheckpointError(
                f"Cannot find container {name!r}: there is no such container. See '{self.list_command}'.",
                reason="container_missing",
            )
        return found.id

    def manager(self, container: Container) -> str:
        return ""

    def binds(self, container: Container) -> tuple[Bind, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.answers import binds_of, entry_of

        try:
            return binds_of(entry_of(container))
        except ValueError:
            return ()

    def losses(self, container: Container, archive_path: str | None) -> tuple[str, ...]:
        # Only a checkpoint needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.losses import check_losses

        return check_losses(self.paths, container)

    def require_ties(self, ctx: Context, container: Container) -> None:
        pass  # Docker finds the namespaces of another container by its id, at each start

    def storage_warnings(self, selinux_enabled: bool) -> tuple[str, ...]:
        return ()

    def checkpoint_steps(self, container: Container, options: Options, export: str | None) -> tuple[Step, ...]:
        # Only a checkpoint needs to compile these.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.criu_options import require_criu_options
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.steps import dump_steps

        what = f"checkpoint container {container.name!r}"
        require_criu_options(self.paths, "Docker", container.criu_config, options, what)
        if export is None:
            return dump_steps(self.paths, container, options)
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.export import export_steps

        return export_steps(self.paths, container, options, export)

    def restore_steps(self, container: Container, options: Options) -> tuple[Step, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.criu_options import require_criu_options
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.steps import restore_steps

        what = f"restore container {container.name!r}"
        require_criu_options(self.paths, "Docker", container.criu_config, options, what)
        return restore_steps(self.paths, container)

    def require_import(self, ctx: Context, record: Record, what: str) -> None:
        # Only a restore from an archive needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.imports import require_import

        require_import(self.paths, what)

    def import_steps(
        self, archive: str, record: Record, new_name: str | None, options: Options, previous: str = ""
    ) -> tuple[Step, ...]:
        # Only a restore from an archive needs to compile these.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.criu_options import require_criu_options
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.archive import config_in
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.imports import import_steps

        name = new_name or record.name
        if options.tcp_established or options.file_locks or options.tcp_close:
            named = config_in(archive)
            require_criu_options(self.paths, "Docker", named, options, f"restore container {name!r}")
        return import_steps(self.paths, archive, record.id, name, options)

    def handle(self, name: str, container_id: str) -> str:
        return container_id or name

    def import_files(self, name: str) -> tuple[str, ...]:
        # Only a restore from an archive needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.imports import import_files

        return import_files(self.paths, name)

    def restart_steps(self, target: Container | str, policy: str) -> tuple[Step, ...]:
        current, name = ("", target) if isinstance(target, str) else (target.restart, target.name)
        if policy in ("", current):
            return ()
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.steps import update_step

        return (update_step(_id(target), name, policy),)

    def profile(self, container: Container) -> str:
        return container.own.get("apparmor", "")

    def profile_steps(self, name: str, image_id: str, runtime: str, profile: str) -> tuple[Step, ...]:
        return ()  # the daemon loads its profile when it starts a container

    def leftover_steps(
        self, name: str, container_id: str, runtime: str, alive: Callable[[], bool]
    ) -> tuple[Command, ...]:
        return ()  # containerd removes what a failed restore has left

    def thaw_steps(self, container: Container) -> tuple[Step, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.steps import unpause_step

        why = f"thaw container {container.name!r}"
        if container.paused:
            return (unpause_step(container.id, why),)
        # CRIU freezes the cgroup; Docker knows nothing of that, so it would refuse to unpause.
        events = read_text(f"{self.paths.cgroups}{cgroup_of(self.paths, container.pid)}/cgroup.events") or ""
        if "frozen 1" not in events.splitlines():
            return ()
        argv = ("runc", "--root", "/run/docker/runtime-runc/moby", "resume", container.id)
        return (Command(argv, why=why, finish=True),)

    def start_steps(self, target: Container | str) -> tuple[Step, ...]:
        name = target if isinstance(target, str) else target.name
        return (Command(("docker", "start", _id(target)), why=f"start container {name!r}", finish=True),)

    def stop_steps(self, target: Container | str, why: str, seconds: int = 0) -> tuple[Step, ...]:
        argv = ("docker", "stop", "-t", str(seconds), _id(target))
        return (Command(argv, why=why, finish=True, unless=self._missing(target)),)

    def unpause_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.steps import unpause_step

        return (unpause_step(_id(target), why),)

    def unpause_command(self, name: str) -> str:
        return f"docker unpause {name}"

    def health_steps(self, ctx: Context, name: str, container_id: str, health: Health) -> tuple[Step, ...]:
        return ()  # Docker checks a restored container like any other

    def remove_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        argv = ("docker", "rm", "--force", _id(target))
        return (Command(argv, why=why, finish=True, unless=self._missing(target)),)

    def _missing(self, target: Container | str) -> Callable[[], bool]:
        """Returns whether the container is gone: Docker would take its name for the beginning of an id."""
        return lambda: not places.find_id(self.paths, _id(target))

    def remove_volume_steps(self, name: str, why: str) -> tuple[Step, ...]:
        argv = ("docker", "volume", "rm", name)
        return (Command(argv, why=why, finish=True, unless=lambda: not self.has_volume(name)),)

    def leftovers(self, container: Container, options: Options) -> tuple[str, ...]:
        # The images that an archive is made from: memory on disk, without a use.
        return () if options.keep or not options.leave_running else self.checkpoint_files(container)

    def changed_files(self, container: Container, archive: str) -> tuple[str, ...]:
        return ()  # the container is paused until its files are in the archive

    def checkpoint_files(self, container: Container) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.steps import OLD

        images = places.images_of(self.paths, container)
        folder = places.folder_of(self.paths, container)
        return (images, os.path.join(os.path.dirname(images), OLD), os.path.join(folder, "criu-hosts"))

    def images_dir(self, container: Container) -> str:
        return places.images_of(self.paths, container)

    def outdated_records(self, container: Container) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._store.record import place_records_dir

        folder = place_records_dir(self.paths)
        known = {f"{name}.json" for name in places.identities(self.paths)}
        if not os.path.isdir(folder) or not known:
            return ()
        return tuple(os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name not in known)

    def stamp(self, container: Container) -> str:
        return places.stamp_of(places.images_of(self.paths, container))

    def live_pid(self, container: Container) -> int:
        return places.live_pid(self.paths, container.id)

    def cgroups(self, container: Container) -> tuple[str, ...]:
        # Of the drivers systemd and cgroupfs.
        parent = container.own.get("cgroup_parent", "").strip("/")
        return (f"{parent or 'system.slice'}/docker-{container.id}.scope", f"{parent or 'docker'}/{container.id}")

    def log_path(self, container: Container, action: str) -> str:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.steps import log_of

        if action == "restore":
            return log_of(places.folder_of(self.paths, container))
        bundle = places.bundle_of(self.paths, container.id)
        return f"{bundle}/criu-dump.log" if bundle else ""

    def statistics(self, container: Container | None, action: str, text: str) -> dict[str, Any]:
        # Docker prints none, and containerd keeps those of a restore only.
        if container is None or action != "restore":
            return {}
        from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import read_statistics

        bundle = places.bundle_of(self.paths, container.id)
        return read_statistics(f"{bundle}/work/stats-restore") if bundle else {}

    def owns(self, completed: Completed) -> bool:
        return completed.argv[:1] == ("docker",)

    def cause(self, completed: Completed) -> Cause:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.causes import cause_of

        return cause_of(completed)

    def describe_archive(self, path: str) -> Record:
        # Nearly every archive has a record: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.archive import describe_archive

        return describe_archive(path)

    @property
    def images(self) -> Images:
        raise NotImplementedError("docker has no images of checkpoints")

    def spec(self, source: Container | str) -> Spec | None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.spec import archive_spec, parse_spec

        if isinstance(source, str):
            return archive_spec(source)
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.answers import entry_of

        try:
            return parse_spec(entry_of(source))
        except ValueError:
            return None
