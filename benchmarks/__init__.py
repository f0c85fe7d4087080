"""What things cost: one file per question."""
