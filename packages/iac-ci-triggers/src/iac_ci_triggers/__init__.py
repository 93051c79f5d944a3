"""What starts jobs from a code host: events, configuration, ledger and decision."""
