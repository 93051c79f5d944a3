"""The release of one changed package, played through in a temporary clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from releases.versions import Kind, bounds, next_version

ROOT = Path(__file__).resolve().parents[2]
PLANS = "packages/iac-ci-plans"


class Clone:
    """A repository of its own with the files of this checkout, all packages released."""

    def __init__(self, root):
        self.root = root
        for name in subprocess.run(
            ["git", "ls-files", "-z", "packages", "pyproject.toml", "uv.lock"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\0"):
            if name and (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, root / name)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("config", "user.name", "tests")
        self.git("config", "user.email", "tests@example.com")
        self.commit("as it is")

    def git(self, *arguments):
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commit(self, subject):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-gpg-sign", "-m", subject)

    def releases(self, *arguments):
        done = subprocess.run(
            [ROOT / ".ci/release", *arguments, "--root", self.root],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    def tag(self, output):
        for tag in output.splitlines()[-1].removeprefix("tags: ").split():
            self.git("tag", tag)

    def text(self, name):
        return (self.root / name).read_text("utf-8")

    def change(self, package):
        (path,) = (self.root / "packages" / package / "src").glob("*/__init__.py")
        path.write_text(path.read_text("utf-8") + "\n# changed\n", "utf-8")

    def fragment(self, package, name, text):
        folder = self.root / "packages" / package / "changes"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")

    def version(self, package):
        return tomllib.loads(self.text(f"packages/{package}/pyproject.toml"))["project"]["version"]

    def lock_is_current(self):
        uv = shutil.which("uv") or ROOT / ".tools/bin/uv"
        done = subprocess.run([uv, "lock", "--check", "--offline"], cwd=self.root, capture_output=True, text=True)
        return done.returncode == 0


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("releases"))
    code, output, errors = clone.releases("write")
    assert code == 0, errors
    if clone.git("status", "--porcelain"):
        clone.commit("first releases")
    clone.tag(output)
    return clone


@pytest.fixture
def clone(checkout):
    start = checkout.git("rev-parse", "HEAD").strip()
    tags = set(checkout.git("tag").split())
    yield checkout
    checkout.git("reset", "--quiet", "--hard", start)
    checkout.git("clean", "--quiet", "-d", "--force")
    for tag in set(checkout.git("tag").split()) - tags:
        checkout.git("tag", "--delete", tag)


def test_one_changed_package_is_released(clone):
    before = clone.version("iac-ci-plans")
    clone.change("iac-ci-plans")
    clone.commit("feat(plans): read more")
    code, _, errors = clone.releases("check")
    assert (code, f"iac-ci-plans: changed since iac-ci-plans-v{before} without a fragment" in errors) == (1, True)
    assert errors.count("without a fragment") == 1

    clone.fragment("iac-ci-plans", "quotes.added.md", 'Values in "quotes" are read,\nalso over lines.\n')
    clone.fragment("iac-ci-plans", "blanks.fixed.md", "Lines that end with blanks are counted.\n")
    clone.commit("docs(plans): say so")
    code, output, errors = clone.releases("check")
    assert (code, errors) == (0, "")
    assert output.endswith("each change has a fragment, and the bounds between siblings hold\n")

    after = next_version(before, Kind.ADDED)
    code, planned, _ = clone.releases("plan")
    assert planned == f"iac-ci-plans {before} → {after} (1 added, 1 fixed)\ntags: iac-ci-plans-v{after}\n"
    assert clone.git("status", "--porcelain") == ""
    code, written, errors = clone.releases("write")
    assert (code, written) == (0, planned), errors
    changed = {line.split()[-1] for line in clone.git("status", "--porcelain").splitlines()}
    assert changed == {
        "uv.lock",
        f"{PLANS}/CHANGELOG.md",
        f"{PLANS}/pyproject.toml",
        f"{PLANS}/changes/blanks.fixed.md",
        f"{PLANS}/changes/quotes.added.md",
    }
    assert re.search(
        rf"^## {re.escape(after)} \(\d{{4}}-\d\d-\d\d\)\n\n"
        r'- Values in "quotes" are read, also over lines\.\n- Lines that end with blanks are counted\.\n\n## ',
        clone.text(f"{PLANS}/CHANGELOG.md"),
        re.MULTILINE,
    )
    assert clone.version("iac-ci-plans") == after
    assert clone.lock_is_current()
    clone.commit("chore: release")
    assert clone.releases("check", "--base", "HEAD~1")[0] == 0
    clone.tag(written)
    assert clone.releases("check")[0] == 0
    assert clone.releases("plan")[1] == "no package has changes to release\n"


def test_a_breaking_change_raises_the_bounds_of_all_that_need_the_package(clone):
    common = next_version(clone.version("iac-ci-common"), Kind.BREAKING)
    before = clone.version("iac-ci-worker")
    clone.change("iac-ci-common")
    clone.fragment("iac-ci-common", "keys.breaking.md", "Keys have other names.")
    code, output, errors = clone.releases("write")
    assert code == 0, errors
    assert f"iac-ci-worker {before} → {next_version(before, Kind.FIXED)} (1 fixed)" in output
    worker = tomllib.loads(clone.text("packages/iac-ci-worker/pyproject.toml"))["project"]["dependencies"]
    assert f"iac-ci-common[masking,sealing]{bounds(common)}" in worker
    assert "- **Breaking**: Keys have other names." in clone.text("packages/iac-ci-common/CHANGELOG.md")
    assert f"- Needs iac-ci-common {common} or newer." in clone.text("packages/iac-ci-worker/CHANGELOG.md")
    assert clone.lock_is_current()
    clone.commit("chore: release")
    clone.tag(output)
    assert clone.releases("check")[0] == 0


def test_every_problem_is_reported_at_once_and_nothing_is_written(clone):
    clone.change("iac-ci-cli")
    clone.fragment("iac-ci-plans", "quotes.md", "Text.")
    clone.fragment("iac-ci-plans", "empty.fixed.md", "\n")
    (clone.root / "packages/iac-ci-plans/changes/folder.fixed.md").mkdir()
    (clone.root / "packages/iac-ci-plans/changes/bytes.fixed.md").write_bytes(b"\xff\xfe")
    project = clone.root / "packages/iac-ci-vcs/pyproject.toml"
    bound = re.search(r'"iac-ci-common\[masking\]([^"]*)"', project.read_text("utf-8"))[1]
    project.write_text(project.read_text("utf-8").replace(bound, ">=0.9,<0.10"), "utf-8")
    before = clone.git("status", "--porcelain")
    code, output, errors = clone.releases("write")
    assert (code, output) == (1, "")
    for expected in (
        "iac-ci-cli: changed since",
        "iac-ci-plans: quotes.md: a fragment is named",
        "iac-ci-plans: empty.fixed.md: write what changed",
        "iac-ci-plans: folder.fixed.md: is not a file of text",
        "iac-ci-plans: bytes.fixed.md: is not a file of text",
        "iac-ci-vcs: needs iac-ci-common>=0.9,<0.10",
    ):
        assert expected in errors.replace("<0.10,>=0.9", ">=0.9,<0.10")
    assert clone.git("status", "--porcelain") == before


def test_a_history_that_cannot_be_read_is_a_message(clone, tmp_path):
    code, output, errors = clone.releases("check", "--base", "no-such-commit")
    assert (code, output) == (2, "")
    assert "no-such-commit" in errors
    assert "git fetch --unshallow --tags" in errors
    assert "Traceback" not in errors
    shutil.copytree(clone.root / "packages", tmp_path / "packages")
    clone.root, kept = tmp_path, clone.root
    try:
        code, _, errors = clone.releases("plan")
    finally:
        clone.root = kept
    assert (code, "Traceback" in errors, "not a git repository" in errors) == (2, False, True)


def test_a_file_name_that_is_no_text_is_a_file_name(clone):
    (clone.root / os.fsdecode(b"packages/iac-ci-plans/\xff.py")).write_text("")
    assert clone.releases("check")[0] == 0


def test_a_branch_is_compared_with_the_commit_that_it_left(clone):
    clone.git("checkout", "--quiet", "-b", "feature")
    clone.change("iac-ci-plans")
    assert clone.releases("check", "--base", "main")[0] == 1
    clone.fragment("iac-ci-plans", "inner.internal.md", "Shorter.")
    assert clone.releases("check", "--base", "main")[0] == 0
    clone.git("checkout", "--quiet", "--force", "main")
    clone.git("branch", "--quiet", "-D", "feature")
