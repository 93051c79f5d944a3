"""The safety net: notices what died, timed out or was missed, and wakes the orchestrator."""
