"""The only room that imports the AWS SDK; SDK errors become ours here."""
