from __future__ import annotations

import pytest

from iac_ci_common.errors import AlreadyExists, NotFound


def test_what_is_put_is_read_and_may_be_overwritten(adapters):
    adapters.objects.put("a/key", b"one")
    adapters.objects.put("a/key", b"two")
    assert adapters.objects.get("a/key") == b"two"
    assert adapters.objects.exists("a/key")


def test_a_missing_object_is_not_found(adapters):
    assert not adapters.objects.exists("nothing")
    with pytest.raises(NotFound):
        adapters.objects.get("nothing")


def test_the_first_creation_counts(adapters):
    adapters.objects.create("once", b"first")
    with pytest.raises(AlreadyExists):
        adapters.objects.create("once", b"second")
    assert adapters.objects.get("once") == b"first"


def test_a_read_stops_one_byte_behind_its_limit(adapters):
    adapters.objects.put("long", b"x" * 100)
    assert len(adapters.objects.get("long", max_bytes=10)) == 11
    assert len(adapters.objects.get("long", max_bytes=100)) == 100


def test_a_listing_is_sorted_and_whole(adapters):
    for number in range(1005):
        adapters.objects.put(f"many/{number:05d}", b"")
    adapters.objects.put("other", b"")
    assert adapters.objects.list("many/") == [f"many/{number:05d}" for number in range(1005)]


def test_deleting_what_is_not_there_is_no_error(adapters):
    adapters.objects.put("here", b"")
    adapters.objects.delete(["here", "not-here"])
    assert not adapters.objects.exists("here")


def test_urls_name_their_object_and_nobody_elses(adapters):
    urls = {
        adapters.objects.presign_get("a", seconds=60),
        adapters.objects.presign_put("a", seconds=60, create_once=True),
        adapters.objects.presign_put("a", seconds=60, create_once=False),
        adapters.objects.presign_put("a", seconds=60, create_once=True, length=10),
        adapters.objects.presign_put("a", seconds=60, create_once=True, length=11),
        adapters.objects.presign_get("b", seconds=60),
    }
    assert len(urls) == 6


def test_secrets_are_read_whole_and_missing_ones_are_not_found(adapters):
    from iac_ci_common.locations import parse_location

    assert adapters.secrets.read(parse_location("ssm:/iac-ci/jobs/one")) == "plain"
    assert adapters.secrets.read(parse_location("secretsmanager:iac-ci/jobs/two")) == '{"key": "value"}'
    for missing in ("ssm:/iac-ci/jobs/none", "secretsmanager:iac-ci/jobs/none"):
        with pytest.raises(NotFound):
            adapters.secrets.read(parse_location(missing))


def test_a_listing_begins_after_a_key(adapters):
    for number in range(3):
        adapters.objects.put(f"many/{number}", b"")
    assert adapters.objects.list("many/", after="many/0") == ["many/1", "many/2"]
    assert adapters.objects.list("many/", after="many/2") == []
