# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Implements the engine lxc: the containers of LXC's own programs, which run as root.

A container is there before it runs, and stays when it has ended: its configuration and its root file system are a
person's. So an archive is restored into the container of its name, and no task ever removes a container.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Callable, ClassVar

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause, CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Kill, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import (
    Abilities,
    Container,
    Health,
    Options,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.answers import APPARMOR
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.places import payload
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.reads import Reads
from ansible_collections.criu.hosts.plugins.module_utils._engines.no_pre_dumps import NoPreDumps
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import in_user_namespace

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.images import Images
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
    from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec

# How long LXC may take to notice that its container has ended.
END_SECONDS = 60


def _name(target: Container | str) -> str:
    return target if isinstance(target, str) else target.name


class Lxc(NoPreDumps, Reads):
    """The engine lxc."""

    name: ClassVar[str] = "lxc"
    minimum_criu: ClassVar[tuple[int, ...]] = (3, 11)
    abilities: ClassVar[Abilities] = Abilities(
        in_place=True,
        archive=True,
        leave_running=True,
        tcp_established=True,
        file_locks=True,
        pipe=True,
        root=True,
        defined=True,
    )

    @property
    def list_command(self) -> str:
        return f"lxc-ls --fancy --lxcpath={self.root}"

    def image_command(self, name: str) -> str:
        return ""

    def require_caller(self, what: str) -> None:
        if self.uid == 0 and not in_user_namespace(self.paths):
            return
        raise CheckpointError(
            f"Cannot {what}: LXC and CRIU need the root of the host for it. Run the task as root (become: true).",
            reason="rootless_unsupported",
        )

    def require_ready(self, ctx: Context, what: str) -> None:
        pass

    def require_options(self, ctx: Context, options: Options, what: str, *, archive: bool) -> None:
        pass

    def explain_absence(self, name: str, what: str) -> None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.refusals import refuse_managed

        refuse_managed(self.paths, name, what)

    def address(self, ctx: Context, name: str) -> str:
        return name

    def manager(self, container: Container) -> str:
        return f"lxc@{container.name}.service"

    def losses(self, container: Container, archive_path: str | None) -> tuple[str, ...]:
        # Only a checkpoint needs to compile these.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.refusals import (
            require_cgroup,
            require_settings,
        )
        from ansible_collections.criu.hosts.plugins.module_utils._engines.strays import warn_strays

        what = f"checkpoint container {container.name!r}"
        require_settings(self.paths, container.own, what, runs=True)
        require_cgroup(container, what)
        # By its id, which the name of the cgroup has; that of another container may have this name in it, too.
        return warn_strays(self.paths, replace(container, id=payload(container.name)[1:]), "lxc-attach")

    def require_ties(self, ctx: Context, container: Container) -> None:
        self._require_settings(container, f"restore container {container.name!r}")

    def require_import(self, ctx: Context, record: Record, what: str) -> None:
        found = self.inspect(ctx, record.name)
        if found is None:
            raise CheckpointError(
                f"Cannot {what}: LXC has no container {record.name!r} on this host, and no archive has its "
                "configuration and its files. Make it here first, with the root file system as it was at the "
                "checkpoint.",
                reason="container_missing",
            )
        self._require_settings(found, what)

    def _require_settings(self, container: Container, what: str) -> None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.refusals import require_settings

        require_settings(self.paths, container.own, what, runs=False)

    def storage_warnings(self, selinux_enabled: bool) -> tuple[str, ...]:
        return ()

    def checkpoint_steps(self, container: Container, options: Options, export: str | None) -> tuple[Step, ...]:
        # Only a checkpoint needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.dump import dump_steps, export_steps

        place = self.place(container.name)
        steps = dump_steps(container, options, place, self.paths.cgroups, self._wait(container.name))
        return steps if export is None else (*steps, *export_steps(self.paths, container, place, export))

    def _wait(self, name: str) -> Command:
        argv = ("lxc-wait", *self.target(name), "--state=STOPPED", f"--timeout={END_SECONDS}")
        return Command(argv, why=f"wait for the end of container {name!r}", finish=True)

    def restore_steps(self, container: Container, options: Options) -> tuple[Step, ...]:
        # Only a restore needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.restore import restore_steps

        used = () if options.keep else self.checkpoint_files(container)
        return (
            *restore_steps(self, container, self.place(container.name).images),
            *(Remove(one, why="remove the used checkpoint") for one in used),
        )

    def import_steps(
        self, archive: str, record: Record, new_name: str | None, options: Options, previous: str = ""
    ) -> tuple[Step, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.restore import import_steps

        # Without one, require_import has refused.
        return import_steps(self, archive, options.into) if options.into is not None else ()

    def import_files(self, name: str) -> tuple[str, ...]:
        return (self.place(name).imported,)

    def handle(self, name: str, container_id: str) -> str:
        return name

    def restart_steps(self, target: Container | str, policy: str) -> tuple[Step, ...]:
        return ()  # LXC starts a container by itself only when the host boots (lxc.start.auto)

    def profile(self, container: Container) -> str:
        return container.own[APPARMOR]

    def profile_steps(self, name: str, image_id: str, runtime: str, profile: str) -> tuple[Step, ...]:
        return ()

    def leftover_steps(
        self, name: str, container_id: str, runtime: str, alive: Callable[[], bool]
    ) -> tuple[Command, ...]:
        """Ends a container that CRIU has restored, and that is still frozen since it could not be limited again."""
        argv = ("lxc-stop", *self.target(name), "--kill")
        why = "end the container of an unfinished restore"
        return (Command(argv, why=why, finish=True, unless=lambda: not self.is_half_restored(name)),)

    def thaw_steps(self, container: Container) -> tuple[Step, ...]:
        if "frozen 1" not in self.events(container.name):
            return ()
        from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.restore import thaw_steps

        return thaw_steps(self, container.name)

    def start_steps(self, target: Container | str) -> tuple[Step, ...]:
        name = _name(target)
        return (Command(("lxc-start", *self.target(name)), why=f"start container {name!r}", finish=True),)

    def stop_steps(self, target: Container | str, why: str, seconds: int = 0) -> tuple[Step, ...]:
        name = _name(target)
        argv = ("lxc-stop", *self.target(name), f"--timeout={seconds}" if seconds else "--kill")
        return (Command(argv, why=why, finish=True, unless=partial(self.has_ended, name)),)

    def remove_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        """Ends the container, which itself is a person's."""
        name = _name(target)
        return (Kill(partial(self.pids, name), why=why), self._wait(name))

    def unpause_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        return (Command(("lxc-unfreeze", *self.target(_name(target))), why=why, finish=True),)

    def unpause_command(self, name: str) -> str:
        return " ".join(("lxc-unfreeze", *self.target(name)))

    def health_steps(self, ctx: Context, name: str, container_id: str, health: Health) -> tuple[Step, ...]:
        return ()

    def remove_volume_steps(self, name: str, why: str) -> tuple[Step, ...]:
        return ()

    def leftovers(self, container: Container, options: Options) -> tuple[str, ...]:
        # Of a container that has ended, the checkpoint in place says that the archive has its last state.
        return self.checkpoint_files(container) if options.leave_running and not options.keep else ()

    def changed_files(self, container: Container, archive: str) -> tuple[str, ...]:
        return ()

    def owns(self, completed: Completed) -> bool:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.causes import program_of

        return bool(program_of(completed))

    def cause(self, completed: Completed) -> Cause:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.causes import cause_of

        return cause_of(completed)

    def describe_archive(self, path: str) -> Record:
        # Nearly every archive has a record: the others need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.archive import read_description

        return read_description(path)

    @property
    def images(self) -> Images:
        raise NotImplementedError

    def spec(self, source: Container | str) -> Spec | None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.spec import parse_spec, read_archive_spec

        if isinstance(source, str):
            return read_archive_spec(source)
        from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.archive import configuration, describe

        try:
            return parse_spec(describe(source, ""), configuration(self.paths, source))
        except ValueError:
            return None

    def exec_argv(self, name: str, user: str, argv: tuple[str, ...], *, stdin: bool = False) -> tuple[str, ...]:
        return ("lxc-attach", *self.target(name), "--", "runuser", f"--user={user}", "--", *argv)
