"""Tests of the local identity provider and the local Graph."""
