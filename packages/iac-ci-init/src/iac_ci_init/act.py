"""The init function's two legs, side by side: ``Door`` accepts, ``Preparer`` prepares."""

from iac_ci_init.api_door import Door, DoorPorts
from iac_ci_init.preparing import PreparationPorts, Preparer

__all__ = ["Door", "DoorPorts", "PreparationPorts", "Preparer"]
