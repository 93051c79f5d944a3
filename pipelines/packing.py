"""Packs the teardown archive: the stages, instructions, and the checksums of every file."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path
from typing import Final

STAGES: Final = ("bootstrap", "ecr", "deploy")
SCRIPTS: Final = Path(__file__).resolve().parent
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)

TEARDOWN: Final = """# Removing the stack {stack}

This archive has everything except Terraform 1.11 or newer, bash, and credentials of the account.

    ./teardown --plan     # shows what would be removed, and changes nothing
    ./teardown --yes      # removes it

While runs are open, it lists them and changes nothing; it finds them with the AWS CLI. With --with-open-runs it does
not look. It checks the sums in MANIFEST.sha256, removes the stack ({stack} in {region}) with all objects in its
buckets, and then the image repository with its images. If it stops early, run it again: it continues where it stopped.

## What stays

- The state bucket `{bucket}`: the Terraform states with their older versions, and these archives. To remove
  it, delete all object versions and then the bucket:

      while objects="$(aws s3api list-object-versions --bucket {bucket} --max-items 500 \\
        --query '[Versions, DeleteMarkers][] | [].{{Key: Key, VersionId: VersionId}}' --output json)" &&
        [ "$objects" != "[]" ]; do
        aws s3api delete-objects --bucket {bucket} --delete "{{\\"Objects\\": $objects, \\"Quiet\\": true}}"
      done
      aws s3 rb s3://{bucket}

- The KMS key, until the waiting period of its deletion ends.
- Secrets and parameters of jobs below `/iac-ci/jobs/`: you created them.
"""


def members(work: Path, stack: str, region: str, bucket: str) -> dict[str, bytes]:
    """Return the content of every file of the archive by its name."""
    found: dict[str, bytes] = {}
    for stage in STAGES:
        for path in sorted((work / stage).rglob("*")):
            name = path.relative_to(work)
            unneeded = ".terraform" in name.parts
            state = ".tfstate" in path.name and stage != "bootstrap"
            if path.is_file() and not unneeded and not state:
                found[name.as_posix()] = path.read_bytes()
    found["teardown"] = (SCRIPTS / "teardown").read_bytes()
    found["TEARDOWN.md"] = TEARDOWN.format(stack=stack, region=region, bucket=bucket).encode()
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in sorted(found.items()))
    return found | {"MANIFEST.sha256": sums.encode()}


def pack(found: dict[str, bytes], target: Path) -> None:
    """Write the zip; equal files result in equal bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in sorted(found.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = (0o700 if name == "teardown" else 0o600) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, body)


def main() -> None:
    """Print the names of the archive's files, and pack them if a target is named."""
    work, stack, region, bucket, *target = sys.argv[1:]
    found = members(Path(work), stack, region, bucket)
    for name in sorted(found):
        sys.stdout.write(f"  {name}\n")
    for path in target:
        pack(found, Path(path))


if __name__ == "__main__":
    main()
