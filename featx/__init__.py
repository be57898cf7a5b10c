"""Transfer learning by features.

A source model, exported to ONNX and cut before its last layer, is a backbone: it turns an image into a feature.

    images = list_images("photos")                                  # which images, in a fixed order
    backbone = load_backbone("efficientnet-lite0")                  # an exported model and its card
    summary = extract_features(images, backbone, into="photos.h5")  # features into a cache; resumes
    table = fuse_tables([read_features("photos.h5")])               # one table from one cache or several
    head, result = train_head(table, "logreg")                      # tuned on training rows, measured on others
    save_head(head, "photos.featx")
    predictions = predict_images(load_head("photos.featx"), list_images("new"))

Names are imported when they are first used, so that `import featx` stays light.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
