"""Programs of their own that start together."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack

_GATE = """
import sys
{imports}
print("ready", flush=True)
sys.stdin.readline()
{code}
"""


def race(imports: str, code: str, *arguments: Sequence[str]) -> list[str]:
    """What each of so many processes prints: all have done their imports before any of them goes on."""
    program = _GATE.format(imports=imports, code=code)
    with ExitStack() as stack:
        started = []
        for each in arguments:
            command = [sys.executable, "-W", "error", "-W", "ignore:'cgi' is deprecated:DeprecationWarning", "-c", program, *each]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            started.append(process)
        for process in started:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line == "ready\n", process.communicate(timeout=30)[1]
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        printed = []
        for process in started:
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            printed.append(out.strip())
        return printed
