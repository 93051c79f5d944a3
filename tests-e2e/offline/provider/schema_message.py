"""The schema as Terraform's plugin protocol has it."""

from __future__ import annotations

import json
from typing import Any, Final

from tf.gen import tfplugin_pb2 as pb

from offline.provider.schema import Attribute, Block, Schema

_NESTING: Final = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}
# ``bool write_only = 11`` of Schema.Attribute, as it is on the wire: the package's protocol is older than that field,
# and protobuf passes fields on that it does not know.
_WRITE_ONLY: Final = b"\x58\x01"
# As the real provider: Terraform starts a provider several times, and asks the first process alone for its schema.
CAPABILITIES: Final = pb.ServerCapabilities(get_provider_schema_optional=True)


def answer(schema: Schema) -> Any:
    """Return the answer to ``GetProviderSchema``."""
    return pb.GetProviderSchema.Response(
        provider=_schema_message(schema.provider),
        resource_schemas={name: _schema_message(block) for name, block in schema.resources.items()},
        data_source_schemas={name: _schema_message(block) for name, block in schema.data.items()},
        server_capabilities=CAPABILITIES,
    )


def _schema_message(block: Block) -> Any:
    return pb.Schema(version=0, block=_block_message(block))


def _block_message(block: Block) -> Any:
    return pb.Schema.Block(
        attributes=[_attribute_message(name, attribute) for name, attribute in block.attributes.items()],
        block_types=[
            pb.Schema.NestedBlock(
                type_name=name,
                block=_block_message(nested.block),
                nesting=_NESTING[nested.nesting],
                min_items=nested.min_items,
                max_items=nested.max_items,
            )
            for name, nested in block.blocks.items()
        ],
    )


def _attribute_message(name: str, attribute: Attribute) -> Any:
    message = pb.Schema.Attribute(
        name=name,
        type=json.dumps(attribute.type).encode(),
        required=attribute.required,
        optional=attribute.optional,
        computed=attribute.computed,
    )
    if attribute.write_only:
        message.MergeFromString(_WRITE_ONLY)
    return message
