"""The watchdog: finds workers that died, time-outs and missed events, and notifies the orchestrator."""
