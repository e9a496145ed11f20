"""What every system shares: errors, files, templates, the database, the rate limit. Knows nobody."""
