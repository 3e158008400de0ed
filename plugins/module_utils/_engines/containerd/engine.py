# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Implements the engine containerd, by its command ctr.

ctr can put a checkpoint into containerd's store, but then loses states (containerd 1.7.24): a second one of a container
is without its memory, and without any failure (container.go: Checkpoint goes on if a part exists already), and one that
ends the container fails when it has ended it, if the store has the configuration from an earlier one (services/tasks/
local.go: writeContent). So CRIU writes into a folder of ours, and only a restore goes by way of the store. It makes the
container again, since ctr starts no task of an existing container from a checkpoint.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, ClassVar

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause, CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Step, Wait
from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import IMAGES
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import (
    Abilities,
    Bind,
    Container,
    Health,
    Options,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.answers import name_of
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.place import folder_of, import_folder
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.reads import CTR, ENGINE, Reads
from ansible_collections.criu.hosts.plugins.module_utils._engines.no_pre_dumps import NoPreDumps
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import in_user_namespace

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.images import Images
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
    from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec

# How long containerd may take to notice the end of a task that was killed.
END_SECONDS = 30.0


def _name(target: Container | str) -> str:
    return name_of(target) if isinstance(target, str) else target.name


@dataclass(frozen=True)
class Containerd(NoPreDumps, Reads):
    """The engine containerd, in the namespace of ctr."""

    name: ClassVar[str] = ENGINE
    program: ClassVar[str] = "ctr"
    minimum_criu: ClassVar[tuple[int, ...]] = (3, 11)
    abilities: ClassVar[Abilities] = Abilities(
        in_place=True,
        archive=True,
        leave_running=True,
        tcp_established=True,
        file_locks=True,
        pipe=True,
        files=True,
        pauses=True,
        keeps=True,
    )
    list_command: ClassVar[str] = " ".join((*CTR, "containers", "ls"))

    @property
    def storage(self) -> str:
        return self.paths.below("/var/lib/containerd")

    def image_command(self, name: str) -> str:
        return f"ctr images export - {name} | ssh HOST ctr images import -"

    def require_caller(self, what: str) -> None:
        if self.uid == 0 and not in_user_namespace(self.paths):
            return
        why = f"this task runs with the user id {self.uid}" if self.uid else "it is root in a user namespace"
        raise CheckpointError(
            f"Cannot {what}: containerd takes commands from the host's root only, and {why}. Set become.",
            reason="rootless_unsupported",
        )

    def require_ready(self, ctx: Context, what: str) -> None:
        pass

    def require_options(self, ctx: Context, options: Options, what: str, *, archive: bool) -> None:
        pass

    def explain_absence(self, name: str, what: str) -> None:
        # Only a task that fails needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.namespaces import refuse_elsewhere

        refuse_elsewhere(self.paths, name, what)

    def address(self, ctx: Context, name: str) -> str:
        return name_of(name)

    def manager(self, container: Container) -> str:
        return ""

    def binds(self, container: Container) -> tuple[Bind, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.oci import parse_binds

        return parse_binds(parse_object(container.own["spec"]), lambda dummy: False)

    def losses(self, container: Container, archive_path: str | None) -> tuple[str, ...]:
        # Only a checkpoint needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.losses import check_losses

        return check_losses(self.paths, container)

    def require_ties(self, ctx: Context, container: Container) -> None:
        # A restore removes the container before ctr looks for the image.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.place import image_in

        image_id = image_in(self.paths, container.name)
        self.require_image(ctx, container.image, image_id, f"restore container {container.name!r}")

    def storage_warnings(self, selinux_enabled: bool) -> tuple[str, ...]:
        return ()

    def checkpoint_steps(self, container: Container, options: Options, export: str | None) -> tuple[Step, ...]:
        # Only a task that makes a checkpoint needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.dump import checkpoint_steps

        return checkpoint_steps(self.paths, container, options, export)

    def restore_steps(self, container: Container, options: Options) -> tuple[Step, ...]:
        # Only a restore needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.restore import restore_steps

        return restore_steps(self.paths, container, options, self.bundle(container.name))

    def require_import(self, ctx: Context, record: Record, what: str) -> None:
        if not record.name:
            raise CheckpointError(
                f"Cannot {what}: the archive does not name its container. Make it again.", reason="archive_invalid"
            )
        self.require_image(ctx, record.image, record.image_id, what)

    def import_steps(
        self, archive: str, record: Record, new_name: str | None, options: Options, previous: str = ""
    ) -> tuple[Step, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.restore import import_archive

        return import_archive(self.paths, archive, record, options)

    def import_files(self, name: str) -> tuple[str, ...]:
        return (import_folder(self.paths, name),)

    def handle(self, name: str, container_id: str) -> str:
        return name

    def restart_steps(self, target: Container | str, policy: str) -> tuple[Step, ...]:
        return ()  # containerd starts no container by itself

    def profile(self, container: Container) -> str:
        return container.own.get("apparmor", "")

    def profile_steps(self, name: str, image_id: str, runtime: str, profile: str) -> tuple[Step, ...]:
        return ()

    def leftover_steps(
        self, name: str, container_id: str, runtime: str, alive: Callable[[], bool]
    ) -> tuple[Command, ...]:
        # What a failed restore leaves is a container, which the next one replaces.
        return ()

    def thaw_steps(self, container: Container) -> tuple[Step, ...]:
        # ctr pauses a container for its dump, and lets it go on itself: if it was killed, nothing does.
        return self.unpause_steps(container, f"let container {container.name!r} go on") if container.paused else ()

    def start_steps(self, target: Container | str) -> tuple[Step, ...]:
        name = _name(target)
        bundle, why = self.bundle(name), f"start container {name!r}"
        return (
            Command(
                (*CTR, "tasks", "delete", name),
                why=f"remove the ended task of container {name!r}",
                finish=True,
                unless=lambda: not os.path.isdir(bundle),
            ),
            Command((*CTR, "tasks", "start", "--detach", "--null-io", name), why=why, finish=True),
        )

    def stop_steps(self, target: Container | str, why: str, seconds: int = 0) -> tuple[Step, ...]:
        name = _name(target)

        def ended() -> bool:
            return not self.live_pid_of(name)

        return (
            Command((*CTR, "tasks", "kill", "--signal=SIGKILL", name), why=why, finish=True, unless=ended),
            Wait(ended, END_SECONDS, why=why, advice="Look at the journal of containerd."),
        )

    def unpause_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        return (Command((*CTR, "tasks", "resume", _name(target)), why=why, finish=True),)

    def unpause_command(self, name: str) -> str:
        return f"{' '.join(CTR)} tasks resume {name}"

    def health_steps(self, ctx: Context, name: str, container_id: str, health: Health) -> tuple[Step, ...]:
        return ()

    def remove_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.restore import removal_steps

        name = _name(target)
        return (*self.stop_steps(name, why), *removal_steps(name, self.bundle(name), why))

    def remove_volume_steps(self, name: str, why: str) -> tuple[Step, ...]:
        return ()

    def leftovers(self, container: Container, options: Options) -> tuple[str, ...]:
        # Beside a container that has ended, they are what a restore in place needs.
        return self.checkpoint_files(container) if options.leave_running and not options.keep else ()

    def changed_files(self, container: Container, archive: str) -> tuple[str, ...]:
        return ()  # it was paused until both were saved

    def checkpoint_files(self, container: Container) -> tuple[str, ...]:
        return (folder_of(self.paths, container.name),)

    def images_dir(self, container: Container) -> str:
        return os.path.join(folder_of(self.paths, container.name), IMAGES)

    def outdated_records(self, container: Container) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.place import outdated_records

        return outdated_records(self.paths)

    def cgroups(self, container: Container) -> tuple[str, ...]:
        return tuple(one for one in (container.own.get("cgroup", ""),) if one)

    def log_path(self, container: Container, action: str) -> str:
        # The shim copies the log of a dump that has failed, and keeps that of each restore.
        if action == "checkpoint":
            return os.path.join(self.bundle(container.name), "criu-dump.log")
        return os.path.join(self.kept(container.name), "restore.log")

    def statistics(self, container: Container | None, action: str, text: str) -> dict[str, Any]:
        from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import read_statistics

        if container is None:
            return {}
        folder = folder_of(self.paths, container.name) if action == "checkpoint" else self.kept(container.name)
        return read_statistics(os.path.join(folder, "stats-dump" if action == "checkpoint" else "stats-restore"))

    def owns(self, completed: Completed) -> bool:
        return completed.argv[:1] == ("ctr",)

    def cause(self, completed: Completed) -> Cause:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.causes import cause_of

        return cause_of(completed)

    def describe_archive(self, path: str) -> Record:
        # Nearly every archive has a record: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.archive import read_archive

        return read_archive(path)

    def spec(self, source: Container | str) -> Spec | None:
        # Few hosts have a trust policy: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.archive import read_spec
        from ansible_collections.criu.hosts.plugins.module_utils._engines.spec import read_archive_spec

        return read_archive_spec(source) if isinstance(source, str) else read_spec(source)

    @property
    def images(self) -> Images:
        raise NotImplementedError  # without the ability, nothing asks for it

    def exec_argv(self, name: str, user: str, argv: tuple[str, ...], *, stdin: bool = False) -> tuple[str, ...]:
        return (*CTR, "tasks", "exec", "--exec-id", f"criu-hosts-{os.getpid()}", "--user", user, _name(name), *argv)
