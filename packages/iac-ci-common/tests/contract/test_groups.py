"""Concurrency groups, in DynamoDB and in memory."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.errors import ConditionFailed
from iac_ci_common.groups import Access, Wanted, ask, leave, new_group
from iac_ci_common.testing.samples import RUN_ID

KEY = keys.named_group("github.com/acme/infra", "deploy")
OTHER = keys.project_group("a" * 64)


def wanted(now, order="0001"):
    return Wanted(RUN_ID, order, "apply", now + timedelta(days=1), series="b" * 64, commit="c" * 40, pull_request=7)


def test_no_source_names_the_group_of_a_project_or_of_another_source():
    assert KEY == "group:github.com/acme/infra#deploy"
    assert f"group:project:{'a' * 64}" == OTHER
    with pytest.raises(ValueError, match="not the digest"):
        keys.project_group("deploy")


def test_what_was_written_is_read(adapters, now):
    assert adapters.groups.read([KEY, OTHER]) == {}
    asked, _ = ask(new_group(KEY, now), wanted(now), now)
    written = adapters.groups.write(asked)
    assert written.version == 1
    assert adapters.groups.read([KEY, OTHER]) == {KEY: written}


def test_of_two_that_read_the_same_one_writes(adapters, now):
    read = adapters.groups.write(new_group(KEY, now))
    first, standing = ask(read, wanted(now, "0001"), now)
    second, also = ask(read, wanted(now, "0002"), now)
    assert standing.access is also.access is Access.HOLDS
    written = adapters.groups.write(first)
    with pytest.raises(ConditionFailed) as refused:
        adapters.groups.write(second)
    assert refused.value.retry_is_safe
    assert adapters.groups.read([KEY]) == {KEY: written}
    again, standing = ask(adapters.groups.read([KEY])[KEY], wanted(now, "0002"), now)
    assert standing.access is Access.WAITS
    assert adapters.groups.write(leave(again, RUN_ID, {"0001"}, now)).version == 3


def test_an_expired_row_counts_as_missing(adapters, now):
    old = new_group(KEY, now).model_copy(update={"expires_at": now - timedelta(seconds=1)})
    adapters.groups.write(old)
    assert adapters.groups.read([KEY]) == {}
    assert adapters.groups.write(new_group(KEY, now)).version == 1
