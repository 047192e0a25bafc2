"""What the wheel and the sdist hold: everything that is needed, nothing else. Expectations come from the tree, not from a list."""

from __future__ import annotations

import tarfile
from configparser import ConfigParser
from email import message_from_bytes
from pathlib import Path

from .conftest import Built, read_wheel


def configuration(tree: Path) -> ConfigParser:
    parser = ConfigParser(delimiters=("=",))
    parser.read(tree / "setup.cfg")
    return parser


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_is_the_package_file_by_file_and_nothing_beside_it(contents: dict[str, bytes], tree: Path) -> None:
    ours = {name: data for name, data in files(tree).items() if name.startswith("authy_wsgi/")}
    assert {Path(name).suffix for name in ours} >= {".py", ".html", ".css", ".js", ".svg", ".typed"}
    packed = {name: data for name, data in contents.items() if ".dist-info/" not in name}
    assert sorted(packed) == sorted(ours)
    assert packed == ours


def test_the_wheel_says_who_it_is(contents: dict[str, bytes], tree: Path) -> None:
    said = configuration(tree)
    info = f"authy_wsgi-{said['metadata']['version']}.dist-info/"
    beside = {name.removeprefix(info) for name in contents if not name.startswith("authy_wsgi/")}
    assert beside == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
    assert contents[info + "licenses/LICENSE"] == (tree / "LICENSE").read_bytes()
    assert contents[info + "top_level.txt"].split() == [b"authy_wsgi"]
    metadata = message_from_bytes(contents[info + "METADATA"])
    assert metadata["Requires-Python"] == said["options"]["python_requires"]
    assert str(metadata.get_payload(decode=True), "utf-8").strip() == (tree / "README.md").read_text().strip()
    assert sorted(metadata.get_all("Provides-Extra", [])) == sorted(said["options.extras_require"])
    assert len([need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]) == len(lines(said["options"]["install_requires"]))


def test_the_wheel_has_every_entry_point(contents: dict[str, bytes], tree: Path) -> None:
    wanted = {group: lines(text) for group, text in configuration(tree)["options.entry_points"].items()}
    assert {"console_scripts", "paste.filter_app_factory", "paste.filter_factory"} <= set(wanted)
    (name,) = (name for name in contents if name.endswith(".dist-info/entry_points.txt"))
    found = ConfigParser(delimiters=("=",))
    found.read_string(contents[name].decode())
    assert {group: [f"{key} = {value}" for key, value in found[group].items()] for group in found.sections()} == wanted
    for target in (target.partition(" = ")[2] for group in wanted.values() for target in group):
        module = target.partition(":")[0].replace(".", "/")
        assert {f"{module}.py", f"{module}/__init__.py"} & set(contents), target


def test_the_sdist_is_the_tree_and_nothing_that_work_left_there(built: Built, tree: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        packed = {member.name.partition("/")[2]: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]
    added = {name for name in packed if name == "PKG-INFO" or name.startswith("authy_wsgi.egg-info/")}
    # Written anew: setuptools adds its own section.
    same = {name: data for name, data in packed.items() if name not in added | {"setup.cfg"}}
    wanted = {name: data for name, data in files(tree).items() if not name.startswith(".") and name != "setup.cfg"}
    assert sorted(same) == sorted(wanted)
    assert same == wanted
    assert {"PKG-INFO", "setup.cfg"} < set(packed)


def test_the_sdist_builds_the_same_wheel_again(built: Built, contents: dict[str, bytes]) -> None:
    again = read_wheel(built.again)
    assert sorted(again) == sorted(contents)
    assert again == contents
    assert built.again.name == built.wheel.name
