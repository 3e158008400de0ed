# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what runc or crun knows about containers, and what we have noted about those that it has forgotten."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, check
from ansible_collections.criu.hosts.plugins.module_utils._core.durations import seconds_of
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.answers import Known, State, parse_state
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.config import owner_of, read_config, text_in
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.places import Place, all_known, place_of
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, ImageInfo
from ansible_collections.criu.hosts.plugins.module_utils._engines.missing import run_engine
from ansible_collections.criu.hosts.plugins.module_utils._host.names import is_id
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options
    from ansible_collections.criu.hosts.plugins.module_utils._engines.images import Images

# Of the folder that a runtime keeps about a container: the file that it has as long as it knows it.
STATE_FILES = {"runc": "state.json", "crun": "status"}
# Where Debian and Red Hat have them, and where a person installs them.
FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")

# crun takes the time of a restored container after it has written the pid file, and a file's time is that of the
# kernel's last tick. In this time no process id is given again.
SLACK_SECONDS = 1.0


def container_id(name: str, created: str) -> str:
    """Returns the id of the container that was made under this name at this time of the runtime."""
    return hashlib.sha256(f"{name}\n{created}".encode("utf-8", "surrogateescape")).hexdigest()


def _is_restored(place: Place, state: State) -> bool:
    """Returns whether the container is the one that was restored last, and not one that got its process id later."""
    made = seconds_of(state.created)
    if made is None or not state.pid or state.pid != place.restored_pid():
        return False
    return made <= int(place.restored or 0) / 1e9 + SLACK_SECONDS


@dataclass(frozen=True)
class Reads:
    """The part of the engine ``name``, runc or crun, that looks at the host, for the containers in ``root``."""

    name: str
    paths: Paths
    uid: int
    root: str

    def argv(self, *words: str, systemd: bool = False) -> tuple[str, ...]:
        # crun takes XDG_RUNTIME_DIR for its root, which a login sets: so the root is always named.
        return (self.name, f"--root={self.root}", *(["--systemd-cgroup"] if systemd else []), *words)

    def run(self, ctx: Context, *words: str) -> Completed:
        return run_engine(ctx.runner, self.argv(*words), self.name)

    def version(self, ctx: Context) -> str:
        return parse_version(run_engine(ctx.runner, (self.name, "--version"), self.name).out) or ""

    def has_state(self, name: str) -> bool:
        """Returns whether the runtime knows the container: a failed restore of crun leaves the rest of the folder."""
        return os.path.lexists(self.paths.below(f"{self.root}/{name}/{STATE_FILES[self.name]}"))

    def inspect(self, ctx: Context, name: str) -> Container | None:
        if is_id(name) and not self.has_state(name):
            name = self.holder(name) or name
        if not self.has_state(name):
            return self._ended(name)
        completed = self.run(ctx, "state", name)
        if completed.rc != 0 and not self.has_state(name):
            return self._ended(name)  # it has ended meanwhile
        text = check(completed, f"read container {name!r}").out
        try:
            state = parse_state(text)
        except ValueError as error:
            raise CheckpointError(
                f"Cannot read the answer of '{self.name} state': {error}. Run the command manually.",
                reason="tool_failed",
            ) from error
        return self._known(state) if state.name == name else None

    def _ended(self, name: str) -> Container | None:
        """Returns a container that is only in its checkpoint in place."""
        place = place_of(self.paths, name)
        known, stamp = place.known(), place.stamp
        if known is None or not stamp:
            return None
        restored = int(place.restored or 0) > int(stamp)
        return self._container(name, known, "exited", 0, stamp, checkpointed=known.ends and not restored)

    def _known(self, state: State) -> Container:
        """Returns a container that the runtime knows."""
        place = place_of(self.paths, state.name)
        known = place.known()
        if known is not None and _is_restored(place, state):
            now = Known(known.id, known.created, state.created, state.bundle, known.systemd, known.ends)
        elif known is not None and state.created == (known.restored or known.created):
            now = known
        else:
            identity = container_id(state.name, state.created)
            now = Known(identity, state.created, "", state.bundle, systemd=False, ends=False)
        same = known is not None and known.id == now.id
        return self._container(state.name, now, state.status, state.pid, place.stamp if same else "")

    def _container(
        self, name: str, known: Known, status: str, pid: int, stamp: str, *, checkpointed: bool = False
    ) -> Container:
        config = read_config(self.paths, known.bundle)
        systemd = ".scope" in cgroup_of(self.paths, pid) if pid else known.systemd
        return Container(
            id=known.id,
            name=name,
            status=status,
            pid=pid,
            image=known.bundle,
            image_id="",
            runtime=self.name,
            process_label=text_in(config, "process", "selinuxLabel"),
            started_at=known.created,
            restored_at=known.restored,
            created_at=known.created,
            checkpointed=checkpointed,
            stamp=stamp,
            criu_config=text_in(config, "annotations", "org.criu.config"),
            own={
                "apparmor": text_in(config, "process", "apparmorProfile"),
                "systemd": "yes" if systemd else "",
            },
            owner=owner_of(config),
        )

    @property
    def images(self) -> Images:
        raise NotImplementedError

    def runtimes(self) -> dict[str, tuple[str, ...]]:
        return {self.name: tuple(f"{folder}/{self.name}" for folder in FOLDERS)}

    def has_image(self, ctx: Context, image_id: str) -> bool:
        return True

    def image_digest(self, image_id: str) -> str:
        return ""

    def naming_command(self, image_id: str, name: str) -> str:
        return ""

    def has_volume(self, name: str) -> bool:
        return False

    def require_networks(self, ctx: Context, networks: Mapping[str, Any], what: str, *, mine: str) -> None:
        pass

    def published(self, options: Options) -> tuple[dict[str, Any], ...]:
        return ()

    def holder(self, container_id: str) -> str:
        return next((name for name, known in all_known(self.paths) if known.id == container_id), "")

    def ask(self, ctx: Context, argv: tuple[str, ...]) -> Completed:
        return run_engine(ctx.runner, argv, self.name)

    def exec_argv(self, name: str, user: str, argv: tuple[str, ...], *, stdin: bool = False) -> tuple[str, ...]:
        return self.argv("exec", "--user", user, name, *argv)

    def find_image(self, ctx: Context, name: str) -> ImageInfo | None:
        return None
