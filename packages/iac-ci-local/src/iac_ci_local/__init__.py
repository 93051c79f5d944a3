"""The embedded local cloud: the whole engine on a laptop, under the deployed policies."""
