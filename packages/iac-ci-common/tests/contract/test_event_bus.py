"""Announcements on the stack's event bus."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from iac_ci_common.aws.event_bus import EventBridgeBus
from iac_ci_common.errors import PortFailed
from iac_ci_common.models.announcement import Announcement, AnnouncementKind
from iac_ci_common.testing.samples import RUN_ID, START


def announcement(number=0, **fields):
    return Announcement(
        id=f"{RUN_ID}:{number:04d}:run_ended",
        kind=AnnouncementKind.RUN_ENDED,
        text="a run has ended",
        stack="iac-ci",
        run_id=RUN_ID,
        trace_id="0" * 16,
        at=START + timedelta(seconds=number),
        **fields,
    )


def test_what_is_put_is_received_whole(adapters):
    put = [announcement(1, branch='"x"\n<b>*y*</b> \\ ä'), announcement(2, pull_request=7)]
    adapters.bus.put(put)
    assert sorted(adapters.received(), key=lambda one: one.id) == put


def test_more_than_ten_are_put_as_well(adapters):
    put = [announcement(number) for number in range(23)]
    adapters.bus.put(put)
    assert sorted(one.id for one in adapters.received()) == [one.id for one in put]


def test_the_same_may_be_put_again(adapters):
    adapters.bus.put([announcement()])
    adapters.bus.put([announcement()])
    assert [one.id for one in adapters.received()] == [announcement().id] * 2


class Events:
    """EventBridge, which refuses some entries of a call that succeeds."""

    def __init__(self, *codes, error=None):
        self.codes, self.error, self.calls = codes, error, []

    def put_events(self, **call):
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        entries = [{"ErrorCode": code, "ErrorMessage": "no"} if code else {"EventId": "e"} for code in self.codes]
        return {"FailedEntryCount": sum(map(bool, self.codes)), "Entries": entries}


@pytest.mark.parametrize(
    ("codes", "safe"),
    [
        (["InternalFailure", None], True),
        (["ThrottlingException"], True),
        (["InternalFailure", "NotAuthorizedForSourceException"], False),
        (["MalformedDetail"], False),
    ],
)
def test_a_refused_entry_is_an_error(codes, safe):
    with pytest.raises(PortFailed, match=f"refused {len(list(filter(None, codes)))} of {len(codes)}") as caught:
        EventBridgeBus(Events(*codes), "runs").put([announcement()])
    assert caught.value.retry_is_safe is safe


def test_a_refused_call_is_an_error():
    refused = ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no bus"}}, "PutEvents")
    with pytest.raises(PortFailed, match="runs"):
        EventBridgeBus(Events(error=refused), "runs").put([announcement()])


def test_an_event_has_the_time_of_what_happened_and_the_whole_announcement():
    client = Events(None)
    EventBridgeBus(client, "runs").put([announcement(5)])
    ((entry,),) = [call["Entries"] for call in client.calls]
    assert (entry["EventBusName"], entry["Source"], entry["DetailType"]) == ("runs", "iac-ci", "run_ended")
    assert entry["Time"] == announcement(5).at
    assert json.loads(entry["Detail"])["schema_version"] == 1


def test_without_a_bus_nothing_is_called():
    client = Events()
    EventBridgeBus(client, "").put([announcement()])
    assert client.calls == []
