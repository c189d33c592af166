"""Runs as a program of its own, just before a server: ties it to its parent, sheds root, becomes the server.

    python -I -S launch.py <self|namespace|nobody> <signal> <parent pid> <program> [arguments]

A small program, not a `preexec_fn`: that one is unsafe when the parent has threads. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import sys

NOBODY = 65534
"""The one account that is everywhere; initdb looks its user up, so a number without a name will not do."""

REFUSED = 120
"""Exit status: this system does not let us become somebody else this way."""

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CLONE_NEWUSER = 0x10000000
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def main(arguments: list[str]) -> None:
    how, signal, parent, *command = arguments
    try:
        {"self": _stay, "namespace": _enter_namespace, "nobody": _become_nobody}[how]()
    except OSError as error:
        print(f"cannot shed root by {how}: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(REFUSED)
    if sys.platform == "linux" and int(signal):
        # After the change of identity, which clears it. The parent may have died before: then nobody is told.
        _call("prctl", PR_SET_PDEATHSIG, int(signal), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit(REFUSED)
    os.execv(command[0], command)


def _stay() -> None:
    """Go on as who we are."""


def _enter_namespace() -> None:
    """Root outside, an ordinary user inside: no account is made and files stay their owner's."""
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", CLONE_NEWUSER)
    maps = {"setgroups": "deny", "uid_map": f"{NOBODY} {uid} 1", "gid_map": f"{NOBODY} {gid} 1"}
    for name, text in maps.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _become_nobody() -> None:
    """Where namespaces are forbidden, as in containers: an ordinary user who may still walk our folders."""
    _call("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    only = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)  # effective, permitted, inheritable; then the high bits
    _call("capset", header, sets)
    _call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def _call(name: str, *arguments: object) -> None:
    if sys.platform != "linux":
        raise OSError(f"no {name} here")
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
