"""The bare chain: S3 put, event, Lambda, invoke, Lambda, S3 put and so on, without the engine."""

from __future__ import annotations

import io
import time
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iac_ci_local.testing import wait_until

if TYPE_CHECKING:
    from iac_ci_local.cloud import LocalCloud

_FUNCTIONS: Final = Path(__file__).with_name("bare_functions.py")
_MEMORY_MB: Final = {"relay": 512, "work": 1024}


class BareChain:
    """Two functions and a bucket in the stack's local cloud."""

    def __init__(self, cloud: LocalCloud) -> None:
        """Create the functions, with the memory of orchestrator and worker, and the bucket."""
        self._s3 = cloud.aws.client("s3")
        names = cloud.stack.names
        self._bucket = names.bucket("bare")
        self._s3.create_bucket(Bucket=self._bucket)
        iam, functions = cloud.aws.client("iam"), cloud.aws.client("lambda")
        allowed = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
        iam.create_role(RoleName=names.resource("bare"), AssumeRolePolicyDocument="{}")
        iam.put_role_policy(RoleName=names.resource("bare"), PolicyName="bare", PolicyDocument=allowed)
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.write(_FUNCTIONS, _FUNCTIONS.name)
        for name, memory in _MEMORY_MB.items():
            functions.create_function(
                FunctionName=names.resource(f"bare-{name}"),
                Runtime="python3.12",
                Handler=f"{_FUNCTIONS.stem}.{name}",
                Role=names.role_arn("bare"),
                Timeout=60,
                MemorySize=memory,
                Environment={"Variables": {"BARE_WORKER": names.resource("bare-work"), "AWS_SDK_UA_APP_ID": "bare"}},
                Code={"ZipFile": package.getvalue()},
            )
            functions.put_function_recursion_config(FunctionName=names.resource(f"bare-{name}"), RecursiveLoop="Allow")
        rules = [{"Name": "suffix", "Value": ".json"}]
        self._s3.put_bucket_notification_configuration(
            Bucket=self._bucket,
            NotificationConfiguration={
                "LambdaFunctionConfigurations": [
                    {
                        "LambdaFunctionArn": names.function_arn("bare-relay"),
                        "Events": ["s3:ObjectCreated:*"],
                        "Filter": {"Key": {"FilterRules": rules}},
                    }
                ]
            },
        )

    def run(self, orders: int, *, lanes: int) -> float:
        """Pass ``orders`` through ``lanes`` parallel chains; return the seconds from the first put to the last."""
        wanted = min(lanes, orders)
        attempt = uuid.uuid4().hex
        lengths = [orders // wanted + (lane < orders % wanted) for lane in range(wanted)]
        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda item: self._put(attempt, *item), enumerate(lengths)))
        for lane in range(wanted):
            wait_until(partial(self._ended, attempt, lane), seconds=600, subject=f"the end of lane {lane}")
        return time.monotonic() - started

    def _put(self, attempt: str, lane: int, length: int) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=f"{attempt}/{lane}/{length - 1:04d}.json", Body=b"{}")

    def _ended(self, attempt: str, lane: int) -> bool:
        key = f"{attempt}/{lane}/ended"
        return "Contents" in self._s3.list_objects_v2(Bucket=self._bucket, Prefix=key)
