#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: lets a kubelet checkpoint a container of a pod."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_checkpoint
short_description: Checkpoint a container of a Kubernetes pod, by its kubelet
version_added: 0.1.0
description:
  - Asks a kubelet for a checkpoint of a running container. Its engine, CRI-O or containerd, writes an archive into the
    folder of the kubelet on the node, C(/var/lib/kubelet/checkpoints), and the container goes on running.
  - B(It was never run against a real kubelet.) It is tested against a server with TLS that gives the answers which
    users of kubelets have published, and those in the source of Kubernetes.
  - A kubelet has no request for a restore. M(criu.hosts.checkpoint_info) describes the archive.
options:
  host:
    description:
      - The name or address of the kubelet. Its certificate must be for it, unless O(validate_certs=false).
    type: str
    required: true
  port:
    description: The port of the kubelet.
    type: int
    default: 10250
  namespace:
    description: The namespace of the pod.
    type: str
    default: default
  pod:
    description: The name of the pod, which runs on that node.
    type: str
    required: true
  container:
    description: The name of the container in the pod.
    type: str
    required: true
  timeout_seconds:
    description:
      - How long the engine may take, which depends on the memory of the container. The task waits 30 seconds longer for
        the answer.
    type: int
    default: 120
  ca_path:
    description:
      - A file with the certificates of those who may have signed that of the kubelet. By default those of the system.
      - A kubelet makes its own certificate and CA, unless its C(serverTLSBootstrap) is on. Both are then in
        C(/var/lib/kubelet/pki/kubelet.crt) on the node.
    type: path
  client_cert_path:
    description:
      - A file with the certificate of a user, which the CA of the cluster has signed.
      - Either this or O(token) is needed.
    type: path
  client_key_path:
    description: A file with its key. By default it is in the same file.
    type: path
  token:
    description:
      - The token of a user or service account. The kubelet must be allowed to ask the API server about tokens
        (C(authentication.webhook)).
    type: str
  validate_certs:
    description:
      - Whether the certificate of the kubelet must be valid. Without this, anyone who answers in place of the kubelet
        gets the O(token).
    type: bool
    default: true
  max_age_seconds:
    description:
      - Asks for no checkpoint if there is an archive in O(checkpoints_dir) which is not older, is whole, and is of this
        very container by its own description. By default each run makes another archive.
      - This works on the node only, where the archives are. To find out whether an archive is whole, all of it is read.
    type: int
  checkpoints_dir:
    description: The folder in which O(max_age_seconds) looks.
    type: path
    default: /var/lib/kubelet/checkpoints
notes:
  - The archive holds the memory of the container with all secrets in it. Nobody removes it, so each one stays until you
    do.
  - The user needs the permission to create C(nodes/checkpoint), which no default role of Kubernetes has, not even
    C(system:kubelet-api-admin). The role P(criu.hosts.crio_checkpoint#role) writes a manifest for it, and enables
    checkpoints in CRI-O.
  - It uses no proxy, and follows no redirection.
  - Kubernetes 1.30 and newer has the feature, C(ContainerCheckpoint), on by default.
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - With O(max_age_seconds), on the node, for as long. Otherwise each run makes another archive, as each request to
        a kubelet does.
extends_documentation_fragment:
  - criu.hosts._attributes
seealso:
  - module: criu.hosts.checkpoint_info
  - plugin: criu.hosts.crio_checkpoint
    plugin_type: role
  - name: Kubelet Checkpoint API
    description: The documentation of the request in Kubernetes.
    link: https://kubernetes.io/docs/reference/node/kubelet-checkpoint-api/
author:
  - The criu.hosts authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Checkpoint a container, on the node, with the certificate that kubeadm makes for the API server
  criu.hosts.kubelet_checkpoint:
    host: "{{ ansible_facts.nodename }}"
    pod: counters
    container: counter
    ca_path: /var/lib/kubelet/pki/kubelet.crt
    client_cert_path: /etc/kubernetes/pki/apiserver-kubelet-client.crt
    client_key_path: /etc/kubernetes/pki/apiserver-kubelet-client.key
    max_age_seconds: 3600
  register: made

- name: Describe the archive
  criu.hosts.checkpoint_info:
    path: "{{ made.checkpoint.archives[0] }}"

- name: Checkpoint a container from elsewhere, with a token
  criu.hosts.kubelet_checkpoint:
    host: node1.example.com
    namespace: shop
    pod: redis-0
    container: redis
    ca_path: /etc/ssl/certs/cluster.pem
    token: "{{ vault_checkpoint_token }}"
    timeout_seconds: 600
  delegate_to: localhost
"""

RETURN = r"""
changed:
  description: Whether a checkpoint was made, or would be.
  returned: success
  type: bool
  sample: true
checkpoint:
  description: The checkpoint.
  returned: success
  type: dict
  contains:
    url:
      description: What was, or would be, asked for with C(POST).
      type: str
      sample: https://node1.example.com:10250/checkpoint/default/counters/counter?timeout=120
    archives:
      description:
        - The archives as paths on the node; with O(max_age_seconds), the one that is there. Empty in check mode if one
          would be made, since only the kubelet knows its name.
      type: list
      elements: str
      sample: ["/var/lib/kubelet/checkpoints/checkpoint-counters_default-counter-2026-11-30T16:45:00Z.tar"]
commands:
  description: Always empty, as the module runs no command.
  returned: success
  type: list
  elements: list
  sample: []
reason:
  description:
    - Machine-readable error code, which stays the same between releases.
    - V(option_invalid) if a name, O(host), O(token) or a number is not one.
    - V(file_unreadable) if a certificate or key is missing, or may not be read.
    - V(archive_unreadable) if O(checkpoints_dir) may not be read.
    - V(kubelet_unreachable) if there is no connection, or it broke off.
    - V(tls_failed) if a certificate was not accepted, or cannot be used.
    - V(timed_out) if there was no answer in time. The archive may still be made.
    - V(unauthorized) if the kubelet does not accept the credentials (401).
    - V(forbidden) if the user lacks the permission (403).
    - V(not_found) if the kubelet has no such pod or container, or lacks the feature (404).
    - V(checkpoint_failed) if the engine has failed, or makes no checkpoints (500).
    - V(kubelet_refused) if it answers with another status.
    - V(answer_invalid) if its answer has no archive.
    - V(busy) if a different task was asking for the same checkpoint for longer than this one waited.
    - V(file_failed) if a file cannot be written.
    - V(interrupted) if a signal stopped the task (SIGTERM, SIGHUP, SIGINT or SIGQUIT).
    - V(internal) if the collection itself has an error; the message names the place in its code.
  returned: failure
  type: str
  sample: forbidden
answer:
  description: The answer of the kubelet in one line, cut after 4096 characters.
  returned: failure after an answer
  type: str
  sample: Forbidden (user=alice, verb=create, resource=nodes, subresource(s)=[checkpoint])
status:
  description: The status of that answer.
  returned: failure after an answer
  type: int
  sample: 403
path:
  description: The file or folder that could not be read or written.
  returned: failure that concerns a file or folder
  type: str
  sample: /var/lib/kubelet/checkpoints
"""

import os
import time
from http.client import HTTPException
from typing import Any, NoReturn, Optional
from urllib.error import HTTPError

from ansible.module_utils.urls import open_url

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.module import execute
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Check, Outcome, Plan
from ansible_collections.criu.hosts.plugins.module_utils._engines.contents import read_contents
from ansible_collections.criu.hosts.plugins.module_utils._kubelet.kept import find_kept
from ansible_collections.criu.hosts.plugins.module_utils._kubelet.request import (
    ANSWER_LIMIT,
    Request,
    broken,
    check_token,
    parse_answer,
)

SPEC: dict[str, Any] = {
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 10250},
    "namespace": {"type": "str", "default": "default"},
    "pod": {"type": "str", "required": True},
    "container": {"type": "str", "required": True},
    "timeout_seconds": {"type": "int", "default": 120},
    "ca_path": {"type": "path"},
    "client_cert_path": {"type": "path"},
    "client_key_path": {"type": "path", "no_log": False},
    "token": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool", "default": True},
    "max_age_seconds": {"type": "int"},
    "checkpoints_dir": {"type": "path", "default": "/var/lib/kubelet/checkpoints"},
}
# The engine gives up first, so that the kubelet can say so.
LONGER = 30


def exchange(params: dict[str, Any], request: Request) -> tuple[int, bytes]:
    """Sends the request, and returns the status and the body of the answer, whatever they are."""
    try:
        response = open_url(
            request.url,
            method="POST",
            headers={"Authorization": f"Bearer {params['token']}"} if params["token"] else None,
            timeout=request.seconds + LONGER,
            validate_certs=params["validate_certs"],
            ca_path=params["ca_path"],
            client_cert=params["client_cert_path"],
            client_key=params["client_key_path"],
            use_proxy=False,
            use_netrc=False,
            follow_redirects="none",
            decompress=False,
        )
    except HTTPError as error:
        response = error
    with response:
        return response.getcode(), response.read(ANSWER_LIMIT)


def ask(params: dict[str, Any], request: Request) -> list[str]:
    """Returns the archives that the kubelet has made."""
    try:
        status, body = exchange(params, request)
    except (OSError, ValueError, HTTPException) as error:
        raise broken(request, error) from error
    return parse_answer(request, status, body)


def require_files(params: dict[str, Any]) -> None:
    for option in ("ca_path", "client_cert_path", "client_key_path"):
        path = params[option]
        if path is not None and not (os.path.isfile(path) and os.access(path, os.R_OK)):
            raise CheckpointError(
                f"Cannot read {option} {path!r}: it is no file, or this user may not read it. Correct the path, or set "
                "become.",
                reason="file_unreadable",
                path=path,
            )


def find_recent(ctx: Context, request: Request) -> Optional[str]:
    seconds = ctx.params["max_age_seconds"]
    if seconds is None:
        return None
    return find_kept(ctx.params["checkpoints_dir"], request, read_contents, now=time.time(), seconds=seconds)


def run(ctx: Context) -> Outcome:
    request = Request.from_params(ctx.params)
    require_files(ctx.params)
    if ctx.params["token"] is not None:
        check_token(ctx.params["token"])
    with ctx.hold("kubelet", request.url):
        kept = find_recent(ctx, request)
        archives = [] if kept is None else [kept]
        plan = Plan({"archive": kept}, {"archive": kept})
        if kept is None:
            step = Check(lambda: archives.extend(ask(ctx.params, request)), "ask the kubelet for a checkpoint")
            plan = Plan({"archive": None}, {"archive": "a new one, which the kubelet names"}, (step,))
        ctx.apply(plan)
    return Outcome("checkpoint", {"url": request.url, "archives": archives}, plan)


def main() -> NoReturn:
    execute(
        run,
        argument_spec=SPEC,
        supports_check_mode=True,
        mutually_exclusive=[["token", "client_cert_path"]],
        required_one_of=[["token", "client_cert_path"]],
        required_by={"client_key_path": ["client_cert_path"]},
    )


if __name__ == "__main__":
    main()
