"""The lines of Python in the documentation run without featx, and prepare images as featx does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from featx.serving.deployed import open_deployed
from tests.conftest import draw_image
from tests.support.served_models import write_deployed

PAGE = Path(__file__).parents[2] / "docs" / "deploying.md"
ALONE = "import sys\nsys.modules['featx'] = None\n"


def lines() -> str:
    """The lines of the page's section on Python."""
    found = re.search(r"with ONNX Runtime and Pillow only\n\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1]


def test_fifteen_lines_of_python_give_the_probability_that_featx_gives(tmp_path: Path) -> None:
    model = open_deployed(write_deployed(tmp_path / "photos.onnx", each_pixel=True), device="cpu")
    (tmp_path / "new").mkdir()
    draw_image(3, size=(131, 77), colour=2).save(tmp_path / "new" / "star.png")
    wanted = model.to_document(model.run(model.decode((tmp_path / "new" / "star.png").read_bytes())))
    command = [sys.executable, "-c", ALONE + lines()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    label, probability = done.stdout.split()
    assert done.stderr == ""
    assert label == wanted["label"]
    assert float(probability) == pytest.approx(wanted["probability"], abs=1e-6)
    assert len([line for line in lines().splitlines() if line]) <= 15
