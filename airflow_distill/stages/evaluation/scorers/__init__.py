"""Judge one answer: one idea a file, each a frozen record of its settings; `registry` finds them by name."""
