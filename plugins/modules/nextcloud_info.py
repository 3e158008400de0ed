#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the version of a Nextcloud in a container, and of an image that is to run it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nextcloud_info
short_description: Report the version of a Nextcloud in a container, and check the image that is to run it
version_added: 0.1.0
description:
  - Returns the version of the program files, what C(occ status) reports, and the version in an image.
  - Checks whether the image may run on the volumes. The entry point of Nextcloud's image upgrades them when it finds an
    older version, without a way back, so an image of another or of an unknown major version is a blocker.
  - The container can write the files that are read. A link, a pipe or a device in their place, a file that is too large
    and an unexpected content are failures, and nothing on the host is read through them.
  - Nothing is changed. The role P(criu.hosts.nextcloud#role) uses the module.
options:
  html_path:
    description: The folder on the host that is C(/var/www/html) in the container. It need not exist.
    type: path
    required: true
  container:
    description: The name of the container. It need not exist.
    type: str
  image:
    description: The image that is to run.
    type: str
  image_version:
    description:
      - The version of Nextcloud in O(image), such as V(32) or V(32.0.1), if the image does not name it with
        C(NEXTCLOUD_VERSION) in its environment.
    type: str
    default: ""
  registry:
    description:
      - Whether to read O(image) in its registry, with C(skopeo), instead of on the host. So check mode finds the
        version that a pull would bring.
    type: bool
    default: false
  status:
    description: Whether to call C(occ status) in the container, which must run.
    type: bool
    default: false
  copies:
    description: Folders with copies of volumes, whose checksums are returned. Nobody else may be able to write there.
    type: list
    elements: path
    default: []
  user:
    description: The user in the container who owns C(config.php).
    type: str
    default: www-data
requirements:
  - Podman, rootful
  - skopeo, for O(registry)
extends_documentation_fragment:
  - criu.hosts._attributes.info
seealso:
  - module: criu.hosts.nextcloud_upgrade_info
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Check that an image does not bring another major version
  criu.hosts.nextcloud_info:
    html_path: /srv/nextcloud/html
    container: nextcloud
    image: docker.io/library/nextcloud:32-fpm
  register: found
  failed_when: found.nextcloud.refused | length > 0
"""

RETURN = r"""
changed:
  description: Always false.
  returned: success
  type: bool
  sample: false
nextcloud:
  description: The Nextcloud.
  returned: success
  type: dict
  contains:
    version:
      description: The version of the program files. V(null) if there are none yet.
      type: str
      sample: 32.0.1
    image:
      description:
        - C(name), C(id) and C(version) of O(image). The id is V(null) if the image is missing, the version V(null)
          if the image does not name it. V(null) without O(image).
      type: dict
      sample: {name: "docker.io/library/nextcloud:32-fpm", id: 3f1b2a, version: 32.0.1}
    refused:
      description:
        - The blockers of running O(image), each with C(message) and C(code), one of V(image_missing), V(image_wrong),
          V(image_version_unknown), V(major_changed), V(downgrade) and V(registry_unknown). The last means that the
          version is not known, since the registry could not be read.
      type: list
      elements: dict
      sample: []
    status:
      description:
        - C(installed), C(version), C(needs_upgrade) and C(maintenance) of C(occ status). V(null) without O(status).
      type: dict
      sample: {installed: true, version: 32.0.1, needs_upgrade: false, maintenance: false}
    copies:
      description: The SHA-256 of names, owners, modes, times and contents in each folder of O(copies).
      type: dict
      sample: {/var/lib/criu-hosts/nextcloud/nextcloud/html: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e8}
commands:
  description: Always empty, as the module only reads.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(version_invalid) if O(image_version) is not a version.
    - V(version_unknown) if C(version.php) has no version in it.
    - V(file_unreadable) if C(version.php) is a link, no regular file or too large.
    - V(copy_unreadable) if a file or folder in O(copies) could not be read.
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
from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.copies import copy_sum
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.files import find_version
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.guard import check_registry, check_run
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.host import ask_registry, read_image, read_status
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.upgrade import Image, Refusal, parse_wanted

SPEC = {
    "html_path": {"type": "path", "required": True},
    "container": {"type": "str"},
    "image": {"type": "str"},
    "image_version": {"type": "str", "default": ""},
    "registry": {"type": "bool", "default": False},
    "status": {"type": "bool", "default": False},
    "copies": {"type": "list", "elements": "path", "default": []},
    "user": {"type": "str", "default": "www-data"},
}


def look(ctx: Context, engine: Engine, present: Version | None) -> tuple[Image | None, Refusal | None]:
    """The image that is asked for, and why it must not run."""
    params = ctx.params
    if params["image"] is None:
        return None, None
    declared = parse_wanted(params["image_version"]) if params["image_version"] else None
    name = params["image"]
    found = ask_registry(ctx, name) if params["registry"] else read_image(ctx, engine, name)
    if isinstance(found, str):
        return Image(name), check_registry(name, found, present)
    container = engine.inspect(ctx, params["container"]) if params["container"] else None
    return found, check_run(present, found, running_id=container.image_id if container else None, declared=declared)


def run(ctx: Context) -> Outcome:
    """Read all that is asked for."""
    params, engine = ctx.params, engine_for("podman", ctx)
    present = find_version(params["html_path"])
    image, refusal = look(ctx, engine, present)
    status: Any = read_status(ctx, engine, params["container"], params["user"]).view() if params["status"] else None
    value = {
        "version": version_text(present) if present else None,
        "image": image.view() if image else None,
        "refused": [refusal.view()] if refusal else [],
        "status": status,
        "copies": {path: copy_sum(path) for path in params["copies"]},
    }
    return Outcome("nextcloud", value)


def main() -> NoReturn:
    execute(run, argument_spec=SPEC, required_if=[("status", True, ["container"])], supports_check_mode=True)


if __name__ == "__main__":
    main()
