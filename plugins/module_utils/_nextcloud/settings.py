# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads and imports the settings of a Nextcloud in a container, with its console program occ."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Plan
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

# Settings that are or contain a password or a key; never shown.
SENSITIVE = frozenset(
    (
        "dbpassword",
        "license-key",
        "mail_smtppassword",
        "objectstore",
        "objectstore_multibucket",
        "passwordsalt",
        "proxyuserpwd",
        "redis",
        "redis.cluster",
        "secret",
    )
)
# Shown in place of a secret value, and of one that replaces it.
HIDDEN, REPLACED = "(hidden)", "(hidden, value changed)"


@dataclass(frozen=True)
class Console:
    """The place of occ: the container, the owner of Nextcloud's files, the folder of the program.

    ``address`` is what commands call the container, empty for its name.
    """

    engine: Engine
    container: str
    user: str
    path: str
    address: str = ""

    def php(self, *, stdin: bool = False) -> tuple[str, ...]:
        """Returns the command line of PHP in the container."""
        return self.engine.exec_argv(self.address or self.container, self.user, ("php",), stdin=stdin)

    def occ(self, *words: str) -> tuple[str, ...]:
        return (*self.php(), f"{self.path}/occ", *words)


@dataclass(frozen=True)
class Settings:
    """Settings of the system (config.php) and of apps (in the database). None: there is no such setting."""

    system: Mapping[str, Any]
    apps: Mapping[str, Mapping[str, Any]]


def read_settings(ctx: Context, console: Console) -> Settings:
    """Reads all settings, including private ones.

    Raises:
        CheckpointError: reasons occ_failed, answer_invalid.
    """
    completed = console.engine.ask(ctx, console.occ("config:list", "--private", "--output=json"))
    if completed.rc != 0:
        raise occ_error(completed, console, "read the settings")
    return parse_settings(completed.out, console)


def _dictionary(value: Any) -> dict[str, Any]:
    """Returns a dictionary of the JSON that PHP writes, where an empty one is a list or null."""
    if value is None or value == []:
        return {}
    if not isinstance(value, dict):
        raise ValueError("it has another type where a dictionary should be")
    return value


def parse_settings(text: str, console: Console) -> Settings:
    """Parses the output of occ config:list, which may begin with a notice."""
    try:
        found = parse_object(text[text.index("{") :])
        apps = _dictionary(found.get("apps"))
        return Settings(_dictionary(found["system"]), {app: _dictionary(values) for app, values in apps.items()})
    except (ValueError, KeyError) as error:
        # The output contains passwords, so the message does not quote it.
        raise CheckpointError(
            f"Cannot read the settings of Nextcloud in the container {console.container!r}: occ config:list did not "
            "print the expected JSON, with a dictionary 'system'. Run it manually.",
            reason="answer_invalid",
        ) from error


def occ_error(completed: Completed, console: Console, what: str) -> CheckpointError:
    """Returns the failure of occ, or of its engine. Only the last line of the output is in it: it gives the reason."""
    return CheckpointError(
        f"Cannot {what} of Nextcloud in the container {console.container!r}: {completed.last_line[:300].rstrip('.')}. "
        "Check that the container runs and that Nextcloud is installed (occ status).",
        reason="occ_failed",
        rc=completed.rc,
    )


def check_wanted(wanted: Settings) -> None:
    """Refuses values that occ cannot store.

    Raises:
        CheckpointError: reason value_invalid.
    """
    for app, values in wanted.apps.items():
        if not isinstance(values, Mapping):
            raise CheckpointError(
                f"Cannot set the app {app!r}: its settings are no dictionary. Give a dictionary of settings.",
                reason="value_invalid",
            )
        for key, value in values.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int))):
                raise CheckpointError(
                    f"Cannot set {key!r} of the app {app!r}: a setting of an app is text or a whole number, and this "
                    f"is of the type {type(value).__name__}. Put it in quotes.",
                    reason="value_invalid",
                )


def app_text(value: Any) -> str | None:
    """Returns a setting of an app as the database stores it, as text."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return None if value is None else str(value)


def differing(current: Settings, wanted: Settings) -> Settings:
    """Returns the wanted settings that differ from the current ones."""
    system = {key: value for key, value in wanted.system.items() if current.system.get(key) != value}
    apps = {}
    for app, values in wanted.apps.items():
        there = current.apps.get(app, {})
        changed = {key: value for key, value in values.items() if app_text(there.get(key)) != app_text(value)}
        if changed:
            apps[app] = changed
    return Settings(system, apps)


def shown(current: Settings, wanted: Settings, *, hidden: frozenset[str]) -> dict[str, Any]:
    """Returns the wanted settings with their current values; hidden values are masked."""
    system = {}
    for key in sorted(wanted.system):
        value = current.system.get(key)
        system[key] = HIDDEN if key in hidden and value is not None else value
    apps = {
        app: {key: app_text(current.apps.get(app, {}).get(key)) for key in sorted(wanted.apps[app])}
        for app in sorted(wanted.apps)
    }
    return {"system": system, "apps": apps}


def predicted(current: Settings, wanted: Settings) -> Settings:
    """Returns the settings as they are after the plan."""
    apps = {app: {**current.apps.get(app, {}), **values} for app, values in wanted.apps.items()}
    return Settings({**current.system, **wanted.system}, apps)


def import_script(settings: Settings, path: str) -> str:
    """Returns PHP code that runs occ with the settings: they are in no argument list, and in a file only meanwhile."""
    content = base64.b64encode(json.dumps({"system": settings.system, "apps": settings.apps}).encode()).decode()
    folder = base64.b64encode(path.encode("utf-8", "surrogateescape")).decode()
    return f"""<?php
$folder = base64_decode('{folder}');
$file = tempnam(sys_get_temp_dir(), 'occ');
register_shutdown_function(static function () use ($file) {{ @unlink($file); }});
file_put_contents($file, base64_decode('{content}'));
$_SERVER['argv'] = ['occ', 'config:import', $file];
$_SERVER['argc'] = 3;
$_SERVER['SCRIPT_FILENAME'] = $_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = $folder . '/occ';
chdir($folder);
require $folder . '/console.php';
"""


def plan_settings(current: Settings, wanted: Settings, console: Console, *, hidden: frozenset[str]) -> Plan:
    """Plans one import of all settings that differ."""
    missing = differing(current, wanted)
    before = shown(current, wanted, hidden=hidden)
    if not missing.system and not missing.apps:
        return Plan(before=before, after=before)
    after = shown(predicted(current, wanted), wanted, hidden=hidden)
    for key in set(missing.system) & hidden:
        # The diff shows the change, and neither value.
        after["system"][key] = None if wanted.system[key] is None else REPLACED
    step = Command(
        console.php(stdin=True),
        why=f"configure Nextcloud in the container {console.container!r}",
        stdin=import_script(missing, console.path),
    )
    return Plan(before=before, after=after, steps=(step,))


def check_result(after: Settings, wanted: Settings, console: Console) -> None:
    """Refuses a result in which a setting is not as wanted although occ succeeded.

    Raises:
        CheckpointError: reason change_lost.
    """
    lost = differing(after, wanted)
    names = sorted(lost.system) + [f"{app}/{key}" for app in sorted(lost.apps) for key in sorted(lost.apps[app])]
    if names:
        raise CheckpointError(
            f"Cannot set {', '.join(names)} of Nextcloud in the container {console.container!r}: occ reported success, "
            "but the values did not change. Find out whether another file in its folder config sets them, or a "
            "variable of the container's environment.",
            reason="change_lost",
            lost=names,
        )
