"""The command line in a process of its own that has already imported what it needs: what a person runs, without half a second for each start."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from pathlib import Path

from authy_wsgi.cli import main

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


def _run(folder: Path, arguments: tuple[str, ...], said: Path) -> None:
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    warnings.simplefilter("ignore")
    paper = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(paper, number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    sys.exit(main(arguments))


def command_line(folder: Path, *arguments: str, seconds: int = 60) -> tuple[int | None, str]:
    """Run `authy-wsgi` in a folder: its exit status, None where it did not end in time, and what it printed."""
    said = folder / ".said"
    process = _PROCESSES.Process(target=_run, args=(folder, arguments, said))
    process.start()
    process.join(seconds)
    status = process.exitcode
    process.kill()
    process.join()
    process.close()
    text = said.read_text()
    said.unlink()
    return status, text
