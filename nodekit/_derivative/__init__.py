"""The user's function and state as the solver sees them, and which tensors they depend on."""
