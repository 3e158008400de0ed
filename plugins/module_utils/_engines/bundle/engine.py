# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Implements the engines runc and crun: containers that a person has made from a bundle, without a manager of them.

Such an engine keeps nothing about a container but its state while it runs, and no checkpoint. So a checkpoint in place
is in a folder of ours (places.py). The id of a container is a digest of its name and the time of its creation, since
the runtime has only names: a container that was made again under its name is a different one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, ClassVar

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Remove, Step
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle import plans
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.config import binds_in, read_config
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.places import all_known, place_of
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.reads import Reads
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import (
    Abilities,
    Bind,
    Container,
    Health,
    Options,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.no_pre_dumps import NoPreDumps
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
    from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec


@dataclass(frozen=True)
class Bundle(NoPreDumps, Reads):
    """The engine ``name``, which is runc or crun, for the containers in the folder ``root``."""

    minimum_criu: ClassVar[tuple[int, ...]] = (3, 11)

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            in_place=True,
            archive=True,
            leave_running=True,
            tcp_established=True,
            # Since 1.23, which the task looks at.
            tcp_close=self.name == "crun",
            file_locks=True,
            pipe=True,
            root=True,
        )

    @property
    def program(self) -> str:
        return self.name

    @property
    def storage(self) -> str:
        return self.paths.containers

    @property
    def list_command(self) -> str:
        return " ".join(self.argv("list"))

    def image_command(self, name: str) -> str:
        return ""

    def require_caller(self, what: str) -> None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.refusals import require_root

        require_root(self.paths, self.uid, self.name, self.root, what)

    def require_ready(self, ctx: Context, what: str) -> None:
        pass

    def require_options(self, ctx: Context, options: Options, what: str, *, archive: bool) -> None:
        pass

    def explain_absence(self, name: str, what: str) -> None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.refusals import refuse_users_container

        refuse_users_container(self.paths, self.name, self.root, name, what)

    def address(self, ctx: Context, name: str) -> str:
        return name

    def import_files(self, name: str) -> tuple[str, ...]:
        return (place_of(self.paths, name).imported,)

    def handle(self, name: str, container_id: str) -> str:
        return name

    def manager(self, container: Container) -> str:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.service import service_of

        return service_of(self.paths, self.name, container.pid)

    def binds(self, container: Container) -> tuple[Bind, ...]:
        return binds_in(read_config(self.paths, container.image))

    def losses(self, container: Container, archive_path: str | None) -> tuple[str, ...]:
        # Only a checkpoint needs to compile these.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.refusals import refuse_lost
        from ansible_collections.criu.hosts.plugins.module_utils._engines.strays import warn_strays

        refuse_lost(self.paths, container, read_config(self.paths, container.image))
        return warn_strays(self.paths, container, f"{self.name} exec")

    def require_ties(self, ctx: Context, container: Container) -> None:
        self._require_bundle(container.image, f"restore container {container.name!r}")

    def require_import(self, ctx: Context, record: Record, what: str) -> None:
        self._require_bundle(record.image, what)

    def _require_bundle(self, bundle: str, what: str) -> None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.refusals import require_bundle

        require_bundle(self.paths, bundle, what)

    def storage_warnings(self, selinux_enabled: bool) -> tuple[str, ...]:
        return ()

    def checkpoint_steps(self, container: Container, options: Options, export: str | None) -> tuple[Step, ...]:
        return plans.checkpoint_steps(self, container, options, export)

    def restore_steps(self, container: Container, options: Options) -> tuple[Step, ...]:
        return plans.restore_steps(self, container, options)

    def import_steps(
        self, archive: str, record: Record, new_name: str | None, options: Options, previous: str = ""
    ) -> tuple[Step, ...]:
        return plans.import_steps(self, archive, record, options)

    def restart_steps(self, target: Container | str, policy: str) -> tuple[Step, ...]:
        return ()

    def profile(self, container: Container) -> str:
        return container.own["apparmor"]

    def profile_steps(self, name: str, image_id: str, runtime: str, profile: str) -> tuple[Step, ...]:
        return ()

    def leftover_steps(
        self, name: str, container_id: str, runtime: str, alive: Callable[[], bool]
    ) -> tuple[Command, ...]:
        """Removes the folder that a failed restore of crun leaves, which keeps the name taken."""

        def unless() -> bool:
            return self.has_state(name) or not os.path.lexists(self.paths.below(f"{self.root}/{name}")) or alive()

        argv = self.argv("delete", "--force", name)
        return (Command(argv, why="remove the runtime's state of a failed restore", finish=True, unless=unless),)

    def thaw_steps(self, container: Container) -> tuple[Step, ...]:
        events = read_text(f"{self.paths.cgroups}{cgroup_of(self.paths, container.pid)}/cgroup.events") or ""
        if "frozen 1" not in events.splitlines():
            return ()
        return (Command(self.argv("resume", container.name), why=f"thaw container {container.name!r}", finish=True),)

    def start_steps(self, target: Container | str) -> tuple[Step, ...]:
        name = target if isinstance(target, str) else target.name
        bundle = target.image if isinstance(target, Container) else ""
        argv = self.argv("run", "--detach", f"--bundle={bundle}", name)
        return (Command(argv, why=f"start container {name!r}", finish=True),)

    def _delete(self, target: Container | str, why: str) -> Command:
        name = target if isinstance(target, str) else target.name
        return Command(self.argv("delete", "--force", name), why=why, finish=True)

    def stop_steps(self, target: Container | str, why: str, seconds: int = 0) -> tuple[Step, ...]:
        return (self._delete(target, why),)

    def remove_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        name = target if isinstance(target, str) else target.name
        return (self._delete(target, why), Remove(place_of(self.paths, name).folder, why=why))

    def unpause_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        name = target if isinstance(target, str) else target.name
        return (Command(self.argv("resume", name), why=why, finish=True),)

    def unpause_command(self, name: str) -> str:
        return " ".join(self.argv("resume", name))

    def health_steps(self, ctx: Context, name: str, container_id: str, health: Health) -> tuple[Step, ...]:
        return ()

    def remove_volume_steps(self, name: str, why: str) -> tuple[Step, ...]:
        return ()

    def leftovers(self, container: Container, options: Options) -> tuple[str, ...]:
        # The runtime forgets the container: nobody would remove the images, in place beside the archive.
        return () if options.keep else self.checkpoint_files(container)

    def changed_files(self, container: Container, archive: str) -> tuple[str, ...]:
        return ()

    def checkpoint_files(self, container: Container) -> tuple[str, ...]:
        return (place_of(self.paths, container.name).images,)

    def images_dir(self, container: Container) -> str:
        return place_of(self.paths, container.name).images

    def outdated_records(self, container: Container) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._store.record import place_records_dir

        folder = place_records_dir(self.paths)
        known = {f"{one.id}.json" for dummy, one in all_known(self.paths)}
        listed = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        return tuple(os.path.join(folder, name) for name in listed if name not in known)

    def stamp(self, container: Container) -> str:
        place = place_of(self.paths, container.name)
        known = place.known()
        return place.stamp if known is not None and known.id == container.id else ""

    def live_pid(self, container: Container) -> int:
        pid = place_of(self.paths, container.name).restored_pid()
        return pid if pid and os.path.isdir(f"{self.paths.proc}/{pid}") else 0

    def cgroups(self, container: Container) -> tuple[str, ...]:
        return ()

    def log_path(self, container: Container, action: str) -> str:
        kind = "dump" if action == "checkpoint" else "restore"
        return f"{place_of(self.paths, container.name).work}/{kind}.log"

    def statistics(self, container: Container | None, action: str, text: str) -> dict[str, Any]:
        from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import read_statistics

        if container is None:
            return {}
        kind = "dump" if action == "checkpoint" else "restore"
        return read_statistics(f"{place_of(self.paths, container.name).work}/stats-{kind}")

    def owns(self, completed: Completed) -> bool:
        return completed.argv[:1] == (self.name,)

    def cause(self, completed: Completed) -> Cause:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.causes import cause_of

        return cause_of(self.name, completed)

    def describe_archive(self, path: str) -> Record:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.archive import read_description

        return read_description(self.name, path)

    def spec(self, source: Container | str) -> Spec | None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.archive import spec_of
        from ansible_collections.criu.hosts.plugins.module_utils._engines.spec import read_archive_spec

        return read_archive_spec(source) if isinstance(source, str) else spec_of(self.paths, source)

    def sharing(self, process_label: str) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.sharing import sharing

        return sharing(self.paths, self.root, process_label)
