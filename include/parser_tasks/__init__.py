"""Parser tasks: created for each source by its schedule, sent over Kafka to fleets of parsers, followed to their end."""
