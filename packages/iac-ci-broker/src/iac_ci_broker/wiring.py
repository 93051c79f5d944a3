"""Builds the broker on AWS, once per process."""

from __future__ import annotations

from functools import cache

from iac_ci_broker.act import Broker, BrokerPorts
from iac_ci_broker.settings import BrokerSettings
from iac_ci_common.aws.clients import client
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.ticket_chains import DynamoTicketChains
from iac_ci_common.clock import SystemClock
from iac_ci_common.logger import PowertoolsLogger


@cache
def broker() -> Broker:
    """Return the broker; raise pydantic's ``ValidationError`` if a setting is missing."""
    settings = BrokerSettings()
    return Broker(
        BrokerPorts(
            clock=SystemClock(),
            runs=DynamoRuns(client("dynamodb"), settings.orders_table, settings.events_table),
            chains=DynamoTicketChains(client("dynamodb"), settings.locks_table),
            objects=S3Objects(client("s3"), settings.internal_bucket),
            logger=PowertoolsLogger("broker", settings.log_level),
        )
    )
