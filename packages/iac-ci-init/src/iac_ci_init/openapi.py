"""Describes the webhook endpoint as OpenAPI: ``python -m iac_ci_init.openapi docs/schemas/openapi.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from iac_ci_common.limits import MAX_BODY_BYTES
from iac_ci_common.models.answer import Accepted
from iac_ci_common.models.approval_request import Answered, ApprovalRequest
from iac_ci_common.models.job import Job
from iac_ci_init.job_intake import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFUSED: Final[Mapping[str, str]] = {
    "400": "The body is not valid; problems lists every problem with its path. Nothing was stored.",
    "401": "The signature is missing, not valid, too old or was used with another Idempotency-Key. Nothing was stored.",
    "409": "The Idempotency-Key was used for another job; or the order was not answered, and error says why.",
    "413": f"The body has more than {MAX_BODY_BYTES} bytes.",
    "500": "Nothing was accepted; retry is true if it may be sent again.",
    "503": "Nothing was accepted; it may be sent again.",
}

_EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "job": {
        "summary": "A job of one order without code",
        "value": {"username": "ann", "orders": [{"order_name": "hello", "cmds": ["echo hello"], "timeout": 60}]},
    },
    "answer": {
        "summary": "An answer to an order that waits for an approval with api: true",
        "value": {"approval": {"run_id": "20260131T235959-0123456789ab", "order": "ask", "answer": "approve"}},
    },
}


def document() -> dict[str, Any]:
    """Return the whole OpenAPI document."""
    _, schemas = models_json_schema(
        [
            (Job, "validation"),
            (ApprovalRequest, "validation"),
            (Accepted, "serialization"),
            (Answered, "serialization"),
        ],
        ref_template="#/components/schemas/{model}",
    )
    components = schemas["$defs"]
    components["Refused"] = _object(
        {
            "error": {"type": "string"},
            "retry": {"type": "boolean"},
            "problems": {
                "type": "array",
                "items": _object({"where": {"type": "string"}, "what": {"type": "string"}}, "where", "what"),
            },
        },
        "error",
    )
    components["Received"] = _object(
        {
            "schema_version": {"const": 1},
            "received": {"type": "boolean"},
            "reason": {"type": "string"},
            "trigger_id": {"type": "string"},
        },
        "schema_version",
        "received",
    )
    answered = {"anyOf": [{"$ref": "#/components/schemas/Received"}, {"$ref": "#/components/schemas/Answered"}]}
    body = {"anyOf": [{"$ref": "#/components/schemas/Job"}, {"$ref": "#/components/schemas/ApprovalRequest"}]}
    schema = {"$ref": "#/components/schemas/Refused"}
    refused = {status: _answer(description, schema) for status, description in _REFUSED.items()}
    accepted = {"anyOf": [{"$ref": "#/components/schemas/Accepted"}, {"$ref": "#/components/schemas/Received"}]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "iac-ci", "version": "1", "description": "Jobs, and the events of code hosts."},
        "paths": {
            "/webhook": {
                "post": {
                    "summary": "Send a job, an event of a code host, or an answer to an order that waits for it.",
                    "description": "An event has the headers, the signature and the body of its code host.",
                    "parameters": [
                        _header(
                            "X-IaC-CI-Signature", "t=<unix time>,v1=<hex hmac-sha256 of t.body>, for jobs and answers."
                        ),
                        _header(
                            "Idempotency-Key",
                            "A repeated request with the same key and body gets the first answer.",
                            pattern=f"^{KEY.pattern}$",
                        ),
                    ],
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": body, "examples": _EXAMPLES}},
                    },
                    "responses": {
                        "200": _answer(
                            "The event starts nothing, with the reason; or the order has the answer.", answered
                        ),
                        "202": _answer("The job is accepted, or the event will be processed.", accepted),
                        **refused,
                    },
                }
            }
        },
        "components": {"schemas": components},
    }


def _object(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _answer(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": dict(schema)}}}


def _header(name: str, description: str, **rules: str) -> dict[str, Any]:
    schema = {"type": "string", **rules}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def text() -> str:
    """Return the document as the text of its file."""
    return json.dumps(document(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), "utf-8")
