"""The unit tests of ``obo_middleware`` without its adapters."""
