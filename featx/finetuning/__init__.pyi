from .finetuning import TuningProgress as TuningProgress, finetune_backbone as finetune_backbone
from .layers import layer_probabilities as layer_probabilities
from .outcome import FineTuning as FineTuning, TriedRate as TriedRate
from .training import Epoch as Epoch
