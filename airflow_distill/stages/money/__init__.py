"""What things cost: prices, usage, bills, estimates, serving. Everything that says an amount takes it from here."""
