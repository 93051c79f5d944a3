"""GitHub's own OpenAPI description of its REST API, and what in a request or answer goes against it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from iac_ci_local.fake_hosts.messages import RecordedRequest

PACKAGE = "@octokit/openapi@23"
FILE = "package/generated/api.github.com.json"
SECONDS = 300


class Unreachable(Exception):
    """The description cannot be fetched from here."""


def fetch(folder: Path) -> dict[str, Any]:
    """Fetch the description with npm; ``Unreachable`` where there is no npm or no way to its registry."""
    npm = shutil.which("npm")
    if npm is None:
        raise Unreachable("npm is not installed")
    command = [npm, "pack", PACKAGE, "--loglevel=error", "--ignore-scripts", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise Unreachable("npm took too long") from None
    archives = list(folder.glob("*.tgz"))
    if done.returncode != 0 or not archives:
        raise Unreachable(f"npm could not fetch {PACKAGE}: {done.stderr.strip()[-300:]}")
    with tarfile.open(archives[0]) as archive:
        member = archive.extractfile(FILE)
        assert member is not None
        read: dict[str, Any] = json.load(member)
    return read


def as_json_schema(node: Any) -> Any:
    """Write OpenAPI 3.0's ``nullable`` as JSON Schema does; the rest of what is used here is the same in both."""
    if isinstance(node, list):
        return [as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    written = {name: as_json_schema(value) for name, value in node.items() if name not in {"example", "examples"}}
    if node.get("nullable") is True:
        del written["nullable"]
        return {"anyOf": [written, {"type": "null"}]}
    return written


class Description:
    """Checks exchanges against the description."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._paths: dict[str, Any] = document["paths"]
        # Only the schemas: parameters and answers are looked up as they are.
        schemas = as_json_schema(document["components"]["schemas"])
        self._webhooks: dict[str, Any] = document["x-webhooks"]
        self._components = document["components"]
        resource = DRAFT202012.create_resource({"components": {"schemas": schemas}})
        self._registry: Registry[Any] = Registry().with_resource("urn:github", resource)
        # A fixed segment wins over a variable one, and a path of files takes what is left.
        self._patterns = sorted(
            ((self._pattern(template), template) for template in self._paths),
            key=lambda known: (known[1].count("{"), -len(known[1])),
        )

    @staticmethod
    def _pattern(template: str) -> re.Pattern[str]:
        parts = re.split(r"(\{[^}]+\})", template)
        return re.compile(
            "".join(
                f"(?P<{part[1:-1].replace('-', '_')}>{'.+' if part == '{path}' else '[^/]+'})"
                if part.startswith("{")
                else re.escape(part)
                for part in parts
            )
        )

    def problems(self, exchange: RecordedRequest, root: str) -> list[str]:
        """Return what is wrong with an exchange: path, method, query, body, answer's status and content."""
        request = exchange.request
        parts = urlsplit(request.target)
        path = parts.path.removeprefix(root)
        found = self.operation(request.method, path)
        if found is None:
            return [f"GitHub knows no {request.method} {path}"]
        operation, values = found
        said = [f"{request.method} {path}: {problem}" for problem in self._in_request(operation, values, exchange)]
        if exchange.answer is not None:
            said += [
                f"answer to {request.method} {path}: {problem}" for problem in self._in_answer(operation, exchange)
            ]
        return said

    def webhook_problems(self, name: str, headers: Mapping[str, str], payload: object) -> list[str]:
        """Return what is wrong with a webhook: headers (with names in lower case) and body."""
        hook = self._webhooks[name]["post"]
        said = [
            f"there is no header {parameter['name']}"
            for parameter in hook["parameters"]
            if parameter["in"] == "header" and parameter["name"].lower() not in headers
        ]
        return said + self._wrong(hook["requestBody"]["content"]["application/json"]["schema"], payload)

    def operation(self, method: str, path: str) -> tuple[dict[str, Any], Mapping[str, str]] | None:
        """Find the operation, and the values of the variables in its path."""
        for pattern, template in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None and method.lower() in self._paths[template]:
                return self._paths[template][method.lower()], match.groupdict()
        return None

    def _in_request(self, operation: dict[str, Any], values: Mapping[str, str], exchange: RecordedRequest) -> list[str]:
        query = dict(parse_qsl(urlsplit(exchange.request.target).query, keep_blank_values=True))
        parameters = [self._looked_up(parameter) for parameter in operation.get("parameters", [])]
        said = []
        known = {parameter["name"]: parameter for parameter in parameters if parameter["in"] == "query"}
        said += [f"query parameter {name!r} is unknown" for name in query if name not in known]
        said += [f"query lacks {name!r}" for name, told in known.items() if told.get("required") and name not in query]
        for name, text in query.items():
            if name in known:
                said += self._wrong_parameter(known[name], text)
        for parameter in parameters:
            if parameter["in"] == "path":
                given = values[parameter["name"].replace("-", "_")]
                said += self._wrong_parameter(parameter, given)
        body = operation.get("requestBody")
        if body is None:
            return said + (["it takes no body"] if exchange.request.body else [])
        schema = body["content"]["application/json"]["schema"]
        sent = json.loads(exchange.request.body)
        unknown = set(sent) - set(schema.get("properties", {}))
        return [*said, *(f"body: {name!r} is unknown" for name in unknown), *self._wrong(schema, sent)]

    def _in_answer(self, operation: dict[str, Any], exchange: RecordedRequest) -> list[str]:
        answer = exchange.answer
        assert answer is not None
        if answer.status >= 400:
            return self._wrong({"$ref": "#/components/schemas/basic-error"}, json.loads(answer.body))
        told = operation["responses"].get(str(answer.status))
        if told is None and answer.status != 304:
            return [f"status {answer.status} is not foreseen"]
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        content = self._looked_up(told).get("content", {}) if told is not None else {}
        if answer.status == 304 or kind not in content:
            return ["an unchanged answer has a body"] if answer.status == 304 and answer.body else []
        return self._wrong(content[kind]["schema"], json.loads(answer.body))

    def _looked_up(self, node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in node:
            return node
        _, _, kind, name = node["$ref"].split("/")
        found: dict[str, Any] = self._components[kind][name]
        return found

    def _wrong_parameter(self, parameter: dict[str, Any], text: str) -> list[str]:
        schema = parameter["schema"]
        value = int(text) if schema.get("type") == "integer" and text.isdigit() else text
        return [f"{parameter['name']}: {problem}" for problem in self._wrong(schema, value)]

    def _wrong(self, schema: dict[str, Any], value: object) -> list[str]:
        absolute = json.loads(json.dumps(as_json_schema(schema)).replace('"#/components', '"urn:github#/components'))
        validator = Draft202012Validator(absolute, registry=self._registry)
        return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]
