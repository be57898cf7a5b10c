from .deployed import (
    Deployed as Deployed,
    DeployedTensor as DeployedTensor,
    reserve_model as reserve_model,
)
from .deploying import LayoutName as LayoutName, deploy_head as deploy_head
from .predict import Prediction as Prediction, predict_images as predict_images, predict_tables as predict_tables
