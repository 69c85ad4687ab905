"""Starts the process in which a model that can run code is run, and reads what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twin.errors import InvalidInput, NotConverged

__all__ = ["run_model"]


def run_model(
    request: Mapping[str, Any],
    *,
    write: Callable[[Path], None],
    read: Callable[[Path, Mapping[str, Any]], Any],
    time_limit_s: float,
) -> Any:
    """Return what `read` makes of the folder in which the child left its result.

    The child gets a folder of its own that is removed afterwards; it runs
    without the folder of the caller on its path.

    Parameters
    ----------
    request : mapping
        Written to ``request.json``; ``kind`` and ``model`` at least.
    write : callable
        Puts the images into the folder.
    read : callable
        Gets the folder and the child's answer.
    time_limit_s : float, [s]

    Raises
    ------
    InvalidInput
        What the child refused, in its sentence.
    NotConverged
        The time limit passed, or the process was ended by a signal.
    """
    with tempfile.TemporaryDirectory(prefix="twin-network-") as name:
        folder = Path(name)
        write(folder)
        (folder / "request.json").write_text(json.dumps(dict(request)), encoding="utf-8")
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        try:
            ended = subprocess.run(
                [sys.executable, "-P", "-m", "twin.networks.child", name],
                cwd=name,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=time_limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotConverged(
                f"The model had not finished after {time_limit_s:g} s and was ended; "
                "give --time-limit more seconds or crop the images."
            ) from None
        place = folder / "answer.json"
        if not place.is_file():
            raise NotConverged(
                f"The process of the model ended with status {ended.returncode} before it could "
                "answer (too little memory, as a rule); crop the images or use a smaller model."
            )
        answer = json.loads(place.read_text(encoding="utf-8"))
        if not answer["ok"]:
            raise InvalidInput(answer["sentence"])
        return read(folder, answer)
