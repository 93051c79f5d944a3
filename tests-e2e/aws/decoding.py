"""Reads an HTTP request to AWS back into the operation and its parameters, by botocore's service models."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit
from xml.etree import ElementTree as Xml

from botocore.loaders import create_loader
from botocore.model import ServiceModel

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIGNED_NAMES: Final = {"monitoring": "cloudwatch", "states": "stepfunctions", "email": "ses"}
"""Services whose name in a signature is not that of their model."""

_SCOPE: Final = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/aws4_request")


@dataclass(frozen=True, slots=True)
class Decoded:
    """One operation, the model of its parameters, and the parameters."""

    service: str
    operation: str
    shape: Any
    parameters: dict[str, Any]


def decode(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Decoded | None:
    """Return what a request asks for; None if it is not signed or no model describes it."""
    lower = {name.lower(): value for name, value in headers.items()}
    scope = _SCOPE.search(lower.get("authorization", ""))
    if scope is None:
        return None
    service = _SIGNED_NAMES.get(scope[1], scope[1])
    model = _model(service)
    if target := lower.get("x-amz-target"):
        operation = model.operation_model(target.rpartition(".")[2])
        return Decoded(service, operation.name, operation.input_shape, json.loads(body or b"{}"))
    if lower.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
        operation = model.operation_model(fields["Action"])
        shape = operation.input_shape
        return Decoded(service, operation.name, shape, _from_query(shape, fields, "") if shape is not None else {})
    return _rest(service, model, method, url, lower, body)


@cache
def _model(service: str) -> ServiceModel:
    """Return a model that no client has used: those of S3 take the bucket out of the paths in theirs."""
    return ServiceModel(create_loader().load_service_model(service, "service-2"), service)


def _from_query(shape: Any, fields: Mapping[str, str], prefix: str) -> Any:
    """Return the value of a shape from the fields of AWS's query protocol."""
    if shape.type_name == "structure":
        found = {}
        for name, member in shape.members.items():
            path = (
                f"{prefix}.{member.serialization.get('name', name)}"
                if prefix
                else member.serialization.get("name", name)
            )
            if any(field == path or field.startswith(f"{path}.") for field in fields):
                found[name] = _from_query(member, fields, path)
        return found
    if shape.type_name in {"list", "map"}:
        between = "" if shape.serialization.get("flattened") else ".member" if shape.type_name == "list" else ".entry"
        numbers = {
            int(match[1]) for field in fields if (match := re.match(rf"{re.escape(prefix + between)}\.(\d+)", field))
        }
        entries = [f"{prefix}{between}.{number}" for number in sorted(numbers)]
        if shape.type_name == "list":
            return [_from_query(shape.member, fields, entry) for entry in entries]
        return {fields[f"{entry}.key"]: _from_query(shape.value, fields, f"{entry}.value") for entry in entries}
    return _typed(shape, fields.get(prefix, ""))


def _typed(shape: Any, text: str) -> Any:
    """Return a text as the type that a shape has."""
    if shape.type_name in {"integer", "long", "float", "double"}:
        return float(text) if "." in text else int(text)
    return text == "true" if shape.type_name == "boolean" else text


@cache
def _routes(service: str) -> list[tuple[str, Any, re.Pattern[str], dict[str, list[str]]]]:
    """Return the method, operation, path and query of each operation, the most particular first."""
    model = _model(service)
    routes = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        if operation.deprecated:
            continue
        path, _, query = operation.http["requestUri"].partition("?")
        pattern = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", path.rstrip("/") or "/")
        pattern = re.sub(r"\{([\w-]+)\}", r"(?P<\1>[^/]+)", pattern)
        routes.append(
            (operation.http["method"], operation, re.compile(pattern + "/?"), parse_qs(query, keep_blank_values=True))
        )
    return sorted(routes, key=lambda route: (-len(route[3]), -len(route[2].pattern)))


def _rest(service: str, model: Any, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Decoded | None:
    split = urlsplit(url)
    query = parse_qs(split.query, keep_blank_values=True)
    for of_method, operation, path, needed in _routes(service):
        match = path.fullmatch(split.path)
        if of_method != method or match is None or not needed.keys() <= query.keys():
            continue
        shape = operation.input_shape
        if shape is None:
            return Decoded(service, operation.name, None, {})
        required_queries = {
            member.serialization.get("name", name)
            for name, member in shape.members.items()
            if name in shape.required_members and member.serialization.get("location") == "querystring"
        }
        if not required_queries <= query.keys():
            continue
        labels = {name: unquote(value) for name, value in match.groupdict().items()}
        return Decoded(service, operation.name, shape, _parameters(model, shape, labels, query, headers, body))
    return None


def _parameters(
    model: Any,
    shape: Any,
    labels: Mapping[str, str],
    query: Mapping[str, list[str]],
    headers: Mapping[str, str],
    body: bytes,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    payload = shape.serialization.get("payload")
    for name, member in shape.members.items():
        wire = member.serialization.get("name", name)
        match member.serialization.get("location"):
            case "uri" if wire in labels:
                found[name] = _typed(member, labels[wire])
            case "querystring" if wire in query:
                found[name] = query[wire] if member.type_name == "list" else _typed(member, query[wire][0])
            case "header" if wire.lower() in headers:
                found[name] = _typed(member, headers[wire.lower()])
            case None if payload == name and member.type_name != "structure":
                found[name] = body
            case None if payload == name and body:
                found[name] = _document(model, member, body)
    if payload is None and body:
        found |= _document(model, shape, body)
    return found


def _document(model: Any, shape: Any, body: bytes) -> dict[str, Any]:
    if model.metadata["protocol"] == "rest-xml":
        document: dict[str, Any] = _from_xml(shape, Xml.fromstring(body))
        return document
    content: dict[str, Any] = json.loads(body)
    names = {member.serialization.get("name", name): name for name, member in shape.members.items()}
    return {names.get(wire, wire): value for wire, value in content.items()}


def _from_xml(shape: Any, element: Any) -> Any:
    """Return the value of a shape from its element."""
    if shape.type_name == "structure":
        found: dict[str, Any] = {}
        for name, member in shape.members.items():
            wire = member.serialization.get("name", name)
            elements = [child for child in element if child.tag.rpartition("}")[2] == wire]
            if not elements:
                continue
            if member.type_name == "list" and member.serialization.get("flattened"):
                found[name] = [_from_xml(member.member, child) for child in elements]
            else:
                found[name] = _from_xml(member, elements[0])
        return found
    if shape.type_name == "list":
        return [_from_xml(shape.member, child) for child in element]
    return _typed(shape, element.text or "")
