"""Answers Terraform's calls, as of version 6 of its plugin protocol."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc

from offline.provider.changes import GONE, changed_outside
from offline.provider.invented import looked_up, made_by_aws
from offline.provider.schema import Attribute, Schema
from offline.provider.schema_message import CAPABILITIES
from offline.provider.values import UNKNOWN, change, decode, empty, encode, is_open, without_write_only

if TYPE_CHECKING:
    from collections.abc import Callable


class Servicer(rpc.ProviderServicer):
    """Calls no cloud: a plan leaves open what AWS would find, an apply makes it up, a data source has constants."""

    def __init__(self, load: Callable[[], Schema], answer: bytes) -> None:
        """``load`` returns the schema, at the first call that needs it; ``answer`` is the message with all of it."""
        self._load = load
        self._answer = answer

    @cached_property
    def _schema(self) -> Schema:
        return self._load()

    def GetMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 the protocol's names
        return pb.GetMetadata.Response(
            resources=[pb.GetMetadata.ResourceMetadata(type_name=name) for name in self._schema.resources],
            data_sources=[pb.GetMetadata.DataSourceMetadata(type_name=name) for name in self._schema.data],
            server_capabilities=CAPABILITIES,
        )

    def GetProviderSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.GetProviderSchema.Response.FromString(self._answer)

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.ConfigureProvider.Response()

    def UpgradeResourceState(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.UpgradeResourceState.Response(upgraded_state=_value(json.loads(request.raw_state.json)))

    def ReadResource(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return what there is: the state, with what was changed behind Terraform's back (``CHANGES``)."""
        found, current = changed_outside(request.type_name), decode(request.current_state)
        if found is None or current is None:
            return pb.ReadResource.Response(new_state=request.current_state, private=request.private)
        state = None if found == GONE else {**current, **found}
        return pb.ReadResource.Response(new_state=_value(state), private=request.private)

    def PlanResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802
        proposed, prior = decode(request.proposed_new_state), decode(request.prior_state)
        if proposed is None or proposed == prior:
            return pb.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        block = self._schema.resources[request.type_name]
        planned = change(block, change(block, proposed, without_write_only), _leave_open)
        return pb.PlanResourceChange.Response(planned_state=_value(planned), legacy_type_system=True)

    def ApplyResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802
        planned = decode(request.planned_state)
        if planned is None:
            return pb.ApplyResourceChange.Response(new_state=request.planned_state)
        block = self._schema.resources[request.type_name]
        made = change(block, planned, made_by_aws(request.type_name, planned))
        return pb.ApplyResourceChange.Response(
            new_state=_value(change(block, made, without_write_only)), legacy_type_system=True
        )

    def ReadDataSource(self, request: Any, context: Any) -> Any:  # noqa: N802
        config = decode(request.config)
        found = change(self._schema.data[request.type_name], config, made_by_aws(request.type_name, config))
        results = looked_up(request.type_name, config)
        return pb.ReadDataSource.Response(
            state=_value(found | {name: value for name, value in results.items() if name in found})
        )

    def ImportResourceState(self, request: Any, context: Any) -> Any:  # noqa: N802
        state = empty(self._schema.resources[request.type_name]) | {"id": request.id}
        imported = pb.ImportResourceState.ImportedResource(type_name=request.type_name, state=_value(state))
        return pb.ImportResourceState.Response(imported_resources=[imported])

    def GetFunctions(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.GetFunctions.Response()

    def StopProvider(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.StopProvider.Response()


def _leave_open(_name: str, attribute: Attribute, value: Any) -> Any:
    return UNKNOWN if is_open(attribute, value) else value


def _value(value: Any) -> Any:
    return pb.DynamicValue(msgpack=encode(value))
