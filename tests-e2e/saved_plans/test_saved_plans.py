"""A saved plan is shown for what its bytes say and applied as these bytes, whatever commands print, swap or set."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from iac_ci_common.models.changes import Changes
from iac_ci_common.states import OrderState
from saved_plans.orders import FILE, LOCK, Orders

INIT = "terraform init -input=false -no-color"
PLAN = f"terraform plan -input=false -no-color -out={FILE}"
APPLY = f"terraform apply -input=false -no-color {FILE}"

MAIN = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
provider "aws" { region = "us-east-1" }
resource "aws_sns_topic" "a" { name = "alpha" }
resource "terraform_data" "b" { input = "beta" }
output "o" { value = "omega" }
"""
BUILT_IN = """
resource "terraform_data" "a" { input = "alpha" }
resource "terraform_data" "b" { input = "beta" }
"""
FAILING = """
data "terraform_remote_state" "x" {
  backend = "local"
  config  = { path = "/nowhere" }
}
"""
TWO = Changes(operation="planned", add=2)
MAIN_CHANGES = Changes(operation="planned", add=2, outputs=1)

FALSE = (
    "printf '\\nNo changes. Your infrastructure matches the configuration.\\n'",
    "echo 'Plan: 0 to add, 0 to change, 0 to destroy.'",
    """echo '{"format_version":"1.2","planned_values":{},"resource_changes":[]}'""",
    "printf '  # aws_sns_topic.fine will be created\\n\\nPlan: 1 to add, 0 to change, 0 to destroy.\\n'",
    "printf 'Changes to Outputs:\\n  + x = 1\\n'",
)
"""What commands print after the plan that they really made."""

# Plans something else beforehand, and puts it in the place of the plan as soon as the shell that started it has ended.
OTHER = """mkdir other && cp backend.tf other/ && printf 'resource "terraform_data" "evil" {}\\n' > other/main.tf
(cd other && terraform init -input=false && terraform plan -input=false -out=evil.tfplan)"""
SWAPS = f"""cat > swap.sh <<'END'
while kill -0 "$1" 2>/dev/null; do :; done
while :; do cp other/evil.tfplan .swapped && mv -f .swapped {FILE}; done
END
setsid bash swap.sh $$ > /dev/null 2>&1 < /dev/null &"""

SWAP_PROVIDER = """folder="$(readlink -f .terraform/providers/registry.terraform.io/hashicorp/aws/6.25.0/linux_*)"
link="$(echo .terraform/providers/registry.terraform.io/hashicorp/aws/6.25.0/linux_*)"
cp -rL "$folder" swapped && rm -rf "$link" && mv swapped "$link" && touch "$link/more"
"""
"""Puts a provider with one file more into the folder that `init` made: another hash, and the same work."""

ADD_HASH = f"""{sys.executable} - <<'END'
import base64, hashlib, pathlib
folder = next(pathlib.Path(".terraform/providers/registry.terraform.io/hashicorp/aws/6.25.0").iterdir())
names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
sums = "".join(f"{{hashlib.sha256((folder / name).read_bytes()).hexdigest()}}  {{name}}\\n" for name in names)
digest = base64.b64encode(hashlib.sha256(sums.encode()).digest()).decode()
lock = pathlib.Path("{LOCK}")
lock.write_text(lock.read_text().replace("hashes = [", f'hashes = [\\n    "h1:{{digest}}",'))
END
"""
"""Adds the hash of what is there now to the lock file (golang.org/x/mod/sumdb/dirhash, "Hash1")."""

_USER = 65534
"""The user without rights that every Linux has."""

counted = {"tried": 0, "shown": 0, "applied": 0}


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    # A short name: the name of a socket has 108 bytes at most (unix(7)).
    with tempfile.TemporaryDirectory(prefix="iac-ci-") as temporary:
        Path(temporary).chmod(0o711)
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        yield
        assert list(Path(temporary).iterdir()) == [], "an order left something behind"


@pytest.fixture(scope="module", autouse=True)
def summary():
    yield
    print(f"\n{counted['tried']} false plans and swapped files: {counted['shown']} shown, {counted['applied']} applied")


@pytest.fixture
def orders(tmp_path, terraform):
    return Orders(tmp_path)


@pytest.fixture
def with_provider(tmp_path, stand_in_provider):
    return Orders(tmp_path, stand_in_provider)


def addresses(result):
    return [resource.address for resource in result.plan.resources] if result.plan is not None else None


def tried(*, is_shown, is_applied=False):
    counted["tried"] += 1
    counted["shown"] += is_shown
    counted["applied"] += is_applied
    assert not is_shown
    assert not is_applied


def test_what_is_planned_shown_and_applied_is_one_plan(with_provider):
    code = with_provider.code(**{"main.tf": MAIN})
    planned = with_provider.plan(code, INIT, PLAN)
    assert (planned.status, planned.reason) == (OrderState.SUCCEEDED, None)
    assert planned.changes == MAIN_CHANGES
    assert addresses(planned) == ["aws_sns_topic.a", "terraform_data.b", ""]
    assert not planned.changes_unknown
    plan = planned.planned
    assert (plan.tool, plan.workspace, plan.problem) == ("terraform", "default", None)
    assert plan.path.endswith("/iac-ci-saved-plans/code")
    assert plan.tool_version.count(".") == 2
    # Its code changes afterwards: the plan holds what is applied.
    changed = with_provider.code(
        **{"main.tf": MAIN.replace("alpha", "gamma"), FILE: "of the code", LOCK: "of the code"}
    )
    applied = with_provider.apply(changed, planned, f"sha256sum {FILE} {LOCK}", INIT, APPLY)
    assert (applied.status, applied.reason) == (OrderState.SUCCEEDED, None)
    log = with_provider.log(applied)
    assert f"{plan.sha256}  {FILE}\n{plan.lock_sha256}  {LOCK}\n" in log
    assert applied.changes == Changes(operation="applied", add=2)
    state = (with_provider.state / "terraform.tfstate").read_text()
    assert '"alpha"' in state
    assert '"gamma"' not in state


def test_a_plan_to_destroy_is_known_by_its_bytes_and_applied_as_any_other(orders):
    code = orders.code(**{"main.tf": BUILT_IN})
    made = orders.plan(code, INIT, PLAN)
    assert not made.planned.destroys
    orders.apply(code, made, INIT, APPLY)
    planned = orders.plan(code, INIT, PLAN, env_vars={"TF_CLI_ARGS_plan": "-destroy"})
    assert (planned.planned.destroys, planned.planned.problem) == (True, None)
    assert planned.changes == Changes(operation="planned", destroy=2)
    applied = orders.apply(code, planned, INIT, APPLY)
    assert (applied.status, applied.changes) == (OrderState.SUCCEEDED, Changes(operation="applied", destroy=2))
    # What deletes by another way is no plan to destroy.
    orders.apply(code, orders.plan(code, INIT, PLAN), INIT, APPLY)
    emptied = orders.plan(orders.code(), INIT, PLAN)
    assert (emptied.planned.destroys, emptied.changes) == (False, Changes(operation="planned", destroy=2))


@pytest.mark.parametrize("false", FALSE)
def test_a_false_plan_that_is_printed_counts_nothing(orders, false):
    result = orders.plan(orders.code(**{"main.tf": BUILT_IN}), INIT, f"{PLAN} > /dev/null", false)
    tried(is_shown=result.changes != TWO or addresses(result) != ["terraform_data.a", "terraform_data.b"])
    assert result.planned.problem is None


def test_a_plan_that_is_only_printed_is_no_plan(orders):
    result = orders.plan(orders.code(**{"main.tf": BUILT_IN}), *FALSE)
    assert (result.status, result.planned, result.files) == (OrderState.SUCCEEDED, None, None)
    assert f"it wrote no plan {FILE}" in result.reason
    tried(is_shown=result.changes is not None or result.plan is not None)
    assert result.changes_unknown


def test_a_process_that_stays_cannot_swap_the_plan(orders):
    code = orders.code(**{"main.tf": BUILT_IN})
    for _ in range(3):
        result = orders.plan(code, INIT, OTHER, f"{PLAN}\n{SWAPS}")
        assert result.status is OrderState.SUCCEEDED
        is_evil = addresses(result) == ["terraform_data.evil"]
        assert is_evil or result.changes == TWO
        # Whichever file was there at the end: the bytes with this digest are shown and applied, and no others.
        shown = [address.partition(".")[2] for address in addresses(result)]
        applied = orders.apply(code, result, f"terraform show -no-color {FILE}", "false")
        log = orders.log(applied)
        tried(
            is_shown=not all(f"terraform_data.{name} will be created" in log for name in shown),
            is_applied=("evil" in log) != is_evil,
        )


def test_a_swapped_provider_is_noticed_by_the_committed_lock_file(with_provider):
    code = with_provider.code(**{"main.tf": MAIN})
    first = with_provider.plan(code, INIT, PLAN, f"cat {LOCK}")
    assert first.planned.problem is None
    log = with_provider.log(first)
    lock = log[log.index("# This file is maintained") : log.rindex("}\n") + 2]
    committed = with_provider.code(**{"main.tf": MAIN, LOCK: lock})
    assert with_provider.plan(committed, INIT, PLAN).planned.problem is None
    for name, more in {
        "the provider": "",
        "the provider, and its hash is added to the lock file": ADD_HASH,
        "the lock file": f"rm {LOCK}\n",
        "the version in the lock file": f"sed -i 's/6\\.25\\.0/6.24.0/' {LOCK}\n",
    }.items():
        result = with_provider.plan(committed, INIT, PLAN, SWAP_PROVIDER + more)
        assert result.status is OrderState.SUCCEEDED, name
        tried(is_shown=result.changes is not None or result.plan is not None)
        assert result.changes_unknown, name
        assert result.planned.problem, name
        assert "the plan cannot be applied" in result.reason, name


def test_without_a_committed_lock_file_a_swapped_provider_is_not_noticed(with_provider):
    """As docs/security.md says: nothing that was reviewed says which provider it should be."""
    result = with_provider.plan(with_provider.code(**{"main.tf": MAIN}), INIT, PLAN, SWAP_PROVIDER + ADD_HASH)
    assert (result.planned.problem, result.changes) == (None, MAIN_CHANGES)


def test_a_plan_that_failed_is_never_applied(orders):
    failing = (
        BUILT_IN + 'data "terraform_remote_state" "x" {\n  backend = "local"\n  config = { path = "/nowhere" }\n}\n'
    )
    failed = orders.plan(orders.code(**{"main.tf": failing}), INIT, PLAN)
    assert (failed.status, failed.planned, failed.changes) == (OrderState.FAILED, None, None)
    hidden = orders.plan(orders.code(**{"main.tf": failing}), INIT, f"{PLAN} || test -f {FILE}")
    assert hidden.status is OrderState.SUCCEEDED
    assert "planning failed" in hidden.planned.problem
    refused = orders.apply(orders.code(**{"main.tf": failing}), hidden, "touch ran", APPLY)
    tried(is_shown=False, is_applied=refused.status is not OrderState.FAILED or bool(refused.log_bytes))
    assert refused.reason.startswith("the plan is stale: it cannot be applied: planning failed")


@pytest.mark.parametrize(
    ("commands", "variables"),
    [
        ((INIT, "terraform workspace new other", PLAN), {}),
        ((INIT, "TF_WORKSPACE=other terraform workspace list; TF_WORKSPACE=other " + PLAN), {}),
        ((INIT, PLAN), {"TF_WORKSPACE": "other"}),
    ],
)
def test_a_plan_for_another_workspace_is_not_applied(orders, commands, variables):
    code = orders.code(**{"main.tf": BUILT_IN})
    result = orders.plan(code, *commands, env_vars=variables)
    assert result.status is OrderState.SUCCEEDED
    assert result.planned.workspace == "other"
    assert result.planned.problem == "it is for the workspace other, not default"
    refused = orders.apply(code, result, APPLY)
    tried(is_shown=False, is_applied=refused.status is not OrderState.FAILED)


def test_two_workspaces_of_one_folder_have_a_plan_each(orders):
    code = orders.code(**{"main.tf": BUILT_IN})
    plans = [
        orders.plan(code, INIT, f"terraform workspace select -or-create {name}", PLAN, workspace=name)
        for name in ("one", "two")
    ]
    assert [plan.planned.problem for plan in plans] == [None, None]
    assert [plan.planned.workspace for plan in plans] == ["one", "two"]
    assert plans[0].planned.sha256 != plans[1].planned.sha256
    swapped = orders.apply(code, plans[0], "touch ran", sha256=plans[1].planned.sha256)
    tried(is_shown=False, is_applied=bool(swapped.log_bytes))


@pytest.mark.parametrize(
    "variables",
    [
        {"TF_CLI_ARGS": "-no-color", "TF_CLI_ARGS_show": "-json"},
        {"TF_LOG": "trace"},
        {"TF_DATA_DIR": "data"},
        {"TF_WORKSPACE": "default"},
        {"LD_PRELOAD": "/nowhere.so", "PATH": f"./bin:{os.environ['PATH']}"},
    ],
)
def test_variables_of_the_order_do_not_reach_the_engines_tool(with_provider, variables):
    code = with_provider.code(**{"main.tf": MAIN, "bin/terraform": "not a program"})
    result = with_provider.plan(code, INIT, PLAN, env_vars=variables)
    assert (result.status, result.planned.problem) == (OrderState.SUCCEEDED, None)
    assert result.changes == MAIN_CHANGES
    assert addresses(result) == ["aws_sns_topic.a", "terraform_data.b", ""]


@pytest.mark.parametrize(
    "puts",
    [
        f"mv {FILE} elsewhere && ln -s elsewhere {FILE}",
        f"ln -sf /etc/passwd {FILE}",
        f"rm {FILE} && mkfifo {FILE}",
        f"rm {FILE} && mkdir {FILE}",
        f"truncate -s 300M {FILE}",
        f"rm {FILE}",
    ],
)
def test_what_is_no_file_of_the_order_is_no_plan(orders, puts):
    result = orders.plan(orders.code(**{"main.tf": BUILT_IN}), INIT, PLAN, puts)
    assert (result.status, result.planned) == (OrderState.SUCCEEDED, None)
    assert f"it wrote no plan {FILE}" in result.reason
    tried(is_shown=result.changes is not None or result.plan is not None)


@pytest.mark.parametrize("puts", [f": > {FILE}", f"echo '{{}}' > {FILE}", f"head -c 1000 {FILE} > x; mv x {FILE}",
                                  f"cp {{state}} {FILE}"])  # fmt: skip
def test_what_is_no_plan_is_not_shown(orders, puts):
    state = orders.state / "some"
    state.write_text('{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"a","outputs":{},"resources":[]}')
    result = orders.plan(orders.code(**{"main.tf": BUILT_IN}), INIT, PLAN, puts.replace("{state}", str(state)))
    assert result.planned.problem == "the file is not a saved plan"
    tried(is_shown=result.changes is not None or result.plan is not None)


def test_a_state_that_has_changed_makes_the_plan_stale(orders):
    code = orders.code(**{"main.tf": BUILT_IN})
    first, second = orders.plan(code, INIT, PLAN), orders.plan(code, INIT, PLAN)
    assert orders.apply(code, first, INIT, APPLY).status is OrderState.SUCCEEDED
    late = orders.apply(code, second, INIT, APPLY)
    assert late.status is OrderState.FAILED
    assert late.reason.startswith(
        "the plan is stale: the state has changed since it was made; plan it again with /iac-ci plan; command 2 of 2"
    )
    tried(is_shown=False, is_applied=late.changes is not None)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sha256": "0" * 64}, f"{FILE} is not the plan that was reviewed: its SHA-256 is another one"),
        ({"lock_sha256": "0" * 64}, f"{LOCK} is not the one that it was made with: its SHA-256 is another one"),
        ({"tool_version": "1.0.0"}, "terraform 1.0.0 made it, and the order has "),
        ({"path": "/tmp/elsewhere"}, "it was made in /tmp/elsewhere, and the commands would run in "),
        ({"problem": "planning failed"}, "it cannot be applied: planning failed"),
    ],
)
def test_a_plan_that_is_not_the_reviewed_one_fails_before_the_first_command(orders, changed, words):
    code = orders.code(**{"main.tf": BUILT_IN})
    planned = orders.plan(code, INIT, PLAN)
    refused = orders.apply(code, planned, "echo ran", APPLY, **changed)
    assert refused.status is OrderState.FAILED
    assert refused.reason.startswith(f"the plan is stale: {words}")
    assert refused.reason.endswith("; plan it again with /iac-ci plan")
    assert not (orders.state / "terraform.tfstate").exists()
    tried(is_shown=False, is_applied=bool(refused.log_bytes))


def test_a_plan_that_could_not_be_stored_is_shown_and_not_applied(orders):
    orders.urls.refuses = True
    result = orders.plan(orders.code(**{"main.tf": BUILT_IN}), INIT, PLAN)
    assert (result.status, result.changes, result.files) == (OrderState.SUCCEEDED, TWO, None)
    assert result.planned.problem == "its bytes could not be stored"
    assert "the files to save could not be stored: a sealed file: HTTP 500" in result.reason


def test_a_session_that_ends_before_the_plan_is_fetched_changes_nothing(orders):
    code = orders.code(**{"main.tf": BUILT_IN})
    planned = orders.plan(code, INIT, PLAN)
    orders.urls.expired = 1
    applied = orders.apply(code, planned, INIT, APPLY)
    assert (applied.status, applied.reason) == (OrderState.SUCCEEDED, None)
    assert orders.urls.expired == 0
    assert applied.changes == Changes(operation="applied", add=2)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs commands as another user")
def test_commands_of_another_user_plan_and_apply(tmp_path, terraform):
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    # By a shell, which answers with 126 where the user cannot run the script's Python.
    look = ["/bin/sh", "-c", "terraform version"]
    found = subprocess.run(look, cwd="/", user=_USER, group=_USER, extra_groups=[], capture_output=True)
    if found.returncode != 0:
        pytest.skip(
            "another user cannot run this machine's Terraform; test_saved_plan.py has a tool that every user runs"
        )
    orders = Orders(tmp_path, user=_USER)
    code = orders.code(**{"main.tf": BUILT_IN, LOCK: ""})
    planned = orders.plan(code, INIT, PLAN)
    assert (planned.status, planned.reason) == (OrderState.SUCCEEDED, None), orders.log(planned)
    assert planned.changes == TWO
    applied = orders.apply(code, planned, f"stat -c '%U %a' {FILE}; ! echo x >> {FILE}", INIT, APPLY)
    assert (applied.status, applied.reason) == (OrderState.SUCCEEDED, None)
    assert "root 444\n" in orders.log(applied)
