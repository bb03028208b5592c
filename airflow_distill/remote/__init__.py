"""Any work that runs elsewhere and costs money: identity, polling and failure, as pure functions."""
