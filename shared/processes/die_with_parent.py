"""Runs as a program of its own: ties itself to its parent's life, then becomes the command it was given.

`python die_with_parent.py PARENT_PID COMMAND…`. On Linux the kernel kills the process when the thread that started
it ends, so a `kill -9` of the parent leaves nobody behind. It is a program and not a `preexec_fn`, because
nothing but `exec` is safe between a fork and its exec in a process with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        os._exit(1)  # the parent died before the call above, so no signal would ever come
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores these, and an exec would pass that on
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is the point
