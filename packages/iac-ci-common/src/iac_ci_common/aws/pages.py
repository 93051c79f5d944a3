"""Reads an answer of several pages.

Paginators of botocore look through the folders of all services at their first use, at each cold start of a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def query(client: Any, **request: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows that a query of DynamoDB finds; a page has a megabyte at most."""
    for page in _pages(client.query, "LastEvaluatedKey", "ExclusiveStartKey", request):
        yield from page["Items"]


def listed(client: Any, **request: Any) -> Iterator[dict[str, Any]]:
    """Yield what S3 lists of the objects of a bucket; a page has a thousand at most."""
    for page in _pages(client.list_objects_v2, "NextContinuationToken", "ContinuationToken", request):
        yield from page.get("Contents", [])


def _pages(call: Any, given: str, wanted: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    page = call(**request)
    yield page
    while position := page.get(given):
        page = call(**request, **{wanted: position})
        yield page


__all__ = ["listed", "query"]
