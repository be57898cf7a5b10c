from .predict import Prediction as Prediction, predict_images as predict_images, predict_tables as predict_tables
