"""The grammar's vocabulary and the construction of expressions."""
