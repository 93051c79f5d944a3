"""Answers of S3 whose connection breaks in the middle of an object."""

from __future__ import annotations

import io

import pytest
from botocore.response import StreamingBody

from iac_ci_common.aws.objects import S3Objects
from iac_ci_common.errors import PortFailed


class Connection:
    """Sends 50 bytes of an object of ``length`` bytes."""

    def __init__(self, length):
        self._length = length

    def get_object(self, **_):
        return {"Body": StreamingBody(io.BytesIO(b"x" * 50), self._length)}


@pytest.mark.parametrize("most", [None, 50, 99, 100, 1000])
def test_a_part_of_an_object_is_not_taken_for_the_whole(most):
    with pytest.raises(PortFailed) as failed:
        S3Objects(Connection(100), "bucket").get("key", max_bytes=most)
    assert failed.value.retry_is_safe


@pytest.mark.parametrize(("most", "length"), [(None, 50), (50, 50), (1000, 50), (49, 50), (9, 10)])
def test_a_read_that_stops_at_its_limit_is_whole(most, length):
    content = S3Objects(Connection(50), "bucket").get("key", max_bytes=most)
    assert len(content) == length
