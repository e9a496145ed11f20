"""How often an outside API may be called, counted once for all processes: rates, pauses and budgets."""
