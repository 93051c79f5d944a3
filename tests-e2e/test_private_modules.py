"""Private modules: git and Terraform read listed repositories with a token that nothing else gets.

The real broker, worker, git and Terraform; the code host is on loopback, by https, and asks for a password.
The commands and the configuration are those of docs/private-modules.md.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import io
import ipaddress
import json
import os
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from test_living_credentials import PLACE, Presigned

from iac_ci_broker.act import Broker, BrokerPorts
from iac_ci_broker.hand_on import HandOn
from iac_ci_broker.module_tokens import ModuleTokens
from iac_ci_broker.start import OrderStart
from iac_ci_common import keys
from iac_ci_common.granted import SourceGrants
from iac_ci_common.grants import Grants
from iac_ci_common.models.manifest import MANIFEST_NAME, Manifest
from iac_ci_common.models.result import Result
from iac_ci_common.models.work import BuildOrder
from iac_ci_common.packing import write
from iac_ci_common.ports import Transition
from iac_ci_common.states import OrderState
from iac_ci_common.testing import (
    FakeClock,
    MemoryLogger,
    MemoryObjects,
    MemoryRuns,
    MemorySealer,
    MemorySecrets,
    MemoryTargetRoles,
)
from iac_ci_common.testing.samples import RUN_ID, START, order_row, run_row
from iac_ci_common.testing.ticket_chains import MemoryTicketChains
from iac_ci_common.tickets import digest, new_ticket
from iac_ci_local.terraform_tool import terraform_on_path
from iac_ci_worker.act import Worker, WorkerPorts
from iac_ci_worker.heartbeat import ThreadHeartbeat
from iac_ci_worker.runner import BashRunner
from iac_ci_worker.settings import WorkerSettings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "private-modules.md"
TOKEN = "planted-token-that-only-reads"
ENGINES = "planted-token-of-the-engine"


class Host(ThreadingHTTPServer):
    """A code host: repositories of bare git, served by https to who knows the password."""

    def __init__(self, folder: Path, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.folder, self.passwords = folder, set[str]()
        self.name = f"127.0.0.1:{self.server_port}"


class _Handler(SimpleHTTPRequestHandler):
    server: Host

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=str(arguments[2].folder))

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        self.server.passwords.add(base64.b64decode(given).decode())
        if given != base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="code"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        del format, args


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "code host of a test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "host.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def host(tmp_path: Path, certificate: Path) -> Iterator[Host]:
    for name in ("modules", "secrets"):
        work, bare = tmp_path / "work" / name, tmp_path / "host/org" / f"{name}.git"
        (work / "vpc").mkdir(parents=True)
        (work / "vpc/main.tf").write_text('output "id" { value = "vpc-42" }\n')
        for words in (
            ("init", "-q", "-b", "main", str(work)),
            ("-C", str(work), "add", "."),
            ("-C", str(work), "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "one"),
            ("-C", str(work), "tag", "v1.2.0"),
            ("clone", "-q", "--bare", str(work), str(bare)),
            ("-C", str(bare), "update-server-info"),
        ):
            subprocess.run(["git", *words], check=True)
    with Host(tmp_path / "host", certificate) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


class Order:
    """One order on the real broker and worker."""

    def __init__(self, host: Host, certificate: Path, *, modules_token: bool = True) -> None:
        self._host, self._certificate = host, certificate
        self.clock = FakeClock(START)
        self.objects, self.runs = MemoryObjects(self.clock), MemoryRuns()
        connection: dict[str, Any] = {
            "repositories": [f"https://{host.name}/org/infra", f"https://{host.name}/org/modules"],
            "webhook_secrets": ["ssm:/iac-ci/acme/webhook-secret-one"],
            "token_location": "ssm:/iac-ci/jobs/tokens/code",
        }
        if modules_token:
            connection["modules_token_location"] = "ssm:/iac-ci/jobs/tokens/modules"
        self.secrets = MemorySecrets(
            {
                "ssm:/iac-ci/acme/connections": json.dumps([connection]),
                "ssm:/iac-ci/jobs/tokens/code": ENGINES,
                "ssm:/iac-ci/jobs/tokens/modules": TOKEN,
            }
        )
        sealer, self.logger = MemorySealer(), MemoryLogger()
        grants, hand_on = SourceGrants(self.secrets, None, Grants()), HandOn("acme", self.objects, sealer)
        start = OrderStart("acme", self.objects, sealer, MemoryTargetRoles(self.clock), grants, hand_on)
        modules = ModuleTokens(self.secrets, "ssm:/iac-ci/acme/connections", {})
        chains = MemoryTicketChains()
        broker = Broker(BrokerPorts(self.clock, self.runs, chains, self.objects, self.logger, start, modules))
        ports = WorkerPorts(
            self.clock, Presigned(self.objects), sealer, BashRunner(), broker, ThreadHeartbeat(), self.logger,
            self.clock.advance,
        )  # fmt: skip
        self._worker = Worker(ports, WorkerSettings(command_path=os.environ["PATH"]))

    def run(self, *cmds: str, listed: tuple[str, ...] = ("org/modules",)) -> Result:
        repositories = tuple(f"{self._host.name}/{path}" for path in listed)
        manifest = Manifest(
            run_id=RUN_ID, order_num="0001", order_name="one", flow_id="f", cmds=cmds,
            env_vars={"GIT_SSL_CAINFO": str(self._certificate), "GIT_TERMINAL_PROMPT": "0"},
            git_credentials=repositories,
        )  # fmt: skip
        archive = io.BytesIO()
        write(archive, {MANIFEST_NAME: manifest.to_stored()})
        self.objects.put(keys.package(*PLACE), archive.getvalue())
        sha256 = hashlib.sha256(archive.getvalue()).hexdigest()
        queued = order_row(1, git_credentials=repositories, package_sha256=sha256)
        self.runs.insert(run_row(source="github.com/org/infra"), [queued], [])
        ticket, dispatch = new_ticket(), str(int(START.timestamp() * 1000))
        sent = {
            "status": OrderState.DISPATCHING,
            "dispatched_at": START,
            "order_deadline": START + datetime.timedelta(minutes=5),
            "tickets": (f"{dispatch}:{digest(ticket)}",),
        }
        self.runs.apply([Transition(queued, queued.model_copy(update=sent))])
        self._worker.run_build(BuildOrder(run_id=RUN_ID, order_num="0001", dispatch=dispatch, ticket=ticket))
        return Result.model_validate_json(self.objects.get(keys.result(*PLACE)))


def documented(kind: str, host: Host) -> list[str]:
    """Return the blocks of this kind of the page, with the test's host in place of the example's."""
    blocks = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert blocks
    return [block.replace("github.com/acme", f"{host.name}/org") for block in blocks]


def test_git_reads_a_listed_repository_and_the_token_shows_nowhere(host: Host, certificate: Path) -> None:
    order = Order(host, certificate)
    url = f"https://{host.name}/org/modules.git"
    result = order.run(
        f"git clone -q {url} one && ls one/vpc",
        "git clone -q ssh://git@127.0.0.1/org/modules.git two && ls two/vpc",
        "git -C one remote -v; cat one/.git/config ~/.gitconfig; env",
        f"printf 'protocol=https\\nhost={host.name}\\npath=org/modules.git\\n\\n' | git credential fill",
        "grep -r 'that-only-reads' ~ $TMPDIR one two ~/../credentials && exit 1; true",
    )
    assert result.status is OrderState.SUCCEEDED, result.log_tail
    assert "password=***" in result.log_tail
    assert host.passwords == {"", f"x-access-token:{TOKEN}"}
    everything = b"".join(body for key, body in order.objects.objects.items())
    assert TOKEN.encode() not in everything
    print("a listed repository is cloned by https and by ssh's name; the token is in no file and no variable")


@pytest.mark.parametrize("path", ["org/secrets", "org/modules-other", "other/modules"])
def test_another_repository_of_the_host_gets_no_token(host: Host, certificate: Path, path: str) -> None:
    result = Order(host, certificate).run(f"git clone -q https://{host.name}/{path}.git")
    assert result.status is OrderState.FAILED
    assert f"git_credentials of this order does not list {host.name}/{path}" in result.log_tail
    assert host.passwords == {""}


def test_a_repository_that_is_no_longer_connected_gets_no_token(host: Host, certificate: Path) -> None:
    """The row of the order lists it, and the operator has removed it since."""
    result = Order(host, certificate).run(
        f"git clone -q https://{host.name}/org/secrets.git", listed=("org/modules", "org/secrets")
    )
    assert result.status is OrderState.FAILED
    assert "org/secrets is no longer in a connection of this stack" in result.log_tail
    assert host.passwords == {""}


def test_the_token_of_the_connection_never_reaches_commands(host: Host, certificate: Path) -> None:
    order = Order(host, certificate, modules_token=False)
    result = order.run(f"git clone -q https://{host.name}/org/modules.git")
    assert result.status is OrderState.FAILED
    assert "name it as modules_token_location of the connection" in result.log_tail
    assert host.passwords == {""}
    assert ENGINES not in result.log_tail


def test_another_process_without_the_orders_token_gets_none(host: Host, certificate: Path) -> None:
    ask = (
        "port=$(grep -o '127.0.0.1/[0-9]*' ~/../credentials/git-helper | head -1 | cut -d/ -f2); "
        "asked=$'protocol=https\\nhost=" + host.name + "\\npath=org/modules.git'; "
        "exec 3<>/dev/tcp/127.0.0.1/$port; printf 'POST /git HTTP/1.0\\r\\nHost: 127.0.0.1:%s\\r\\n"
        'Content-Length: %d\\r\\n\\r\\n%s\' $port ${#asked} "$asked" >&3; cat <&3'
    )
    result = Order(host, certificate).run(ask)
    assert "403" in result.log_tail
    assert "password" not in result.log_tail.partition("\n")[2]


@pytest.mark.skipif(not terraform_on_path(), reason="needs the program Terraform")
def test_terraform_reads_the_documented_modules(host: Host, certificate: Path) -> None:
    blocks = documented("hcl", host)
    configuration = next(block for block in blocks if block.lstrip().startswith("module"))
    result = Order(host, certificate).run(
        f"cat > main.tf <<'END'\n{configuration}\noutput \"id\" {{ value = module.vpc.id }}\nEND",
        "terraform init -no-color -input=false && terraform apply -no-color -auto-approve",
    )
    assert result.status is OrderState.SUCCEEDED, result.log_tail
    assert 'id = "vpc-42"' in result.log_tail
    print("terraform init reads the module of docs/private-modules.md by git::https")


def test_the_source_that_terragrunt_gets_is_one_that_git_reads(host: Host, certificate: Path) -> None:
    """Terragrunt is not here: it hands the part of its source behind ``git::`` to git, as Terraform does."""
    block = next(block for block in documented("hcl", host) if block.lstrip().startswith("terraform"))
    found = re.search(r'source\s*=\s*"git::(https://[^"]+?)//(\w+)\?ref=([^"]+)"', block)
    assert found is not None
    result = Order(host, certificate).run(
        f"git clone -q {found[1]} code && git -C code checkout -q {found[3]} && ls code/{found[2]}"
    )
    assert result.status is OrderState.SUCCEEDED, result.log_tail
    assert "main.tf" in result.log_tail
