"""Tests about the project itself: its exports, its rules for code, and the wheel that is built of it."""
