# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Implements the engine podman: reads containers, plans podman's commands, parses its statistics."""

from __future__ import annotations

import os
import re
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
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import (
    CHECKPOINT_FILES,
    parse_inspect,
    parse_statistics,
    work_dir,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.flags import ABILITIES, flags, restore_flags
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.reads import Reads, run_podman
from ansible_collections.criu.hosts.plugins.module_utils._host.names import UNIT_LABEL, may_begin_id, only
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import in_user_namespace, read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.images import Images
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
    from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec

# The second: there is no container of this name, and the ids of several begin with it (podman 5.4.2).
NO_CONTAINER = ("no such container", "more than one result for container")


def _of(container: Container) -> str:
    return container.id if may_begin_id(container.name) else container.name


def _only(target: Container | str) -> tuple[str, ...]:
    return only(target) if isinstance(target, str) else (_of(target),)


def _stamp_of(images: str) -> str:
    try:
        return str(os.stat(os.path.join(images, "inventory.img")).st_mtime_ns)
    except OSError:
        return ""


@dataclass(frozen=True)
class Podman(Reads):
    """The engine podman, rootful."""

    name: ClassVar[str] = "podman"
    minimum_criu: ClassVar[tuple[int, ...]] = (3, 11)
    abilities: ClassVar[Abilities] = ABILITIES
    list_command: ClassVar[str] = "podman ps --all"

    def image_command(self, name: str) -> str:
        # It keeps the id, which a pull under the same name need not do.
        return f"podman save {name} | ssh HOST podman load"

    def require_caller(self, what: str) -> None:
        if self.uid == 0 and not in_user_namespace(self.paths):
            return
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.rootless import require_root

        require_root(what, self.paths, self.uid)

    def require_options(self, ctx: Context, options: Options, what: str, *, archive: bool) -> None:
        # Only a restore with such options needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.restore_options import require_options

        require_options(options, run_podman(ctx.runner, ("podman", "--version")).out, what, archive=archive)

    def explain_absence(self, name: str, what: str) -> None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.rootless import refuse_users_container

        refuse_users_container(name, what)

    def inspect(self, ctx: Context, name: str) -> Container | None:
        completed = run_podman(ctx.runner, ("podman", "container", "inspect", name))
        if completed.rc != 0 and any(words in completed.err.lower() for words in NO_CONTAINER):
            return None
        found = parse_inspect(check(completed, f"read container {name!r}").out)
        # Podman takes what it is given for the beginning of an id, too.
        return replace(found, stamp=self.stamp(found)) if name in (found.name, found.id) else None

    def address(self, ctx: Context, name: str) -> str:
        if not may_begin_id(name):
            return name
        found = self.inspect(ctx, name)
        if found is None:
            raise CheckpointError(
                f"Cannot find container {name!r}: there is no such container. See '{self.list_command}'.",
                reason="container_missing",
            )
        return found.id

    def manager(self, container: Container) -> str:
        from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import unit_name

        # Images have labels, too: such a one may be no unit, or an option of systemctl.
        name = container.labels.get(UNIT_LABEL) or container.labels.get("PODMAN_SYSTEMD_UNIT") or ""
        try:
            return unit_name(name) if name else ""
        except CheckpointError:
            return ""

    def binds(self, container: Container) -> tuple[Bind, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.binds import read_binds

        return read_binds(container)

    def losses(self, container: Container, archive_path: str | None) -> tuple[str, ...]:
        # Only a checkpoint needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.losses import check_losses
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.ties import check_ties, warn_strays

        ties = check_ties(self.paths, container, archive_path)
        return (*ties, *check_losses(container, archive_path, self.paths.proc), *warn_strays(self.paths, container))

    def require_ties(self, ctx: Context, container: Container) -> None:
        others = container.own.get("dependencies", "").split()
        if not others:
            return
        # Few containers depend on others.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.ties import require_namespaces

        found = [self.inspect(ctx, one) for one in others]
        require_namespaces(self.paths, container, [one.pid for one in found if one is not None and one.running])

    def storage_warnings(self, selinux_enabled: bool) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.losses import unlabelled_warning

        return unlabelled_warning(self.paths.storage if selinux_enabled else "")

    def checkpoint_steps(self, container: Container, options: Options, export: str | None) -> tuple[Step, ...]:
        argv = ["podman", "container", "checkpoint", "--print-stats", *flags(options, archive=export is not None)]
        if options.leave_running:
            argv.append("--leave-running")
        if options.pre_checkpoint or options.with_previous:
            argv.append("--pre-checkpoint" if options.pre_checkpoint else "--with-previous")
        if export is not None:
            argv += [f"--export={export}", f"--compress={options.compression}"]
        why = f"checkpoint container {container.name!r}"
        return (Command((*argv, _of(container)), why=why, label="checkpoint", finish=True),)

    def restore_steps(self, container: Container, options: Options) -> tuple[Step, ...]:
        argv = ["podman", "container", "restore", "--print-stats", *restore_flags(options, archive=False)]
        why = f"restore container {container.name!r}"
        return (Command((*argv, _of(container)), why=why, label="restore", finish=True),)

    def import_steps(
        self, archive: str, runtime: str, new_name: str | None, options: Options, previous: str = ""
    ) -> tuple[Step, ...]:
        argv = ["podman", *(["--runtime", runtime] if runtime else []), "container", "restore", "--print-stats"]
        argv += [*restore_flags(options, archive=True), f"--import={archive}"]
        argv += [f"--import-previous={previous}"] if previous else []
        argv += [f"--name={new_name}"] if new_name else []
        why = f"restore from the archive {archive!r}"
        return (Command(tuple(argv), why=why, label="restore", finish=True),)

    def profile(self, container: Container) -> str:
        return container.own.get("apparmor", "")

    def profile_steps(self, name: str, image_id: str, runtime: str, profile: str) -> tuple[Step, ...]:
        # Only a restore after a boot of a host with AppArmor needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.profile import profile_steps

        return profile_steps(name, image_id, runtime, profile)

    def leftover_steps(self, container_id: str, runtime: str, alive: Callable[[], bool]) -> tuple[Command, ...]:
        # Only a restore needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.leftovers import leftover_steps

        return leftover_steps(self.paths, container_id, runtime, alive)

    def thaw_steps(self, container: Container) -> tuple[Step, ...]:
        # CRIU freezes the cgroup; podman knows nothing of that, so it would refuse to unpause.
        events = read_text(f"{self.paths.cgroups}{cgroup_of(self.paths, container.pid)}/cgroup.events") or ""
        if "frozen 1" not in events.splitlines() or not container.runtime:
            return ()
        # Only a container that is frozen needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.leftovers import runtime_argv

        argv = (*runtime_argv(container.runtime), "resume", container.id)
        return (Command(argv, why=f"thaw container {container.name!r}", finish=True),)

    def start_steps(self, target: Container | str) -> tuple[Step, ...]:
        name = target if isinstance(target, str) else target.name
        return (Command(("podman", "start", *_only(target)), why=f"start container {name!r}", finish=True),)

    def stop_steps(self, target: Container | str, why: str, seconds: int = 0) -> tuple[Step, ...]:
        argv = ("podman", "stop", "--ignore", f"--time={seconds}", *_only(target))
        return (Command(argv, why=why, finish=True),)

    def unpause_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        return (Command(("podman", "unpause", *_only(target)), why=why, finish=True),)

    def unpause_command(self, name: str) -> str:
        return f"podman unpause {name}"

    def health_steps(self, ctx: Context, name: str, container_id: str, health: Health) -> tuple[Step, ...]:
        # Few containers have a health check.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.health import health_steps

        return health_steps(ctx, container_id if may_begin_id(name) and container_id else name, container_id, health)

    def remove_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        argv = ("podman", "rm", "--force", "--ignore", "--time=0", *_only(target))
        return (Command(argv, why=why, finish=True),)

    def remove_volume_steps(self, name: str, why: str) -> tuple[Step, ...]:
        return (
            Command(("podman", "volume", "rm", name), why=why, finish=True, unless=lambda: not self.has_volume(name)),
        )

    def leftovers(self, container: Container, options: Options) -> tuple[str, ...]:
        # Podman leaves the images beside a running container: memory on disk, without a use. A pre-checkpoint still
        # has one, unless this dump was made on it, and it leaves its other files beside those of a kept checkpoint.
        kept = "" if options.with_previous else self.pre_dump_dir(container)
        if options.keep or (options.pre_checkpoint and container.stamp):
            return ()
        return tuple(one for one in self.checkpoint_files(container) if one != kept)

    def changed_files(self, container: Container, archive: str) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.consistency import changed_files

        layers = [one for one in container.own.get("layers", "").split(":") if one]
        return changed_files(self.images_dir(container), archive, layers)

    def checkpoint_files(self, container: Container) -> tuple[str, ...]:
        return tuple(os.path.join(work_dir(container), name) for name in CHECKPOINT_FILES)

    def images_dir(self, container: Container) -> str:
        return os.path.join(work_dir(container), "checkpoint")

    def pre_dump_dir(self, container: Container) -> str:
        return os.path.join(work_dir(container), "pre-checkpoint")

    def outdated_records(self, container: Container) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._store.record import place_records_dir

        folder = place_records_dir(self.paths)
        containers = os.path.dirname(os.path.dirname(work_dir(container)))
        if not os.path.isdir(folder) or not os.path.isdir(containers):
            return ()
        known = {f"{name}.json" for name in os.listdir(containers)}
        return tuple(os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name not in known)

    def stamp(self, container: Container) -> str:
        return _stamp_of(self.images_dir(container)) if container.own["work_dir"] else ""

    def pre_dump_stamp(self, container: Container) -> str:
        return _stamp_of(self.pre_dump_dir(container)) if container.own["work_dir"] else ""

    def live_pid(self, container: Container) -> int:
        path = container.own["pid_file"]
        text = (read_text(path, may_fail=True) or "").strip() if path else ""
        return int(text) if re.fullmatch("[0-9]{1,9}", text) and os.path.isdir(f"{self.paths.proc}/{text}") else 0

    def cgroups(self, container: Container) -> tuple[str, ...]:
        return (f"machine.slice/libpod-{container.id}.scope",)

    def log_path(self, container: Container, action: str) -> str:
        # Called after a failure, which nothing may hide.
        folder = container.own["work_dir"]
        return os.path.join(folder, "dump.log" if action == "checkpoint" else "restore.log") if folder else ""

    def parse_statistics(self, text: str) -> dict[str, Any]:
        return parse_statistics(text)

    def owns(self, completed: Completed) -> bool:
        return completed.argv[:1] == ("podman",) or completed.argv[2:3] == ("podman",)

    def cause(self, completed: Completed) -> Cause:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.causes import cause_of

        return cause_of(completed)

    def describe_archive(self, path: str) -> Record:
        # Nearly every archive has a record: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.archive import read_config_dump

        return read_config_dump(path)

    @property
    def images(self) -> Images:
        # Few tasks have an image: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.images import PodmanImages

        return PodmanImages(self.paths)

    def check_previous(self, archive: str) -> None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.spec import check_pre_checkpoint

        check_pre_checkpoint(archive)

    def spec(self, source: Container | str) -> Spec | None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.spec import (
            read_archive_spec,
            read_spec,
        )

        return read_archive_spec(source) if isinstance(source, str) else read_spec(source)
