"""Which requirements are met by what is known of a pull request: each refusal has its own words and the way on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from iac_ci_common.errors import ConfigurationProblems
from iac_ci_common.models.rows import RequirementTick
from iac_ci_triggers.apply_requirements import MOST_TICKS, shown_ticks
from iac_ci_triggers.code_owners import Owned, Unreadable, read_code_owners
from iac_ci_triggers.configuration import read_configuration
from iac_ci_triggers.required import ProjectRequirements, Requirements
from iac_ci_triggers.requirements import Approver, BaseChanges, Known, Standing, judge, unmet
from iac_ci_vcs.provider import Account, PullRequest
from iac_ci_vcs.reviews import Checks, CheckState, Mergeability, Mergeable

SEEN = datetime(2026, 11, 1, 12, tzinfo=UTC)
LATER = SEEN + timedelta(seconds=1)
HEAD = "a" * 40
ANN, BEN = Account("21", "ann"), Account("22", "ben")
UUID = Account("{00000000-0000-4000-8000-00000000021a}", "ann")
PULL = PullRequest(
    7, "t", Account("7", "author"), True, HEAD, "release/1", "acme/infra", "b" * 40, "main", False, "https://x/7"
)
OWNERS = read_code_owners(
    b"* @ann\n/live/ @acme/platform\n/mail/ a@example.com\n/top/ @Platform\n/role/ @@maintainers\n"
)
BASE = BaseChanges((), "comment /iac-ci plan")


def known(**fields):
    return Known(PULL, SEEN, **fields)


def approved(*approvers, **fields):
    return known(approvers=approvers, **fields)


def by(account=ANN, at=LATER, **fields):
    return Approver(account, at, **fields)


def pull(**fields):
    return replace(known(), pull=replace(PULL, **fields))


def checked(state=None, unknown=None):
    return known(checks=Checks({} if state is None else {"build": state}, unknown))


N, U = Standing.NOT_MET, Standing.UNKNOWN
ONE = {"approved": 1}
TEAM = {"approved": {"teams": ["acme/platform"]}}
OWNED = {"approved": {"code_owners": True}}
REFUSED = [
    (ONE, approved(), N, "0 of 1 approvals count; ask a person who may write"),
    ({"approved": 2}, approved(by()), N, "1 of 2 approvals count"),
    (ONE, approved(by(is_author=True)), N, "ann is the author"),
    (ONE, approved(by(has_contributed=True)), N, "ann has committed or pushed to it"),
    (ONE, approved(by(at=None)), N, "does not tell when ann approved"),
    (ONE, approved(by(at=SEEN)), N, "ann approved before the engine had seen commit aaaaaaaaaaaa"),
    (ONE, approved(by(commit="b" * 40)), N, "ann approved commit bbbbbbbbbbbb, an older one"),
    (ONE, approved(by(commit="")), N, "ann approved a commit that is gone"),
    (ONE, approved(by(may_write=False)), N, "ann may not write to the repository"),
    (ONE, approved(by(may_write=None)), U, "does not tell whether ann may write"),
    (ONE, approved(by(), approvals_unknown="too many commits"), U, "cannot be judged: too many commits"),
    ({"approved": {"people": ["ben"]}}, approved(by()), N, "ann is not one of ben"),
    (TEAM, approved(by(teams={"acme/platform": False})), N, "ann is not one of a member of acme/platform"),
    (TEAM, approved(by(teams={"acme/platform": None})), U, "does not tell whether ann is in acme/platform"),
    (OWNED, approved(by()), U, "the base branch has no file CODEOWNERS"),
    (OWNED, approved(by(), owners_unknown="line 3 is wrong"), U, "are not known: line 3 is wrong"),
    (OWNED, approved(by(), owners=OWNERS), U, "does not list all changed files"),
    (OWNED, approved(by(BEN), owners=OWNERS, changed=("a", "b")), N, "a and 1 more files need an approval by @ann"),
    (OWNED, approved(by(BEN), owners=OWNERS, changed=("live/x",)), U, "live/x need an approval by @acme/platform"),
    (OWNED, approved(by(), owners=OWNERS, changed=("mail/x",)), N, "mail/x need an approval by a@example.com"),
    (OWNED, approved(by(), owners=OWNERS, changed=("top/x",)), N, "top/x need an approval by @Platform"),
    (OWNED, approved(by(teams={"platform": None}), owners=OWNERS, changed=("top/y",)), U, "top/y need an approval by"),
    (OWNED, approved(by(teams={"@maintainers": False}), owners=OWNERS, changed=("role/x",)), N, "by @@maintainers"),
    ({"not_draft": True}, pull(is_draft=True), N, "mark it ready for review"),
    ({"from": ["release/*"]}, pull(head_branch="feature"), N, "its branch feature does not match"),
    ({"from": ["release/*"]}, pull(is_fork=True), N, "in a fork, where everybody chooses names"),
    ({"mergeable": True}, known(mergeability=Mergeability(Mergeable.PENDING)), U, "has not computed it yet"),
    ({"mergeable": True}, known(mergeability=Mergeability(Mergeable.NO, "it conflicts")), N, "merge it: it conflicts"),
    ({"mergeable": True}, known(mergeability=Mergeability(Mergeable.UNKNOWN, "x")), U, "whether it would merge: x"),
    ({"checks": ["build"]}, checked(), U, "was never reported"),
    ({"checks": ["build"]}, checked(CheckState.FAILED), N, "has failed on commit aaaaaaaaaaaa"),
    ({"checks": ["build"]}, checked(CheckState.PENDING), U, "has not ended"),
    ({"checks": ["build"]}, checked(CheckState.PASSED, "more checks"), U, "more checks; comment"),
    ({"checks": ["build"]}, known(), U, "it was not asked for"),
]
DIVERGED = [
    (BaseChanges(("live/a.tf",), "plan again"), N, "main has changed a file since that the plan reads: live/a.tf"),
    (BaseChanges(tuple("abcde"), "plan again"), N, "5 files since that the plan reads: a, b, c and 2 more; plan again"),
    (BaseChanges(None, "plan again", "no ancestor"), U, "what main has changed is not known: no ancestor; plan again"),
    (None, U, "it was not asked for"),
]


def verdicts(required, facts, base=BASE, **named):
    return judge(Requirements.model_validate(required), facts, base, **named)


@pytest.mark.parametrize(("required", "facts", "standing", "words"), REFUSED)
def test_what_is_not_met_or_not_known_is_refused_in_its_own_words(required, facts, standing, words):
    (refused,) = unmet(verdicts(required, facts))[-1:]
    assert (refused.standing, words in refused.text) == (standing, True), refused.text
    assert refused.text.startswith(f"{refused.name}: ")
    assert "; " in refused.text, "the way on is missing"


@pytest.mark.parametrize(("base", "standing", "words"), DIVERGED)
def test_a_base_that_changed_what_the_plan_reads_is_refused(base, standing, words):
    (refused,) = verdicts({"undiverged": True}, known(), base)
    assert (refused.standing, words in refused.text) == (standing, True), refused.text


def test_the_words_of_all_refusals_differ():
    texts = [unmet(verdicts(required, facts))[-1].text for required, facts, _, _ in REFUSED]
    texts += [verdicts({"undiverged": True}, known(), base)[0].text for base, _, _ in DIVERGED]
    assert len(set(texts)) == len(REFUSED) + len(DIVERGED)


@pytest.mark.parametrize(
    ("required", "facts"),
    [
        (ONE, approved(by())),
        (ONE, approved(by(commit=HEAD))),
        ({"approved": 2}, approved(by(is_author=True), by(BEN), by())),
        ({"approved": {"people": ["ANN"]}}, approved(by())),
        ({"approved": {"people": [UUID.id]}}, approved(by(UUID))),
        (TEAM, approved(by(teams={"acme/platform": True}))),
        ({"approved": {"people": ["ben"], "teams": ["acme/platform"]}}, approved(by(teams={"acme/platform": True}))),
        (OWNED, approved(by(), owners=OWNERS, changed=("a", "b"))),
        (OWNED, approved(by(BEN, teams={"acme/platform": True}), owners=OWNERS, changed=("live/x",))),
        (OWNED, approved(by(BEN, teams={"platform": True}), owners=OWNERS, changed=("top/x",))),
        (OWNED, approved(by(BEN, teams={"@maintainers": True}), owners=OWNERS, changed=("role/x",))),
        ({"not_draft": True, "from": ["release/*"]}, known()),
        ({"mergeable": True}, known(mergeability=Mergeability(Mergeable.YES))),
        ({"checks": ["Build"]}, checked(CheckState.PASSED)),
        ({"undiverged": True}, known()),
        ({}, known()),
    ],
)
def test_what_is_met(required, facts):
    found = verdicts(required, facts)
    assert unmet(found) == ()
    assert {verdict.standing for verdict in found} <= {Standing.MET}


def test_a_name_on_bitbucket_stands_for_nobody():
    (refused,) = unmet(verdicts({"approved": {"people": ["ann"]}}, approved(by(UUID))))
    assert "is not one of ann" in refused.text


def test_every_unmet_requirement_is_named_at_once():
    everything = {"approved": 1, "mergeable": True, "undiverged": True, "checks": ["build", "scan"], "not_draft": True,
                  "from": ["main"]}  # fmt: skip
    found = unmet(verdicts(everything, pull(is_draft=True), BaseChanges(None, "plan again")))
    assert [one.name for one in found] == [
        "approved", "not_draft", "from", "mergeable", "undiverged", "check build", "check scan",
    ]  # fmt: skip


def test_after_a_merge_people_are_asked_again_and_the_merge_is_not():
    everything = {"approved": {"code_owners": True}, "mergeable": True, "undiverged": True, "checks": ["build"],
                  "not_draft": True, "from": ["main"]}  # fmt: skip
    found = verdicts(Requirements.model_validate(everything).after_merge.model_dump(), known())
    assert [one.name for one in found] == ["approved", "code owners", "from"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"approved": 0}, "approved"),
        ({"approved": True}, "approved"),
        ({"approved": {"people": ["@ann"]}}, "people"),
        ({"mergeable": "yes"}, "mergeable"),
        ({"checks": ["iac-ci/apply"]}, "checks"),
        ({"checks": [""]}, "checks"),
        ({"from": ["!main"]}, "from"),
        ({"undiverged": ["/x"]}, "undiverged"),
        ({"from_": ["main"]}, "from_"),
        ({"approved": {"teams": ["acme/.."]}}, "teams"),
        ({"approved": {"teams": ["./platform"]}}, "teams"),
    ],
)
def test_what_is_not_a_requirement_is_refused(wrong, field):
    with pytest.raises(ValidationError, match=field):
        Requirements.model_validate(wrong)


APPLY = "version: 1\njobs: {apply: {on: {command: apply}, orders: [{name: a, cmds: [x], require: REQUIRE}]}}\n"
PROJECT = "version: 1\nprojects: [{find: '**/main.tf', apply: {require: REQUIRE}}]\n"
MERGED = "version: 1\njobs: {apply: {on: {command: apply}, orders: [{name: a, cmds: [x], after_merge: REQUIRE}]}}\n"
KINDS = "must be true, false or a list of patterns of files"
ANYBODY = "is empty, so that the approval of any writer counts; name people or teams, or leave it out"
NEVER = "can never be met: {} approvals, and `people` names {}; name more, or a team"


@pytest.mark.parametrize(
    ("text", "required", "path", "problem"),
    [
        (APPLY, "{undiverged: []}", "undiverged", "is empty"),
        (APPLY, "{undiverged: 3}", "undiverged", KINDS),
        (APPLY, "{undiverged: [7]}", "undiverged[0]", "must be text"),
        (PROJECT, "{undiverged: {a: b}}", "undiverged", KINDS),
        (MERGED, "'yes'", "after_merge", KINDS),
        (MERGED, "['!x']", "after_merge", "has exclusions only and matches nothing; add '**' before them"),
        (APPLY, "{approved: {people: []}}", "approved.people", ANYBODY),
        (PROJECT, "{approved: {teams: [], count: 2}}", "approved.teams", ANYBODY),
        (APPLY, "{approved: {people: [mona], count: 2}}", "approved", NEVER.format(2, "1 person")),
        (APPLY, "{approved: {people: [mona, Mona, bea], count: 3}}", "approved", NEVER.format(3, "2 people")),
        (PROJECT, "{approved: {people: [mona], count: 2}}", "approved", NEVER.format(2, "1 person")),
    ],
)
def test_what_is_wrong_in_a_file_is_said_once_and_in_its_own_words(text, required, path, problem):
    with pytest.raises(ConfigurationProblems) as refused:
        read_configuration(text.replace("REQUIRE", required).encode())
    (found,) = refused.value.problems
    assert (found.where.endswith(f".{path}"), found.what) == (True, problem)


@pytest.mark.parametrize(
    ("trigger", "named"),
    [
        ("schedule: {cron: '0 6 * * *'}", "schedule"),
        ("push: {branches: [main]}", "push"),
        ("pull_request:", "pull_request"),
        ("push:, schedule: {cron: '0 6 * * *'}", "push and schedule"),
    ],
)
def test_requirements_are_for_jobs_that_only_a_command_starts(trigger, named):
    text = APPLY.replace("{command: apply}", f"{{command: apply, {trigger}}}")
    job_wide = text.replace("orders:", "require: {approved: 1}, orders:").replace(", require: REQUIRE", "")
    for content in (text.replace("REQUIRE", "{approved: 1}"), job_wide):
        with pytest.raises(ConfigurationProblems) as refused:
            read_configuration(content.encode())
        problem = f"is for a job that only a command starts; remove {named}, or move it to such a job"
        assert [found.what for found in refused.value.problems] == [problem]
    assert read_configuration(text.replace("REQUIRE", "{}").encode())


@pytest.mark.parametrize(
    "required", ["{people: [mona, bea], count: 2}", "{people: [mona], teams: [acme/platform], count: 2}", "{count: 3}",
                 "{people: [], teams: [acme/platform]}", "{}"]
)  # fmt: skip
def test_what_can_be_met_is_read(required):
    assert read_configuration(APPLY.replace("REQUIRE", f"{{approved: {required}}}").encode())


def test_the_requirements_of_a_project_hold_unless_they_are_set_to_false():
    usual = ProjectRequirements.model_validate({"approved": 1}).of_order(["live/**"])
    assert (usual.mergeable, usual.undiverged, usual.approved.count) == (True, ["live/**"], 1)
    off = ProjectRequirements.model_validate({"mergeable": False, "undiverged": False}).of_order(["live/**"])
    assert off.is_empty
    assert usual.model_dump(mode="json", exclude_defaults=True) == {
        "approved": {}, "mergeable": True, "undiverged": ["live/**"],
    }  # fmt: skip


GITHUB = b"""
* @all            # everybody
/docs/ @docs
*.tf @tf @org/t
live/prod @prod
apps/* @apps
free/
a\\ b @space
"""
GITLAB = (
    GITHUB
    + b"""
\\#x @hash
/exact @exact
/near/** @near
/far/**/* @far
[Base][2] @x @y
live/
^[Optional]
* @nobody
[base]
own.txt @own
"""
)


@pytest.mark.parametrize(
    ("path", "github", "gitlab"),
    [
        ("README", [("@all",)], [("@all",)]),
        ("docs/a/b", [("@docs",)], [("@docs",)]),
        ("x/docs/a", [("@all",)], [("@all",)]),
        ("x/y.tf", [("@tf", "@org/t")], [("@tf", "@org/t")]),
        ("y.tf", [("@tf", "@org/t")], [("@tf", "@org/t")]),
        ("y.tf/z", [("@tf", "@org/t")], [("@all",)]),
        ("live/prod/x", [("@prod",)], [("@all",), ("@x", "@y")]),
        ("live/prod", [("@prod",)], [("@prod",), ("@x", "@y")]),
        ("x/live/prod", [("@all",)], [("@prod",), ("@x", "@y")]),
        ("apps/a", [("@apps",)], [("@apps",)]),
        ("apps/a/b", [("@all",)], [("@all",)]),
        ("x/apps/a", [("@all",)], [("@apps",)]),
        ("free/a", [], []),
        ("x/free/a", [], []),
        ("a b", [("@space",)], [("@space",)]),
        ("x/a b", [("@space",)], [("@space",)]),
        ("#x", [("@all",)], [("@hash",)]),
        ("exact", [("@all",)], [("@exact",)]),
        ("exact/x", [("@all",)], [("@all",)]),
        ("near/x", [("@all",)], [("@near",)]),
        ("near/x/y", [("@all",)], [("@all",)]),
        ("far/x", [("@all",)], [("@far",)]),
        ("far/x/y", [("@all",)], [("@far",)]),
        ("own.txt", [("@all",)], [("@all",), ("@own",)]),
    ],
)
def test_code_owners_of_a_path_as_each_host_reads_the_file(path, github, gitlab):
    assert [owned.owners for owned in read_code_owners(GITHUB).of(path)] == github
    assert [owned.owners for owned in read_code_owners(GITLAB, as_gitlab=True).of(path)] == gitlab


def test_a_section_may_ask_for_several():
    assert read_code_owners(b"[S][2] @x\n*\n", as_gitlab=True).of("a") == (Owned(("@x",), 2),)


@pytest.mark.parametrize(
    ("text", "owned"),
    [
        ("[Infra] @a @b\n*.tf\n[Docs] @d\n*.md\n^[Infra]\n*.md @c\n", (Owned(("@a", "@b"), 1),)),
        ("^[Infra]\n*.md @c\n[Infra] @a\n*.tf\n", (Owned(("@a",), 1),)),
        ("[Infra][2] @a @b\n*.tf\n[Infra] @c\n*.yml\n", (Owned(("@a", "@b"), 2),)),
        ("^[Infra] @a\n*.tf\n^[infra]\n*.md @c\n", ()),
        ("[Infra][0] @a\n*.tf\n", (Owned(("@a",), 1),)),
        ("* @a\n[CodeOwners]\n*.tf @b\n", (Owned(("@b",), 1),)),
        ("* @a\n[Infra]\n[Docs]\n[Docs]\n*.tf @d\n[Infra]\n", (Owned(("@a",), 1), Owned(("@d",), 1))),
    ],
)
def test_sections_of_one_name_keep_what_the_head_of_each_asks_for(text, owned):
    assert read_code_owners(text.encode(), as_gitlab=True).of("x.tf") == owned


@pytest.mark.parametrize(
    ("text", "github", "gitlab"),
    [
        ("* @a\n*.tf @b\n* @c\n", "@c", "@b"),
        ("* @a\n*.md @b\n* @c\n", "@c", "@c"),
        ("* @a\n*.tf @b\n/**/* @c\n", "@c", "@b"),
        ("live/ @a\n*.tf @b\n/**/live/ @c\n", "@c", "@b"),
        ("live/ @a\n*.tf @b\n/live/ @c\n", "@c", "@c"),
    ],
)
def test_a_pattern_that_stands_twice_keeps_its_first_place_on_gitlab(text, github, gitlab):
    for as_gitlab, owner in ((False, github), (True, gitlab)):
        found = read_code_owners(text.encode(), as_gitlab=as_gitlab).of("live/x.tf")
        assert found == (Owned((owner,)),)


@pytest.mark.parametrize("as_gitlab", [True, False])
@pytest.mark.parametrize("line", [b"!a @x", b"a[0-9] @x", b"a** @x", b"a? @x"])
def test_an_unclear_line_makes_the_file_unreadable(line, as_gitlab):
    with pytest.raises(Unreadable, match="line 2"):
        read_code_owners(b"* @all\n" + line, as_gitlab=as_gitlab)


@pytest.mark.parametrize("as_gitlab", [True, False])
@pytest.mark.parametrize(
    ("text", "owners"),
    [
        ("\ufeff* @all\n", ("@all",)),
        ("* @all\r\n# another\r\n", ("@all",)),
        # What looks like one line of comment, or like a rule, is no other line and no other rule.
        ("* @all\n# text\u2028* @mallory\n", ("@all",)),
        ("* @all\n# text\x85* @mallory\n", ("@all",)),
        ("* @all\n# text\x0b* @mallory\x1c* @mallory\n", ("@all",)),
        ("* @all\ndocs\u00a0@mallory\ndocs/a\u3000@mallory\n", ("@all",)),
        ("* @all\n# \u00e9quipe\n", ("@all",)),
    ],
)
def test_signs_that_nobody_sees_take_no_owner_away(text, owners, as_gitlab):
    found = read_code_owners(text.encode(), as_gitlab=as_gitlab)
    assert [owned.owners for owned in found.of("docs/a")] == [owners]


@pytest.mark.parametrize("text", ["* @all\n".encode("utf-16"), b"# a\ncaf\xe9 @x\n"])
def test_a_file_that_is_no_text_is_unreadable(text):
    with pytest.raises(Unreadable, match="is no text in UTF-8"):
        read_code_owners(text)
    assert read_code_owners(b"# caf\xe9\n* @all\n").of("a")


@pytest.mark.parametrize("line", [b"[Section]", b"^[Section] @x", b"\\#x @x"])
def test_what_only_gitlab_reads_is_unclear_on_github(line):
    with pytest.raises(Unreadable, match="line 2"):
        read_code_owners(b"* @all\n" + line)


def tick(number, standing="met", command="/iac-ci apply"):
    return RequirementTick(command=command, standing=standing, text=f"check {number}")


def test_a_comment_shows_what_is_not_met_first_and_counts_what_it_leaves_out():
    few = [tick(number, "not met" if number % 2 else "met") for number in range(MOST_TICKS)]
    assert shown_ticks(few) == tuple(few)
    many = [tick(number) for number in range(MOST_TICKS)]
    many += [tick(90, "not met"), tick(91, "not known", "/iac-ci ship"), tick(92, "met", "/iac-ci ship")]
    shown = shown_ticks(many)
    assert [one.text for one in shown[:3]] == ["check 90", "check 91", "check 0"]
    assert [(one.command, one.standing, one.text) for one in shown[MOST_TICKS:]] == [
        ("/iac-ci apply", "met", "2 more requirements: 2 met"),
        ("/iac-ci ship", "met", "1 more requirement: 1 met"),
    ]
    worse = shown_ticks([tick(number, "not met") for number in range(MOST_TICKS + 2)] + [tick(99)])
    assert (worse[-1].standing, worse[-1].text) == ("not met", "3 more requirements: 2 not met, 1 met")
