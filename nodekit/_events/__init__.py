"""Events: where they happen, and the restarts they cause."""
