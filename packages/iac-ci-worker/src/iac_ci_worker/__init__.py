"""Runs an order's commands once, redacts what they print and calls back."""
