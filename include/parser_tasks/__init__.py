"""Parser tasks: created for each source on schedule, sent over Kafka to fleets of parsers, followed to their end."""
