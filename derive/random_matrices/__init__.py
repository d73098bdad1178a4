"""Inner rooms of matrix expressions, pencils and Dyson equations."""
