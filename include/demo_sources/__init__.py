"""Sources to try parsers on: growing RSS feeds, VK's `wall.get` and YouTube's Data API, in one local process.

Nothing is kept: what there is at a time follows from the time, so a restart changes nothing. All of it says "demo".
"""
