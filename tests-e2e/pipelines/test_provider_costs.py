"""What installing a provider costs an order: from its registry, from a mirror, and from the image, on both targets.

To see the table, ``export IAC_CI_FULL=1`` and run ``.ci/test -n 0 -s tests-e2e/pipelines/test_provider_costs.py``.
``IAC_CI_MEASURED_PROVIDER`` names the program of a real provider; without it, one of random bytes is measured.
"""

from __future__ import annotations

import os
import random
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from offline import program

from iac_ci_common.states import OrderState
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.testing import folder_of_commands, log_of, submit, wait_for_end
from iac_ci_worker.provider_installation import installation
from pipelines.provider_servers import Served, folder_of, load, lock_text, signed_registry, write_certificate

pytestmark = [pytest.mark.local_cloud, pytest.mark.full, pytest.mark.timeout(3600)]

PLATFORM = "linux_amd64"
VERSION = "5.100.0"
TARGETS = ("lambda", "codebuild")
SIDE_BY_SIDE = 2
MIRRORED = "registry.example.com"
RANDOM_BYTES = 24 * 1024 * 1024
_TIMES = re.compile(r"^(\d+)m([\d.]+)s (\d+)m([\d.]+)s$", re.MULTILINE)


@dataclass
class Measured:
    """A cloud, a registry and a mirror with the same provider, and the folder that the image would have."""

    cloud: LocalCloud
    registry: Served
    mirror: Served
    shared: Path
    hashes: frozenset[str]
    program_bytes: int

    def address(self, source: str) -> str:
        """Return the provider's address: in a mirror Terraform reads no provider of a registry with a port."""
        if source == "registry":
            return f"localhost:{self.registry.address.rpartition(':')[2]}/hashicorp/aws"
        return f"{MIRRORED}/hashicorp/aws"

    def environment(self, source: str) -> dict[str, str]:
        """Return the variables of orders that install from the registry, the mirror or the image."""
        found = {"SSL_CERT_FILE": str(self.shared / "tls.pem"), "CHECKPOINT_DISABLE": "1"}
        if source == "mirror":
            text = installation(f"https://{self.mirror.address}/", {}, self.shared)
            (self.shared / "mirror.tfrc").write_text(text)
            found["TF_CLI_CONFIG_FILE"] = str(self.shared / "mirror.tfrc")
        if source == "image":
            found["XDG_DATA_DIRS"] = str(self.shared / "share")
        return found

    def orders(self, source: str) -> list[dict[str, object]]:
        address = self.address(source)
        block = f'demo = {{ source = "{address}", version = "{VERSION}" }}'
        files = {
            "main.tf": f"terraform {{\n  required_providers {{\n    {block}\n  }}\n}}\n",
            ".terraform.lock.hcl": lock_text(address, VERSION, self.hashes),
        }
        write = [f"cat >{name} <<'END'\n{text}END" for name, text in files.items()]
        init = "terraform init -no-color -input=false -lockfile=readonly && times"
        link = f"readlink .terraform/providers/{address}/{VERSION}/{PLATFORM} || echo no link"
        return [
            {
                "order_name": f"{target}-{number}",
                "execution_target": target,
                "cmds": [*write, init, link],
                "timeout": 400,
                "env_vars": self.environment(source),
            }
            for target in TARGETS
            for number in range(SIDE_BY_SIDE)
        ]


def seconds_of(log: str) -> float:
    """Return the processor seconds of the processes that a shell's ``times`` has printed, after its own."""
    minutes, seconds, system_minutes, system_seconds = _TIMES.findall(log)[1]
    return 60 * (int(minutes) + int(system_minutes)) + float(seconds) + float(system_seconds)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    program.put_on_path()
    if program.version()["platform"] != PLATFORM:
        pytest.skip("the provider is for another machine")
    provider_mirror, provider_image = load("provider_mirror"), load("provider_image")
    folder = tmp_path_factory.mktemp("provider")
    named = os.environ.get("IAC_CI_MEASURED_PROVIDER")
    source = Path(named) if named else folder / "program"
    if not named:
        source.write_bytes(random.Random(1).randbytes(RANDOM_BYTES))
    file = folder / "aws.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as opened:
        opened.write(source, f"terraform-provider-aws_v{VERSION}_x5")
    hashes = provider_mirror.hashes_of(file.read_bytes())
    with folder_of_commands() as shared:
        certificate = write_certificate(shared / "tls.pem")
        certificate.chmod(0o644)
        with signed_registry(folder, certificate, "hashicorp/aws", VERSION, PLATFORM, file) as registry:
            provider = provider_mirror.Locked(MIRRORED, "hashicorp", "aws", VERSION, hashes)
            place = folder / "mirror" / provider.folder
            place.mkdir(parents=True)
            file.rename(place / provider.archive(PLATFORM))
            (folder / "aws.zip").symlink_to(place / provider.archive(PLATFORM))
            provider_mirror.fill(folder / "mirror", [provider], [PLATFORM], None, "https")
            context = folder / "context.tar"
            tarfile.open(context, "w").close()
            provider_image.add(context, folder / "mirror", [provider], PLATFORM)
            with tarfile.open(context) as opened_context:
                opened_context.extractall(shared, filter="fully_trusted")
            context.unlink()
            (shared / "share/terraform").mkdir(parents=True)
            (shared / "providers/plugins").rename(shared / "share/terraform/plugins")
            with Served(folder_of(folder / "mirror"), certificate) as mirror, LocalCloud() as cloud:
                yield Measured(cloud, registry, mirror, shared, hashes, source.stat().st_size)


def test_bytes_and_processor_seconds_of_each_source(measured: Measured) -> None:
    table = [f"a provider of {measured.program_bytes / 1e6:.0f} MB, {SIDE_BY_SIDE} inits side by side on each target"]
    for source in ("registry", "mirror", "image"):
        for server in (measured.registry, measured.mirror):
            server.asked.clear()
            server.sent = 0
        run_id = submit(measured.cloud, {"username": "tests", "orders": measured.orders(source)})
        rows = wait_for_end(measured.cloud, run_id, seconds=1200)
        spent: dict[str, list[float]] = {target: [] for target in TARGETS}
        for row in rows.orders:
            log = log_of(measured.cloud, run_id, row.order_num)
            assert row.status is OrderState.SUCCEEDED, log
            assert ("\nno link\n" not in log) is (source == "image"), log
            spent[row.order_name.partition("-")[0]].append(seconds_of(log))
        inits = len(rows.orders)
        for target, each in spent.items():
            table.append(
                f"{source:9} {target:10} {sum(each) / len(each):6.2f} processor seconds and "
                f"{measured.registry.sent / inits / 1e6:6.1f} MB of the registry, "
                f"{measured.mirror.sent / inits / 1e6:6.1f} MB of the mirror for each init"
            )
        if source != "registry":
            assert measured.registry.asked == []
        assert (measured.mirror.sent > 0) is (source == "mirror")
    print("\n".join(["", *table]))
