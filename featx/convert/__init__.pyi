from .adding import Description as Description, add_backbone as add_backbone
from .export.exporting import export_model as export_model
from .export.models import Recipe as Recipe
from .fast_decoding import FastEffect as FastEffect, measure_fast as measure_fast
from .preprocessing import Preprocessing as Preprocessing
from .quantize.quantizing import Quantization as Quantization, quantize_backbone as quantize_backbone
from .randomize.loading import load_backbone as load_backbone
from .randomize.naming import card_name as card_name
from .randomize.randomizing import randomize_backbone as randomize_backbone
from .removing import Removal as Removal, plan_removal as plan_removal, remove_backbone as remove_backbone
from .tuning import check_new_name as check_new_name, install_tuned as install_tuned
from .verifying import Check as Check, model_input as model_input, verify_backbone as verify_backbone
