"""Providers in the image: nothing is downloaded, and no order can change them."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest
from offline.place import digest_of
from pipelines.provider_servers import archive, load, lock_text

from image.engine import ROOT, Engine

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(3600)]

ADDRESS = "registry.example.com/acme/demo"
FOLDER = f"/usr/local/share/terraform/plugins/{ADDRESS}/1.2.3/linux_amd64"
MAIN = f'terraform {{\n required_providers {{\n demo = {{ source = "{ADDRESS}", version = "1.2.3" }}\n }}\n}}\n'


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of a build with a provider, as pipelines/build makes them."""
    folder = tmp_path_factory.mktemp("baked")
    mirror, image = load("provider_mirror"), load("provider_image")
    content = archive(folder / "demo.zip")
    provider = mirror.Locked("registry.example.com", "acme", "demo", "1.2.3", mirror.hashes_of(content))
    place = folder / "mirror" / provider.folder
    place.mkdir(parents=True)
    (place / provider.archive("linux_amd64")).write_bytes(content)
    context = folder / "context.tar"
    tarfile.open(context, "w").close()
    image.add(context, folder / "mirror", [provider], "linux_amd64")
    made = folder / "files"
    shutil.copytree(ROOT / "packages", made / "packages", ignore=shutil.ignore_patterns("tests", "__pycache__"))
    for name in ("Dockerfile", ".dockerignore", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, made / name)
    with tarfile.open(context) as opened:
        opened.extractall(made, filter="data")
    (made / "lock.hcl").write_text(lock_text(ADDRESS, "1.2.3", provider.hashes))
    return made


def test_orders_of_both_targets_use_the_providers_and_cannot_change_them(
    engine: Engine, image: str, sources: Path
) -> None:
    """That ``image`` was built before only leaves layers that need not be built again."""
    tag = f"iac-ci-tested:providers-{digest_of(str(ROOT))}"
    baked = engine.build(tag, source=sources)
    lock = (sources / "lock.hcl").read_text()
    steps = (
        "mkdir -p /tmp/o/home && cd /tmp/o && export HOME=/tmp/o/home CHECKPOINT_DISABLE=1",
        f"printf '{MAIN}' >main.tf && printf '%s' '{lock}' >.terraform.lock.hcl",
        "terraform init -no-color -input=false -lockfile=readonly",
        f"readlink .terraform/providers/{ADDRESS}/1.2.3/*",
        f"touch {FOLDER}/x",
        f"echo owned >{FOLDER}/terraform-provider-demo_v1.2.3",
        "cat /usr/share/iac-ci/providers.json",
    )
    script = "; ".join(steps)
    on_lambda = engine.inside_as_lambda(baked, script)
    on_builds = engine.inside(baked, "bash", "-c", f"{{ {script}; }} 2>&1").stdout
    for printed, refusal in ((on_lambda, "Read-only file system"), (on_builds, "Permission denied")):
        assert "successfully initialized" in printed, printed
        assert FOLDER in printed.splitlines(), printed
        assert printed.count(refusal) == 2, printed
        assert '"h1:' in printed
    assert '"providers": {}' in engine.shell(image, "cat /usr/share/iac-ci/providers.json")
    engine.run("image", "rm", "--force", tag)
    print("baked: init without a network on Lambda's file system and as a build's user; both writes refused on each")
