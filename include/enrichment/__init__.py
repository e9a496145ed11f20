"""The row engine: a CSV's rows call an API, pandas transforms the answers, JSON is published."""
