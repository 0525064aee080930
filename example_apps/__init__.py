"""Two whole applications to read and to run, and a demo that shows the first of them at work."""
