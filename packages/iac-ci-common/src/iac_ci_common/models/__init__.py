"""The shapes that are stored or sent, one file each."""
