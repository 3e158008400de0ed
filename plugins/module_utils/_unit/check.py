# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses options that podman or systemd would refuse or misread, before anything is changed. Pure."""

from __future__ import annotations

import posixpath
import re
from typing import Any, Iterator, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._unit.installed import PODMAN_NAME, check_name

CONTROL = r"[\x00-\x1f\x7f]"
# A unit can hold a newline and a tab; no program needs other control characters as arguments.
CONTROL_IN_WORDS = r"[\x00-\x08\x0b-\x1f\x7f]"
UNIT = r"[A-Za-z0-9:_.\\@-]+\.(service|socket|target|mount|automount|path|timer|slice|device|swap)"
DURATION = r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+"
PATH = r"/[^\s:,\"'\\\x00]*"
A_PATH = "it must be an absolute path without white space, colons, commas, quotes and backslashes"
A_UNIT = "it must be the full name of a unit, such as postgresql.service"
A_DURATION = "it must be a duration, such as 30s"
A_CAPABILITY = "it must be the name of a capability"
# An option, the pattern of each of its values, and the rule. Few options are given: re compiles a pattern when needed.
PATTERNS = (
    ("image", r"[a-zA-Z0-9][a-zA-Z0-9_./:@-]*", "it must be an image: letters, digits and _ . / : @ -"),
    ("network", PODMAN_NAME, "it must be host, none, bridge or the name of a network"),
    (
        "publish",
        r"(\S+:)?[0-9]*(-[0-9]+)?:?[0-9]+(-[0-9]+)?(/(tcp|udp|sctp))?",
        "it must be [[IP:]PORT:]PORT[/PROTOCOL]",
    ),
    ("user", r"[a-zA-Z0-9_.-]+(:[a-zA-Z0-9_.-]+)?", "it must be USER or USER:GROUP"),
    ("hostname", r"[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?", "it must be a host name"),
    ("memory", r"[1-9][0-9]*[bkmgBKMG]?", "it must be a number with b, k, m or g"),
    ("capabilities_add", r"[A-Za-z_]+", A_CAPABILITY),
    ("capabilities_drop", r"[A-Za-z_]+", A_CAPABILITY),
    ("security_options", r"[^\s]+", "it must not contain white space"),
    ("tmpfs", rf"{PATH}(:[^\s:]+)?", "it must be an absolute path, or PATH:OPTIONS"),
    ("environment_files", PATH, A_PATH),
    ("after", UNIT, A_UNIT),
    ("requires", UNIT, A_UNIT),
    ("wants", UNIT, A_UNIT),
    ("secrets.name", PODMAN_NAME, "it must be the name of a Podman secret"),
    ("secrets.target", r"[^\s,=]+", "it must be the name of a file or of a variable"),
    ("health.interval", rf"{DURATION}|disable", f"{A_DURATION}, or disable"),
    ("health.timeout", DURATION, A_DURATION),
    ("health.start_period", DURATION, A_DURATION),
    ("log_driver", r"[a-z0-9-]+", "it must be a log driver of Podman, such as journald"),
)
# These decide how systemd finds, starts and ends the container, or have an option of the module.
OWN_OPTIONS = (
    "--name --detach -d --rm --replace --restart --cgroups --sdnotify --cidfile --pidfile --conmon-pidfile "
    "--log-driver --env -e --env-file --pull --stop-timeout --interactive -i --tty -t -it -ti"
).split()
# Podman mounts a secret here unless it is given a path.
SECRETS_FOLDER = "/run/secrets"


def refuse(option: str, value: Any, rule: str) -> CheckpointError:
    """Returns the failure for a value of an option. ``rule`` gives the reason and the way out."""
    return CheckpointError(f"Cannot use {option} {value!r}: {rule}.", reason="option_invalid", option=option)


def conflict(name: str, why: str) -> CheckpointError:
    """Returns the failure for options that exclude each other."""
    return CheckpointError(
        f"Cannot make a unit of container {name!r}: {why}. Leave one of them out.", reason="options_conflict"
    )


def require(option: str, value: str, pattern: str, rule: str) -> None:
    """Refuses a value that does not match the whole pattern."""
    if not re.match(rf"(?:{pattern})\Z", value):
        raise refuse(option, value, rule)


def values_of(params: Mapping[str, Any], option: str) -> Iterator[str]:
    """Yields the values of an option that is a text, a list of texts, or part of a dictionary or a list of them."""
    outer, dummy, inner = option.partition(".")
    found = params.get(outer)
    for one in found if isinstance(found, list) else [found]:
        value = one.get(inner) if inner and one else one
        yield from (str(part) for part in (value if isinstance(value, list) else [value]) if part is not None)


def check_params(params: Mapping[str, Any]) -> None:
    """Checks all options but the volumes, beyond the argument spec.

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
            require(option, value, pattern, rule)
    if params["stateful"]:
        _check_secrets_last(params["secrets"])
    _check_words(params)
    _check_numbers(params)
    _check_environment(params["environment"])
    _check_extra(params["extra_arguments"])
    _check_conflicts(params)


def _check_secrets_last(secrets: list[Mapping[str, Any]]) -> None:
    """Refuses secrets of a stateful container in a folder that a boot empties."""
    for secret in secrets:
        # A name stands for a file in that folder.
        path = posixpath.normpath(posixpath.join(SECRETS_FOLDER, secret["target"] or secret["name"]))
        if secret["type"] == "mount" and path.startswith(f"{SECRETS_FOLDER}/"):
            rule = f"each boot empties {SECRETS_FOLDER}, so a stateful container needs a path outside of it"
            raise refuse("secrets.target", secret["target"] or secret["name"], rule)


def _check_words(params: Mapping[str, Any]) -> None:
    if re.search(CONTROL, params["description"] or ""):
        raise refuse("description", params["description"], "it must be one line")
    for option in ("command", "entrypoint", "health.command", "extra_arguments"):
        for value in values_of(params, option):
            if re.search(CONTROL_IN_WORDS, value) or value == ";":
                raise refuse(option, value, "a command in a unit cannot hold control characters, or ';' as an argument")
    for option in ("labels", "annotations"):
        for key, value in params[option].items():
            if not re.match(r"[A-Za-z0-9][A-Za-z0-9_./-]*\Z", str(key)) or re.search(CONTROL_IN_WORDS, str(value)):
                raise refuse(option, key, "it must be a name of letters, digits and _ . / -, with a text as value")
    if params["health"] and not params["health"]["command"]:
        raise refuse("health.command", [], "it must be the command that checks the container")


def _check_numbers(params: Mapping[str, Any]) -> None:
    for option, least in (("cpus", 0.001), ("pids_limit", -1), ("stop_timeout", 0), ("restart_seconds", 0)):
        if params[option] is not None and params[option] < least:
            raise refuse(option, params[option], f"it must be {least} or more")
    retries = (params["health"] or {}).get("retries")
    if retries is not None and retries < 1:
        raise refuse("health.retries", retries, "it must be 1 or more")
    if params["ip"]:
        import ipaddress  # few containers have an address of their own

        try:
            ipaddress.ip_address(params["ip"])
        except ValueError as error:
            raise refuse("ip", params["ip"], "it must be an IP address") from error


def _check_environment(environment: Mapping[str, Any]) -> None:
    """Refuses names and values without showing a value, which may be a secret."""
    for name, value in environment.items():
        if not re.match(r"[A-Za-z_][A-Za-z0-9_.-]*\Z", str(name)):
            raise refuse("environment", name, "the name of a variable must have letters, digits and _ . - only")
        if value is None or isinstance(value, (dict, list)) or re.search(r"[\x00\r\n]", str(value)):
            rule = "its value is not one line of text. For longer values use a Podman secret of type env (secrets)"
            raise refuse("environment", name, rule)


def _check_extra(arguments: list[str]) -> None:
    for argument in arguments:
        if argument.partition("=")[0] in OWN_OPTIONS:
            raise refuse(
                "extra_arguments", argument.partition("=")[0], "the unit sets it, or the module has an option for it"
            )


def _check_conflicts(params: Mapping[str, Any]) -> None:
    network = params["network"]
    why = ""
    if network in ("host", "none"):
        given = [option for option in ("publish", "ip") if params[option]]
        why = f"network {network!r} excludes {given[0]}" if given else ""
    if params["stateful"] and params["unit_kind"] == "quadlet":
        why = "stateful excludes unit_kind 'quadlet', because the container of a Quadlet cannot be restored"
    if not params["stateful"] and (params["tcp_established"] or params["file_locks"]):
        why = "tcp_established and file_locks exclude a unit that is not stateful"
    if why:
        raise conflict(params["name"], why)
