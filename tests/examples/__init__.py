"""The example applications, the demo, and the code in the documents, run as they stand there."""
