"""Every AWS call of a run fails once, on the real adapters: the promises hold all the same."""
