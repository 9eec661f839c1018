"""Recipes: each file here turns one spec of `sm3.remote.recipe_specs` into a model and its batches."""
