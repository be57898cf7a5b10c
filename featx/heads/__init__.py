"""Heads: unfitted scikit-learn pipelines by name; fitted ones saved and loaded without pickle."""

from featx.heads.fusions import FUSIONS, Blocks, find_fusion
from featx.heads.head import Head
from featx.heads.recipes import HEADS, HeadRecipe, Plan, build_head, find_recipe, plan_head
from featx.heads.saving import check_target, load_head, save_head

__all__ = [
    "FUSIONS",
    "HEADS",
    "Blocks",
    "Head",
    "HeadRecipe",
    "Plan",
    "build_head",
    "check_target",
    "find_fusion",
    "find_recipe",
    "load_head",
    "plan_head",
    "save_head",
]
