"""``/v1/recipes`` and ``/v1/statistics``: what can be launched, and what can be recorded."""

from __future__ import annotations

from fastapi import APIRouter

from server.auth import Scope, needs
from server.catalogue import recipe_views, statistic_views
from sm3.remote.wire import RecipeList, StatisticList

router = APIRouter(prefix="/v1", tags=["catalogue"])


@router.get("/recipes", dependencies=[needs(Scope.VIEW)])
def recipes() -> RecipeList:
    """Lists the recipes, their sizes, and their data with licence and provenance."""
    return RecipeList(items=recipe_views())


@router.get("/statistics", dependencies=[needs(Scope.VIEW)])
def statistics() -> StatisticList:
    """Lists what a job can record: the names for ``record.probes``, then what every job records."""
    return StatisticList(items=statistic_views())
