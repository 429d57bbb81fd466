"""The first program in every child: ties it to the supervisor's life, then becomes the part itself.

Run as a script, `python -I -S child.py DEATH_SIGNAL PARENT UID GID NICENESS COMMAND...`, so that it costs some 15 ms
and needs nothing of this package. Asking the kernel for a death signal has to happen in the child, after it changed its
user (which clears the request) and before the part's own program runs. Doing that in `preexec_fn` would run Python
between fork and exec of a process that has threads, which may deadlock; this program cannot.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PARENT_IS_GONE = 125


def become(command: list[str], death_signal: int, parent: int, uid: int, gid: int, niceness: int) -> None:
    """Replace this process by `command`, which gets `death_signal` when the process `parent` ends, however it ends.

    Args:
        command: program (found in PATH) and arguments.
        death_signal: the number of the signal.
        parent: the supervisor's process id; if it is gone already this process ends with code 125.
        uid: the user to run as; -1 keeps the present one.
        gid: the group that goes with it.
        niceness: how far the process stands back behind others that want the processor; 0 not at all.

    Raises:
        OSError: the program or the user cannot be had.
    """
    os.nice(niceness)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refused a death signal")
    if os.getppid() != parent:
        sys.exit(_PARENT_IS_GONE)
    os.execvp(command[0], command)  # noqa: S606 - becoming the part is this program's purpose


if __name__ == "__main__":
    become(sys.argv[6:], *map(int, sys.argv[1:6]))
