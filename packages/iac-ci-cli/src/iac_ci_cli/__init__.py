"""The command iac-ci: submit, watch and understand runs."""
