"""What calling other people's HTTP APIs needs: where they are and how to get in, and what must never be shown."""
