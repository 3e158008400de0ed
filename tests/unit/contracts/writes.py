# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds every place in a file that changes the host: files, processes, programs that are run."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

from ansible_collections.criu.hosts.tests.unit.contracts.source_tree import SourceTree

# What these modules hold changes the host, or runs something that may; but for what only reads.
WHOLE = {
    "shutil": {"which", "disk_usage", "get_terminal_size", "Error", "SameFileError"},
    "subprocess": {"PIPE", "DEVNULL", "STDOUT", "CalledProcessError", "TimeoutExpired", "SubprocessError"},
    "tempfile": {"gettempdir"},
    "multiprocessing": set(),
}
NAMES = {
    "os": set(
        "abort chdir chflags chmod chown chroot execl execle execlp execlpe execv execve execvp execvpe "
        "fchdir fchmod fchown fork forkpty ftruncate kill killpg lchflags lchmod lchown link makedirs "
        "memfd_create mkdir mkfifo mknod nice popen posix_fallocate posix_spawn posix_spawnp pwrite pwritev "
        "remove removedirs removexattr rename renames replace rmdir sched_setaffinity sched_setscheduler "
        "sendfile setegid seteuid setgid setgroups setns setpgid setpriority setregid setresgid setresuid "
        "setreuid setsid setuid setxattr spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe "
        "startfile symlink sync system truncate umask unlink unshare utime write writev O_WRONLY O_RDWR "
        "O_CREAT O_TRUNC O_APPEND O_TMPFILE O_EXCL".split()
    ),
    "signal": {"pthread_kill", "pidfd_send_signal", "raise_signal", "setitimer", "alarm"},
    "pty": {"spawn", "fork"},
}
# Methods of pathlib.Path that no other object has here.
METHODS = set(
    "write_text write_bytes unlink mkdir rmdir rename touch chmod lchmod symlink_to hardlink_to link_to".split()
)
READ_FLAGS = {"O_RDONLY", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_PATH", "O_NOCTTY", "O_NOATIME"}
# What is reported for a program in a string.
PROGRAM = "python-in-a-string"
# Their second argument is a mode.
OPENERS = {"open", "io.open", "os.fdopen", "gzip.open", "bz2.open", "lzma.open", "tarfile.open", "zipfile.ZipFile"}


class _Names:
    """The full names of what a file imports."""

    def __init__(self, tree: SourceTree, path: Path) -> None:
        self.bound: dict[str, str] = {}
        for one in tree.imports(path):
            if one.path is None:
                first = one.module.partition(".")[0]
                whole = first if one.bound == first else one.module
                self.bound[one.bound] = whole if one.whole else f"{one.module}.{one.name}"

    def full(self, node: ast.AST) -> str:
        """``os.path.join`` for such an expression; empty for what is no name of an imported module."""
        if isinstance(node, ast.Name):
            return self.bound.get(node.id, "")
        if isinstance(node, ast.Attribute):
            base = self.full(node.value)
            return f"{base}.{node.attr}" if base else ""
        return ""


def _changes(full: str) -> bool:
    module, dummy, name = full.rpartition(".")
    first = full.partition(".")[0]
    if first in WHOLE:
        return "." in full and full[len(first) + 1 :] not in WHOLE[first]
    return name in NAMES.get(module, ())


def _mode(call: ast.Call, position: int) -> ast.AST | None:
    named = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    return named[0] if named else call.args[position] if len(call.args) > position else None


def _writes(mode: ast.AST | None) -> bool:
    """Whether a mode is one for writing; one that cannot be read here is."""
    if mode is None:
        return False
    text = mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else "w"
    return bool(set(text) & set("wax+"))


def _only_reads(flags: list[ast.expr]) -> bool:
    leaves = [leaf for flag in flags for leaf in ast.walk(flag)]
    plain = (ast.Attribute, ast.Name, ast.BinOp, ast.BitOr, ast.Load)
    names = [leaf.attr for leaf in leaves if isinstance(leaf, ast.Attribute)]
    bases = [leaf.id for leaf in leaves if isinstance(leaf, ast.Name)]
    return (
        bool(names)
        and all(isinstance(leaf, plain) for leaf in leaves)
        and set(names) <= READ_FLAGS
        and set(bases) == {"os"}
    )


def _of_call(call: ast.Call, names: _Names) -> str:
    full = names.full(call.func) or (call.func.id if isinstance(call.func, ast.Name) else "")
    if full == "os.open":
        flags = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "flags")]
        return "" if _only_reads(flags) else "os.open"
    if full in OPENERS:
        return full if _writes(_mode(call, 1)) else ""
    if full == "getattr":
        module = names.full(call.args[0]) if call.args else ""
        return f"getattr({module})" if module in (*WHOLE, *NAMES) else ""
    if isinstance(call.func, ast.Attribute) and not full:
        # Path("x").open("w"), Path("x").replace(target); str.replace has two arguments.
        if call.func.attr == "open" and _writes(_mode(call, 0)):
            return ".open"
        if call.func.attr == "replace" and len(call.args) == 1 and not call.keywords:
            return ".replace"
    return ""


def _is_program(text: str) -> bool:
    """Whether a string is a Python program: what it does would go unseen."""
    if "import " not in text:
        return False
    try:
        parsed = ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(parsed))


def writes(tree: SourceTree, path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of everything in a file that changes the host, called or handed on."""
    names = _Names(tree, path)
    for one in tree.imports(path):
        if one.name == "*" and one.module in (*WHOLE, *NAMES, "pathlib"):
            yield one.line, f"{one.module}.*"
    inner = set()
    for node in ast.walk(tree.parse(path)):
        if isinstance(node, ast.Call) and (found := _of_call(node, names)):
            yield node.lineno, found
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_program(node.value):
            yield node.lineno, PROGRAM
        if not isinstance(node, (ast.Name, ast.Attribute)):
            continue
        full = names.full(node)
        if _changes(full) and node not in inner:
            yield node.lineno, full
            inner |= set(ast.walk(node))
        elif isinstance(node, ast.Attribute) and not full and node.attr in METHODS:
            yield node.lineno, f".{node.attr}"
