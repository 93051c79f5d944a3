"""The image of this checkout, built once, and its functions as Lambda runs them."""

from __future__ import annotations

import json
import re
import uuid
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import pytest
from offline import surroundings
from offline.place import digest_of

from iac_ci_common.grants import part_of
from image.engine import LAMBDA_FLAGS, ROOT, Engine, EngineMissing, find_engine
from image.runtime import RuntimeApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

SECRET: Final = "the secret that requests are signed with"
SECRET_NAME: Final = "/iac-ci/tested/webhook-secret"
GRANTS_NAME: Final = f"/iac-ci/tested/sources/{part_of('api')}"

_VALUES: Final = {
    "log_level": "INFO",
    "max_parallel": "100",
    "metrics_namespace": "",
    "page_address": "",
    "page_key": "ssm:/iac-ci/tested/page-key",
    "plan_days": "14",
    "order_sizes": "{}",
    "provider_mirror": "",
    "allow_file_repositories": "false",
    "command_options": "",
    "connections": "ssm:/iac-ci/tested/connections",
    "code_hosts": "{}",
    "sources": "ssm:/iac-ci/tested/sources",
    "former_secret_allow_list": "{}",
    "secrets_prefix": "/iac-ci/jobs/",
    "webhook_secrets": json.dumps([f"ssm:{SECRET_NAME}"]),
}
"""What the placeholders of functions.json stand for where any name will not do."""


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    try:
        found = find_engine()
    except EngineMissing as reason:
        surroundings.note(request.config, f"Docker engine: none ({reason}), so that no image was built")
        pytest.skip(str(reason))
    surroundings.note(request.config, found.description)
    return found


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """Build the image and return its id; the layers of an earlier build are used again.

    Its tag is this checkout's own: several may share one engine.
    """
    return engine.build(f"iac-ci-tested:{digest_of(str(ROOT))}")


@pytest.fixture
def function(engine: Engine, image: str) -> Callable[[str], AbstractContextManager[RuntimeApi]]:
    """Return what starts a function by its name, with the command and the environment that it is deployed with.

    Like on Lambda it runs as Lambda's user and can write to /tmp alone.
    """
    functions = json.loads((ROOT / "terraform/deploy/stack/functions.json").read_text("utf-8"))["functions"]

    @contextmanager
    def start(name: str) -> Iterator[RuntimeApi]:
        container = f"iac-ci-tested-{uuid.uuid4().hex[:12]}"
        with RuntimeApi({SECRET_NAME: SECRET, GRANTS_NAME: json.dumps({"schema_version": 1})}) as api:
            environment = {key: _value(text) for key, text in functions[name]["environment"].items()} | {
                "AWS_LAMBDA_RUNTIME_API": api.address,
                "AWS_LAMBDA_FUNCTION_NAME": f"tested-{name}",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(functions[name]["memory_mb"]),
                "AWS_ENDPOINT_URL": f"http://{api.address}",
                "AWS_REGION": "eu-central-1",
                "AWS_DEFAULT_REGION": "eu-central-1",
                "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "not a key",
            }
            flags = [*LAMBDA_FLAGS, "--network", "host", "--name", container]
            for key, value in environment.items():
                flags += ["--env", f"{key}={value}"]
            engine.run("run", "--detach", *flags, image, *functions[name]["image_command"])
            Thread(target=lambda: api.ended(engine.run("wait", container, seconds=1700).stdout), daemon=True).start()
            try:
                yield api
            except BaseException as error:
                logs = engine.run("logs", container, check=False)
                error.add_note(f"{logs.stdout[-3000:]}{logs.stderr[-3000:]}")
                raise
            finally:
                engine.run("rm", "--force", container, check=False)

    return start


def _value(text: str) -> Any:
    return re.sub(r"\$\{(\w+)\}", lambda found: _VALUES.get(found[1], f"tested-{found[1]}"), text)
