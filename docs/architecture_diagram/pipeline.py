"""Arranges the scripts of ``pipelines/`` in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docs.architecture_diagram.box import Box
from docs.architecture_diagram.parts import Flow

if TYPE_CHECKING:
    from docs.architecture_diagram.prices import Prices


def pipeline(prices: Prices) -> Flow:
    """Return the part."""

    def step(name: str, title: str, icon: str, brief: str, role: str, rows: tuple[tuple[str, str], ...],
             *sources: str, differs: tuple[str, ...] = ()) -> Box:  # fmt: skip
        return Box(
            name,
            title,
            "pipeline",
            icon,
            brief,
            role,
            rows=(("Command", f"`pipelines/{name}`; `--plan` shows what it would do"), *rows),
            sources=(f"pipelines/{name}", *sources),
            departures=differs,
        )

    return Flow(
        "pipeline",
        "Deployment pipeline",
        "One script per step, safe to run again. `pipelines/all` runs those from Bootstrap to Archive in this order, "
        "`pipelines/teardown` removes the stack.",
        boxes=(
            step("pin", "Pin", "shield", "digests and checksums", "Resolves the base images to digests, and reads the "
                 "checksums of Terraform and sops that their authors signed. Build refuses what is not pinned.",
                 (("Leaves", "`pipelines/pins.json`, to be committed"), ("Cost", "none")), "pipelines/pinning.py"),
            step("bootstrap", "Bootstrap", "bucket", "state bucket", "Creates the bucket of the Terraform states.",
                 (("Cost", "the storage of a few files"),), "terraform/bootstrap", differs=("bootstrap-state",)),
            step("ecr", "ECR", "image", "image repository", "Creates the repository of the image.",
                 (("Cost", prices.shown("ecr_gb_month", "GB and month")),), "terraform/ecr"),
            step("build", "Docker", "build", "build and push", "Builds the image of the commit that is checked out and "
                 "pushes it under the commit's hash.", (("Leaves", "`.build/<stack>/image.json` with the digest"),
                 ("Cost", "none in AWS")), "Dockerfile", differs=("digest",)),
            step("deploy", "Deploy", "cloud", "all AWS resources", "Creates or changes everything else, from the image "
                 "that build recorded. It refuses to go back to a version that cannot end the open runs.",
                 (("Cost", "a key and the alarms by the month, and storage: see Resources"),), "terraform/deploy",
                 "docs/deploy.md"),
            step("smoke", "Smoke tests", "check", "a job of two orders", "Verifies every part, from the API to the "
                 "state machine, and runs a job of two orders.", (("Cost", "that of two orders"),), "tests-e2e/smoke",
                 differs=("smoke-job",)),
            step("archive", "Archive", "archive", "zip for teardown", "Packs Terraform, backends, variables and locks "
                 "into the state bucket, so that the stack can be removed without this checkout.",
                 (("Retention", "permanent, in the state bucket"), ("Cost", "the storage of one zip")),
                 "pipelines/packing.py"),
            step("teardown", "Teardown", "trash", "from the archive", "Removes the stack and the image repository with "
                 "everything in them. The state bucket stays.",
                 (("Confirmation", "`--yes`, or it asks"), ("Cost", "none"))),
        ),
        arrows=("committed", "", "", "", "", "", "later"),
    )  # fmt: skip
