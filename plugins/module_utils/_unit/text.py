# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The text of a unit, Quadlet's or systemd's own, and what in it makes a running container another one. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Iterable, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._host.names import HEADER
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd_syntax import value, word
from ansible_collections.criu.hosts.plugins.module_utils._unit.description import Description, digest_of
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import (
    DIGEST_LABEL,
    pid_file,
    stateful_create,
    stateful_service,
)

# An image may have to be pulled first.
START_SECONDS = 900
# What podman needs to clean up, on a slow host, once the container has ended.
STOP_SECONDS_MORE = 60
# Options of podman that have had a key of their own from the first Quadlet on; all others go into PodmanArgs.
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
    """The contents of a unit's files; None for one that it does not have."""

    kind: str
    unit: str
    environment: str | None
    spec: str | None = None


def all_options(wanted: Description, environment_path: str) -> tuple[str, ...]:
    """All of podman's options that do not depend on the kind of unit. What is given in the task itself comes last."""
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


def _restart_lines(wanted: Description) -> list[str]:
    return [f"Restart={wanted.restart}", f"RestartSec={wanted.restart_seconds}"]


def _timeouts(wanted: Description) -> list[str]:
    return [f"TimeoutStartSec={START_SECONDS}", f"TimeoutStopSec={wanted.stop_timeout + STOP_SECONDS_MORE}"]


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _command(argv: Iterable[str]) -> str:
    return " \\\n  ".join(word(argument) for argument in argv)


def render_quadlet(wanted: Description, environment_path: str) -> str:
    """A ``.container`` file, of keys that every Quadlet has known."""
    container = [f"ContainerName={wanted.name}", f"Image={wanted.image}"]
    if wanted.runtime:
        container.append(f"GlobalArgs=--runtime={wanted.runtime}")
    for option in all_options(wanted, environment_path):
        name, dummy, given = option.partition("=")
        container.append(f"{KEYS[name]}={value(given)}" if name in KEYS else f"PodmanArgs={word(option)}")
    if wanted.command:
        container.append(f"Exec={' '.join(word(argument) for argument in wanted.command)}")
    lines = [HEADER, "[Unit]", *_unit_lines(wanted), *_section("Container", container)]
    lines += _section("Service", [*_restart_lines(wanted), *_timeouts(wanted)])
    return _text([*lines, *_install_lines(wanted)])


def _podman(wanted: Description, path: str) -> tuple[str, ...]:
    return (path, f"--runtime={wanted.runtime}") if wanted.runtime else (path,)


def render_plain(wanted: Description, environment_path: str, podman: str) -> str:
    """A ``.service`` file that does what Quadlet's does, for podman 4.0 and newer."""
    engine = _podman(wanted, podman)
    run = (
        *(*engine, "run", f"--name={wanted.name}", "--replace", "--rm", "--detach"),
        *("--cgroups=split", "--sdnotify=conmon"),
        *all_options(wanted, environment_path),
        *(wanted.image, *wanted.command),
    )
    remove = (*engine, "rm", "--force", "--ignore", "--volumes", wanted.name)
    service = [
        "Type=notify",
        "NotifyAccess=all",
        "Environment=PODMAN_SYSTEMD_UNIT=%n",
        f"ExecStart={_command(run)}",
        f"ExecStop={_command((*engine, 'stop', '--ignore', f'--time={wanted.stop_timeout}', wanted.name))}",
        f"ExecStopPost=-{_command(remove)}",
        "Delegate=yes",
        "KillMode=mixed",
        "SyslogIdentifier=%N",
        *_restart_lines(wanted),
        *_timeouts(wanted),
    ]
    return _service_text(wanted, service)


def _service_text(wanted: Description, service: list[str]) -> str:
    unit = [*_unit_lines(wanted), "RequiresMountsFor=%t/containers"]
    unit += [f"RequiresMountsFor={value(path)}" for path in wanted.mounts]
    lines = [HEADER, "[Unit]", *unit, *_section("Service", service), *_install_lines(wanted)]
    return _text(lines)


def render_stateful(wanted: Description) -> str:
    """A ``.service`` file whose start restores and whose stop dumps, by our own program."""
    service = [*stateful_service(wanted.name, wanted.stop_timeout), *_restart_lines(wanted)]
    return _service_text(wanted, service)


def render_spec(wanted: Description, environment_path: str, podman: str) -> str:
    """What the program of a stateful unit has to know, JSON."""
    create = [
        *(*_podman(wanted, podman), "create", f"--name={wanted.name}"),
        *stateful_create(wanted.name),
        *all_options(wanted, environment_path),
        *(wanted.image, *wanted.command),
    ]
    digest = digest_of(*create, wanted.environment_text)
    create.insert(create.index(f"--name={wanted.name}") + 1, f"--label={DIGEST_LABEL}={digest}")
    spec = {
        "version": 1,
        "name": wanted.name,
        "image": wanted.image,
        "create": create,
        "digest": digest,
        "conmon_pid_file": pid_file(wanted.name),
        "stop_timeout": wanted.stop_timeout,
        "tcp_established": wanted.tcp_established,
        "file_locks": wanted.file_locks,
        "on_restore_failure": wanted.on_restore_failure,
    }
    return json.dumps(spec, indent=1, sort_keys=True) + "\n"


# What a container is made from: a change of anything else needs no other container.
ESSENTIAL_KEYS = ("ExecStart", "Environment", "Type")


def essence(text: str | None) -> tuple[str, ...]:
    """The lines of a unit that make the container what it is."""
    section, found = "", []
    for line in (text or "").replace("\\\n", " ").splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Container]" or line.partition("=")[0] in ESSENTIAL_KEYS:
            found.append(" ".join(line.split()) if line.startswith("Exec") else line)
    return tuple(line for line in found if line)


def spec_digest(text: str | None) -> str | None:
    """The digest in a spec; None if there is none, or if it is not whole."""
    try:
        found = json.loads(text or "null")
    except ValueError:
        return None
    return str(found["digest"]) if isinstance(found, dict) and "digest" in found else None
