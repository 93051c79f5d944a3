"""URLs end as they end in S3, from the chosen step on, and a URL that is signed after that works."""

from __future__ import annotations

import boto3
import pytest
import urllib3
from botocore.config import Config

from faults.breaking_cloud import BreakingCloud
from faults.ending_sessions import Ending
from iac_ci_local.ministack import Speed

pytestmark = pytest.mark.local_cloud

RUN = "20260101t000000-0123456789ab"
CLAIM, LOG = f"tmp/callbacks/runs/{RUN}/0001/claim.json", f"tmp/logs/{RUN}/0001.log"


@pytest.fixture(scope="module")
def cloud():
    with BreakingCloud(speed=Speed(wait_scale=0.05, retry_seconds=0.2)) as running:
        yield running


@pytest.fixture
def urls(cloud):
    """A function that signs URLs for an object."""
    names = cloud.stack.names
    role = cloud.aws.client("sts").assume_role(RoleArn=names.role_arn("orchestrator"), RoleSessionName="tests")
    session = role["Credentials"]
    s3 = boto3.client(
        "s3",
        region_name=names.region,
        endpoint_url=cloud.aws.endpoint,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    bucket = names.bucket("internal")

    def sign(key: str) -> tuple[str, str]:
        parameters = {"Bucket": bucket, "Key": key}
        return tuple(s3.generate_presigned_url(f"{verb}_object", Params=parameters) for verb in ("put", "get"))

    yield sign
    cloud.end_sessions(None)


def ask(url: str, method: str, body: bytes | None = None) -> tuple[int, bytes]:
    # urllib would add a content type, which is not in the signature. A connection that stays open may end meanwhile.
    answer = urllib3.request(method, url, body=body, headers={"Connection": "close"}, retries=False, timeout=60)
    return answer.status, answer.data


@pytest.mark.parametrize(
    ("kind", "status", "code"), [("session", 400, b"ExpiredToken"), ("url", 403, b"Request has expired")]
)
def test_urls_end_at_the_step_and_new_ones_work(cloud, urls, kind, status, code):
    cloud.end_sessions(Ending(kind, method="GET", suffix="/claim.json", number=1))
    put, get = urls(CLAIM)
    assert ask(put, "PUT", b"first")[0] == 200
    assert ask(get, "GET") == (200, b"first")
    refused = ask(get, "GET")
    assert (refused[0], code in refused[1]) == (status, True)
    put_other, _ = urls(LOG)
    assert ask(put, "PUT", b"second")[0] == status
    assert ask(put_other, "PUT", b"other")[0] == 200, "it was signed after the end"
    assert ask(urls(CLAIM)[1], "GET") == (200, b"first")
    assert cloud.presigned()["refused"] == 2


def test_sessions_may_end_for_good(cloud, urls):
    cloud.end_sessions(Ending("session", for_good=True))
    assert ask(urls(LOG)[0], "PUT", b"x")[0] == 400
    assert ask(urls(LOG)[0], "PUT", b"x")[0] == 400
    cloud.end_sessions(None)
    assert ask(urls(LOG)[0], "PUT", b"x")[0] == 200
