"""The commands of the pages are ones that there are: targets of the Makefile, options of our command line, extras of setup.cfg, calls of the emulator."""

from __future__ import annotations

import argparse
import configparser
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from webtest import TestApp

from authy_wsgi.cli import _parser
from authy_wsgi.emulator import Emulator
from tests.docs.blocks import BLOCKS, ROOT, Block, inline_commands, words


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in arguments:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"the Makefile has no {target}"


def pip(arguments: list[str]) -> None:
    assert arguments.pop(0) == "install"
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for argument in arguments:
        if argument != ".":
            # "." is the checkout, and so is its path.
            wanted = Requirement(re.sub(r"\A(\.|/path/to/authy-wsgi)(?=\[)", "authy-wsgi", argument))
            assert wanted.name != "authy-wsgi" or wanted.extras <= set(setup["options.extras_require"]), argument


def authy_wsgi(arguments: list[str]) -> None:
    # It leaves, with 2, where an argument is not one.
    assert callable(_parser().parse_args(arguments).command)


def python(arguments: list[str]) -> None:
    if arguments[:2] == ["-m", "authy_wsgi"]:
        return authy_wsgi(arguments[2:])
    if arguments[0] == "manage.py":
        from django.core.management import get_commands

        assert arguments[1] in get_commands()
        return None
    assert (ROOT / arguments[0]).is_file(), arguments[0]
    return None


def flask(arguments: list[str]) -> None:
    from flask.cli import cli

    assert arguments[0] in cli.commands


def curl(arguments: list[str]) -> None:
    """The few options of curl that the pages have, against an emulator in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-d", action="append", default=[])
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("--data-binary", default="")
    saved = arguments.pop() if ">" in arguments else ""
    told = parser.parse_args([argument for argument in arguments if argument != ">"])
    url = urlsplit(told.url)
    app = TestApp(Emulator("a-key-of-yours"), extra_environ={"HTTP_HOST": url.netloc})
    headers = dict(line.split(": ") for line in told.H)
    if told.data_binary:
        answer = app.post(url.path, Path(told.data_binary.removeprefix("@")).read_bytes(), headers=headers)
    else:
        answer = app.post(url.path, "&".join(told.d)) if told.d else app.get(url.path)
    if saved:
        Path(saved).write_bytes(answer.body)


def export(arguments: list[str]) -> None:
    """Variables, each with a value that is written out or made by a command of ours."""
    for argument in re.findall(r"\S+=(?:\$\(.*?\)|\S+)", " ".join(arguments)):
        name, _, value = argument.partition("=")
        assert re.fullmatch(r"[A-Z_]+", name), argument
        if value.startswith("$("):
            program, *rest = words(value[2:-1])
            PROGRAMS[program](rest)


PROGRAMS: Mapping[str, Callable[[list[str]], None]] = {
    "authy-wsgi": authy_wsgi,
    "curl": curl,
    "export": export,
    "flask": flask,
    "make": make,
    "pip": pip,
    "python": python,
}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "commands"], ids=str)
def test_a_command_of_a_page_is_one_that_there_is(block: Block) -> None:
    for line in filter(None, block.text.splitlines()):
        program, *arguments = words(line)
        PROGRAMS[program](arguments)


def _known(parser: argparse.ArgumentParser) -> tuple[Mapping[str, argparse.ArgumentParser], set[str]]:
    """The subcommands and the options of a parser."""
    commands = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return (commands[0] if commands else {}), {option for action in parser._actions for option in action.option_strings}


@pytest.mark.parametrize(("page", "command"), inline_commands())
def test_a_command_in_a_sentence_is_one_that_there_is(page: str, command: str) -> None:
    program, *arguments = words(command)
    if program != "authy-wsgi":
        return PROGRAMS[program](arguments)
    parser = _parser()
    while arguments and (choices := _known(parser)[0]):
        # In a sentence what a command needs may be left out, and several may be named at once.
        names = arguments.pop(0).split("|")
        assert set(names) <= set(choices), f"{page}: {command}"
        parser = choices[names[0]]
    assert {word for word in arguments if word.startswith("--")} <= _known(parser)[1], f"{page}: {command}"
    return None


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("make coffee", AssertionError),
        ("pip install '.[coffee]'", AssertionError),
        ("authy-wsgi users brew --app mysite:application", SystemExit),
        ("authy-wsgi check", SystemExit),
        ("python benchmarks/coffee.py", AssertionError),
        ("python manage.py brew", AssertionError),
        ("flask brew", AssertionError),
    ],
)
def test_a_command_that_is_none_would_be_found(line: str, error: type[BaseException]) -> None:
    program, *arguments = words(line)
    with pytest.raises(error):
        PROGRAMS[program](arguments)
