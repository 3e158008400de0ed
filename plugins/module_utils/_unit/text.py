# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Renders a unit, for Quadlet or for systemd. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterable, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._host.names import HEADER, may_begin_id, only
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import value, word
from ansible_collections.criu.hosts.plugins.module_utils._unit.description import Description

# An image may have to be pulled first.
START_SECONDS = 900
# Podman cleans up after the end of the container; on a slow host it takes so long.
STOP_SECONDS_MORE = 60
# Options of podman that have had a key since the first Quadlet; all others go into PodmanArgs.
KEYS = {
    "--volume": "Volume",
    "--network": "Network",
    "--publish": "PublishPort",
    "--cap-add": "AddCapability",
    "--cap-drop": "DropCapability",
    "--env-file": "EnvironmentFile",
}


@dataclass(frozen=True)
class Files:
    """The contents of a unit's files; None for a file that it does not have."""

    kind: str
    unit: str
    environment: str | None
    spec: str | None = None


def all_options(wanted: Description, environment_path: str) -> tuple[str, ...]:
    """Returns podman's options for each kind of unit. The last file wins, so the task's own values come last."""
    own = (environment_path,) if wanted.environment else ()
    return (*wanted.options, *(f"--env-file={path}" for path in (*wanted.environment_files, *own)))


def _section(name: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield f"[{name}]"
    yield from lines


def _unit_lines(wanted: Description) -> Iterator[str]:
    yield f"Description={value(wanted.description)}"
    yield " ".join(["Wants=network-online.target", *wanted.wants])
    yield " ".join(["After=network-online.target", *wanted.after])
    if wanted.requires:
        yield f"Requires={' '.join(wanted.requires)}"


def _install_lines(wanted: Description) -> list[str]:
    return ["", "[Install]", "WantedBy=multi-user.target"] if wanted.enabled else []


def restart_lines(wanted: Description) -> list[str]:
    """Returns the lines that decide about restarts by systemd."""
    return [f"Restart={wanted.restart}", f"RestartSec={wanted.restart_seconds}"]


def _timeouts(wanted: Description) -> list[str]:
    return [f"TimeoutStartSec={START_SECONDS}", f"TimeoutStopSec={wanted.stop_timeout + STOP_SECONDS_MORE}"]


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _command(argv: Iterable[str]) -> str:
    return " \\\n  ".join(word(argument) for argument in argv)


def remove_argv(engine: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Returns the command that removes the container of exactly this name, with its anonymous volumes."""
    return (*engine, "rm", "--force", "--ignore", "--volumes", *only(name))


def _before_start(engine: tuple[str, ...], name: str) -> list[str]:
    """Returns the line that takes the place of podman's --replace, which may remove a container of a different name."""
    return [f"ExecStartPre=-{_command(remove_argv(engine, name))}"] if may_begin_id(name) else []


def render_quadlet(wanted: Description, environment_path: str, podman: str) -> str:
    """Returns a ``.container`` file with keys that every Quadlet knows."""
    container = [f"ContainerName={wanted.name}", f"Image={wanted.image}"]
    if wanted.runtime:
        container.append(f"GlobalArgs=--runtime={wanted.runtime}")
    for option in all_options(wanted, environment_path):
        name, dummy, given = option.partition("=")
        container.append(f"{KEYS[name]}={value(given)}" if name in KEYS else f"PodmanArgs={word(option)}")
    if may_begin_id(wanted.name):
        # Quadlet gives podman --replace; the last one counts.
        container.append("PodmanArgs=--replace=false")
    if wanted.command:
        container.append(f"Exec={' '.join(word(argument) for argument in wanted.command)}")
    lines = [HEADER, "[Unit]", *_unit_lines(wanted), *_section("Container", container)]
    before = _before_start(podman_argv(wanted, podman), wanted.name)
    lines += _section("Service", [*before, *restart_lines(wanted), *_timeouts(wanted)])
    return _text([*lines, *_install_lines(wanted)])


def podman_argv(wanted: Description, path: str) -> tuple[str, ...]:
    """Returns the beginning of each command line of podman."""
    return (path, f"--runtime={wanted.runtime}") if wanted.runtime else (path,)


def render_plain(wanted: Description, environment_path: str, podman: str) -> str:
    """Returns a ``.service`` file that does the same as Quadlet's, for podman 4.0 and newer."""
    engine = podman_argv(wanted, podman)
    replacing = () if may_begin_id(wanted.name) else ("--replace",)
    run = (
        *(*engine, "run", f"--name={wanted.name}", *replacing, "--rm", "--detach"),
        *("--cgroups=split", "--sdnotify=conmon"),
        *all_options(wanted, environment_path),
        *(wanted.image, *wanted.command),
    )
    stop = (*engine, "stop", "--ignore", f"--time={wanted.stop_timeout}", *only(wanted.name))
    # Podman does not stop a paused container (seen with 5.4.2): systemd would wait for it in vain.
    paused = (f"--filter=name=^{re.escape(wanted.name)}$", "--filter=status=paused")
    service = [
        "Type=notify",
        "NotifyAccess=all",
        "Environment=PODMAN_SYSTEMD_UNIT=%n",
        *_before_start(engine, wanted.name),
        f"ExecStart={_command(run)}",
        f"ExecStop=-{_command((*engine, 'unpause', *paused))}",
        f"ExecStop={_command(stop)}",
        f"ExecStopPost=-{_command(remove_argv(engine, wanted.name))}",
        "Delegate=yes",
        "KillMode=mixed",
        "SyslogIdentifier=%N",
        *restart_lines(wanted),
        *_timeouts(wanted),
    ]
    return service_text(wanted, service)


def service_text(wanted: Description, service: list[str]) -> str:
    """Returns a ``.service`` file with these lines in [Service]."""
    unit = [*_unit_lines(wanted), "RequiresMountsFor=%t/containers"]
    unit += [f"RequiresMountsFor={value(path)}" for path in wanted.mounts]
    lines = [HEADER, "[Unit]", *unit, *_section("Service", service), *_install_lines(wanted)]
    return _text(lines)
