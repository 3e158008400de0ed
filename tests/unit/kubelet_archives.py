# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the archives of CRI-O and containerd for a kubelet, as their sources say, around recorded images of CRIU.

No real kubelet was at hand. CRI-O: internal/lib/checkpoint.go and internal/factory/container/container.go of v1.36.3.
containerd: internal/cri/server/container_checkpoint_linux.go and pkg/archive/tar.go of v2.3.4. The ids, the image and
the times of containerd's are those of an archive that https://criu.org/Kubernetes shows.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent / "fixtures"
IMAGES = FIXTURES / "criu/4.2.1-archive.tar.gz"
POD, NAMESPACE, CONTAINER = "counters", "default", "counter"
ID = "52d907dc8f75c8a60b366c2fca70839b9505c9da909ef4ae4f90a1c59ccd69ba"
IMAGE = "docker.io/library/busybox:latest"
MADE = "2025-11-07T11:58:58Z"
NO_TIME = "0001-01-01T00:00:00Z"
MOUNTS = [{"destination": "/etc/hosts", "type": "bind", "source": "/var/lib/kubelet/pods/1/etc-hosts", "options": []}]
# lib/metadata.go of checkpointctl, which both engines use; an empty field is left out, a time never.
CONFIG = {
    "id": ID,
    "name": f"k8s_{CONTAINER}_{POD}_{NAMESPACE}_5c6b1b67-7d3c-4e0b-9c69-8d0e6ad0b3c1_0",
    "rootfsImage": IMAGE,
    "rootfsImageName": IMAGE,
    "createdTime": "2025-11-07T11:48:41.123456789Z",
    "checkpointedTime": "2025-11-07T11:58:58.987654321Z",
    "restoredTime": NO_TIME,
    "restored": False,
}


def crio_spec(namespace: str = NAMESPACE, pod: str = POD, container: str = CONTAINER) -> dict[str, Any]:
    return {
        "ociVersion": "1.2.1",
        "mounts": MOUNTS,
        "annotations": {
            "io.container.manager": "cri-o",
            "io.kubernetes.cri-o.ContainerType": "container",
            "io.kubernetes.cri-o.Created": "2025-11-07T12:48:41.123456789+01:00",
            "io.kubernetes.cri-o.IP.0": "10.85.0.7",
            "io.kubernetes.cri-o.IP.1": "1100:200::7",
            "io.kubernetes.cri-o.Metadata": json.dumps({"name": container}),
            "io.kubernetes.container.name": container,
            "io.kubernetes.pod.name": pod,
            "io.kubernetes.pod.namespace": namespace,
        },
    }


def containerd_spec(namespace: str = NAMESPACE, pod: str = POD, container: str = CONTAINER) -> dict[str, Any]:
    return {
        "ociVersion": "1.2.1",
        "mounts": MOUNTS,
        "annotations": {
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.container-name": container,
            "io.kubernetes.cri.image-name": IMAGE,
            "io.kubernetes.cri.sandbox-name": pod,
            "io.kubernetes.cri.sandbox-namespace": namespace,
        },
    }


class _Tar:
    """Writes members one after the other."""

    def __init__(self, form: int) -> None:
        self.target = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.target, mode="w", format=form)  # noqa: SIM115

    def add(self, name: str, data: bytes | None) -> None:
        member = tarfile.TarInfo(name)
        member.mode, member.mtime = (0o600, 1762516738.5) if data is not None else (0o700, 1762516738.5)
        member.type = tarfile.REGTYPE if data is not None else tarfile.DIRTYPE
        member.size = len(data or b"")
        self.tar.addfile(member, io.BytesIO(data or b""))

    def done(self) -> bytes:
        self.tar.close()
        return self.target.getvalue()


def _recorded() -> dict[str, bytes]:
    """Returns the members of an archive of real images, by name."""
    with tarfile.open(IMAGES) as archive:
        files = {one.name: archive.extractfile(one) for one in archive if one.isfile()}
        return {name: handle.read() for name, handle in files.items() if handle is not None}


def crio_archive(spec: dict[str, Any]) -> bytes:
    """Returns what CRI-O writes: its list of files in order, the images before config.dump and spec.dump."""
    found, tar = _recorded(), _Tar(tarfile.GNU_FORMAT)
    tar.add("stats-dump", found["stats-dump"])
    tar.add("dump.log", b"(00.000000) Version: 4.2.1 (gitid 0)\n")
    tar.add("checkpoint/", None)
    for name in sorted(name for name in found if name.startswith("checkpoint/")):
        tar.add(name, found[name])
    config = {**CONFIG, "rootfsImageRef": f"{IMAGE}@sha256:{ID}", "runtime": "runc"}
    tar.add("config.dump", json.dumps(config, indent=1).encode())
    tar.add("spec.dump", json.dumps(spec, indent=1).encode())
    binds = [{"source": MOUNTS[0]["source"], "destination": "/etc/hosts", "file_type": "file", "permissions": 420}]
    tar.add("bind.mounts", json.dumps(binds).encode())
    tar.add("rootfs-diff.tar", found["rootfs-diff.tar"])
    tar.add("io.kubernetes.cri-o.LogPath", b"2025-11-07T11:48:41.2+00:00 stdout F counter: 0\n")
    return tar.done()


def containerd_archive(spec: dict[str, Any]) -> bytes:
    """Returns what containerd writes: the files of a folder, sorted, each with a header in the format pax."""
    found, tar = _recorded(), _Tar(tarfile.PAX_FORMAT)
    config = {**CONFIG, "rootfsImageRef": f"sha256:{ID}", "runtime": "io.containerd.runc.v2"}
    status = {"Version": "v1", "Pid": 4711, "CreatedAt": 1762516121123456789, "StartedAt": 1762516121223456789}
    files = {
        **{name: data for name, data in found.items() if name.startswith("checkpoint/")},
        "config.dump": json.dumps(config).encode(),
        "container.log": b"2025-11-07T11:48:41.2Z stdout F counter: 0\n",
        "dump.log": b"(00.000000) Version: 4.2.1 (gitid 0)\n",
        "rootfs-diff.tar": found["rootfs-diff.tar"],
        "spec.dump": json.dumps(spec).encode(),
        "stats-dump": found["stats-dump"],
        "status": json.dumps({**status, "FinishedAt": 0, "ExitCode": 0, "Reason": "", "Message": ""}).encode(),
        "status.dump": json.dumps({"id": ID, "state": 1}).encode(),
    }
    tar.add("checkpoint/", None)
    for name in sorted(files):
        tar.add(name, files[name])
    return tar.done()


ARCHIVES = {"CRI-O": (crio_archive, crio_spec), "containerd": (containerd_archive, containerd_spec)}


def name_of(namespace: str = NAMESPACE, pod: str = POD, container: str = CONTAINER, made: str = MADE) -> str:
    """Returns the name that the kubelet gives to an archive (pkg/kubelet/kubelet.go, GetPodFullName)."""
    return f"checkpoint-{pod}_{namespace}-{container}-{made}.tar"
