# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses what podman or systemd would refuse, or misread, before anything is touched. Pure."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from typing import Any, Iterator, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.engine import PODMAN_NAME
from ansible_collections.criu.hosts.plugins.module_utils._unit.name import check_name

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# A newline and a tab can be written in a unit, other control characters are nobody's wish.
CONTROL_IN_WORDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
UNIT = r"[A-Za-z0-9:_.\\@-]+\.(service|socket|target|mount|automount|path|timer|slice|device|swap)"
DURATION = r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+"
PATH = r"/[^\s:,\"'\\\x00]*"
# Option, pattern of each of its values, what it is.
PATTERNS = tuple(
    (option, re.compile(rf"(?:{pattern})\Z"), rule)
    for option, pattern, rule in (
        ("image", r"[a-zA-Z0-9][a-zA-Z0-9_./:@-]*", "an image's name has letters, digits and . _ / : @ -"),
        ("network", PODMAN_NAME, "give host, none, bridge or the name of a network"),
        ("publish", r"(\S+:)?[0-9]*(-[0-9]+)?:?[0-9]+(-[0-9]+)?(/(tcp|udp|sctp))?", "give [[IP:]PORT:]PORT[/PROTOCOL]"),
        ("user", r"[a-zA-Z0-9_.-]+(:[a-zA-Z0-9_.-]+)?", "give USER or USER:GROUP"),
        ("hostname", r"[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?", "give a host's name"),
        ("memory", r"[1-9][0-9]*[bkmgBKMG]?", "give a number with b, k, m or g"),
        ("capabilities_add", r"[A-Za-z_]+", "give a capability's name"),
        ("capabilities_drop", r"[A-Za-z_]+", "give a capability's name"),
        ("security_options", r"[^\s]+", "white space cannot be in it"),
        ("tmpfs", rf"{PATH}(:[^\s:]+)?", "give an absolute path, or PATH:OPTIONS"),
        ("environment_files", PATH, "give an absolute path without white space, ':' and quotes"),
        ("after", UNIT, "give a unit's full name, such as postgresql.service"),
        ("requires", UNIT, "give a unit's full name, such as postgresql.service"),
        ("wants", UNIT, "give a unit's full name, such as network-online.target"),
        ("volumes.source", rf"{PATH}|{PODMAN_NAME}", "give an absolute path, or a volume's name"),
        ("volumes.target", PATH, "give an absolute path without white space, ':' and quotes"),
        ("volumes.options", r"[a-zA-Z0-9=_-]+", "give podman's words, such as U or noexec"),
        ("secrets.name", PODMAN_NAME, "give the name of a secret of podman"),
        ("secrets.target", r"[^\s,=]+", "give the name of a file or of a variable"),
        ("health.interval", rf"{DURATION}|disable", "give a duration such as 30s"),
        ("health.timeout", DURATION, "give a duration such as 30s"),
        ("health.start_period", DURATION, "give a duration such as 30s"),
        ("log_driver", r"[a-z0-9-]+", "give a log driver of podman, such as journald"),
    )
)
# What decides how systemd finds, starts and ends the container, and what belongs into an option of its own.
OWN_OPTIONS = (
    "--name --detach -d --rm --replace --restart --cgroups --sdnotify --cidfile --pidfile --conmon-pidfile "
    "--log-driver --env -e --env-file --pull --stop-timeout --interactive -i --tty -t -it -ti"
).split()
# Where Podman mounts a secret unless it is given a path
SECRETS_FOLDER = "/run/secrets"
# Podman refuses to relabel these too: the whole host uses them.
SYSTEM_FOLDERS = (
    "/ /bin /boot /dev /etc /etc/passwd /etc/pki /etc/shadow /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin "
    "/srv /sys /tmp /usr /var /var/cache /var/lib /var/log /var/run /var/tmp"
).split()


def refuse(option: str, value: Any, rule: str) -> CheckpointError:
    return CheckpointError(f"Refuse {option} {value!r}: {rule}.", reason="option_invalid", option=option)


def values_of(params: Mapping[str, Any], option: str) -> Iterator[str]:
    """All values of an option that is a text, a list of texts, or stands in a dictionary or a list of them."""
    outer, dummy, inner = option.partition(".")
    found = params.get(outer)
    for one in found if isinstance(found, list) else [found]:
        value = one.get(inner) if inner and one else one
        yield from (str(part) for part in (value if isinstance(value, list) else [value]) if part is not None)


def check_params(params: Mapping[str, Any]) -> None:
    """Check what an argument spec cannot.

    Raises:
        CheckpointError: name_invalid, image_needed, option_invalid, options_conflict.
    """
    check_name(params["name"])
    if not params["image"]:
        raise CheckpointError(
            f"Cannot make a unit of container {params['name']!r}: image is missing. Give the image to run.",
            reason="image_needed",
        )
    for option, pattern, rule in PATTERNS:
        for value in values_of(params, option):
            if not pattern.match(value):
                raise refuse(option, value, rule)
    for volume in params["volumes"]:
        if volume["relabel"] != "none" and posixpath.normpath(volume["source"]) in SYSTEM_FOLDERS:
            raise refuse("volumes.source", volume["source"], "a folder of the whole host is not relabelled for one")
    for secret in params["secrets"] if params["stateful"] else ():
        # A name stands for a file in that folder.
        path = posixpath.normpath(posixpath.join(SECRETS_FOLDER, secret["target"] or secret["name"]))
        if secret["type"] == "mount" and path.startswith(f"{SECRETS_FOLDER}/"):
            rule = f"a stateful container needs a path outside of {SECRETS_FOLDER}, made anew at each boot"
            raise refuse("secrets.target", secret["target"] or secret["name"], rule)
    _check_words(params)
    _check_numbers(params)
    _check_environment(params["environment"])
    _check_extra(params["extra_arguments"])
    _check_conflicts(params)


def _check_words(params: Mapping[str, Any]) -> None:
    if CONTROL.search(params["description"] or ""):
        raise refuse("description", params["description"], "it is one line")
    for option in ("command", "entrypoint", "health.command", "extra_arguments"):
        for value in values_of(params, option):
            if CONTROL_IN_WORDS.search(value) or value == ";":
                raise refuse(option, value, "control characters, and a ';' alone, cannot be in a unit's command")
    for option in ("labels", "annotations"):
        for key, value in params[option].items():
            if not re.match(r"[A-Za-z0-9][A-Za-z0-9_./-]*\Z", str(key)) or CONTROL_IN_WORDS.search(str(value)):
                raise refuse(option, key, "give a name of letters, digits and _ . / -, and a text")
    if params["health"] and not params["health"]["command"]:
        raise refuse("health.command", [], "give the command that tells whether the container is well")


def _check_numbers(params: Mapping[str, Any]) -> None:
    for option, least in (("cpus", 0.001), ("pids_limit", -1), ("stop_timeout", 0), ("restart_seconds", 0)):
        if params[option] is not None and params[option] < least:
            raise refuse(option, params[option], f"the least is {least}")
    retries = (params["health"] or {}).get("retries")
    if retries is not None and retries < 1:
        raise refuse("health.retries", retries, "the least is 1")
    if params["ip"]:
        try:
            ipaddress.ip_address(params["ip"])
        except ValueError as error:
            raise refuse("ip", params["ip"], "it is no IP address") from error


def _check_environment(environment: Mapping[str, Any]) -> None:
    """The values may be secrets: they are never shown."""
    for name, value in environment.items():
        if not re.match(r"[A-Za-z_][A-Za-z0-9_.-]*\Z", str(name)):
            raise refuse("environment", name, "a variable's name has letters, digits and _ . -")
        if value is None or isinstance(value, (dict, list)) or re.search(r"[\x00\r\n]", str(value)):
            rule = "its value is not one line of text. Give a secret of podman of type env (secrets) for longer ones"
            raise refuse("environment", name, rule)


def _check_extra(arguments: list[str]) -> None:
    for argument in arguments:
        if argument.partition("=")[0] in OWN_OPTIONS:
            raise refuse("extra_arguments", argument.partition("=")[0], "the unit sets it, or an option of the module")


def _check_conflicts(params: Mapping[str, Any]) -> None:
    network = params["network"]
    conflict = ""
    if network in ("host", "none"):
        given = [option for option in ("publish", "ip") if params[option]]
        conflict = f"network {network!r} has no {given[0]}" if given else ""
    if params["stateful"] and params["unit_kind"] == "quadlet":
        conflict = "a container of Quadlet cannot be restored, so that stateful needs unit_kind plain or auto"
    if not params["stateful"] and (params["tcp_established"] or params["file_locks"]):
        conflict = "tcp_established and file_locks are for stateful units"
    targets = [volume["target"] for volume in params["volumes"]]
    doubled = {target for target in targets if targets.count(target) > 1}
    if doubled:
        conflict = f"two volumes have the target {min(doubled)!r}"
    if conflict:
        raise CheckpointError(
            f"Refuse the options of container {params['name']!r}: {conflict}. Leave one out.", reason="options_conflict"
        )
