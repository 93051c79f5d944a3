"""The emulators of AWS that the suite takes by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws.moto_aws import MotoAws
from iac_ci_local.cloud import LocalCloud
from iac_ci_local.ministack import LocalAws

if TYPE_CHECKING:
    from collections.abc import Callable

EMULATORS: Final[dict[str, type[LocalAws]]] = {"ministack": LocalAws, "moto": MotoAws}


def makes(name: str) -> Callable[[LocalCloud], LocalAws]:
    """Return the method with which a local cloud makes the AWS of that name."""

    def make_aws(cloud: LocalCloud) -> LocalAws:
        return EMULATORS[name](speed=cloud.speed, builds=cloud.builds, functions=cloud.functions)

    return make_aws


def use(name: str) -> None:
    """Have every local cloud of this process run on the emulator of that name."""
    LocalCloud.make_aws = makes(name)  # type: ignore[method-assign]
