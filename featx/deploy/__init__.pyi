from .deploying import (
    Deployed as Deployed,
    DeployedTensor as DeployedTensor,
    deploy_head as deploy_head,
    reserve_model as reserve_model,
)
from .predict import Prediction as Prediction, predict_images as predict_images, predict_tables as predict_tables
