"""Builds the page on AWS, once per process."""

from __future__ import annotations

from functools import cache, partial

from iac_ci_common.aws.clients import client
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.secrets import AwsSecrets
from iac_ci_common.cached_secrets import SharedSecrets
from iac_ci_common.clock import SystemClock
from iac_ci_common.logger import PowertoolsLogger
from iac_ci_page.access import Access
from iac_ci_page.act import Page, PagePorts
from iac_ci_page.settings import PageSettings


@cache
def settings() -> PageSettings:
    """Return the settings; raise pydantic's ``ValidationError`` if one is missing."""
    return PageSettings()


@cache
def logger() -> PowertoolsLogger:
    """Return the logger."""
    return PowertoolsLogger("page", settings().log_level)


@cache
def page() -> Page:
    """Return the page."""
    secrets = SharedSecrets(AwsSecrets(partial(client, "ssm"), partial(client, "secretsmanager")))
    return Page(
        PagePorts(
            clock=SystemClock(),
            runs=DynamoRuns(client("dynamodb"), settings().orders_table, settings().events_table),
            objects=S3Objects(client("s3"), settings().internal_bucket),
            access=Access(settings().page_key, settings().connections, secrets),
            logger=logger(),
        )
    )
