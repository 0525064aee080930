"""The FastAPI example; see README.md in this folder."""
