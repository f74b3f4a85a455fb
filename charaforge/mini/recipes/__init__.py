"""Recipes that train every member of the mini family from nothing but the renderer."""
