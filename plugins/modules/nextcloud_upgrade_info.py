#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans the upgrade of a Nextcloud that runs in a container."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nextcloud_upgrade_info
short_description: "Plan a Nextcloud upgrade: required steps and blockers"
version_added: 0.1.0
description:
  - Nextcloud can be upgraded only to the next major version. The module returns the versions from the present to the
    wanted one with the image of each, and checks that each image holds the right version.
  - It also checks that the container is running, C(occ status), the apps and the space for the copies, and returns all
    blockers at once.
  - It changes nothing. The role P(criu.hosts.nextcloud#role) does the upgrade.
options:
  container:
    description: Name of the container.
    type: str
    required: true
  to:
    description: The wanted version, either a major version such as V(32) or a full version such as V(32.0.1).
    type: str
    required: true
  image:
    description: Name of the images, with C({major}) in place of the major version.
    type: str
    default: docker.io/library/nextcloud:{major}-fpm
  images:
    description: Images that differ from O(image), keyed by the major version, for example with a digest.
    type: dict
    default: {}
  html_path:
    description: Folder on the host that is mounted at C(/var/www/html) in the container.
    type: path
    required: true
  apps_paths:
    description: Folders on the host with apps that are not part of Nextcloud.
    type: list
    elements: path
    default: []
  incompatible_apps:
    description:
      - What happens to enabled apps that do not support the wanted version. With V(refuse) they block the upgrade; with
        V(disable) Nextcloud disables them.
    type: str
    choices: [refuse, disable]
    default: refuse
  copied_paths:
    description: Folders that the upgrade copies first.
    type: list
    elements: path
    default: []
  saved_path:
    description: Folder for the copies. It need not exist.
    type: path
    required: true
  database_bytes:
    description: Size of the database in bytes. The folder of the copies gets a dump of it, too.
    type: int
    default: 0
  user:
    description: Owner of C(config.php) in the container.
    type: str
    default: www-data
requirements:
  - Podman, rootful
notes:
  - Further reasons are V(version_invalid) (O(to) is not a version), V(version_unknown) (C(version.php) is missing) and
    V(answer_invalid) (Podman or occ printed something other than JSON).
extends_documentation_fragment:
  - criu.hosts._attributes.info
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Plan the upgrade to version 33
  criu.hosts.nextcloud_upgrade_info:
    container: nextcloud
    to: "33"
    html_path: /srv/nextcloud/html
    saved_path: /var/lib/criu-hosts/nextcloud
  register: found

- name: Stop if anything blocks the upgrade
  ansible.builtin.fail:
    msg: "{{ found.upgrade.refused | map(attribute='message') | join(' ') }}"
  when: found.upgrade.refused | length > 0
"""

RETURN = r"""
upgrade:
  description: The plan.
  returned: success
  type: dict
  contains:
    version:
      description: Version of the program files.
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
          V(image_missing), V(image_wrong), V(image_version_unknown), V(image_moved), V(container_not_running),
          V(not_installed), V(upgrade_pending), V(apps_incompatible) and V(disk_full).
      type: list
      elements: dict
      sample: []
    missing_images:
      description: Images that are not on the host.
      type: list
      elements: str
      sample: []
    missing_tools:
      description: Programs that an upgrade needs and that are not on the host.
      type: list
      elements: str
      sample: [rsync]
    incompatible_apps:
      description: Enabled apps that do not support the wanted version, with the last major version that they support.
      type: list
      elements: dict
      sample: [{name: polls, until: 32}]
    image:
      description: Image of the container. V(null) if there is no container.
      type: str
      sample: docker.io/library/nextcloud:31-fpm
    image_id:
      description: Id of that image.
      type: str
      sample: 91f04b5701638eb4362448c14748787880a8911fc8d78418cf9409c87ec9520d
    maintenance:
      description: Whether maintenance mode is on. V(null) if occ was not run.
      type: bool
      sample: false
    needed_bytes:
      description: Space that the copies need at most.
      type: int
      sample: 1363148800
    free_bytes:
      description: Free space for the copies.
      type: int
      sample: 21474836480
commands:
  description: Always empty, because the module only reads.
  returned: success
  type: list
  elements: list
  sample: []
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.outcome import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_text
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import cgroup_memory, free_bytes
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.host import (
    Running,
    ask_occ,
    disk_bytes,
    read_apps,
    read_container,
    read_image,
    read_version,
)
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.upgrade import (
    RESERVE_BYTES,
    Refusal,
    check_apps,
    check_space,
    check_status,
    check_tag,
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


def look(ctx: Context, container: Running | None, wanted: Version) -> tuple[dict[str, Any], list[Refusal | None]]:
    """Checks everything but the versions: occ, apps, image and disk space."""
    params, runner = ctx.params, ctx.runner
    runs = container if container is not None and container.pid > 0 else None
    status = ask_occ(runner, runs, params["user"], "status") if runs else None
    refused = [check_status(status, params["container"])]
    apps: list[dict[str, Any]] = []
    needed = sum(disk_bytes(path) for path in params["copied_paths"]) + params["database_bytes"] + RESERVE_BYTES
    if container is not None:
        refused.append(check_tag(container.image, container.image_id, read_image(runner, container.image).id))
    if runs:
        enabled = ask_occ(runner, runs, params["user"], "app:list").get("enabled") or {}
        apps = left_behind(read_apps(params["apps_paths"]), list(enabled), wanted)
        refused.append(check_apps(apps, wanted) if params["incompatible_apps"] == "refuse" else None)
        needed += cgroup_memory(runs.pid) or 0
    free = free_bytes(params["saved_path"])
    found = {
        "incompatible_apps": apps,
        "maintenance": None if status is None else bool(status.get("maintenance")),
        "needed_bytes": needed,
        "free_bytes": free,
    }
    return found, [*refused, check_space(params["saved_path"], needed, free)]


TOOLS = ("rsync",)
NOTHING: dict[str, Any] = {"incompatible_apps": [], "maintenance": None, "needed_bytes": 0, "free_bytes": 0}


def run(ctx: Context) -> Outcome:
    """Reads everything and returns the plan. If no step is needed, blockers do not matter."""
    params, runner = ctx.params, ctx.runner
    wanted, present = parse_wanted(params["to"]), read_version(params["html_path"])
    container = read_container(runner, params["container"])
    images = {
        major: read_image(runner, image_name(major, params["image"], params["images"]))
        for major in majors_to(present, wanted)
    }
    steps, refused = plan_steps(present, wanted, images)
    found, more = look(ctx, container, wanted) if steps else (NOTHING, [])
    value = {
        "version": version_text(present),
        "to": version_text(wanted),
        "steps": steps,
        "refused": [refusal.view() for refusal in (*refused, *more) if refusal is not None],
        "missing_images": [image.name for image in images.values() if image.id is None],
        "missing_tools": [name for name in TOOLS if runner.which(name) is None],
        "image": container.image if container is not None else None,
        "image_id": container.image_id if container is not None else None,
        **found,
    }
    return Outcome("upgrade", value)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, supports_check_mode=True)


if __name__ == "__main__":
    main()
