"""Working the residual: the execution environment, rules, and policies that learn in it."""
