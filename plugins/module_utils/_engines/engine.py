# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Defines what a container engine has to be able to do for the checkpoint and restore modules.

An engine knows the paths of its host and who calls it, and has no other state. It reads the host, and it plans:
whatever changes the host is a step that the caller's plan carries out. A method that takes ``ctx`` may run
reading commands, in check mode too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Mapping, Protocol

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause
    from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Step
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import (
        Abilities,
        Bind,
        Container,
        Health,
        ImageInfo,
        Options,
    )
    from ansible_collections.criu.hosts.plugins.module_utils._engines.images import Images
    from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
    from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec


class Engine(Protocol):
    """A container engine."""

    @property
    def name(self) -> str:
        """The value of the option engine, as messages and records show it too."""

    @property
    def minimum_criu(self) -> tuple[int, ...]:
        """The oldest CRIU that it works with."""

    @property
    def abilities(self) -> Abilities:
        """What it can do."""

    @property
    def list_command(self) -> str:
        """The command with which a person lists all containers."""

    def version(self, ctx: Context) -> str:
        """The installed release, such as 5.4.2; empty if it does not say. Raises what a missing engine raises."""

    def image_command(self, name: str) -> str:
        """The command with which a person brings the image ``name`` from one host to another, with its id."""

    def require_caller(self, what: str) -> None:
        """Refuse a caller for whom the engine cannot do ``what``; raises CheckpointError."""

    def require_options(self, ctx: Context, options: Options, what: str, *, archive: bool) -> None:
        """Refuse options that the installed release lacks or would refuse.

        ``what`` is the work, ``archive`` whether it has an archive. Raises ability_missing, option_invalid, and what
        the engine raises if it is not installed.
        """

    def explain_absence(self, name: str, what: str) -> None:
        """Raise CheckpointError if the engine knows a better reason for a missing container than its absence."""

    def inspect(self, ctx: Context, name: str) -> Container | None:
        """Read the container of exactly this name, or of this full id; None if there is none."""

    def address(self, ctx: Context, name: str) -> str:
        """What a command has to be given to reach this container only: its name or id; raises container_missing."""

    def manager(self, container: Container) -> str:
        """The systemd unit that starts and ends the container; empty if there is none."""

    def binds(self, container: Container) -> tuple[Bind, ...]:
        """What the container has mounted from the host, as a restore will mount it; none if that is not known."""

    def losses(self, container: Container, archive_path: str | None) -> tuple[str, ...]:
        """Warnings about what a restore will not bring back; raises CheckpointError if no restore could succeed."""

    def require_ties(self, ctx: Context, container: Container) -> None:
        """Refuse a restore in place that needs a container which has not run on; raises dependency_restarted."""

    def storage_warnings(self, selinux_enabled: bool) -> tuple[str, ...]:
        """Warnings about the engine's own files on this host."""

    def checkpoint_steps(self, container: Container, options: Options, export: str | None) -> tuple[Step, ...]:
        """Checkpoint in place, or into the new file ``export``. One command has the label "checkpoint"."""

    def restore_steps(self, container: Container, options: Options) -> tuple[Step, ...]:
        """Restore in place. One command has the label "restore"."""

    def import_steps(
        self, archive: str, runtime: str, new_name: str | None, options: Options, previous: str = ""
    ) -> tuple[Step, ...]:
        """Restore from ``archive`` with the OCI runtime ``runtime`` (empty: the default), label "restore".

        ``previous`` is the archive of the pre-checkpoint that this one needs; only with the ability ``pre_dump``.
        """

    def profile(self, container: Container) -> str:
        """The AppArmor profile that the container was made with; empty if it has none."""

    def profile_steps(self, name: str, image_id: str, runtime: str, profile: str) -> tuple[Step, ...]:
        """Load an AppArmor profile that the engine makes itself; no step for any other, or if that is not possible."""

    def leftover_steps(self, container_id: str, runtime: str, alive: Callable[[], bool]) -> tuple[Command, ...]:
        """Remove what a failed restore has left, with ``unless`` for each command: it is not there, or ``alive``."""

    def thaw_steps(self, container: Container) -> tuple[Step, ...]:
        """Let a running container go on that a dump which was cut off has left frozen; no step otherwise."""

    def start_steps(self, target: Container | str) -> tuple[Step, ...]:
        """Start a container, or the one of this name, without its old state."""

    def stop_steps(self, target: Container | str, why: str, seconds: int = 0) -> tuple[Step, ...]:
        """Stop a container, by force after ``seconds``; one that is gone or has ended is no error."""

    def unpause_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        """Let a paused container, or the one of this name, go on."""

    def unpause_command(self, name: str) -> str:
        """The command with which a person does that."""

    def health_steps(self, ctx: Context, name: str, container_id: str, health: Health) -> tuple[Step, ...]:
        """Let the engine check a restored container again; the id is empty if it is not known before the restore.

        Raises CheckpointError with a message that is a whole warning if the engine cannot.
        """

    def remove_steps(self, target: Container | str, why: str) -> tuple[Step, ...]:
        """Remove a container, or the one of this name or id, running or not; one that is gone is no error."""

    def remove_volume_steps(self, name: str, why: str) -> tuple[Step, ...]:
        """Remove a named volume that no container uses; one that is gone is no error."""

    def leftovers(self, container: Container, options: Options) -> tuple[str, ...]:
        """Files that an export or pre-checkpoint leaves beside a container that runs on, with memory in them."""

    def changed_files(self, container: Container, archive: str) -> tuple[str, ...]:
        """Open files that changed between the dump and their copy in ``archive``, whose container runs on."""

    def checkpoint_files(self, container: Container) -> tuple[str, ...]:
        """The files and folders of a checkpoint in place: without them there is none."""

    def images_dir(self, container: Container) -> str:
        """The folder of CRIU's images of a checkpoint in place."""

    def pre_dump_dir(self, container: Container) -> str:
        """The folder of CRIU's images of a pre-checkpoint beside the container, one of ``checkpoint_files``."""

    def outdated_records(self, container: Container) -> tuple[str, ...]:
        """Our records of checkpoints in place whose containers have been removed since."""

    def stamp(self, container: Container) -> str:
        """The stamp of the checkpoint on disk as it is now."""

    def pre_dump_stamp(self, container: Container) -> str:
        """The stamp of the pre-checkpoint on disk as it is now, complete or not; empty if there is none."""

    def live_pid(self, container: Container) -> int:
        """The host pid of the container's first process now, without running a command; 0 if it is not known."""

    def cgroups(self, container: Container) -> tuple[str, ...]:
        """Folders below the cgroup mount in which processes of the container, or of its restore, may be."""

    def log_path(self, container: Container, action: str) -> str:
        """CRIU's log of the ``action`` (checkpoint or restore), there after a failure."""

    def parse_statistics(self, text: str) -> dict[str, Any]:
        """What the engine printed after a checkpoint or restore; units are in the names."""

    def owns(self, completed: Completed) -> bool:
        """Whether the command is one of the engine's."""

    def cause(self, completed: Completed) -> Cause:
        """Why a checkpoint or restore command failed."""

    def describe_archive(self, path: str) -> Record:
        """What an archive of this engine says about itself, for one that has no record."""

    def spec(self, source: Container | str) -> Spec | None:
        """What a restore of a container, or from an archive by its path, brings to a host, for a trust policy.

        Of an archive, what CRIU's images in it have counts, too. None if the configuration of the container cannot be
        read; raises ValueError or OSError if the archive cannot, or has what no archive of this engine has.
        """

    def check_previous(self, archive: str) -> None:
        """Refuse the archive of a pre-checkpoint with more than a pre-checkpoint has, for a trust policy.

        Raises ValueError or OSError.
        """

    @property
    def images(self) -> Images:
        """Images of checkpoints; only of an engine that has the ability ``image``."""

    def runtimes(self) -> Mapping[str, tuple[str, ...]]:
        """The OCI runtimes that the engine knows by name, and the paths where it looks for each."""

    def has_image(self, ctx: Context, image_id: str) -> bool:
        """Whether the image is on this host."""

    def naming_command(self, image_id: str, name: str) -> str:
        """The command that gives an image its name, without which no import succeeds; empty if it has the name."""

    def has_volume(self, name: str) -> bool:
        """Whether a named volume is on this host; False when that is not known without a command."""

    def require_networks(self, ctx: Context, networks: Mapping[str, Any], what: str, *, mine: str) -> None:
        """Refuse a restore without one of these networks, or with an address in them that is not ``mine``.

        Raises network_missing, address_in_use.
        """

    def published(self, options: Options) -> tuple[dict[str, Any], ...]:
        """The ports of the host that these options publish, as a record keeps them."""

    def holder(self, container_id: str) -> str:
        """The name of the container that has this id; empty if there is none, or if that is not known."""

    def sharing(self, process_label: str) -> tuple[str, ...]:
        """Names of the containers, running or not, with this label; none when it has no categories."""

    def ask(self, ctx: Context, argv: tuple[str, ...]) -> Completed:
        """Run a reading command of the engine; raises CheckpointError if the engine is not installed."""

    def exec_argv(self, name: str, user: str, argv: tuple[str, ...], *, stdin: bool = False) -> tuple[str, ...]:
        """The argument list that runs ``argv`` in the running container with this address, maybe with input."""

    def image_digest(self, image_id: str) -> str:
        """The digest of the image's manifest (sha256:...); empty if it is not known."""

    def find_image(self, ctx: Context, name: str) -> ImageInfo | None:
        """Read the image ``name``; None if it is not on this host."""
