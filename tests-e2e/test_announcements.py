"""What a run announces on the event bus, on the local cloud with IAM enforced: to a queue, and as a chat gets it.

`-s` prints what the queue received.
"""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from iac_ci_common.aws.event_bus import EventBridgeBus
from iac_ci_common.models.announcement import SOURCE, Announcement
from iac_ci_common.states import RunState
from iac_ci_common.testing.samples import START, run_row
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.testing import post, wait_for_end, wait_until
from iac_ci_orchestrator.announcements import end_announcement

BUS = json.loads((Path(__file__).parents[1] / "terraform/deploy/stack/event-bus.json").read_text("utf-8"))
HOSTILE = '"}, {"x": "<!channel> <https://evil.example|click> *now* \\ \n@here'
JOB = {
    "username": "tests",
    "flow_label": "release",
    "orders": [
        {"order_name": "plan", "cmds": ["echo a-line-of-output"], "timeout": 60},
        {"order_name": "ask", "approval": {"api": True, "message": "Release it?"}, "dependencies": ["plan"]},
        {"order_name": "apply", "cmds": ["exit 3"], "timeout": 60, "dependencies": ["ask"]},
    ],
}


@pytest.fixture(scope="module")
def cloud():
    with LocalCloud() as running:
        yield running


@pytest.fixture(scope="module")
def bus(cloud):
    return cloud.stack.names.resource(BUS["name"])


class Queue:
    """A queue that a rule of its own on the bus fills, with events or with what an input transformer makes of them."""

    def __init__(self, cloud, bus, name, **target):
        self._sqs, events = cloud.aws.client("sqs"), cloud.aws.client("events")
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps({"source": [SOURCE]}))
        events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": name, "Arn": arn, **target}])
        self._received = []

    def of(self, run_id):
        """Return everything about a run that has come so far, each announcement once.

        An announcement is sent again if the bus did not answer in time.
        """
        for message in self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", []):
            body = json.loads(message["Body"])
            if body.get("detail", body) not in [one.get("detail", one) for one in self._received]:
                self._received.append(body)
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return [one for one in self._received if run_id in json.dumps(one)]


@pytest.fixture(scope="module")
def queue(cloud, bus):
    return Queue(cloud, bus, "announcements")


@pytest.fixture(scope="module")
def chat(cloud, bus):
    """What Slack's webhook would get: terraform/deploy/notifications.tf has the same transformer."""
    texts = BUS["notifications"]
    transformer = {"InputPathsMap": texts["input_paths"], "InputTemplate": texts["slack"]}
    return Queue(cloud, bus, "chat", InputTransformer=transformer)


def submitted(cloud, job):
    status, answer = post(cloud, json.dumps(job).encode())
    assert status == 202, answer
    return answer["run_id"]


def test_a_run_that_waits_and_ends_is_announced_to_a_queue_and_a_chat(cloud, queue, chat):
    run_id = submitted(cloud, JOB)
    wait_until(lambda: len(queue.of(run_id)) == 1, subject="the announcement that the run waits")
    body = json.dumps({"approval": {"run_id": run_id, "order": "ask", "answer": "approve"}}).encode()
    answered = post(cloud, body)
    assert answered[0] == 200, answered
    rows = wait_for_end(cloud, run_id)
    wait_until(lambda: len(queue.of(run_id)) == 2, subject="the announcement of the end")

    waits, ended = (Announcement.from_stored(event["detail"]) for event in queue.of(run_id))
    assert [event["detail-type"] for event in queue.of(run_id)] == ["run_waits", "run_ended"]
    assert (waits.id, ended.id) == (f"{run_id}:0002:run_waits", f"{run_id}:0000:run_ended")
    assert (waits.wait.order_name, ended.end.status) == ("ask", rows.run.status)
    assert ended.end.orders == {"succeeded": 2, "failed": 1}
    everything = json.dumps(queue.of(run_id))
    assert "a-line-of-output" not in everything
    assert cloud.stack.webhook_secret not in everything

    wait_until(lambda: len(chat.of(run_id)) == 2, subject="the chat's messages")
    texts = shown(chat, run_id)
    assert texts == sorted([waits.text, ended.text])
    print(f"\nannounced: {[event['detail-type'] for event in queue.of(run_id)]}; the chat got: {texts}")


def test_hostile_names_are_one_plain_line_of_a_chat(cloud, bus, chat):
    run = run_row(
        status=RunState.FAILED, finished_at=START, job_name=HOSTILE, branch=HOSTILE, actor=HOSTILE, reason=HOSTILE
    )
    announcement = end_announcement("iac-ci", run, [])
    EventBridgeBus(cloud.aws.client("events"), bus).put([announcement])
    wait_until(lambda: chat.of(run.run_id), subject="the chat's message")
    assert shown(chat, run.run_id) == [announcement.text]
    assert not set(announcement.text) & set('"\\\n<>*@')


def shown(chat, run_id):
    """Return the texts that a chat shows as they are, without markup, sorted."""
    texts = []
    for message in chat.of(run_id):
        (block,) = message["blocks"]
        assert block["text"]["type"] == "plain_text"
        assert message["text"] == block["text"]["text"]
        texts.append(block["text"]["text"])
    return sorted(texts)


@pytest.mark.parametrize("role", ["init-job", "watchdog-check", "broker", "page", "worker", "worker-build"])
def test_no_other_role_announces_anything(cloud, bus, role):
    with pytest.raises(ClientError, match="AccessDenied"):
        events_as(cloud, role).put_events(Entries=[{**ENTRY, "EventBusName": bus}])


def test_the_orchestrator_announces_on_its_own_bus_alone(cloud, bus):
    events = events_as(cloud, "orchestrator")
    assert events.put_events(Entries=[{**ENTRY, "EventBusName": bus}])["FailedEntryCount"] == 0
    with pytest.raises(ClientError, match="AccessDenied"):
        events.put_events(Entries=[ENTRY])


ENTRY = {"Source": "of-a-test", "DetailType": "nothing", "Detail": "{}"}


def events_as(cloud, role):
    """Return a client with the rights of one of the stack's roles."""
    arn = cloud.stack.names.role_arn(role)
    credentials = cloud.aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    return boto3.client(
        "events",
        region_name=cloud.stack.names.region,
        endpoint_url=cloud.aws.endpoint,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
