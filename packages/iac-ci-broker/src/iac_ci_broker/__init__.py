"""The broker: trades a worker's ticket for presigned URLs of minutes and the wish to stop."""
