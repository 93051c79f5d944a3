"""The pipeline scripts as an operator runs them, against an AWS of their own."""
