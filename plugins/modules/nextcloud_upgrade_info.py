#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: plan the upgrade of a Nextcloud in a container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nextcloud_upgrade_info
short_description: Plan the upgrade of a Nextcloud in a container, and list the blockers
version_added: 0.1.0
description:
  - Nextcloud can be upgraded only to the next major version. The module returns all versions from the current one to
    the wanted one, with the image of each, and checks the content of each image.
  - It checks the other requirements of an upgrade (a running container, C(occ status), the apps, room for the copies),
    and returns all blockers at once.
  - Nothing is changed. The role P(criu.hosts.nextcloud#role) performs the upgrade.
options:
  container:
    description: The name of the container.
    type: str
    required: true
  to:
    description: The wanted version, either a major version such as V(32) or a full version such as V(32.0.1).
    type: str
    required: true
  image:
    description: The name of the images, with C({major}) in place of the major version.
    type: str
    default: docker.io/library/nextcloud:{major}-fpm
  images:
    description: Images that differ from O(image), by major version, for example with a digest.
    type: dict
    default: {}
  html_path:
    description: The folder on the host that is C(/var/www/html) in the container.
    type: path
    required: true
  apps_paths:
    description: The folders on the host with apps that are not part of Nextcloud.
    type: list
    elements: path
    default: []
  incompatible_apps:
    description: Whether enabled apps that do not support a version block the upgrade, since Nextcloud disables them.
    type: str
    choices: [refuse, disable]
    default: refuse
  copied_paths:
    description: The folders to copy before the upgrade.
    type: list
    elements: path
    default: []
  saved_path:
    description: The folder for the copies. It need not exist.
    type: path
    required: true
  database_bytes:
    description: The size of the database, whose dump is stored in the same folder.
    type: int
    default: 0
  user:
    description: The user in the container who owns C(config.php).
    type: str
    default: www-data
requirements:
  - Podman, rootful
extends_documentation_fragment:
  - criu.hosts._attributes.info
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Plan the steps to version 33
  criu.hosts.nextcloud_upgrade_info:
    container: nextcloud
    to: "33"
    html_path: /srv/nextcloud/html
    saved_path: /var/lib/criu-hosts/nextcloud
  register: found

- name: Stop if there are blockers
  ansible.builtin.fail:
    msg: "{{ found.upgrade.refused | map(attribute='message') | join(' ') }}"
  when: found.upgrade.refused | length > 0
"""

RETURN = r"""
upgrade:
  description: The plan of the upgrade.
  returned: success
  type: dict
  contains:
    version:
      description: The version of the program files.
      type: str
      sample: 31.0.10
    to:
      description: The wanted version.
      type: str
      sample: "33"
    steps:
      description: The steps, each with C(from), C(to), C(image) and C(image_id). Empty if no upgrade is needed.
      type: list
      elements: dict
      sample: [{from: 31.0.10, to: 32.0.1, image: "docker.io/library/nextcloud:32-fpm", image_id: 3f1b2a}]
    refused:
      description:
        - The blockers of the upgrade, each with C(message) and C(code), one of V(downgrade), V(major_skipped),
          V(image_missing), V(image_wrong), V(image_version_unknown), V(container_not_running), V(not_installed),
          V(upgrade_pending), V(apps_incompatible) and V(disk_full).
      type: list
      elements: dict
      sample: []
    missing_images:
      description: The images that are not on the host.
      type: list
      elements: str
      sample: []
    missing_tools:
      description: The programs that an upgrade needs and the host lacks.
      type: list
      elements: str
      sample: [rsync]
    incompatible_apps:
      description: The enabled apps that do not support the wanted version, each with the last version it supports.
      type: list
      elements: dict
      sample: [{name: polls, until: 32}]
    image:
      description: The image of the container. V(null) if there is no container.
      type: str
      sample: docker.io/library/nextcloud:31-fpm
    image_id:
      description: Id of the image.
      type: str
      sample: 91f04b5701638eb4362448c14748787880a8911fc8d78418cf9409c87ec9520d
    maintenance:
      description: Whether maintenance mode is on. V(null) if occ was not called.
      type: bool
      sample: false
    needed_bytes:
      description: The maximum space that the copies need.
      type: int
      sample: 1363148800
    free_bytes:
      description: The free space.
      type: int
      sample: 21474836480
commands:
  description: Always empty, as the module only reads.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(version_invalid) if O(to) is not a version.
    - V(version_unknown) if C(version.php) is missing below O(html_path), or has no version in it.
    - V(file_unreadable) if C(version.php), or C(appinfo/info.xml) of an app, is a link, no regular file or too large.
    - V(container_missing) if there is no such container, and its name may begin the id of a different one.
    - V(answer_invalid) if the output of podman or occ is not the expected JSON.
    - V(podman_missing) if podman is not installed.
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and its output matches no other reason.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: version_unknown
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [podman, exec, --user, www-data, nextcloud, php, occ, status]
rc:
  description: Exit status of that command.
  returned: failure of a command
  type: int
  sample: 1
stdout:
  description: Standard output of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: ""
stderr:
  description: Standard error of that command, at most its last 4000 characters.
  returned: failure of a command
  type: str
  sample: ""
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_text
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import cgroup_memory, free_bytes
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.files import read_apps, read_version
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.host import (
    disk_bytes,
    read_enabled,
    read_image,
    read_status,
)
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.upgrade import (
    RESERVE_BYTES,
    Refusal,
    check_apps,
    check_rollback,
    check_space,
    check_status,
    image_name,
    left_behind,
    majors_to,
    parse_wanted,
    plan_steps,
)

SPEC = {
    "container": {"type": "str", "required": True},
    "to": {"type": "str", "required": True},
    "image": {"type": "str", "default": "docker.io/library/nextcloud:{major}-fpm"},
    "images": {"type": "dict", "default": {}},
    "html_path": {"type": "path", "required": True},
    "apps_paths": {"type": "list", "elements": "path", "default": []},
    "incompatible_apps": {"type": "str", "choices": ["refuse", "disable"], "default": "refuse"},
    "copied_paths": {"type": "list", "elements": "path", "default": []},
    "saved_path": {"type": "path", "required": True},
    "database_bytes": {"type": "int", "default": 0},
    "user": {"type": "str", "default": "www-data"},
}


def look(
    ctx: Context, engine: Engine, container: Container | None, wanted: Version
) -> tuple[dict[str, Any], list[Refusal | None]]:
    """What an upgrade finds beside the versions: occ, apps, image and room."""
    params = ctx.params
    runs = container if container is not None and container.pid > 0 else None
    status = read_status(ctx, engine, runs.name, params["user"]) if runs else None
    refused = [check_status(status, params["container"])]
    apps: list[dict[str, Any]] = []
    needed = sum(disk_bytes(ctx, path) for path in params["copied_paths"]) + params["database_bytes"] + RESERVE_BYTES
    if container is not None:
        present = read_image(ctx, engine, container.image_id).id is not None
        refused.append(check_rollback(container.image_id, present=present))
    if runs:
        enabled = read_enabled(ctx, engine, runs.name, params["user"])
        apps = left_behind(read_apps(params["apps_paths"]), enabled, wanted)
        refused.append(check_apps(apps, wanted) if params["incompatible_apps"] == "refuse" else None)
        needed += cgroup_memory(ctx.paths, runs.pid) or 0
    free = free_bytes(params["saved_path"])
    found = {
        "incompatible_apps": apps,
        "maintenance": None if status is None else status.maintenance,
        "needed_bytes": needed,
        "free_bytes": free,
    }
    return found, [*refused, check_space(params["saved_path"], needed, free)]


TOOLS = ("rsync",)
NOTHING: dict[str, Any] = {"incompatible_apps": [], "maintenance": None, "needed_bytes": 0, "free_bytes": 0}


def run(ctx: Context) -> Outcome:
    """Read all, then judge; where there is nothing to do, the rest does not matter."""
    params, engine = ctx.params, engine_for("podman", ctx)
    wanted, present = parse_wanted(params["to"]), read_version(params["html_path"])
    container = engine.inspect(ctx, params["container"])
    images = {
        major: read_image(ctx, engine, image_name(major, params["image"], params["images"]))
        for major in majors_to(present, wanted)
    }
    steps, refused = plan_steps(present, wanted, images)
    found, more = look(ctx, engine, container, wanted) if steps else (NOTHING, [])
    value = {
        "version": version_text(present),
        "to": version_text(wanted),
        "steps": steps,
        "refused": [refusal.view() for refusal in (*refused, *more) if refusal is not None],
        "missing_images": [image.name for image in images.values() if image.id is None],
        "missing_tools": [name for name in TOOLS if ctx.runner.which(name) is None],
        "image": container.image if container is not None else None,
        "image_id": container.image_id if container is not None else None,
        **found,
    }
    return Outcome("upgrade", value)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
