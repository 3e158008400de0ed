#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Configures a Nextcloud that runs in a container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nextcloud_config
short_description: Configure a Nextcloud that runs in a container
version_added: 0.1.0
description:
  - Compares system settings (C(config.php)) and settings of apps with the current ones, and imports those that differ
    with one call of Nextcloud's console program C(occ).
  - One call reads all settings, so a run without changes takes no longer than that.
  - Values never appear in an argument list, where every user of the host could read them.
options:
  container:
    description: Name of the container.
    type: str
    required: true
  system:
    description:
      - System settings. A value replaces the whole setting, including nested values; null removes it.
      - Settings that are not listed here do not change.
    type: dict
    default: {}
  secrets:
    description:
      - More system settings. Results and diffs do not show their values.
      - Settings in O(system) that are known to hold a password or a key are not shown either.
    type: dict
    default: {}
  apps:
    description:
      - Settings of apps, keyed by the name of the app. A value is a string or an integer; null removes the setting.
      - Nextcloud stores yes and no as strings, so put them in quotes.
    type: dict
    default: {}
  user:
    description: Owner of C(config.php) in the container, as a name or an id.
    type: str
    default: www-data
  path:
    description: Folder of C(occ) in the container.
    type: path
    default: /var/www/html
requirements:
  - Podman
  - A container of the official Nextcloud image, or of an image with the same layout
notes:
  - Needs root, or the user who owns the container.
  - Further reasons are V(occ_failed) (the container is not running, or occ fails), V(answer_invalid) (occ prints
    unexpected output), V(value_invalid) (Nextcloud cannot store a value), V(options_conflict) (a setting is in two
    options) and V(change_lost) (occ succeeds but a setting does not change, because something else sets it).
extends_documentation_fragment:
  - criu.hosts._attributes
seealso:
  - module: criu.hosts.container_unit
  - name: Configuration parameters of Nextcloud
    description: Describes the system settings.
    link: https://docs.nextcloud.com/server/latest/admin_manual/configuration_server/config_sample_php_parameters.html
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Set the host names of Nextcloud
  criu.hosts.nextcloud_config:
    container: nextcloud
    system:
      trusted_domains: [cloud.example.com]
      overwrite.cli.url: https://cloud.example.com

- name: Configure mail, and background jobs that a timer runs
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
  description: Whether a setting was changed, or would be in check mode.
  returned: success
  type: bool
  sample: true
config:
  description: The settings of the task, as read after the change; in check mode, as predicted.
  returned: success
  type: dict
  contains:
    system:
      description: System settings. A setting that does not exist is null; a secret one is replaced with a note.
      type: dict
      sample: {"trusted_domains": ["cloud.example.com"]}
    apps:
      description: Settings of apps.
      type: dict
      sample: {"core": {"backgroundjobs_mode": "cron"}}
commands:
  description: The commands that changed the host, or would in check mode.
  returned: success
  type: list
  elements: list
  sample: [[podman, exec, --interactive, --user, www-data, nextcloud, php]]
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
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
    """Returns the settings of the task."""
    twice = sorted(set(params["system"]) & set(params["secrets"]))
    if twice:
        raise CheckpointError(
            f"Cannot configure Nextcloud: {', '.join(twice)} is in 'system' and in 'secrets'. Keep it in 'secrets'.",
            reason="options_conflict",
        )
    wanted = Settings({**params["system"], **params["secrets"]}, params["apps"])
    check_wanted(wanted)
    return wanted


def run(ctx: Context) -> Outcome:
    """Imports the settings that differ."""
    wanted = wanted_of(ctx.params)
    hidden = SENSITIVE | frozenset(ctx.params["secrets"])
    console = Console(ctx.params["container"], ctx.params["user"], ctx.params["path"].rstrip("/"))
    current = read_settings(ctx.runner, console)
    plan = plan_settings(current, wanted, console, hidden=hidden)
    after = predicted(current, wanted)
    try:
        applied = ctx.apply(plan)
    except CommandError as error:
        raise occ_error(error.completed, console, "change the settings") from error
    if applied is not None:
        after = read_settings(ctx.runner, console)
        check_result(after, wanted, console)
    return Outcome("config", shown(after, wanted, hidden=hidden), plan)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
