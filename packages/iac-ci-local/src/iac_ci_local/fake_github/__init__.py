"""A code host on this machine that behaves like GitHub: for the demonstration of pull requests, and for tests."""
