#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module: copy a checkpoint of the store to a registry or to another host, and back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_copy
short_description: Copy a checkpoint of the store to a registry or to another host, and back
version_added: 0.1.0
description:
  - Copies one checkpoint with its manifest and its signature. The copy has the same id and the same digests. It is
    given its name only when each file has the SHA-256 that the manifest says.
  - To a registry, the checkpoint of a container is pushed as an OCI image with C(skopeo). The archive is its only
    layer, as it lies in the store; the manifest and the signature are annotations. It has the annotations of podman
    (C(io.podman.annotations.checkpoint.*)) and of checkpointctl (C(org.criu.checkpoint.*)), and
    C(podman container restore) takes it as one of its own images, if the archive is not encrypted.
  - To another host, the files are copied with C(rsync) over ssh. A copy that was cut off goes on where it ended.
  - If the other side has the checkpoint with the same digests, the module changes nothing. If it has a different one
    with the same id, as one that was signed since, a push to a registry replaces that. All other copies fail.
author:
  - The criu.hosts authors (!UNKNOWN)
extends_documentation_fragment:
  - criu.hosts._attributes
options:
  state:
    description:
      - V(pushed) copies the checkpoint of this host's store to the registry or to the other host.
      - V(pulled) copies it from there to this host's store.
    type: str
    choices: [pushed, pulled]
    default: pushed
  store:
    description: Path of the store on this host.
    type: path
    required: true
  kind:
    description: Whether it is a checkpoint of a container or of a process. A registry takes only those of containers.
    type: str
    choices: [container, process]
    default: container
  name:
    description: Name of the container or process in the store.
    type: str
    required: true
  checkpoint:
    description:
      - Id of the checkpoint, or V(latest), the newest one on the side that it is copied from.
    type: str
    default: latest
  image:
    description:
      - Repository with the host of its registry, such as V(registry.example.com/checkpoints/web), without a tag. The
        tag of a checkpoint is its id.
      - With O(state=pulled) also an image that C(podman container checkpoint --create-image) has made, with its tag,
        such as V(registry.example.com/podman/web:v1), or in podman's storage, such as
        V(containers-storage:localhost/web:latest). Its id is made of the time and the digest of the image.
      - Exactly one of O(image) and O(host) has to be set.
    type: str
  auth_file:
    description:
      - File on this host with the logins of registries, as C(podman login) writes it. Without it, C(skopeo) uses that
        of the user who runs the task.
    type: path
  tls_verify:
    description: Whether the registry has to use TLS with a certificate that this host trusts.
    type: bool
    default: true
  host:
    description:
      - The other host, such as V(root@web2). The user who runs the task has to be able to log in there with ssh and
        without a password.
    type: str
  host_store:
    description: Path of the store on the other host. Without it, the path is that of O(store).
    type: path
  ssh_options:
    description: Further options of C(ssh), each word one element.
    type: list
    elements: str
    default: []
requirements:
  - skopeo 1.9 or newer, for O(image)
  - rsync 3.2 or newer and ssh, for O(host); on the other host rsync and coreutils
notes:
  - Anyone who may read the copy may read the memory of the processes. Encrypt the checkpoints that leave the host.
  - The module does not judge the signature; a restore does. A pull from a registry or host does not make it trusted.
  - A pull from a registry goes on only at whole layers, and so begins the archive again.
  - A pin stays with the store that has it.
seealso:
  - module: criu.hosts.checkpoint_info
  - module: criu.hosts.container_checkpoint
  - module: criu.hosts.container_restore
"""

EXAMPLES = r"""
- name: Push the newest checkpoint of a container to a registry
  criu.hosts.checkpoint_copy:
    store: /var/lib/checkpoints
    name: web
    image: registry.example.com/checkpoints/web
    auth_file: /root/.config/containers/auth.json

- name: Pull it on another host
  criu.hosts.checkpoint_copy:
    state: pulled
    store: /var/lib/checkpoints
    name: web
    image: registry.example.com/checkpoints/web

- name: Take an image that podman has made of a checkpoint into the store
  criu.hosts.checkpoint_copy:
    state: pulled
    store: /var/lib/checkpoints
    name: web
    image: containers-storage:localhost/web-checkpoint:latest

- name: Copy a checkpoint of a process to another host
  criu.hosts.checkpoint_copy:
    store: /var/lib/checkpoints
    kind: process
    name: worker
    checkpoint: 20261130T164500Z-1a2b3c4d
    host: root@web2
    ssh_options: [-i, /root/.ssh/checkpoints]
"""

RETURN = r"""
checkpoint:
  description: The checkpoint, and where its other copy is.
  returned: success
  type: dict
  contains:
    kind:
      description: Whether it is one of a container or of a process.
      type: str
      sample: container
    name:
      description: Name of the container or process.
      type: str
      sample: web
    id:
      description: Id of the checkpoint.
      type: str
      sample: 20261130T164500Z-1a2b3c4d
    path:
      description: Its folder in the store of this host.
      type: str
      sample: /var/lib/checkpoints/containers/web/20261130T164500Z-1a2b3c4d
    size_bytes:
      description: Size of its parts.
      type: int
      sample: 4128768
    signed:
      description: Whether it has a signature, valid or not.
      type: bool
      sample: true
    image:
      description: The image with its tag; null without O(image).
      type: str
      sample: registry.example.com/checkpoints/web:20261130T164500Z-1a2b3c4d
    host:
      description: The other host; null without O(host).
      type: str
      sample: null
    host_path:
      description: Its folder in the store of the other host; null without O(host).
      type: str
      sample: null
commands:
  description: Argument lists of the commands that change something. Check mode predicts them.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(checkpoint_missing) if the side that it is copied from has no such checkpoint.
    - V(checkpoint_damaged) if the checkpoint is not what its manifest says, or the image is not one that the module has
      pushed.
    - V(checkpoint_differs) if the side that it is copied to has a different checkpoint with the same id, or a damaged
      one. In a registry, that is replaced instead.
    - V(ability_missing) if it cannot be copied in this way, as a process to a registry, or one that needs another
      checkpoint.
    - V(archive_invalid) if the layer of an image that podman has made is no archive of a checkpoint.
    - V(archive_unreadable) if that layer needs libzstd, which this host lacks.
    - V(in_pod) if the container of such an image was in a pod.
    - V(has_dependencies) if that container depends on a different one.
    - V(host_unreachable) if ssh cannot log in to the other host.
    - V(option_invalid) if the value of an option cannot be used; see RV(option).
    - V(store_unsafe) if others can change the store, or which folder its path names.
    - V(store_unreadable) if the store cannot be read.
    - V(busy) if a different task has worked on the checkpoints of this container or process for a minute.
    - V(disk_full) if there is no space left.
    - V(file_failed) if a file or folder could not be written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(tool_missing) if a command is not installed, or may not be run.
    - V(tool_failed) if a command failed and matches no other reason.
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: checkpoint_missing
option:
  description: The option whose value cannot be used.
  returned: failure with reason option_invalid
  type: str
  sample: image
path:
  description: The file or folder that the failure is about.
  returned: failure that concerns a file or folder
  type: str
  sample: /var/lib/checkpoints
cmd:
  description: Argument list of the command that failed.
  returned: failure of a command
  type: list
  elements: str
  sample: [skopeo, copy, --preserve-digests]
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
cleanup_failed:
  description: Messages of the steps that failed as well when the task cleaned up.
  returned: failure of the cleanup as well
  type: list
  elements: str
  sample: []
"""

from typing import Any, NoReturn

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Outcome
from ansible_collections.criu.hosts.plugins.module_utils._store.copies import Request, check_request
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import name_path

SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["pushed", "pulled"], "default": "pushed"},
    "store": {"type": "path", "required": True},
    "kind": {"type": "str", "choices": ["container", "process"], "default": "container"},
    "name": {"type": "str", "required": True},
    "checkpoint": {"type": "str", "default": "latest"},
    "image": {"type": "str"},
    "auth_file": {"type": "path", "no_log": True},
    "tls_verify": {"type": "bool", "default": True},
    "host": {"type": "str"},
    "host_store": {"type": "path"},
    "ssh_options": {"type": "list", "elements": "str", "default": []},
}


def _with_registry(ctx: Context, request: Request) -> Outcome:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.annotations import annotations_of
    from ansible_collections.criu.hosts.plugins.module_utils._store.registry import Registry, check_image, pull, push

    registry = Registry(ctx.params["image"], ctx.params["auth_file"], ctx.params["tls_verify"])
    if ctx.params["state"] == "pulled":
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.checkpoint_image import (
            is_made,
            pull_made,
        )

        if is_made(registry.image):
            return pull_made(ctx, request, registry)
        check_image(registry.image)
        return pull(ctx, request, registry)
    check_image(registry.image)
    return push(ctx, request, registry, annotations_of)


def _with_host(ctx: Context, request: Request) -> Outcome:
    from ansible_collections.criu.hosts.plugins.module_utils._store.remote import (
        Remote,
        check_remote,
        pull_from_host,
        push_to_host,
    )

    store = ctx.params["host_store"] or request.store
    remote = Remote(ctx.params["host"], store, tuple(ctx.params["ssh_options"]))
    check_remote(remote)
    return (pull_from_host if ctx.params["state"] == "pulled" else push_to_host)(ctx, request, remote)


def run(ctx: Context) -> Outcome:
    """Copies the checkpoint, while no other task works on those of this container or process."""
    request = Request(*(ctx.params[key] for key in ("store", "kind", "name", "checkpoint")))
    check_request(request)
    with ctx.hold("store", name_path(request.store, request.kind, request.name)):
        return (_with_registry if ctx.params["image"] else _with_host)(ctx, request)


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        supports_check_mode=True,
        required_one_of=[("image", "host")],
        mutually_exclusive=[("image", "host")],
    )


if __name__ == "__main__":
    main()
