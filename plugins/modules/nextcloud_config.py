#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: settings of a Nextcloud that runs in a container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nextcloud_config
short_description: Configure a Nextcloud that runs in a container
version_added: 0.1.0
description:
  - Compares the wanted settings of the system (C(config.php)) and of apps with those of Nextcloud, and imports the
    differences with one call of its console program C(occ).
  - All settings are read with one call as well, so a run without changes calls C(occ) only once.
  - No value is passed in an argument list, where every user of the host could read it.
options:
  container:
    description: The name of the container.
    type: str
    required: true
  system:
    description:
      - Settings of the system. A value replaces the whole setting, including nested values, and V(null) removes it.
      - All other settings stay unchanged.
    type: dict
    default: {}
  secrets:
    description:
      - Further settings of the system, whose values are hidden in results and diffs.
      - Settings in O(system) that are known to hold a password or a key are hidden as well.
    type: dict
    default: {}
  apps:
    description:
      - Settings of apps, by the name of the app. A value is text or a whole number, and V(null) removes the setting.
      - Nextcloud stores yes and no as words, so put them in quotes.
    type: dict
    default: {}
  user:
    description: The user in the container who owns C(config.php), by name or id.
    type: str
    default: www-data
  path:
    description: The folder with C(occ) in the container.
    type: path
    default: /var/www/html
requirements:
  - podman (Debian and Red Hat family)
  - a container of the official Nextcloud image, or of an image with the same layout
notes:
  - Needs root, or the user who owns the container.
extends_documentation_fragment:
  - criu.hosts._attributes
seealso:
  - module: criu.hosts.container_unit
  - name: Configuration parameters of Nextcloud
    description: The settings of the system.
    link: https://docs.nextcloud.com/server/latest/admin_manual/configuration_server/config_sample_php_parameters.html
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Set the names of the server
  criu.hosts.nextcloud_config:
    container: nextcloud
    system:
      trusted_domains: [cloud.example.com]
      overwrite.cli.url: https://cloud.example.com

- name: Configure mail, and background jobs by a timer
  criu.hosts.nextcloud_config:
    container: nextcloud
    system:
      mail_smtphost: smtp.example.com
      mail_smtpname: nextcloud
    secrets:
      mail_smtppassword: "{{ vault_smtp_password }}"
    apps:
      core:
        backgroundjobs_mode: cron

- name: Remove a setting
  criu.hosts.nextcloud_config:
    container: nextcloud
    system:
      loglevel:
"""

RETURN = r"""
changed:
  description: Whether a setting was changed, or would be changed by a real run.
  returned: success
  type: bool
  sample: true
config:
  description: The settings in the options, with their values after the task. Check mode predicts them.
  returned: success
  type: dict
  contains:
    system:
      description: Settings of the system. A missing setting is null, and a hidden value is replaced by a note.
      type: dict
      sample: {"trusted_domains": ["cloud.example.com"]}
    apps:
      description: Settings of apps.
      type: dict
      sample: {"core": {"backgroundjobs_mode": "cron"}}
commands:
  description: Argument lists of the commands that change the host. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: [[podman, exec, --interactive, --user, www-data, nextcloud, php]]
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(occ_failed) if the container does not run, or occ failed; see RV(rc).
    - V(container_missing) if there is no such container, and its name may begin the id of a different one.
    - V(answer_invalid) if the output of occ is not the expected one.
    - V(value_invalid) if Nextcloud cannot store a value.
    - V(options_conflict) if a setting is in both O(system) and O(secrets).
    - V(change_lost) if occ succeeded and a setting has not changed, because it is set elsewhere; see RV(lost).
    - V(busy) if a different task has worked on the same container for a minute.
    - V(file_failed) if a file or folder could not be written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(podman_missing) if podman is not installed.
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: occ_failed
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /run/criu-hosts/locks
rc:
  description: Exit status of occ, or of podman.
  returned: failure with reason occ_failed
  type: int
  sample: 1
lost:
  description: The settings that have not changed.
  returned: failure with reason change_lost
  type: list
  elements: str
  sample: [loglevel]
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.settings import (
    SENSITIVE,
    Console,
    Settings,
    check_result,
    check_wanted,
    occ_error,
    plan_settings,
    predicted,
    read_settings,
    shown,
)

SPEC = {
    "container": {"type": "str", "required": True},
    "system": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "apps": {"type": "dict", "default": {}},
    "user": {"type": "str", "default": "www-data"},
    "path": {"type": "path", "default": "/var/www/html"},
}


def wanted_of(params: dict[str, Any]) -> Settings:
    """The settings that are asked for."""
    twice = sorted(set(params["system"]) & set(params["secrets"]))
    if twice:
        raise CheckpointError(
            f"Cannot set up Nextcloud: {', '.join(twice)} is in 'system' and in 'secrets'. Keep it in 'secrets'.",
            reason="options_conflict",
        )
    wanted = Settings({**params["system"], **params["secrets"]}, params["apps"])
    check_wanted(wanted)
    return wanted


def run(ctx: Context) -> Outcome:
    """Read, plan, apply, read again."""
    wanted = wanted_of(ctx.params)
    hidden = SENSITIVE | frozenset(ctx.params["secrets"])
    name, user, path = (ctx.params[key] for key in ("container", "user", "path"))
    engine = engine_for("podman", ctx)
    with ctx.hold("container", name):
        console = Console(engine, name, user, path.rstrip("/"), engine.address(ctx, name))
        return ensure(ctx, console, wanted, hidden)


def ensure(ctx: Context, console: Console, wanted: Settings, hidden: frozenset[str]) -> Outcome:
    current = read_settings(ctx, console)
    plan = plan_settings(current, wanted, console, hidden=hidden)
    after = predicted(current, wanted)
    try:
        applied = ctx.apply(plan)
    except CommandError as error:
        raise occ_error(error.completed, console, "change the settings") from error
    if applied is not None:
        after = read_settings(ctx, console)
        check_result(after, wanted, console)
    return Outcome("config", shown(after, wanted, hidden=hidden), plan)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
