"""Training data: what there is, where it comes from and under what licence. No torch here."""
