"""No request for a code host reaches this machine or a metadata endpoint: by name, by number, or by a redirect."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import responses

from iac_ci_common.errors import PortFailed, PreparationFailed
from iac_ci_vcs import network_addresses
from iac_ci_vcs.git import GitRepositories
from iac_ci_vcs.hosts import open_code_host
from iac_ci_vcs.http_session import BearerAuth, HostSession
from iac_ci_vcs.network_addresses import AddressRefused, check_address, check_literal, local_host
from iac_ci_vcs.provider import HostSettings, TokenCredentials

REFUSED = [
    "127.0.0.1", "127.8.9.10", "169.254.169.254", "169.254.170.2", "0.0.0.0", "0.1.2.3", "224.0.0.1", "::1", "::",
    "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fd00:ec2::23", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "::127.0.0.1", "ff02::1",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "255.255.255.255", "fd20:ce::254", "fec0::1",
    "64:ff9b:1::7f00:1",
    "::ffff:0:127.0.0.1", "::ffff:0:a9fe:a9fe",
]  # fmt: skip
OTHER_FORMS = [
    "2130706433", "017700000001", "0x7f000001", "127.1", "0177.0.0.1", "0x7f.1", "2852039166", "0xa9fea9fe",
    "0251.0376.0251.0376", "[::1]", "[::ffff:127.0.0.1]", "localhost", "LOCALHOST", "localhost.", "a.localhost", "0",
    "127.0.0.1.", "169.254.169.254.", "2130706433.", "0x7f.1.", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021",
    "\u2460\u2461\u2466.0.0.1", "\uff4c\uff4fcalhost",
    "localhost6", "ip6-localhost", "ip6-loopback", "4294967295",
]  # fmt: skip
ALLOWED = [
    "140.82.112.3",
    "10.0.0.7",
    "172.16.3.4",
    "192.168.1.1",
    "2606:50c0:8000::154",
    "fd12:3456::1",
    "64:ff9b::8c52:7003",
]


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_of_this_machine_or_of_metadata_is_no_code_host(address):
    with pytest.raises(AddressRefused):
        check_address(address)
    with pytest.raises(AddressRefused):
        check_literal(address)


@pytest.mark.parametrize("host", OTHER_FORMS)
def test_no_other_form_of_an_address_gets_past(host):
    with pytest.raises(AddressRefused):
        check_literal(host)


@pytest.mark.parametrize("address", ALLOWED)
def test_hosts_of_your_own_may_have_private_addresses(address):
    check_literal(address)
    check_literal("git.example.com")
    check_literal("127.0.0.1.example.com")


@pytest.fixture
def names(monkeypatch):
    """Answers of DNS by name; each is used once, the last one for ever."""
    answers: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolve(host, port, *arguments, **named):
        if host not in answers:
            return real(host, port, *arguments, **named)
        addresses = answers[host].pop(0) if len(answers[host]) > 1 else answers[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return answers


class Server:
    """A server on loopback that counts its requests and may redirect."""

    def __init__(self, location=None):
        self.asked = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append((self.headers["Host"], self.path))
                self.send_response(302 if location and self.path == "/first" else 200)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_): ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def session(root="https://git.example.com"):
    return HostSession("git.example.com", BearerAuth(lambda: "t0ken"), root=root, seconds=5)


@pytest.mark.parametrize("name", ["git.example.com", "127.0.0.1", "2130706433", "localhost", "[::1]"])
def test_a_name_is_refused_after_dns_before_anything_is_sent(names, name):
    names["git.example.com"] = [["127.0.0.1"]]
    with Server() as server, session() as opened:
        with pytest.raises(AddressRefused):
            opened.get(f"http://{name}:{server.port}/first")
        assert server.asked == []


def test_one_refused_address_among_several_is_enough(names):
    names["git.example.com"] = [["140.82.112.3", "169.254.169.254"]]
    with session() as opened, pytest.raises(AddressRefused):
        opened.get("https://git.example.com/first")


def allow_one(monkeypatch):
    """Let one address of loopback pass, so that a test can have a server."""
    real = network_addresses.check_address
    monkeypatch.setattr(network_addresses, "check_address", lambda address: address == "127.0.0.1" or real(address))


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.2:{port}/", "http://169.254.169.254/latest", "http://elsewhere.example.com:{port}/", "//[::1]/"],
)
def test_a_redirect_is_checked_like_the_first_address(names, monkeypatch, location):
    allow_one(monkeypatch)
    names["git.example.com"] = [["127.0.0.1"]]
    names["elsewhere.example.com"] = [["127.0.0.3"]]
    with Server() as port_of, Server(location.format(port=port_of.port)) as server, session() as opened:
        with pytest.raises(AddressRefused):
            opened.get(f"http://git.example.com:{server.port}/first")
        assert len(server.asked) == 1
        assert port_of.asked == []


def test_the_address_that_was_checked_is_the_one_that_is_used(names, monkeypatch):
    """DNS may answer differently the second time."""
    allow_one(monkeypatch)
    names["git.example.com"] = [["127.0.0.1"], ["127.0.0.2"]]
    with Server() as server, session() as opened:
        assert opened.get(f"http://git.example.com:{server.port}/x").status_code == 200
        assert server.asked == [(f"git.example.com:{server.port}", "/x")]


def test_only_the_local_clouds_code_host_is_on_this_machine():
    """Its API has a URL http://127.0.0.1:…, which Terraform refuses (var.code_hosts), and it is that port alone."""
    with Server() as server, Server() as other:
        root = f"http://127.0.0.1:{server.port}/api/v3"
        with session(root) as opened:
            assert opened.get(f"{root}/user").status_code == 200
            for url in (f"http://127.0.0.1:{other.port}/", f"http://127.1:{server.port}/", "http://169.254.169.254/"):
                with pytest.raises(AddressRefused):
                    opened.get(url)
        assert other.asked == []
    for root in ("https://127.0.0.1:1", "http://127.0.0.2:1", "http://localhost:1", "http://git.example.com", ""):
        assert local_host(root) is None


@pytest.mark.parametrize("kind", ["github", "gitlab", "bitbucket"])
def test_every_provider_refuses_them(kind):
    host = open_code_host(
        "https://127.0.0.1/acme/infra",
        TokenCredentials("t0ken"),
        hosts={"127.0.0.1": HostSettings(kind, "https://127.0.0.1/api")},
    )
    with pytest.raises(AddressRefused):
        host.pull_request(7)


@pytest.mark.parametrize(
    "repository",
    [
        "https://127.0.0.1/a/b", "https://169.254.169.254/a/b", "https://2130706433/a/b", "https://[::1]/a/b",
        "https://[::ffff:169.254.169.254]/a/b", "https://localhost/a/b", "ssh://git@127.0.0.1/a/b", "git@localhost:a/b",
        "https://git.example.com/a/b", "git@git.example.com:a/b", "ssh://git@0x7f.1:2222/a/b",
    ],
)  # fmt: skip
def test_git_gets_no_such_host(names, tmp_path, repository):
    names["git.example.com"] = [["140.82.112.3", "127.0.0.1"]]
    with pytest.raises(AddressRefused):
        checkout(repository, tmp_path)


def checkout(repository, tmp_path):
    GitRepositories(wait=lambda _: None).checkout(repository, "a" * 40, str(tmp_path), token=None, ssh_key=None)


def environment(repository, tmp_path, key=None):
    return GitRepositories()._environment(tmp_path, repository, None, key)


def test_git_uses_the_address_that_was_checked(names, tmp_path):
    names["git.example.com"] = [["140.82.112.3", "140.82.112.4"]]
    given = environment("https://git.example.com:8443/a/b", tmp_path)
    values = {
        given[f"GIT_CONFIG_KEY_{n}"]: given[f"GIT_CONFIG_VALUE_{n}"] for n in range(int(given["GIT_CONFIG_COUNT"]))
    }
    assert values["http.curloptResolve"] == "git.example.com:8443:140.82.112.3,140.82.112.4"
    assert values["http.followRedirects"] == "false"
    for repository in ("git@git.example.com:a/b", "ssh://git@git.example.com:2222/a/b"):
        for key in (None, "planted"):
            ssh = environment(repository, tmp_path, key)["GIT_SSH_COMMAND"]
            assert "-o HostName=140.82.112.3 -o HostKeyAlias=git.example.com" in ssh
            (tmp_path / "key").unlink(missing_ok=True)


MOVED = "https://git.example.com/a/b/info/refs"


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("https://git.example.com/new/b/info/refs?service=git-upload-pack", "https://git.example.com/new/b"),
        ("https://169.254.169.254/a/b/info/refs", AddressRefused),
        ("https://127.0.0.1/a/b/info/refs", AddressRefused),
        ("http://git.example.com/a/b/info/refs", PreparationFailed),
        ("https://git.example.com/login", PreparationFailed),
        (MOVED, PreparationFailed),
    ],
)
def test_a_moved_repository_is_followed_to_hosts_that_are_allowed(location, found):
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.get(MOVED, status=301, headers={"Location": location})
        if location != MOVED:
            wire.get(location.partition("?")[0], body=b"refs")
        if isinstance(found, str):
            assert GitRepositories()._moved("https://git.example.com/a/b", "planted") == found
        else:
            with pytest.raises(found):
                GitRepositories()._moved("https://git.example.com/a/b", "planted")


def test_a_name_without_an_address_is_a_failure_in_plain_words(monkeypatch, tmp_path):
    for number, kind in ((socket.EAI_AGAIN, PortFailed), (socket.EAI_NONAME, PreparationFailed)):

        def fail(*arguments, number=number, **named):
            raise socket.gaierror(number, "no answer")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        with pytest.raises(kind, match="has no address") as failed:
            checkout("https://git.example.com/a/b", tmp_path)
        assert failed.value.retry_is_safe is (kind is PortFailed)
