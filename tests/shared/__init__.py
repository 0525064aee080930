"""The shared token cache: by hand, and against real servers of Redis and Valkey that the tests start themselves."""
