"""Providers in the image: what a build adds, and what real Terraform makes of them."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from offline import program

from iac_ci_worker.provider_installation import write_provider_installation
from pipelines.provider_servers import Served, archive, folder_of, load, lock_text, write_certificate

provider_mirror, provider_image = load("provider_mirror"), load("provider_image")

HOST = "registry.example.com"
ADDRESS = f"{HOST}/acme/demo"
PLATFORM = "linux_amd64"
VERSIONS = ("1.2.3", "2.0.0")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_certificate(tmp_path_factory.mktemp("tls") / "mirror.pem")


@pytest.fixture
def providers(tmp_path):
    """Both versions of a provider, in a mirror."""
    found = []
    for version in VERSIONS:
        content = archive(tmp_path / "demo.zip", f"#!/bin/sh\nexit {version[0]}\n".encode(), version=version)
        provider = provider_mirror.Locked(HOST, "acme", "demo", version, provider_mirror.hashes_of(content))
        place = tmp_path / "mirror" / provider.folder
        place.mkdir(parents=True, exist_ok=True)
        (place / provider.archive(PLATFORM)).write_bytes(content)
        found.append(provider)
    provider_mirror.fill(tmp_path / "mirror", found, [PLATFORM], None, "http")
    return found


def context(tmp_path: Path) -> Path:
    """Return an archive as git makes it, with one file."""
    path = tmp_path / "context.tar"
    with tarfile.open(path, "w") as opened:
        opened.addfile(tarfile.TarInfo("Dockerfile"), io.BytesIO())
    return path


def bake(tmp_path: Path, providers: list) -> tuple[Path, Path]:
    """Lay out the folder and the index that the image gets."""
    path = context(tmp_path)
    provider_image.add(path, tmp_path / "mirror", providers, PLATFORM)
    with tarfile.open(path) as opened:
        opened.extractall(tmp_path / "built", filter="fully_trusted")
    folder = tmp_path / "share/terraform"
    folder.mkdir(parents=True)
    (tmp_path / "built/providers/plugins").rename(folder / "plugins")
    return folder / "plugins", tmp_path / "built/providers/index.json"


def test_a_build_gets_programs_and_an_index_of_root(tmp_path, providers):
    path = context(tmp_path)
    total = provider_image.add(path, tmp_path / "mirror", providers, PLATFORM)
    with tarfile.open(path) as opened:
        entries = {entry.name: entry for entry in opened.getmembers()}
        index = json.loads(opened.extractfile("providers/index.json").read())
    program_of = entries[f"providers/plugins/{ADDRESS}/2.0.0/{PLATFORM}/terraform-provider-demo_v2.0.0"]
    assert (program_of.mode, program_of.uid, program_of.mtime) == (0o755, 0, 0)
    assert "Dockerfile" in entries
    hashes = {each.version: next(value for value in each.hashes if value[:3] == "h1:") for each in providers}
    assert index == {"schema_version": 1, "providers": {ADDRESS: hashes}}
    assert total == sum(entry.size for name, entry in entries.items() if "/plugins/" in name)


def test_a_lock_file_without_the_hash_that_terraform_compares_is_refused(tmp_path, providers):
    only_archives = [
        provider_mirror.Locked(HOST, "acme", "demo", each.version, frozenset(h for h in each.hashes if h[0] == "z"))
        for each in providers
    ]
    with pytest.raises(provider_mirror.NotMirrored, match=r"terraform providers lock -platform=linux_amd64"):
        provider_image.add(context(tmp_path), tmp_path / "mirror", only_archives, PLATFORM)


def test_an_entry_that_is_no_plain_file_is_refused(tmp_path, providers, monkeypatch):
    (path,) = (tmp_path / "mirror").rglob("*2.0.0*.zip")
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr(link, "/etc/passwd")
    known = provider_mirror.hashes_of(path.read_bytes())
    changed = provider_mirror.Locked(HOST, "acme", "demo", "2.0.0", known)
    with pytest.raises(provider_mirror.NotMirrored, match="no plain file: 'link'"):
        provider_image.add(context(tmp_path), tmp_path / "mirror", [changed], PLATFORM)


def test_more_than_lambda_accepts_is_refused(tmp_path, providers, monkeypatch):
    monkeypatch.setattr(provider_image, "MOST_BYTES", 10)
    with pytest.raises(provider_mirror.NotMirrored, match="too many for Lambda"):
        provider_image.add(context(tmp_path), tmp_path / "mirror", providers, PLATFORM)


def test_the_digest_is_of_the_locked_providers_alone(providers):
    digest = provider_image.digest(providers, PLATFORM)
    assert len(digest) == 12
    assert provider_image.digest(list(providers), PLATFORM) == digest
    assert provider_image.digest(providers[:1], PLATFORM) != digest
    assert provider_image.digest(providers, "linux_arm64") != digest


class Order:
    """An order whose root module needs the provider, on a worker of the image."""

    def __init__(self, tmp_path, name, baked, certificate, *, locked=None, wanted="1.2.3", mirror=""):
        self.home, self.code = tmp_path / name / "home", tmp_path / name / "code"
        for folder in (self.home, self.code):
            folder.mkdir(parents=True)
        (self.code / "main.tf").write_text(
            f'terraform {{\n  required_providers {{\n    demo = {{\n      source  = "{ADDRESS}"\n'
            f'      version = "{wanted}"\n    }}\n  }}\n}}\n'
        )
        if locked is not None:
            (self.code / ".terraform.lock.hcl").write_text(lock_text(ADDRESS, wanted, locked))
        folder, index = baked
        write_provider_installation(self.home, mirror, self.code, index=index, folder=folder)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_DATA_DIRS": str(folder.parents[1]),
            "SSL_CERT_FILE": str(certificate),
            "CHECKPOINT_DISABLE": "1",
        }

    def start(self):
        command = ["terraform", "init", "-no-color", "-input=false"]
        return subprocess.Popen(
            command, cwd=self.code, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def init(self):
        process = self.start()
        output, _ = process.communicate(timeout=600)
        return process.returncode, output

    @property
    def is_from_image(self):
        (found,) = self.code.glob(f".terraform/providers/{ADDRESS}/*/{PLATFORM}")
        return found.is_symlink()


@pytest.fixture
def terraform():
    program.put_on_path()
    if program.version()["platform"] != PLATFORM:
        pytest.skip("the providers of this test are for another machine")


@pytest.fixture
def baked(tmp_path, providers, terraform):
    """The image's providers: version 1.2.3 alone."""
    return bake(tmp_path, providers[:1])


@pytest.fixture
def mirror(tmp_path, certificate):
    with Served(folder_of(tmp_path / "mirror"), certificate) as served:
        yield served


def test_orders_side_by_side_download_nothing(tmp_path, providers, baked, certificate):
    orders = [Order(tmp_path, f"order-{number}", baked, certificate, locked=providers[0].hashes) for number in range(4)]
    started = [order.start() for order in orders]
    for process, order in zip(started, orders, strict=True):
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
        assert order.is_from_image
        assert not (order.home / ".terraformrc").exists()
    print(f"baked: {len(orders)} inits side by side, nothing downloaded")


def test_with_a_mirror_the_image_comes_first_and_the_mirror_is_not_asked(
    tmp_path, providers, baked, certificate, mirror
):
    address = f"https://{mirror.address}/"
    order = Order(tmp_path, "a", baked, certificate, locked=providers[0].hashes, mirror=address)
    code, output = order.init()
    assert code == 0, output
    assert order.is_from_image
    assert mirror.asked == []


@pytest.mark.parametrize(
    ("wanted", "hashes", "from_image"),
    [
        # Another version than the image's, and one that the image has, with the hash of another system alone.
        ("2.0.0", lambda all_: all_, False),
        ("1.2.3", lambda all_: frozenset(each for each in all_ if each.startswith("zh:")), False),
        # Without a lock file the newest allowed version counts, from wherever it is.
        ("1.2.3", lambda _: None, True),
        (">= 1.0", lambda _: None, False),
    ],
)
def test_what_the_image_does_not_satisfy_comes_from_the_mirror(
    tmp_path, providers, baked, certificate, mirror, wanted, hashes, from_image
):
    known = next((each.hashes for each in providers if each.version == wanted), frozenset())
    address = f"https://{mirror.address}/"
    order = Order(tmp_path, "a", baked, certificate, locked=hashes(known), wanted=wanted, mirror=address)
    code, output = order.init()
    assert code == 0, output
    assert order.is_from_image is from_image


def test_a_changed_provider_is_refused_by_the_lock_file(tmp_path, providers, baked, certificate):
    (found,) = baked[0].rglob("terraform-provider-demo_v1.2.3")
    found.write_text("#!/bin/sh\necho owned\n")
    code, output = Order(tmp_path, "a", baked, certificate, locked=providers[0].hashes).init()
    assert code == 1
    assert "checksum" in output, output
