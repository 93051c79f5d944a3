"""Settings of the worker."""

from __future__ import annotations

from pydantic import Field

from iac_ci_common.settings import CommonSettings


class WorkerSettings(CommonSettings):
    """Settings that the worker reads from its environment."""

    broker_function: str = Field("", description="Name of the function that trades tickets for URLs.")
    command_path: str = Field(
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", description="PATH of the commands."
    )
    command_environment: dict[str, str] = Field(
        default_factory=dict, description="Variables that the stack sets for every command, as JSON."
    )
    provider_mirror: str = Field(
        "",
        pattern=r"^(https://[^\s\"$%{}]{1,512}/)?$",
        description="URL of the mirror that Terraform reads providers from.",
    )
    command_user: int | None = Field(
        None, gt=0, description="Id of the user and group of the commands, where the worker is root."
    )
    order_folder: str | None = Field(
        None,
        pattern=r"^([a-z0-9-]+)?$",
        description="Name of the running order's folder, below that of temporary files; empty: a name per order.",
    )
    clean_below: int = Field(
        0, ge=0, description="Process below which everything of this user belongs to orders: 1 in a Lambda function."
    )
