"""Targets that turn any bytes into an input of the product: run by hypothesis with the tests, and by `make fuzz`."""
