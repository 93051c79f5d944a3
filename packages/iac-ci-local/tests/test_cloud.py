"""A whole local cloud: found by its state file, with a Terraform for the commands, side by side with others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iac_ci_local.cloud import LocalCloud, runtime_folder
from iac_ci_local.ministack import LocalCloudError

pytestmark = pytest.mark.local_cloud


def test_announced_clouds_are_found_and_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with LocalCloud(announced=True) as one, LocalCloud(announced=True, stack_name="two") as two:
        found = {path.name: json.loads(path.read_text("utf-8")) for path in runtime_folder().glob("*.json")}
        assert {state["endpoint"] for state in found.values()} == {one.aws.endpoint, two.aws.endpoint}
        assert {state["stack"] for state in found.values()} == {"iac-ci", "two"}
        assert all((path.stat().st_mode & 0o077) == 0 for path in runtime_folder().glob("*.json"))
        assert one.stack.webhook_secret not in json.dumps(found)
    assert list(runtime_folder().iterdir()) == []


def test_links_of_killed_clouds_are_removed_by_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (runtime_folder() / "1.json").symlink_to(tmp_path / "gone")
    with LocalCloud(announced=True) as cloud:
        assert [path.stem for path in runtime_folder().iterdir()] == [cloud.aws.account]


def test_a_runtime_folder_that_others_may_write_to_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "iac-ci").mkdir()
    (tmp_path / "iac-ci").chmod(0o777)
    with pytest.raises(LocalCloudError):
        runtime_folder()


def test_the_commands_get_a_terraform_where_the_machine_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iac_ci_local.cloud.terraform_on_path", lambda: None)
    with LocalCloud() as cloud:
        functions = cloud.aws.client("lambda")
        environment = functions.get_function_configuration(FunctionName="iac-ci-worker")["Environment"]["Variables"]
        first = environment["IAC_CI_COMMAND_PATH"].split(":")[0]
        assert Path(first, "terraform").stat().st_mode & 0o111
        assert Path(first).parent == cloud.aws.folder
