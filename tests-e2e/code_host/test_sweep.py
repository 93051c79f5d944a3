"""Every field that a host fills in later is absent, null, empty or old: what the engine does about it.

The tables are those of docs/providers.md. ``.ci/test -n 0 -s tests-e2e/code_host/test_sweep.py`` prints them.
"""

from __future__ import annotations

import copy
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from iac_ci_common.errors import IacCiError, NotFound
from iac_ci_local.fake_hosts.demo import SHAPES
from iac_ci_triggers.event import EventKind, HostEvent, Person
from iac_ci_triggers.ledger import Ledger
from iac_ci_triggers.repository_reader import RepositoryReader
from iac_ci_triggers.verification import Sender
from iac_ci_vcs.provider import GHOST, ChangedFiles, Permission

from .conftest import AUTHOR

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"
LONG_AGO = "2020-01-01T00:00:00.000000+00:00"
OLD = "old"
"""A value that is only known at run time: the head before, or the list without its last entry."""

PULL, FILES, COMMENT, RIGHT, BRANCH, OWN = "pull request", "changed files", "comment", "permission", "branch", "account"
PATHS = {
    "github": {
        PULL: r"/pulls/1$", FILES: r"/pulls/1/files$", COMMENT: r"/issues/comments/\d+$", RIGHT: r"/permission$",
        BRANCH: r"/git/ref/heads/main$", OWN: r"/user$",
    },
    "gitlab": {
        PULL: r"/merge_requests/1$", FILES: r"/diffs$", COMMENT: r"/notes/\d+$", RIGHT: r"/members/all/7$",
        BRANCH: r"/branches/main$", OWN: r"/user$",
    },
    "bitbucket": {
        PULL: r"/pullrequests/1$", FILES: r"/diffstat/.+", COMMENT: r"/comments/\d+$", RIGHT: r"/permissions/.+",
        BRANCH: r"/refs/branches/main$", OWN: r"/user$",
    },
}  # fmt: skip
"""The paths of what is read."""

FIELDS = {
    "github": [
        (PULL, "head.sha", OLD), (PULL, "head.repo", None), (PULL, "base.ref", "next"), (PULL, "user", None),
        (PULL, "labels", None), (PULL, "draft", None), (PULL, "updated_at", LONG_AGO), (FILES, "", OLD),
        (FILES, "changed_files", 3), (COMMENT, "user", None), (COMMENT, "body", None), (COMMENT, "updated_at", None),
        (RIGHT, "permission", None), (RIGHT, "user", None), (BRANCH, "ref", None), (BRANCH, "object.sha", None),
        (OWN, "id", None),
    ],
    "gitlab": [
        (PULL, "sha", OLD), (PULL, "diff_refs", None), (PULL, "source_project_id", None),
        (PULL, "target_branch", "next"), (PULL, "author", None), (PULL, "labels", None), (PULL, "draft", None),
        (PULL, "updated_at", LONG_AGO), (FILES, "", OLD), (FILES, "changes_count", "9"), (COMMENT, "author", None),
        (COMMENT, "body", None), (COMMENT, "updated_at", None), (RIGHT, "access_level", None), (RIGHT, "state", None),
        (BRANCH, "name", None), (BRANCH, "commit.id", None), (OWN, "id", None),
    ],
    "bitbucket": [
        (PULL, "source.commit", None), (PULL, "source.commit.hash", OLD), (PULL, "source.repository", None),
        (PULL, "destination.branch.name", "next"), (PULL, "author", None), (PULL, "draft", None),
        (PULL, "updated_on", LONG_AGO), (FILES, "values", OLD), (COMMENT, "user", None), (COMMENT, "content.raw", None),
        (COMMENT, "updated_on", None), (RIGHT, "values", None), (BRANCH, "name", None), (BRANCH, "target.hash", None),
        (OWN, "uuid", None),
    ],
}  # fmt: skip
"""The fields that are altered, with an old value; None where an old value is none of the field's."""

UNKNOWN = Ledger(key="a pull request that the engine has not seen", expires_at=datetime(2100, 1, 1, tzinfo=UTC))

WAYS = ("absent", "null", "empty", "old")


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


@pytest.fixture
def stage(host, project, opened, kind, waits):
    """A project whose pull request has been pushed to, and ways to read it."""
    project.repository.commit("next", {"other": b"1"}, "next", start="main")
    comment = project.write_comment(1, AUTHOR, "/iac-ci plan")
    before, after = project.push(1, {"main.tf": b"# newest\n"}, "newest")
    pull = project.pull_request(1)
    event = HostEvent(
        host=Sender(kind),
        kind=EventKind.PULL_REQUEST,
        repository=host.repository,
        actor=Person(id="7", login="author"),
        number=1,
        head=after,
        before=before,
        base_branch="main",
        updated_at=pull.changed_at,
        comment_id=str(comment.id),
        comment=comment.body,
    )
    return host, opened, event, before


def read(subject, code_host, event, author):
    """Read a subject as the engine does."""
    repository = RepositoryReader(code_host, None, None)
    if subject == PULL:
        return repository.pull_request(event, UNKNOWN)
    if subject == FILES:
        return code_host.changed_files(1)
    if subject == COMMENT:
        return repository.comment(event)
    if subject == RIGHT:
        return code_host.permission(author)
    return code_host.me() if subject == OWN else code_host.branch_head("main")


def altered(content, path, way, old):
    """Return an answer's content with one field altered."""
    content = copy.deepcopy(content)
    if not path:
        return {"null": None, "empty": [], "old": content[:-1], "absent": content}[way]
    *parents, name = path.split(".")
    inner = content
    for step in parents:
        inner = inner[step]
    value = inner[name]
    if way == "absent":
        del inner[name]
    elif way == "null":
        inner[name] = None
    elif way == "empty":
        inner[name] = type(value)() if value is not None else ""
    else:
        inner[name] = value[:-1] if isinstance(value, list) else old
    return content


def difference(value, right):
    """Return in words how a value differs from the right one."""
    if isinstance(value, ChangedFiles):
        return "unknown changes: every order runs" if not value.complete else "fewer changes"
    if isinstance(value, Permission):
        return f"permission {value.name.lower()}"
    if value is None:
        return "unknown"
    if isinstance(value, str) or not hasattr(value, "__dataclass_fields__"):
        return f"{value!r}"
    found = []
    for one in fields(value):
        mine, theirs = getattr(value, one.name), getattr(right, one.name)
        if mine != theirs:
            found.append(f"{one.name} {'ghost' if mine == GHOST else 'empty' if mine in ('', ()) else mine}")
    return ", ".join(found).replace("updated_at None", "no time of change")


def outcome(stage, subject, author, right, normal, path, times, change):
    """Return what the engine does about an answer that is altered so many times."""
    host, opened, event, _ = stage
    host.alterations.plan(path, change, times)
    count = len(host.recorded)
    try:
        value = read(subject, opened(), event, author)
    except NotFound:
        return "not found"
    except IacCiError as error:
        return "an error: unknown form" if "unknown form" in error.message else "an error"
    finally:
        host.alterations.clear()
    if value == right:
        return "asked again" if len(host.recorded) - count > normal else "no effect"
    return difference(value, right)


def table(stage, kind, account):
    """Return the rows of the page's table."""
    host, opened, event, before = stage
    rows = []
    author = account(AUTHOR)
    normal, right = {}, {}
    for subject in (PULL, FILES, COMMENT, RIGHT, BRANCH, OWN):
        count = len(host.recorded)
        right[subject] = read(subject, opened(), event, author)
        normal[subject] = len(host.recorded) - count
    for subject, field, old in FIELDS[kind]:
        path = PATHS[kind][PULL if field in {"changed_files", "changes_count"} else subject]
        cells = []
        for way in WAYS:
            if (way == "old" and old is None) or (way == "absent" and not field):
                cells.append("—")
                continue
            value = before[:12] if kind == "bitbucket" and old == OLD else before if old == OLD else old

            def change(content, field=field, way=way, value=value):
                return altered(content, field, way, value)

            once, always = (
                outcome(stage, subject, author, right[subject], normal[subject], path, times, change)
                for times in (1, 99)
            )
            cells.append(f"asked again; then {always}" if once == "asked again" and always != once else once)
        rows.append(f"| {subject} | {f'`{field}`' if field else 'the list'} | {' | '.join(cells)} |")
    return rows


def test_the_page_says_what_happens_to_each_field(stage, kind, account):
    rows = table(stage, kind, account)
    print("\n".join(rows))
    print(f"{kind}: {len(rows)} fields, {len(rows) * len(WAYS)} cells")
    part = PAGE.read_text("utf-8").partition(f"### Fields of {SHAPES[kind].name}\n")[2].partition("\n#")[0]
    assert [line for line in part.splitlines() if line.startswith("| ")][1:] == rows
