"""Builds the broker on AWS, once per process."""

from __future__ import annotations

from functools import cache, partial

from iac_ci_broker.act import Broker, BrokerPorts
from iac_ci_broker.hand_on import HandOn
from iac_ci_broker.module_tokens import ModuleTokens
from iac_ci_broker.settings import BrokerSettings
from iac_ci_broker.start import OrderStart
from iac_ci_common.aws.clients import client
from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.aws.runs import DynamoRuns
from iac_ci_common.aws.secrets import AwsSecrets
from iac_ci_common.aws.target_roles import StsTargetRoles
from iac_ci_common.aws.ticket_chains import DynamoTicketChains
from iac_ci_common.clock import SystemClock
from iac_ci_common.granted import SourceGrants
from iac_ci_common.grants import ANY_SOURCE, Grants
from iac_ci_common.logger import PowertoolsLogger
from iac_ci_common.sops import SopsSealer


@cache
def broker() -> Broker:
    """Return the broker; raise pydantic's ``ValidationError`` if a setting is missing."""
    settings = BrokerSettings()
    objects = S3Objects(client("s3"), settings.internal_bucket)
    parameters = AwsSecrets(partial(client, "ssm"), partial(client, "secretsmanager"))
    # Without the lists every source may use every role, as in versions before them.
    grants = SourceGrants(parameters, settings.sources, Grants(roles={ANY_SOURCE: ("*",)}))
    sealer = SopsSealer(settings.kms_key_arn, partial(client, "kms"))
    return Broker(
        BrokerPorts(
            clock=SystemClock(),
            runs=DynamoRuns(client("dynamodb"), settings.orders_table, settings.events_table),
            chains=DynamoTicketChains(client("dynamodb"), settings.locks_table),
            objects=objects,
            logger=PowertoolsLogger("broker", settings.log_level),
            start=OrderStart(
                settings.stack,
                objects,
                sealer,
                StsTargetRoles(partial(client, "sts")),
                grants,
                HandOn(settings.stack, objects, sealer),
            ),
            modules=ModuleTokens(parameters, settings.connections, settings.code_hosts),
        )
    )
