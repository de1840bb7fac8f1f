"""The program ``clipcore``, as ``python -m clipcore`` and as the command that the wheel installs."""

from __future__ import annotations

import signal
import sys

from clipcore import _clipcore, _tools


def main() -> int:
    """Runs the program with the process's arguments; its exit code."""
    _tools.prepare()
    # The program minds Ctrl-C itself where it has something to finish.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _clipcore.main(["clipcore", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
