"""What earlier orders left is ended and removed, however it is nested, and nothing is touched outside a sandbox."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from iac_ci_common.errors import SandboxUnfit
from iac_ci_worker import leftovers
from iac_ci_worker.leftovers import WHOLE_SANDBOX, remove_leftovers
from iac_ci_worker.processes import descendants
from iac_ci_worker.separation import agent_folders, process_arguments, separate_user
from iac_ci_worker.workspace import open_workspace


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """A keeper with two processes below it, and a folder for temporary files."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    keeper = subprocess.Popen(["bash", "-c", "sleep 600 & sleep 600 & echo; wait"], stdout=subprocess.PIPE)
    assert keeper.stdout is not None
    keeper.stdout.readline()
    yield keeper.pid
    for pid in (*descendants(keeper.pid), keeper.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
    keeper.wait()
    keeper.stdout.close()


def nest(folder: Path, depth: int) -> None:
    """Nest folders that may not be read, deeper than a path may be long and than Python recurses."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("nested", dir_fd=descriptor)
        inner = os.open("nested", os.O_RDONLY, dir_fd=descriptor)
        os.fchmod(inner, 0)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


def test_processes_and_files_are_gone(sandbox, tmp_path):
    elsewhere = tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (tmp_path / "link").symlink_to(elsewhere)
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    nest(tmp_path, 1500)
    remove_leftovers(sandbox)
    assert list(tmp_path.iterdir()) == []
    assert descendants(sandbox) == []
    assert (elsewhere / "kept").exists(), "links are not followed"


def test_what_stays_makes_the_sandbox_unfit(sandbox, tmp_path, monkeypatch):
    (tmp_path / "stubborn").mkdir()

    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(SandboxUnfit, match="stubborn"):
        remove_leftovers(sandbox)


def test_processes_that_stay_make_the_sandbox_unfit(sandbox, monkeypatch):
    monkeypatch.setattr(leftovers, "_END_SECONDS", 0)
    kill = os.kill
    monkeypatch.setattr(os, "kill", lambda *_: None)
    with pytest.raises(SandboxUnfit, match="2 processes"):
        remove_leftovers(sandbox)
    monkeypatch.setattr(os, "kill", kill)


@pytest.mark.parametrize(
    ("below", "user", "in_function"), [(0, 1000, True), (WHOLE_SANDBOX, 0, True), (WHOLE_SANDBOX, 1000, False)]
)
def test_no_machine_is_cleaned_that_is_no_sandbox(below, user, in_function, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.delenv("AWS_LAMBDA_RUNTIME_API", raising=False)
    if in_function:
        monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")

    def never(*arguments):
        raise AssertionError(arguments)

    monkeypatch.setattr(leftovers, "_end_processes", never)
    monkeypatch.setattr(leftovers, "_empty_all", never)
    remove_leftovers(below)


@pytest.mark.parametrize(("user", "wanted", "given"), [(0, 10001, 10001), (0, None, None), (1000, 10001, None)])
def test_only_root_gives_the_commands_another_user(user, wanted, given, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert separate_user(wanted) == given


def test_a_separated_process_is_in_one_group():
    assert process_arguments(10001) == {"user": 10001, "group": 10001, "extra_groups": []}
    assert process_arguments(None) == {}


def test_the_agents_folder_is_found_by_its_script(tmp_path):
    script = tmp_path / "script.sh"
    script.write_text("echo started; read line; true\n")
    with subprocess.Popen(["sh", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdout.readline()
        assert tmp_path not in agent_folders([shell.pid])  # another program's script: its folder is not ours to empty
        (tmp_path / "env.sh").touch()
        assert tmp_path in agent_folders([shell.pid])
        shell.stdin.close()


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "secret").write_text("of the order before")
    nest(path, 50)
    path.chmod(0)


def _link(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    "leave",
    [_folder, _link, Path.touch, os.mkfifo, lambda path: path.symlink_to("nowhere"), lambda _: None],
    ids=["a folder", "a link", "a file", "a pipe", "a link to nowhere", "nothing"],
)
def test_each_order_gets_a_new_folder_at_the_same_path(tmp_path, monkeypatch, leave):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    leave(tmp_path / "order")
    with open_workspace(name="order") as workspace:
        assert workspace.root == tmp_path.resolve() / "order"
        assert not workspace.root.is_symlink()
        assert workspace.root.stat().st_mode & 0o777 == 0o700
        names = {path.name for path in workspace.root.rglob("*")}
        assert names == {"code", "credentials", "engine", "home", "output", "tmp", "tools"}
        assert {path.name for path in tmp_path.iterdir()} <= {"order", "elsewhere"}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} <= {"elsewhere", "elsewhere/kept"}
    assert (tmp_path / "elsewhere/kept").exists() == (leave is _link), "no link was followed"


def test_a_folder_that_stays_makes_the_sandbox_unfit(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "order/inner").mkdir(parents=True)

    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(SandboxUnfit, match=r"order.*could not be removed"), open_workspace(name="order"):
        pass


def test_orders_side_by_side_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with open_workspace() as first, open_workspace() as second:
        assert first.root != second.root
