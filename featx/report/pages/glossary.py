"""The glossary: what the words of a page mean, of those that it uses."""

from collections.abc import Iterable, Iterator

from featx.report.section import Section

GLOSSARY = {
    "accuracy": "share of test images whose most probable class is the true one",
    "adaptation": "what makes a head of one domain fit another",
    "AUROC": "probability that an image of a class gets a higher score than one that is not of it; 0.5 is chance",
    "backbone": "a trained model without its last layer, which turns images into features",
    "balanced accuracy": "mean over the classes of the share of their images that are right",
    "baseline": "what needs no transfer, such as always naming the most frequent class, or raw pixels",
    "cache": "the file that holds one row of features for each image",
    "calibration": "whether probabilities agree with the share of predictions that are right",
    "candidate": "a head on the features of one backbone or several, which is compared with others",
    "domain": "images that were made in the same way: by one camera, at one site",
    "few-shot": "with a small number of training images of each class",
    "fusion": "features of several backbones joined into one table for one head",
    "gain": "accuracy with transfer minus that of the best baseline, on the same test images",
    "group": "images of one object, patient or scene, which are never in two parts of a split",
    "head": "a small classifier that is trained on features",
    "Holm": "a correction of p for many comparisons at once, which keeps one false discovery in any of them below 5 %",
    "interval": "the values that the images are compatible with: in 95 of 100 such studies it holds the true value",
    "log loss": "mean of minus the logarithm of the probability that the true class got; lower is better",
    "near-duplicate": "a test image that is nearly equal to one that the head learnt from",
    "output": "a tensor of a backbone that is used as features",
    "p": "how often chance alone gives a difference at least as large; below 0.05 it is called significant",
    "precision": "share of the images predicted as a class that are of it",
    "recall": "share of the images of a class that are predicted as it",
    "score": "a number that is known before training and may predict which source is best",
    "shots": "training images of each class",
    "source": "the backbone, and its output, that knowledge is transferred from",
    "split": "which images train, which ones choose between heads, and which ones only measure",
    "validation": "on images that are not trained on, and by which heads and their parameters are chosen",
}
"""Word -> what it means here."""


def glossary_section(sections: Iterable[Section]) -> Section:
    """The words that these sections use, with what they mean."""
    text = f" {' '.join(' '.join(_texts(section)) for section in sections).casefold()} "
    for mark in "()[],.;:/–-":
        text = text.replace(mark, " ")
    used = [word for word in GLOSSARY if _is_used(word, text)]
    return Section(
        title="Glossary",
        columns=("word", "meaning"),
        rows=tuple((word, GLOSSARY[word]) for word in used),
        name="glossary",
    )


def _is_used(word: str, text: str) -> bool:
    plain = word.casefold().replace("-", " ")
    return any(f" {form} " in text for form in (plain, f"{plain}s", f"{plain[:-1]}ies"))


def _texts(section: Section) -> Iterator[str]:
    """What featx itself says in a section: not the cells, whose names are those of images and classes."""
    yield from (section.title, section.sentence, *section.columns, *section.notes)
