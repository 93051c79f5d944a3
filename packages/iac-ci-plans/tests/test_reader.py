from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iac_ci_common.limits import PLAN_TEXT_BYTES
from iac_ci_common.models.changes import Changes, Done, Operation
from iac_ci_plans import MAX_LINE_BYTES, PlanReader, printed_document, runs_a_plan

PLANNED, APPLIED = Operation.PLANNED, Operation.APPLIED
DOCUMENT = json.dumps(
    {
        "format_version": "1.2",
        "resource_changes": [
            {"change": {"actions": ["create"]}},
            {"change": {"actions": ["delete", "create"]}},
            {"change": {"actions": ["update"]}},
            {"change": {"actions": ["no-op"], "importing": {"id": "x"}}},
            {"change": {"actions": ["read"]}},
            "nonsense",
        ],
    }
)
SUMMARY = (
    '{"@level":"info","changes":{"add":%d,"change":1,"import":0,"remove":2,"operation":"%s"},"type":"change_summary"}'
)

LINES = [
    b"Plan: 1 to add, 0 to change, 0 to destroy.",
    b"  # a.b will be created",
    b"  + x",
    b"    }",
    b"Changes to Outputs:",
    b"  + o = <<EOT",
    b"o = <<EOT",
    b"EOT",
    b"No changes. ",
    b"a.b: Creation complete after 1s",
    b"Outputs:",
    b"{}",
    b'{"type":"planned_change","change":{"action":"create","resource":{"addr":"a"}}}',
    b'{"planned_values":1,"format_version":2}',
    b"12:00:00.000 STDOUT [u] tofu: Plan: 1 to add, 0 to change, 0 to destroy.",
    b"\x1b[1m  # a.b\x1b[0m has changed",
    b"Note: This is a partial plan",
    b"No current changes. ",
    b"Warning: w",
    b"Saved the plan to: p",
    b'{"type":"outputs","outputs":{"o":{"action":7}}}',
    b'{"resource_changes":[{"change":{"actions":[[]]}}]}',
    b'  "format_version": "1.2",',
    b'  "planned_values": {}',
    b"}",
]


def count(log: str | bytes, size: int = 1 << 30) -> Changes | None:
    data = log.encode() if isinstance(log, str) else log
    counter = PlanReader()
    for start in range(0, len(data), size):
        counter.feed(data[start : start + size])
    return counter.result().changes


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("nothing of the kind\n", None),
        ("Plan: 1 to add, 2 to change, 3 to destroy.\n", Changes(operation=PLANNED, add=1, change=2, destroy=3)),
        ("Plan: 1 to add, 2 to change, 3 to destroy.", Changes(operation=PLANNED, add=1, change=2, destroy=3)),
        (
            "\x1b[0m\x1b[1mPlan:\x1b[0m 4 to import, 1 to add, 0 to change, 0 to destroy.\x1b[0m\n",
            Changes(operation=PLANNED, add=1, bring_in=4),
        ),
        ("No changes. Your infrastructure matches the configuration.\n", Changes(operation=PLANNED)),
        (
            "Plan: 5 to add, 0 to change, 0 to destroy.\nApply complete! Resources: 4 added, 0 changed, 0 destroyed.\n",
            Changes(operation=APPLIED, add=4),
        ),
        (
            "\x1b(B\x1b[mPlan: 1 to add, 2 to change, 3 to destroy.\x1b(B\x1b[m\n",
            Changes(operation=PLANNED, add=1, change=2, destroy=3),
        ),
        ("Destroy complete! Resources: 7 destroyed.\n", Changes(operation=APPLIED, destroy=7)),
        (
            "Plan: 1 to add, 0 to change, 0 to destroy.\nPlan: 2 to add, 0 to change, 1 to destroy.\n",
            Changes(operation=PLANNED, add=3, destroy=1, plans=2),
        ),
        ("prod\tPlan: 1 to add, 2 to change, 3 to destroy.\n", Changes(operation=PLANNED, add=1, change=2, destroy=3)),
        (SUMMARY % (3, "plan") + "\n", Changes(operation=PLANNED, add=3, change=1, destroy=2)),
        (SUMMARY % (3, "plan") + "\n" + SUMMARY % (2, "apply"), Changes(operation=APPLIED, add=2, change=1, destroy=2)),
        (DOCUMENT, Changes(operation=PLANNED, add=2, change=1, destroy=1, bring_in=1, replace=1, read=1)),
        # A document has precedence over a line that anything may have printed.
        (
            "Plan: 9 to add, 0 to change, 0 to destroy.\n" + DOCUMENT,
            Changes(operation=PLANNED, add=2, change=1, destroy=1, bring_in=1, replace=1, read=1),
        ),
        ('echo "Plan: 9 to add, 0 to change, 0 to destroy."\n', None),
        ('{"type":"change_summary","changes":{"add":"many"}}\n', None),
        ('{"resource_changes": ' + "[" * 100_000 + "\n", None),
    ],
)
def test_changes_are_read_from_each_form(log, expected):
    assert count(log) == expected


OUTPUTS = "Changes to Outputs:\n  + o = 1\n"
ONLY_OUTPUTS = "Changes to Outputs:\n  + p = 1\n\nYou can apply this plan to save these new output values to the\n"
PLAN = "Plan: 1 to add, 0 to change, 0 to destroy.\n"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        # `terraform plan | tail -5`, and a summary whose colours `cat -v` has written as text.
        (OUTPUTS, None),
        ("^[[1mPlan:^[[0m 3 to add, 1 to change, 2 to destroy.\n^[[0m\n" + OUTPUTS, None),
        (ONLY_OUTPUTS, Changes(operation=PLANNED, outputs=1)),
        (PLAN + "\n" + OUTPUTS, Changes(operation=PLANNED, add=1, outputs=1)),
        (PLAN + "\n" + OUTPUTS + ONLY_OUTPUTS, Changes(operation=PLANNED, add=1, outputs=2, plans=2)),
        (OUTPUTS + "\n" + PLAN, Changes(operation=PLANNED, add=1)),
        ("  # x.a has changed\n\n" + ONLY_OUTPUTS, Changes(operation=PLANNED, outputs=1, drift=1)),
    ],
)
def test_outputs_alone_do_not_say_that_no_resource_changes(log, expected):
    reader = PlanReader()
    reader.feed(log.encode())
    assert reader.result().ran
    assert reader.result().changes == expected


@pytest.mark.parametrize(
    "key",
    ["will be destroyed", "a must be replaced", "b has moved to c", "will no longer be managed by ", "d was deferred", "e has changed", '\\"f\\" will be read during apply', "g (h: i"],  # noqa: E501
)  # fmt: skip
def test_the_words_of_a_key_say_nothing(key):
    address = f'module.m["{key}"].a.b["{key}"]'
    log = f"  # {address} will be created\n  + resource\n\nPlan: 1 to add, 0 to change, 0 to destroy.\n"
    reader = PlanReader()
    reader.feed(f"{log}{address}: Creation complete after 1s [id=1]\n".encode())
    reading = reader.result()
    assert reading.changes == Changes(operation=PLANNED, add=1, done=Done(add=1))
    (resource,) = reading.text(str).resources
    assert (resource.address, resource.action) == (address, "create")


IN_AUTOMATION = "\nTerraform will perform the following actions:\n\n  # x.a will be created\n  + resource\n\nPlan: 1 to add, 0 to change, 0 to destroy.\n"  # noqa: E501
"""What a plan prints with TF_IN_AUTOMATION, and what `show` prints."""


@pytest.mark.parametrize(
    ("commands", "plans"),
    [
        (["terraform -chdir=a plan", "terraform -chdir=b plan"], 2),
        (["cd a && tofu plan -out=p", "cd b && tofu plan -out=p", "cd b && tofu show p"], 2),
        (["cd a\nterraform init\n\nterraform plan", "cd b\nterraform plan"], 2),
        (["for d in a b; do terraform -chdir=$d plan; done", None], 2),
        (["terragrunt --working-dir a plan", "terragrunt --working-dir b plan"], 2),
        (["terraform plan -out=p", "terraform show p"], 1),
        (["terraform plan -out=p", "terraform show p | tee -a log", "terraform show p"], 1),
        (["terraform plan -out=p\nterraform show p", None], 1),
        (["cd a\n\nterraform plan -out=p\n\nterraform show p", None], 1),
        (["terraform plan -out=p && terraform show p", None], 1),
        (["terraform plan -out=p", "terraform apply p"], 1),
        (["terraform plan -out=p", "cat log"], 1),
        (["terraform plan -no-color | tee p.txt; cat p.txt", None], 1),
        (["terraform plan | tee p.txt && head -n 99 p.txt", None], 1),
        (["terraform plan | grep -v Refreshing | tee p.txt\nsed s/a/b/ p.txt", None], 1),
        (["terraform plan | tee /dev/stderr", None], 1),
        (["terraform plan | tee p.txt || cat p.txt", None], 1),
        (["terraform -chdir=a plan | tee a.txt", "terraform -chdir=b plan | tee b.txt"], 2),
        (["terraform -chdir=a plan | cat", "terraform -chdir=b plan |grep -v Refreshing"], 2),
        (["make plan", "make show"], 1),
        (["terraform plan", "make show"], 1),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1 << 30])
def test_equal_plans_of_several_commands_count_each_and_a_plan_that_is_shown_again_once(commands, plans, size):
    """Only the commands tell them apart: with TF_IN_AUTOMATION a plan ends as what `show` prints."""
    headings = ["" if one is None else "$ " + one.replace("\n", "\n> ").replace("> \n", ">\n") for one in commands]
    log = "".join(f"{heading}\n{IN_AUTOMATION}" for heading in headings)
    assert count(log, size) == Changes(operation=PLANNED, add=plans, plans=plans)


@pytest.mark.parametrize("text", ["$ " + "x" * (2 << 20) + "\n", "$ x\n" + ("> " + "y" * 1000 + "\n") * 2000])
def test_text_that_looks_like_a_long_command_is_not_kept(text):
    reader = PlanReader()
    tracemalloc.start()
    reader.feed(text.encode())
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1 << 20
    reader.feed(f"$ terraform plan\n{IN_AUTOMATION}$ terraform plan\n{IN_AUTOMATION}".encode())
    assert reader.result().changes.plans == 2


def test_a_line_that_is_no_plan_is_not_kept_however_long():
    counter = PlanReader()
    for _ in range(3):
        counter.feed(b"x" * MAX_LINE_BYTES)
    counter.feed(b"\nPlan: 1 to add, 0 to change, 0 to destroy.\n")
    assert counter.result().changes == Changes(operation=PLANNED, add=1)


PRINTED = json.dumps(json.loads(DOCUMENT) | {"planned_values": {}}, indent=2)


@pytest.mark.parametrize("indent", [1, 2, 8, "\t"])
def test_a_printed_document_is_read_however_it_is_indented(indent):
    printed = json.dumps(json.loads(DOCUMENT) | {"planned_values": {}}, indent=indent)
    assert count(printed) == count(DOCUMENT) is not None


def test_a_printed_document_that_breaks_off_says_only_that_a_plan_ran():
    reader = PlanReader()
    reader.feed(PRINTED.rpartition("\n")[0].encode() + b"\nKilled\nPlan: 1 to add, 0 to change, 0 to destroy.\n")
    reading = reader.result()
    assert (reading.ran, reading.changes) == (True, Changes(operation=PLANNED, add=1))


def test_a_printed_document_with_an_unknown_line_counts_nothing():
    assert count(PRINTED.replace('"format_version"', '"format_version": {', 1)) is None


def test_there_are_no_counts_when_a_printed_document_is_too_long(monkeypatch):
    monkeypatch.setattr(printed_document, "MAX_DOCUMENT_BYTES", len(PRINTED) // 2)
    reader = PlanReader()
    reader.feed(PRINTED.encode())
    assert (reader.result().ran, reader.result().changes) == (True, None)


@given(st.integers(1, 50))
def test_chunks_do_not_matter(size):
    log = "a\nPlan: 1 to add, 0 to change, 0 to destroy.\nb\n" + SUMMARY % (3, "apply") + "\n"
    assert count(log, size) == count(log)


@given(st.binary(max_size=300))
def test_no_output_makes_the_counter_fail(data):
    count(data)
    count(b'{"type":"change_summary","changes":' + data + b"\n")


@pytest.mark.parametrize("odd", [None, True, 7, "", "x", [], ["apply"], {}, {"action": "update"}, [{}]])
@pytest.mark.parametrize(
    "record",
    [
        lambda odd: {"type": "change_summary", "changes": {"operation": odd, "add": odd}},
        lambda odd: {"type": "change_summary", "changes": odd},
        lambda odd: {"type": "resource_drift", "change": {"action": odd}},
        lambda odd: {"type": "planned_change", "change": {"action": odd}},
        lambda odd: {"type": "planned_change", "change": {"action": "create", "resource": odd}},
        lambda odd: {"type": "planned_change", "change": {"action": "create", "resource": {"addr": odd}}},
        lambda odd: {"type": "outputs", "outputs": {"o": {"action": odd}}},
        lambda odd: {"type": "outputs", "outputs": odd},
        lambda odd: {"type": "apply_complete", "hook": {"action": odd}},
        lambda odd: {"type": "diagnostic", "diagnostic": {"severity": odd, "summary": odd}},
        lambda odd: {"type": odd, "changes": {}},
        lambda odd: {"resource_changes": [{"address": odd, "change": {"actions": [odd]}}], "output_changes": odd},
        lambda odd: {"resource_changes": [], "output_changes": {"o": odd}, "resource_drift": odd, "applyable": odd},
    ],
)
def test_a_record_of_another_program_does_not_make_the_reader_fail(record, odd):
    reader = PlanReader()
    reader.feed(b"Plan: 1 to add, 0 to change, 0 to destroy.\n" + json.dumps(record(odd)).encode() + b"\n")
    assert reader.result().ran


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (Changes(operation=PLANNED), "no changes"),
        (Changes(operation=PLANNED, add=1, destroy=2), "+1 ~0 -2"),
        (Changes(operation=APPLIED, bring_in=2), "+0 ~0 -0, 2 imported"),
        (Changes(operation=PLANNED, outputs=1), "+0 ~0 -0, 1 output"),
        (Changes(operation=PLANNED, moved=1), "+0 ~0 -0, 1 moved"),
        (Changes(operation=PLANNED, drift=2), "+0 ~0 -0, 2 changed outside"),
        (Changes(operation=PLANNED, deferred=1), "+0 ~0 -0, 1 deferred"),
        (Changes(operation=PLANNED, read=1), "no changes"),
        (Changes(operation=PLANNED, add=2, done=Done(add=1)), "+1 ~0 -0 done of +2 ~0 -0"),
        (Changes(operation=APPLIED, done=Done(destroy=1)), "+0 ~0 -1 before a failure"),
        (Changes(operation=APPLIED, add=3, done=Done(add=1)), "+3 ~0 -0 and +1 ~0 -0 before a failure"),
    ],
)
def test_changes_say_themselves_in_words(changes, words):
    assert str(changes) == words


def text_of(log, mask=lambda text: text):
    reader = PlanReader()
    reader.feed(log.encode())
    return reader.result().text(mask)


def resource(address, action="will be created", symbol="  +", lines=2):
    body = "".join(f'      + key_{number} = "value"\n' for number in range(lines))
    return f'  # {address} {action}\n{symbol} resource "x" "y" {{\n{body}    }}\n\n'


def test_what_is_destroyed_or_replaced_comes_first_and_symbols_begin_their_lines():
    log = (
        resource("x.new")
        + resource("x.b", "will be updated in-place", "  ~")
        + resource("x.gone", "will be destroyed", "  -")
        + resource("x.other", "must be replaced", "-/+")
        + "Plan: 2 to add, 1 to change, 2 to destroy.\n\nChanges to Outputs:\n  + o = 1\n"
    )
    shown = text_of(log)
    assert [(one.action, one.address) for one in shown.resources] == [
        ("delete", "x.gone"),
        ("replace", "x.other"),
        ("create", "x.new"),
        ("update", "x.b"),
        ("outputs", ""),
    ]
    assert shown.resources[0].text.splitlines()[1] == '-   resource "x" "y" {'
    assert shown.resources[1].text.splitlines()[1] == '-/+ resource "x" "y" {'
    assert shown.resources[3].text.splitlines()[1] == '!   resource "x" "y" {'
    assert shown.resources[4].text == "+   o = 1"


def test_refreshing_and_progress_are_no_part_of_the_text():
    log = (
        "x.a: Refreshing state... [id=1]\n"
        + resource("x.a")
        + "Plan: 1 to add, 0 to change, 0 to destroy.\nx.a: Creating...\n"
    )
    assert [one.text.count("...") for one in text_of(log).resources] == [0]


def test_risky_resources_have_room_of_their_own_after_any_number_of_others():
    many = 4_000
    log = "".join(resource(f"x.n{number}", lines=20) for number in range(many))
    log += resource("x.gone", "will be destroyed", "  -") + f"Plan: {many} to add, 0 to change, 1 to destroy.\n"
    shown = text_of(log)
    assert shown.resources[0].address == "x.gone"
    assert shown.left_out == many + 1 - len(shown.resources)
    assert len(shown.model_dump_json()) < 2 * PLAN_TEXT_BYTES
    assert count(log) == Changes(operation=PLANNED, add=many, destroy=1)
    assert count(log + log) == Changes(operation=PLANNED, add=many, destroy=1)


@pytest.mark.parametrize("lines", [1, 600, 2_000])
def test_a_secret_is_masked_also_where_a_resource_is_cut(lines):
    secret = "s3cret" * 100
    log = (
        resource("x.a", lines=lines).replace('"value"', f'"{secret}"') + "Plan: 1 to add, 0 to change, 0 to destroy.\n"
    )
    (shown,) = text_of(log, lambda text: text.replace(secret, "***")).resources
    assert "s3cret" not in shown.text
    assert ("the rest of this resource is not shown" in shown.text) == (lines > 1)


def test_an_escape_without_a_sequence_takes_no_text_with_it():
    log = resource("x.a").replace("key_0", "\x1b     key_0") + "Plan: 1 to add, 0 to change, 0 to destroy.\n"
    (shown,) = text_of(log).resources
    assert "key_0" in shown.text


def test_colours_inside_a_secret_do_not_hide_it_from_the_mask():
    log = resource("x.a").replace("value", "s3\x1b[0mcret\x1b[1m") + "Plan: 1 to add, 0 to change, 0 to destroy.\n"
    (shown,) = text_of(log, lambda text: text.replace("s3cret", "***")).resources
    assert '"***"' in shown.text


def test_values_of_a_document_are_not_shown_because_it_holds_sensitive_ones():
    change = {"actions": ["update"], "before": {"password": "old", "id": 1}, "after": {"password": "new", "id": 1}}
    log = json.dumps(
        {"format_version": "1.2", "resource_changes": [{"address": "x.a", "mode": "managed", "change": change}]}
    )
    (shown,) = text_of(log).resources
    assert shown.text == "  # x.a will be updated in-place\n!       password"


def test_endless_summaries_and_units_are_never_summed_up_wrongly_nor_kept():
    reader = PlanReader()
    for number in range(50):
        line = b"Plan: 1 to add, 0 to change, 0 to destroy.\n" * 200
        reader.feed(line + b"[unit-%d] No changes. \n" % number)
    assert reader.result().changes is None
    assert reader.result().ran


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("terraform plan", True),
        ("cd a && terraform -chdir=b plan -out=p | tee log", True),
        ("tofu apply -auto-approve", True),
        ("terragrunt run --all -- plan", True),
        ("terragrunt run-all apply", True),
        ("/opt/bin/terraform destroy", True),
        ("terraform plan>log", True),
        ("terraform plan<answers", True),
        ("terraform \\\n  -chdir=b \\\r\n plan\\\n -out=p", True),
        ('terraform -chdir="a b" plan', True),
        ("terraform -chdir='a b' apply", True),
        ("terraform -chdir=a\\ b destroy", True),
        ("sh -c 'terraform plan'", True),
        ("terragrunt --working-dir a plan", True),
        ("terragrunt run --all --working-dir 'a b' --queue-exclude-dir ../c -- plan -out=p", True),
        ("terragrunt --terragrunt-working-dir a \\\n apply", True),
        ("terragrunt --non-interactive run-all --terragrunt-source=x destroy", True),
        ('terragrunt plan --working-dir "$x"', True),
        ("terragrunt --working-dir a init", False),
        ("terragrunt --working-dir plan init", False),
        ("terragrunt --working-dir plan", False),
        ("terragrunt hcl fmt plan", False),
        ("terragrunt output --json plan", False),
        ("terragrunt --working-dir a; cat plan", False),
        ("terragrunt --working-dir a\nplan", False),
        ("x=`tofu plan`", True),
        ("npx cdktf diff network", True),
        ("cdktn deploy 'a*' --auto-approve", True),
        ("cdktf synth && cat plan", False),
        ("cdk diff", False),
        ('terraform -chdir="a plan" init', False),
        ("terraform fmt \\\n plan", False),
        ("terraform init\nplan", False),
        ("terraform planned", False),
        ("terraform-docs plan", False),
        ("terraform init", False),
        ("terraform show plan", False),
        ("terraform fmt -check && cat plan", False),
        ("ansible-playbook plan.yml", False),
        ("", False),
    ],
)
def test_commands_that_run_a_plan_are_recognised(command, runs):
    assert runs_a_plan(command) is runs


@given(st.lists(st.sampled_from(LINES)))
def test_no_order_of_lines_makes_the_reader_fail(lines):
    log = b"\n".join(lines)
    reader = PlanReader()
    reader.feed(log)
    reading = reader.result()
    reading.text(str)
    assert reading.changes == count(log, 3)
