"""`make mutants`: take each security check out of the code in turn, and see that a test fails."""
