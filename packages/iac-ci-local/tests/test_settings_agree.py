"""The shared files give each function exactly the environment that its settings declare."""

from __future__ import annotations

import importlib
import inspect

import pytest

from iac_ci_common.settings import CommonSettings
from iac_ci_local.names import StackNames, placeholder_values
from iac_ci_local.templates import StackFiles, stack_folder
from iac_ci_vcs.provider import HostSettings

CODE_HOSTS = {
    "git.example.com": HostSettings("gitlab"),
    "code.example.com": HostSettings("github", "https://api.example.com"),
}
VALUES = placeholder_values(
    StackNames("demo", "123456789012"),
    kms_key_arn="arn:aws:kms:us-east-1:123456789012:key/one",
    log_level="INFO",
    max_parallel=4,
    code_hosts=CODE_HOSTS,
)
FUNCTIONS = StackFiles(stack_folder(), VALUES).read("functions.json")["functions"]

LOCAL_ONLY = {
    "init-job": {"command_path"},
    "worker": {"command_path", "command_environment", "command_user"},
}
"""Settings with a default that only the local cloud or builds set."""


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_settings_and_environment_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(FUNCTIONS[name]["handler"].partition(".")[0] + ".settings")
    (settings,) = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, CommonSettings) and kind.__module__ == module.__name__
    ]
    environment = FUNCTIONS[name]["environment"]
    declared = set(settings.model_fields) - LOCAL_ONLY.get(name, set())
    assert {f"IAC_CI_{field.upper()}" for field in declared} == set(environment)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    read = settings()
    assert read.stack == "demo"
    assert getattr(read, "code_hosts", CODE_HOSTS) == CODE_HOSTS
