"""ECR's lifecycle removes no image that a function names, however many came after it."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Image(NamedTuple):
    """An image in a repository: its tags, and how many days ago it was pushed."""

    tags: tuple[str, ...]
    days: float


def removed(policy: Mapping[str, Any], images: Sequence[Image]) -> set[Image]:
    """Return what ECR removes: an image that matches a rule's tags is none of a later rule's.

    (Amazon ECR User Guide, "Automate the cleanup of images by using lifecycle policies", "How the lifecycle policy
    works".)
    """
    left, gone = list(images), set()
    for rule in sorted(policy["rules"], key=lambda rule: rule["rulePriority"]):
        selection = rule["selection"]
        chosen = [image for image in left if _matches(selection, image)]
        left = [image for image in left if image not in chosen]
        if selection["countType"] == "sinceImagePushed":
            gone |= {image for image in chosen if image.days > selection["countNumber"]}
        else:
            newest_first = sorted(chosen, key=lambda image: image.days)
            gone |= set(newest_first[selection["countNumber"] :])
    return gone


def _matches(selection: Mapping[str, Any], image: Image) -> bool:
    if selection["tagStatus"] == "untagged":
        return not image.tags
    # An image must have a tag for each of the patterns.
    return bool(image.tags) and all(
        any(fnmatchcase(tag, pattern) for tag in image.tags) for pattern in selection["tagPatternList"]
    )


@pytest.fixture(scope="module")
def policy(plans: Mapping[str, Any]) -> Any:
    resources = plans["ecr"]["planned_values"]["root_module"]["resources"]
    (found,) = [item for item in resources if item["address"] == "aws_ecr_lifecycle_policy.image"]
    return json.loads(found["values"]["policy"])


def test_the_image_of_a_function_outlives_hundreds_of_newer_ones(policy: Any) -> None:
    # Deployed a year ago, and the one that a deployment that failed may fall back to.
    named = [Image(("1" * 40, "deployed-acme"), 365), Image(("2" * 40, "deployed-acme.next"), 300)]
    others = [Image((f"{number:040x}",), number / 10) for number in range(500)]
    lost_tag = [Image((), 8)]
    gone = removed(policy, [*others, *named, *lost_tag])
    assert not gone & set(named)
    assert gone == set(others[50:]) | set(lost_tag)


def test_without_its_tag_it_would_be_removed(policy: Any) -> None:
    old = Image(("1" * 40,), 365)
    others = [Image((f"{number:040x}",), number / 10) for number in range(500)]
    assert old in removed(policy, [*others, old])


def test_the_tags_of_two_stacks_are_never_the_same() -> None:
    # A stack's name has no dot, so `acme.next` is no other stack's tag.
    text = (Path(__file__).parents[2] / "pipelines" / "deploy").read_text("utf-8")
    assert '"deployed-$stack.next"' in text
    assert '"deployed-$stack"' in text
