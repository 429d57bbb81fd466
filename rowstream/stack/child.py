"""The first program in every child: ties it to the supervisor's life, then becomes the part itself.

Run as a script, `python -I -S child.py DEATH_SIGNAL PARENT UID GID NICENESS COMMAND...`, so that it costs some 15 ms
and needs nothing of this package. Asking the kernel for a death signal has to happen in the child, after it changed its
user (which clears the request) and before the part's own program runs. Doing that in `preexec_fn` would run Python
between fork and exec of a process that has threads, which may deadlock; this program cannot.
"""

import ctypes
import os
import sys
import time

_PR_SET_PDEATHSIG = 1
_PARENT_IS_GONE = 125
_SHARE_OF_SESSION = "/proc/self/autogroup"
_TRIES, _BETWEEN_TRIES_SECONDS = 5, 0.06


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
    if niceness:
        _stand_back(niceness)
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


def _stand_back(niceness: int) -> None:
    """Be nice, also where the kernel shares processors out between sessions first: there niceness counts within one."""
    os.nice(niceness)
    for _ in range(_TRIES):
        try:
            os.write(os.open(_SHARE_OF_SESSION, os.O_WRONLY | os.O_CLOEXEC), b"%d" % niceness)
        except BlockingIOError:  # one change in 100 ms is allowed to all users together
            time.sleep(_BETWEEN_TRIES_SECONDS)
        except OSError:
            return  # this kernel does not, or /proc may not be written: it is a courtesy, not a need
        else:
            return


if __name__ == "__main__":
    become(sys.argv[6:], *map(int, sys.argv[1:6]))
