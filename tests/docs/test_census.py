"""Every block of README.md and docs/ is somebody's: a test runs it, or a line here says why nothing has to."""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping

import pytest

from tests.docs.blocks import BLOCKS, ROOT, Block

BUILD = "tests/docs/test_build.py::test_the_pages_build_without_a_warning"
COMMANDS = "tests/docs/test_commands.py::test_a_command_of_a_page_is_one_that_there_is"
DRAWING = "a drawing: there is nothing to run"

TESTING = "tests/docs/test_testing.py::test_{}"
PLUGINS = "tests/docs/test_plugins.py::test_every_block_of_the_page_is_run_here"
README, FRAMEWORKS, OTHERS = "tests/test_docs.py::test_the_{}", "tests/integrations/test_docs.py::test_the_{}", "tests/docs/test_blocks.py::test_{}"

# (page, language, number) -> the test that runs it, or the reason why none does.
CLAIMS: Mapping[tuple[str, str, int], str] = {
    ("README.md", "python", 0): README.format("wrap_of_the_readme_runs_as_written"),
    ("README.md", "python", 1): README.format("step_up_of_the_readme_runs_as_written"),
    ("README.md", "pycon", 0): README.format("session_of_the_readme_says_what_it_prints"),
    ("README.md", "text", 0): DRAWING,
    ("docs/architecture.md", "indented", 0): OTHERS.format("the_one_idea_is_what_the_gate_has"),
    ("docs/architecture.md", "indented", 1): OTHERS.format("the_two_lines_of_the_middleware_are_its_own"),
    ("docs/backend.md", "python", 0): README.format("backend_page_runs_as_written"),
    ("docs/bottle.md", "python", 0): FRAMEWORKS.format("bottle_page"),
    ("docs/deployment.md", "python", 0): OTHERS.format("the_wrap_behind_a_proxy_sees_what_nginx_is_told_to_send"),
    ("docs/deployment.md", "python", 1): OTHERS.format("the_health_check_answers_in_front_of_the_gate"),
    ("docs/deployment.md", "python", 2): OTHERS.format("the_backup_holds_what_was_just_written"),
    # By nginx itself where there is one; a stand-in reads its `proxy_set_header` lines in any case.
    ("docs/deployment.md", "nginx", 0): OTHERS.format("nginx_itself_sends_what_the_stand_in_does"),
    ("docs/django.md", "python", 0): FRAMEWORKS.format("django_page"),
    ("docs/emulator.md", "python", 0): OTHERS.format("the_emulator_is_started_from_python"),
    ("docs/emulator.md", "python", 1): OTHERS.format("the_emulator_is_mounted_into_a_session"),
    ("docs/emulator.md", "python", 2): OTHERS.format("a_phone_is_in_the_hand"),
    ("docs/emulator.md", "python", 3): OTHERS.format("callbacks_reach_an_application_in_the_same_process"),
    ("docs/emulator.md", "python", 4): OTHERS.format("the_state_is_saved_loaded_and_sent_by_curl"),
    ("docs/emulator.md", "python", 5): OTHERS.format("a_fault_is_set_from_outside_and_from_python"),
    ("docs/emulator.md", "json", 0): OTHERS.format("a_phone_for_programs_has_the_members_that_the_page_shows"),
    ("docs/events.md", "json", 0): OTHERS.format("an_event_in_the_log_has_the_members_that_the_page_shows"),
    ("docs/events.md", "python", 0): README.format("handler_of_the_events_page_shows_one_line_of_json_each"),
    ("docs/events.md", "python", 1): README.format("notices_of_the_events_page_are_not_as_many_as_a_stranger_likes"),
    ("docs/faq.md", "json", 0): OTHERS.format("fetch_gets_what_the_questions_say"),
    ("docs/faq.md", "js", 0): OTHERS.format("the_script_of_the_questions_goes_to_our_pages"),
    ("docs/faq.md", "python", 0): OTHERS.format("a_key_lets_a_program_through_and_no_header_does"),
    ("docs/faq.md", "python", 1): OTHERS.format("staff_is_asked_first"),
    ("docs/faq.md", "python", 2): OTHERS.format("everybody_is_asked_from_the_day_on"),
    ("docs/flask.md", "python", 1): FRAMEWORKS.format("flask_page_without_flask_login"),
    ("docs/foreign-apps.md", "python", 0): "tests/apps/test_httpbin.py::test_its_own_tests_end_through_the_gate_as_they_do_without",
    ("docs/foreign-apps.md", "python", 1): "tests/apps/test_pypiserver.py::test_twine_uploads_and_pip_installs_where_the_rule_says_so",
    ("docs/foreign-apps.md", "python", 2): "tests/apps/test_trac.py::test_after_the_login_comes_the_wall_then_the_phone_then_trac",
    ("docs/flask.md", "python", 0): FRAMEWORKS.format("flask_page"),
    ("docs/index.md", "python", 0): OTHERS.format("the_wrap_of_the_first_page_runs_as_written"),
    ("docs/paste.md", "ini", 0): FRAMEWORKS.format("inis"),
    **{("docs/plugins.md", "python", number): PLUGINS for number in range(8)},
    ("docs/pyramid.md", "ini", 0): FRAMEWORKS.format("inis"),
    ("docs/pyramid.md", "python", 0): OTHERS.format("the_include_of_the_pyramid_page_works_with_its_ini"),
    ("docs/step-up.md", "python", 0): README.format("policy_of_the_step_up_page_asks_as_it_says"),
    ("docs/step-up.md", "python", 1): OTHERS.format("a_view_that_hands_over_its_form_has_it_kept"),
    **{("docs/testing.md", "python", number): TESTING.format("a_plain_site") for number in (0, 1, 2, 3, 4, 5, 6, 10)},
    **{("docs/testing.md", "python", number): TESTING.format("a_flask_app") for number in (7, 8)},
    ("docs/testing.md", "python", 9): TESTING.format("a_django_project"),
}


def claim(block: Block) -> str:
    """What accounts for a block; "" where nothing does."""
    if block.language == "commands":
        return COMMANDS
    return BUILD if block.language.startswith("{") else CLAIMS.get(block[:3], "")


@functools.cache
def names_of(path: str) -> frozenset[str]:
    return frozenset(node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_is_accounted_for(block: Block) -> None:
    claimed = claim(block)
    assert claimed, (
        f"{block} begins with {block.text.splitlines()[0]!r} and no test runs it: "
        "write one (tests/docs/test_blocks.py), and name it in CLAIMS of tests/docs/test_census.py."
    )
    path, colons, name = claimed.partition("::")
    assert claimed == DRAWING or (colons and name in names_of(path)), f"{block} is claimed by {claimed}, which is not there: name the test that runs it now."


def test_every_claim_has_a_block() -> None:
    left = set(CLAIMS) - {block[:3] for block in BLOCKS}
    assert not left, f"These blocks are gone: take them out of CLAIMS: {sorted(left)}"
