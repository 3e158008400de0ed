#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: settings of a Nextcloud that runs in a container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nextcloud_config
short_description: Set up a Nextcloud that runs in a container
version_added: 0.1.0
description:
  - Compares settings of the system (C(config.php)) and of apps with those that Nextcloud has, and imports what differs
    with one call of its console program C(occ).
  - All is read with one call too, so a run that changes nothing takes the time of one.
  - No value is in an argument list, where every user of the host could read it.
options:
  container:
    description: The name of the container.
    type: str
    required: true
  system:
    description:
      - Settings of the system. A value replaces the whole setting, with all that is in it; null removes it.
      - Settings that are not named here stay as they are.
    type: dict
    default: {}
  secrets:
    description:
      - Further settings of the system, whose values are not shown in results and diffs.
      - Not shown either are the settings of O(system) that are known to hold a password or a key.
    type: dict
    default: {}
  apps:
    description:
      - Settings of apps, by the name of the app. A value is text or a whole number; null removes the setting.
      - Nextcloud keeps yes and no as words, so put them in quotes.
    type: dict
    default: {}
  user:
    description: The user in the container whom C(config.php) belongs to, by name or id.
    type: str
    default: www-data
  path:
    description: The folder of C(occ) in the container.
    type: path
    default: /var/www/html
requirements:
  - podman (Debian and RedHat family)
  - a container of the official image of Nextcloud, or of one that keeps its layout
notes:
  - Needs root, or the user whom the container belongs to.
  - Further reasons are V(occ_failed) (the container does not run, or occ says no), V(answer_invalid) (the answer of occ
    is not what was expected), V(value_invalid) (a value that Nextcloud cannot keep), V(options_conflict) (a setting
    is in two options) and V(change_lost) (a setting is not there afterwards, since something else sets it).
extends_documentation_fragment:
  - criu.hosts._attributes
seealso:
  - module: criu.hosts.container_unit
  - name: Configuration parameters of Nextcloud
    description: What the settings of the system mean.
    link: https://docs.nextcloud.com/server/latest/admin_manual/configuration_server/config_sample_php_parameters.html
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Tell Nextcloud its names
  criu.hosts.nextcloud_config:
    container: nextcloud
    system:
      trusted_domains: [cloud.example.com]
      overwrite.cli.url: https://cloud.example.com

- name: Mail, and background jobs by a timer
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
  description: Whether a setting was, or would be, changed.
  returned: success
  type: bool
  sample: true
config:
  description: The settings that were asked for, as read after the work; in check mode, as they would be.
  returned: success
  type: dict
  contains:
    system:
      description: Settings of the system; one that is not set is null, one that nobody may see says so.
      type: dict
      sample: {"trusted_domains": ["cloud.example.com"]}
    apps:
      description: Settings of apps.
      type: dict
      sample: {"core": {"backgroundjobs_mode": "cron"}}
commands:
  description: The commands that changed, or would change, the host.
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
