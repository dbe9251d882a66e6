"""Small modules that import no other room."""
