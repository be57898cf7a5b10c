from .blocks import BlockPCA as BlockPCA, BlockScaler as BlockScaler
from .class_mean import NearestClassMean as NearestClassMean
from .convergence import converging as converging
from .domains.adapter import DomainAdapter as DomainAdapter
from .domains.boosting import TrAdaBoost as TrAdaBoost
from .domains.importance import (
    effective_sample_size as effective_sample_size,
    importance_weights as importance_weights,
    note_on_weights as note_on_weights,
)
from .domains.mapping import CoralAdapter as CoralAdapter, TransportAdapter as TransportAdapter
from .domains.pair import DomainPair as DomainPair
from .domains.priors import PriorShift as PriorShift
from .domains.standardising import DomainStandardiser as DomainStandardiser
from .kernel import EXACT_ROWS as EXACT_ROWS, KernelMap as KernelMap, KernelSVM as KernelSVM
from .linear import PENALTIES as PENALTIES, LinearClassifier as LinearClassifier
from .linear_scores import LinearScores as LinearScores, fold_steps as fold_steps
from .linear_svm import LinearSVM as LinearSVM
from .mlp import MLP as MLP
from .multilabel import OneVsRest as OneVsRest
from .multilabel_neighbors import MultilabelNeighbors as MultilabelNeighbors
from .neighbors import UNIFORM_VOTE as UNIFORM_VOTE, CosineNeighbors as CosineNeighbors
from .ridge import LooRidgeClassifier as LooRidgeClassifier
from .scaling import FeatureScaler as FeatureScaler, How as How
from .scores import (
    NO_CHANCE as NO_CHANCE,
    Grid as Grid,
    class_scores as class_scores,
    fit_classifier as fit_classifier,
    sweep as sweep,
)
from .selecting import By as By, ColumnSelector as ColumnSelector
from .softmax import SoftmaxRegression as SoftmaxRegression, fit_along_axes as fit_along_axes
from .stacking import LEAST_LOG_PROBABILITY as LEAST_LOG_PROBABILITY, StackedBlocks as StackedBlocks
from .targets import balancing_factors as balancing_factors
