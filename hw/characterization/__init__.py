"""What long runs and synthesis found, together: engine records, tables and the figure."""
