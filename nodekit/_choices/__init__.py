"""What is asked of a solve: names, options, times and tolerances, each checked, and what goes with what."""
