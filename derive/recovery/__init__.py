"""Inner rooms of ``derive.theory.local_recovery``: families, closed forms, strata, completion."""
