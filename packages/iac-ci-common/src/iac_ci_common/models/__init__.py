"""The models that are stored or sent, one file each."""
