"""A stand-in for a Kafka cluster: knows nothing of Headrace, is run as a process, and forgets everything at its end."""
