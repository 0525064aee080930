"""What stands on the wire: raw bytes to the servers that people run, with every adapter behind at least two of them."""
