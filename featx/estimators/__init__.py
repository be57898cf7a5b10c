"""Estimators of our own: scikit-learn citizens that learn from class shares and try many parameters at once."""

from featx.estimators.blocks import BlockPCA, BlockScaler
from featx.estimators.class_mean import NearestClassMean
from featx.estimators.kernel import EXACT_ROWS, KernelMap, KernelSVM
from featx.estimators.linear import PENALTIES
from featx.estimators.linear_svm import LinearSVM
from featx.estimators.mlp import MLP
from featx.estimators.multilabel import OneVsRest
from featx.estimators.multilabel_neighbors import MultilabelNeighbors
from featx.estimators.neighbors import CosineNeighbors, nearest_rows
from featx.estimators.ridge import LooRidgeClassifier
from featx.estimators.scaling import FeatureScaler, How
from featx.estimators.scores import NO_CHANCE, Grid, class_scores, expand_shares, fit_classifier, spread_scores, sweep
from featx.estimators.selecting import By, ColumnSelector
from featx.estimators.softmax import SoftmaxRegression
from featx.estimators.stacking import StackedBlocks

__all__ = [
    "EXACT_ROWS",
    "MLP",
    "NO_CHANCE",
    "PENALTIES",
    "BlockPCA",
    "BlockScaler",
    "By",
    "ColumnSelector",
    "CosineNeighbors",
    "FeatureScaler",
    "Grid",
    "How",
    "KernelMap",
    "KernelSVM",
    "LinearSVM",
    "LooRidgeClassifier",
    "MultilabelNeighbors",
    "NearestClassMean",
    "OneVsRest",
    "SoftmaxRegression",
    "StackedBlocks",
    "class_scores",
    "expand_shares",
    "fit_classifier",
    "nearest_rows",
    "spread_scores",
    "sweep",
]
