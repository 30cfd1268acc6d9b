"""The first moments of a child: drop root, tie its life to the parent's, become the command.

``children.spawn`` runs this file as a script: ``launch.py PARENT_PID DEATH_SIGNAL UID GID COMMAND...`` (UID -1: stay
who you are). A script, because a ``preexec_fn`` may deadlock in a process with threads, which a test session often is.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def launch(parent: int, death_signal: int, uid: int, gid: int, command: list[str]) -> None:
    """Become ``command``; on Linux the kernel sends it ``death_signal`` when the thread that spawned it ends.

    SIGINT and SIGQUIT are what they are by default: shells have what they start in the background ignore them.
    """
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After setuid, which clears it.
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        if os.getppid() != parent:
            # It died before prctl: nobody would ever stop us.
            os.kill(os.getpid(), signal.SIGKILL)
    os.execv(command[0], command)  # noqa: S606 - becoming the child, with no shell between, is its purpose


if __name__ == "__main__":
    try:
        launch(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
    except OSError as error:
        sys.exit(f"cannot start {sys.argv[5]}: {error}")
