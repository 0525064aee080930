"""The tests of the project; run them with `make test`."""
