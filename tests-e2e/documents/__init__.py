"""Tests of the documents: commands run, data is valid, links lead somewhere, terms are defined."""
