"""``/v1/recipes``: what can be launched."""

from __future__ import annotations

from fastapi import APIRouter

from server.catalogue import recipe_views
from server.routes.jobs import ADMIN
from sm3.remote.wire import RecipeList

router = APIRouter(prefix="/v1", tags=["catalogue"])


@router.get("/recipes", dependencies=ADMIN)
def recipes() -> RecipeList:
    """Lists the recipes, their sizes, and their data with licence and provenance."""
    return RecipeList(items=recipe_views())
