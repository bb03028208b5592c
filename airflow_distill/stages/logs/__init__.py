"""What the teacher said in production: invocation logs become interactions."""
