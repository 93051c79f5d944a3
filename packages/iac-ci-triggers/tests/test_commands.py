from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_triggers.commands import MAX_COMMANDS, Command, CommandsFound, find_commands, may_have_commands

PLAN = Command("plan")


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/iac-ci plan", PLAN),
        ("/iac-ci", Command("help")),
        ("/iac-ci help", Command("help")),
        ("   /iac-ci plan  ", PLAN),
        ("/iac-ci  plan", PLAN),
        ("/iac-ci\tplan", PLAN),
        ("looks good\n/iac-ci plan\nthanks", PLAN),
        ("> said before\n\n/iac-ci plan", PLAN),
        (">>>\nsaid before\n>>>\n\n/iac-ci plan", PLAN),
        ("```\ncode\n```\n/iac-ci plan", PLAN),
        ("\ufeff/iac-ci plan", PLAN),
        ("one\r\n/iac-ci plan\r\ntwo", PLAN),
        ("/iac-ci plan  \nthanks", PLAN),
        ("/iac-ci apply envs/prod", Command("apply", target="envs/prod")),
        ("/iac-ci apply .", Command("apply", target=".")),
        ("/iac-ci apply ./", Command("apply", target=".")),
        ("/iac-ci apply ./envs/prod/", Command("apply", target="envs/prod")),
        ("/iac-ci apply .cloud/_prod", Command("apply", target=".cloud/_prod")),
        ("/iac-ci apply a__b__c", Command("apply", target="a__b__c")),
        ("/iac-ci apply live/" + "x" * 1019, Command("apply", target="live/" + "x" * 1019)),
        ("/iac-ci apply live/a+b@c", Command("apply", target="live/a+b@c")),
        ("/iac-ci apply @scope/net", Command("apply", target="@scope/net")),
        ("/iac-ci drift", Command("drift")),
        ("/iac-ci 2nd-plan live/net", Command("2nd-plan", target="live/net")),
        ("/iac-ci 1", Command("1")),
        ("/iac-ci plan live/net -destroy", Command("plan", target="live/net", destroys=True)),
        ("/iac-ci plan -destroy ./live/net/", Command("plan", target="live/net", destroys=True)),
        ("/iac-ci rerun-failed", Command("rerun-failed")),
        (f"/iac-ci approve {'a' * 40}", Command("approve", sha="a" * 40)),
        (f"/iac-ci approve {'a' * 64}", Command("approve", sha="a" * 64)),
        (f"/iac-ci approve {'a' * 40} release/x", Command("approve", sha="a" * 40, branch="release/x")),
        ("<p align=center>plan, please</p>\n\n/iac-ci plan", PLAN),
        ("one<br>\n/iac-ci plan", PLAN),
        ("<a name=\"x\"></a>\n\n<!-- note -->\n<DIV class='y'>1 < 2</div >\n\n/iac-ci plan", PLAN),
        ("<img src=x>\n\n/iac-ci plan", PLAN),
        ("<details>\n<summary>why</summary>\n\nbecause\n\n</details>\n\n/iac-ci plan", PLAN),
        ("as told[^1]\n\n[^1]: a note\n\n/iac-ci plan", PLAN),
        ("~~no~~ yes\n/iac-ci plan", PLAN),
        ("\u05e9\u05dc\u05d5\u05dd \U0001f600\n/iac-ci plan", PLAN),
    ],
)
def test_a_line_of_its_own_is_a_command(text, command):
    found = find_commands(text)
    assert (found.commands, found.problems) == ((command,), ())
    assert may_have_commands(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "please /iac-ci plan",
        "`/iac-ci plan`",
        "> /iac-ci plan",
        "> quoted\n/iac-ci plan",
        ">> deep\n/iac-ci plan",
        "```\n/iac-ci plan\n```",
        "~~~~ sh\n~~~\n/iac-ci plan\n~~~~",
        "```\n/iac-ci plan",
        "````\n```\n/iac-ci plan\n````",
        "    /iac-ci plan",
        "\t/iac-ci plan",
        "`code\n/iac-ci plan\ncode`",
        "- /iac-ci plan",
        "- item\n  /iac-ci plan",
        "- item\n/iac-ci plan",
        "1. /iac-ci plan",
        "# /iac-ci plan",
        "/iac-ci plan\n===",
        "<!-- \n/iac-ci plan\n-->",
        "<pre>\n/iac-ci plan\n</pre>",
        "<details>\n/iac-ci plan\n</details>",
        "**\n/iac-ci plan**",
        "*x\n/iac-ci plan\nx*",
        "[a\n/iac-ci plan\n](https://example.org)",
        "[a]: https://example.org '\n/iac-ci plan\n'\n",
        "\\/iac-ci plan",
        "&#47;iac-ci plan",
        "/iac-ci-plan",
        "/iac-cix plan",
        "//iac-ci plan",
        "/IAC-CI plan",
        "/iac-ci plan | x\n--- | ---\n/iac-ci plan | y",
        "<!-- iac-ci:20260101T000000-000000000000 -->\n/iac-ci plan",
        " \n<!-- iac-ci:notice -->\n\n/iac-ci plan",
        " \n[//]: # (iac-ci:notice)\n\n/iac-ci plan",
        "~~a\n/iac-ci plan\nb~~",
        "![a\n/iac-ci plan\n](x.png)",
        "[^1]: note\n/iac-ci plan",
        "[^note]: several words\n/iac-ci plan",
        "x <!--\n/iac-ci plan\n-->",
        "<?x\n/iac-ci plan\n?>",
        "&#47;iac-ci plan\n\n    /iac-ci plan",
        "x\u2028/iac-ci plan",
    ],
)
def test_what_a_reader_does_not_see_as_a_command_is_none(text):
    assert find_commands(text).commands == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/iac-ci Plan", "'Plan' is not a command; did you mean plan? /iac-ci help lists the commands"),
        ("/iac-ci APPLY live/net", "; did you mean apply?"),
        ("/iac-ci plan.", "; did you mean plan?"),
        ("/iac-ci 'rerun-failed'", "; did you mean rerun-failed?"),
        ("/iac-ci ?", "'?' is not a command; /iac-ci help lists the commands"),
        ("/iac-ci plan; rm -rf /", "not a command"),
        ("/iac-ci $(touch x)", "not a command"),
        ("/iac-ci apply ../../etc", "not a target"),
        ("/iac-ci apply --all", "not a target"),
        ("/iac-ci apply live/" + "x" * 1020, "is not a target: use A to Z, a to z, digits and . _ / - @ + only"),
        ("/iac-ci apply caf\u00e9", "; the name of a project is a target too"),
        ("/iac-ci apply a b", "more words"),
        ("/iac-ci plan -d live/net", "; write a project's folder or name alone: /iac-ci plan PROJECT"),
        ("/iac-ci plan -p net -w prod", "; write a project's folder or name alone: /iac-ci plan PROJECT"),
        ("/iac-ci plan --dir=live/net", "; write a project's folder or name alone: /iac-ci plan PROJECT"),
        ("/iac-ci plan -d", "; write a project's folder or name alone: /iac-ci plan PROJECT"),
        ("/iac-ci cancel -d x", "has more words than cancel accepts"),
        ("/iac-ci plan\u00a0live/net", "contains spaces of another kind; type it again"),
        ("/iac-ci plan live/net\u00a0", "contains spaces of another kind; type it again"),
        ("/iac-ci plan\u2003live/net", "contains spaces of another kind; type it again"),
        ("/iac-ci help me", "more words"),
        ("/iac-ci plan -destroy", "names no project; write /iac-ci plan PROJECT -destroy"),
        (
            "/iac-ci unlock 20260101T000000-0123456789ab/apply-net",
            "copy RUN/ORDER from there: it ends with four digits",
        ),
        ("/iac-ci plan a b -destroy", "more words"),
        ("/iac-ci plan a --destroy", "; to plan to destroy a project, write /iac-ci plan PROJECT -destroy"),
        ("/iac-ci plan a \u2013Destroy", "; to plan to destroy a project, write /iac-ci plan PROJECT -destroy"),
        ("/iac-ci plan a -destroy -destroy", "more words"),
        ("/iac-ci plan a --destroy", "more words"),
        ("/iac-ci cancel -destroy", "more words"),
        ("/iac-ci rerun-failed a -destroy", "more words"),
        ("/iac-ci approve abc1234", "forged"),
        ("/iac-ci approve", "full commit hash"),
        (f"/iac-ci approve {'A' * 40}", "full commit hash"),
        (f"/iac-ci approve {'a' * 40} main production", "full commit hash"),
        ("/iac-ci\u00a0plan", "look-alike characters"),
        ("\uff0fiac-ci plan", "look-alike characters"),
        ("\u00a0/iac-ci plan", "look-alike characters"),
        ("/iac\u200b-ci plan", "look-alike characters"),
        ("\u200f/iac-ci plan", "look-alike characters"),
        ("\u202e/iac-ci plan", "look-alike characters"),
        ("/iac-ci plan\u202e", "direction of the text"),
        ("\u2067before\n/iac-ci plan", "direction of the text"),
        ("/iac-ci plan\nbehind\u202e", "direction of the text"),
        ("/iac-ci plan\\\nx", "not a command"),
        ("<details>\n\n/iac-ci plan\n\n</details>", "inside HTML"),
        ("<blockquote>\n\n/iac-ci plan\n\n</blockquote>", "inside HTML"),
        ("<blockquote/>\n\n/iac-ci plan", "inside HTML"),
        ("<div title='</div>'>\n\n/iac-ci plan", "inside HTML"),
        ("<blockquote><p></blockquote>\n\n/iac-ci plan", "inside HTML"),
        ("said <code>\n/iac-ci plan\n</code>", "inside HTML"),
        ("<script></script>\n\n/iac-ci plan", "inside HTML"),
        ("<div\n\n/iac-ci plan", "inside HTML"),
        ("<!-- --!><div> -->\n\n/iac-ci plan", "inside HTML"),
        ("Vec<String>\n/iac-ci plan", "inside HTML"),
        ("> <blockquote>\n\n/iac-ci plan", "inside HTML"),
        (">>>\nquoted\n\n/iac-ci plan\n\n>>>", "is after a line of >>> or $$"),
        ("  >>>>\n\n/iac-ci plan\n\n>>>\n", "is after a line of >>> or $$"),
        ("$$\n/iac-ci plan\n$$", "is after a line of >>> or $$"),
        ("/iac-ci pl\u200ban", "not a command"),
    ],
)
def test_what_looks_like_a_command_and_is_none_is_told(text, said):
    found = find_commands(text)
    assert found.commands == ()
    assert said in " ".join(found.problems)
    assert all(problem.isprintable() and len(problem) < 200 for problem in found.problems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/IAC-CI plan", "capitals"),
        ("/Iac-ci plan", "capitals"),
        ("/iac\u2013ci plan", "look-alike characters"),
        ("/iac\u2011ci plan", "look-alike characters"),
        ("/iac\u2014ci plan", "look-alike characters"),
        ("/iac-ci\u00a0plan", "look-alike characters"),
        ("- /iac-ci plan", "markup or a mention"),
        ("* [ ] /iac-ci plan", "markup or a mention"),
        ("1. /iac-ci plan network", "markup or a mention"),
        ("`/iac-ci plan`", "markup or a mention"),
        ("# /iac-ci plan", "markup or a mention"),
        ("## /iac-ci apply live/net ##", "markup or a mention"),
        ("- ### **/iac-ci plan**", "markup or a mention"),
        ("| command |\n|---|\n| /iac-ci plan |", "markup or a mention"),
        ("| `/iac-ci plan`", "markup or a mention"),
        ("- `/iac-ci plan`", "markup or a mention"),
        ("**/iac-ci plan**", "markup or a mention"),
        ("@engine /iac-ci plan", "markup or a mention"),
        ("@iac-ci[bot] /IAC-CI plan", "markup or a mention"),
        ("@iac-ci plan", "markup or a mention"),
        ("- item\n/iac-ci plan", "belongs to the markup around it"),
        ("> quoted\n/iac-ci plan", "belongs to the markup around it"),
        ("- item\n/iac-ci apply net_work", "belongs to the markup around it"),
        ("/iac-ci apply net\n---\nsent from a phone", "leave an empty line before and after it"),
        ("/iac-ci apply `live/net`", "markup or a mention; write the command as plain text on a line of its own"),
        ("/iac-ci apply __live__", "markup or a mention"),
        ("/iac-ci apply _live_", "markup or a mention"),
        ("/iac-ci **apply**", "markup or a mention"),
    ],
)
def test_a_command_with_something_around_it_gets_a_hint(text, said):
    found = find_commands(text)
    assert (found.commands, len(found.problems)) == ((), 1), found
    assert said in found.problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "please `/iac-ci plan` it",
        "- `/iac-ci plan` shows what would change before anybody applies it",
        "> /iac-ci plan",
        "> - /iac-ci plan",
        "> # /iac-ci plan",
        "#/iac-ci plan",
        "####### /iac-ci plan",
        "# /iac-ci plan shows what would change before anybody applies it",
        "| command | what |\n|---|---|\n| /iac-ci plan | shows it |",
        "```\n/iac-ci plan\n```",
        "~~~\n```\n/iac-ci plan\n~~~",
        "    /iac-ci plan",
        "<!-- commands:\n- /iac-ci plan\n-->",
        "<!-- /iac-ci plan",
        "@engine see https://example.com/iac-ci plan",
        "/iac-cix plan",
        "the iac-ci plan",
    ],
)
def test_what_is_quoted_or_only_mentioned_gets_no_hint(text):
    assert find_commands(text) == CommandsFound()


def test_several_commands_keep_their_order_up_to_a_limit():
    assert find_commands("/iac-ci cancel\n/iac-ci plan").commands == (Command("cancel"), PLAN)
    assert find_commands("/iac-ci apply net\n/iac-ci plan\n\n/iac-ci  apply ./net/").commands == (
        Command("apply", target="net"),
        PLAN,
    )
    assert find_commands("/iac-ci cancel running").commands == (Command("cancel", target="running"),)
    assert find_commands("/iac-ci cancel everything").problems
    found = find_commands("\n".join(f"/iac-ci plan t{number}" for number in range(MAX_COMMANDS + 5)))
    assert len(found.commands) == MAX_COMMANDS
    assert len(found.problems) == 1


def test_many_problems_are_told_shortly_and_counted():
    found = find_commands("\n".join(f"/iac-ci NO{number}" for number in range(MAX_COMMANDS + 5)))
    assert len(found.problems) == MAX_COMMANDS + 1
    assert found.problems[-1].startswith("5 more lines")


@pytest.mark.parametrize("text", ["> - <pre>\n> ", "> | a | b |\n> |---|---|\n>", "> x\n>"])
def test_a_comment_that_ends_within_a_quote_is_read(text):
    assert find_commands(f"/iac-ci plan\n\n{text}").commands == (PLAN,)


@pytest.mark.parametrize(
    "piece",
    [
        ">",
        "`",
        "[",
        "<",
        "*",
        "- ",
        "\n/iac-ci",
        "&#47;",
        "> > ",
        "<b>",
        "![",
        "[^1]: a\n",
        "<div>\n<!-- ",
        "<div>\n<![",
    ],
)
def test_a_hundred_kilobytes_of_anything_end(piece):
    assert len(find_commands(piece * (100_000 // len(piece)) + "\n/iac-ci plan").commands) <= MAX_COMMANDS


MARKUP = ["/iac-ci plan", "\n", "\n\n", "\r\n", "> ", "```", "~~~", "`", "- ", "1. ", "    ", "\t", "<pre>", "</pre>"]
MARKUP += [
    "<!--",
    "-->",
    "<?",
    "<![CDATA[",
    "<div>",
    "</div>",
    "[",
    "](x)",
    "[a]: ",
    "[^1]: ",
    "'",
    "*",
    "~~",
    "#",
    "===",
]
MARKUP += ["---", "|", "\\", "&#47;", "\u202e", "\u200b", "\u00a0", "\x00", "\x0b", "\u2028", "x", " "]


@given(st.lists(st.sampled_from(MARKUP) | st.characters(), max_size=40).map("".join))
def test_no_text_breaks_it_and_quoted_or_fenced_it_asks_for_nothing(text):
    found = find_commands(text)
    assert may_have_commands(text) or found == CommandsFound()
    assert find_commands(f"<blockquote>\n\n{text.replace('</blockquote', '')}").commands == ()
    lines = text.replace("\r", "\n").split("\n")
    assert find_commands("\n".join(f"> {line}" for line in lines)).commands == ()
    fence = "`" * (max((len(run) for run in text.split("\n")), default=0) + 3)
    assert find_commands(f"{fence}\n{text}\n{fence}").commands == ()
