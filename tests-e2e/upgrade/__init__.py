"""Open runs of recorded versions, played to their end under this one."""
