"""Every command of the documents works in an empty environment, in the order of its page."""

from __future__ import annotations

import re

import pytest
from selection import only_in_full

from documents.blocks import DOCUMENTS, ROOT, Kind, blocks, fences
from documents.listing import listing
from documents.parsing import problems
from documents.session import Session, empty_environment, with_terraform

LANGUAGES = {"console", "hcl", "json", "mermaid", "text", "toml", "yaml"}

STARTS_IN_AN_EMPTY_FOLDER = {"docs/first-job.md", "docs/own-projects.md"}
"""Pages whose reader begins with a folder of their own; all others are read in the root of a checkout."""

WITHOUT_THE_COMMAND_LINE = {"README.md", "docs/install.md"}
"""Pages that are read before `iac-ci` is installed."""

MORE = {"docs/first-job.md", "docs/install.md", "docs/operations.md", "docs/performance.md", "docs/testing.md"} | {
    f"examples/{name}/README.md" for name in ("hello", "monorepo", "policies", "pull-request", "terraform")
}
"""Pages whose commands only `.ci/full` runs: most of the time of all pages, and alike to what other tests run."""

PAGES = [page for page in DOCUMENTS if any(block.commands for block in blocks(page))]


def name(page):
    return str(page.relative_to(ROOT))


def test_every_block_is_read():
    for page in DOCUMENTS:
        found = blocks(page)
        assert 2 * len(found) == fences(page), page
        for block in found:
            assert block.language in LANGUAGES, block.name
            assert (block.language == "console") == bool(block.commands), f"{block.name}: no command, or not console"
            assert block.kind is Kind.RUN or block.commands, f"{block.name}: the mark belongs to no command"
    commands = [command for page in PAGES for block in blocks(page) for command in block.commands]
    assert [line.split(": ", 2)[2] for line in listing()] == commands


@pytest.mark.parametrize(
    ("block", "command"),
    [
        pytest.param(block, command, id=f"{block.name}: {command}")
        for page in PAGES
        for block in blocks(page)
        if block.kind is Kind.ELSEWHERE
        for command in block.commands
    ],
)
def test_the_file_that_is_to_run_a_command_names_it(block, command):
    script = next((path for path in re.findall(r"[\w.-]+(?:/[\w.-]+)+", command) if (ROOT / path).is_file()), None)
    program = command.split()[0] if script is None else script.rsplit("/")[-1].removesuffix(".py")
    text = (ROOT / block.argument).read_text("utf-8")
    assert re.search(rf"(?<![\w-]){re.escape(program)}(?![\w-])", text), f"{block.argument} does not name {program}"


@pytest.mark.local_cloud
@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("page", only_in_full(PAGES, lambda page: name(page) in MORE), ids=name)
def test_the_commands_of_a_page_work(page, tmp_path):
    home, folder = tmp_path / "home", tmp_path / "folder"
    folder.mkdir()
    installed = name(page) not in WITHOUT_THE_COMMAND_LINE
    environment = empty_environment(home, with_iac_ci=installed)
    begin = folder if name(page) in STARTS_IN_AN_EMPTY_FOLDER else ROOT
    with Session(environment, begin) as session:
        for block in blocks(page):
            if block.file is not None:
                assert begin != ROOT, f"{block.name}: a reader would write into the checkout"
                session.write(block.file, block.text)
            if block.kind is Kind.APART:
                with Session(empty_environment(tmp_path / f"home-{block.line}", with_iac_ci=installed), begin) as apart:
                    for command in block.commands:
                        apart.run(command)
                continue
            for command in block.commands:
                if block.kind is Kind.RUN:
                    session.run(command)
                elif block.kind is Kind.BACKGROUND:
                    shown = "".join(line for line in block.text.splitlines(keepends=True) if not line.startswith("$ "))
                    session.start(command, shown)
                else:
                    assert not problems(command, with_terraform(session.environment)), command
                    assert block.kind is Kind.AWS or (ROOT / block.argument).is_file(), block.name


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("iac-ci submit . --wiat", "no option --wiat"),
        ("iac-ci sumbit .", "ended with"),
        ("iac-ci local run . --wait", "no option --wait"),
        ("pipelines/deploy --imgae x", "no option --imgae"),
        ("pipelines/nothing", "does not exist"),
        ("aws ssm put-parameter --name a --vlaue b", "no option --vlaue"),
        ("aws ssm put-parameter --name a", "needs --value"),
        ("aws ssm put-parameters --name a --value b", "no command put-parameters"),
        ("nothing --help", "is not installed"),
        ("git checkuot v1", "ended with"),
        ("uv run --no-sync python tests-e2e/nothing.py", "does not exist"),
    ],
)
def test_a_command_that_does_not_exist_is_found(command, problem, tmp_path):
    found = problems(command, empty_environment(tmp_path / "home", with_iac_ci=True))
    assert any(problem in one for one in found), found


def test_a_command_that_fails_is_found(tmp_path):
    with Session(empty_environment(tmp_path / "home", with_iac_ci=False), tmp_path) as session:
        session.run("mkdir inner && cd inner && export COLOUR=red")
        assert session.run('pwd; echo "$COLOUR"') == f"{tmp_path}/inner\nred\n"
        with pytest.raises(AssertionError, match="exit 3"):
            session.run("exit 3")
        with pytest.raises(AssertionError, match="iac-ci"):
            session.run("iac-ci --help")
