"""Runs one model that can run code, in a process of its own: ``python -m twin.networks.child``.

Everything goes by files in one folder: ``request.json`` and the images in,
``answer.json`` and the result out. Connections to other machines are refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from twin.errors import InvalidInput

__all__ = ["main"]

_NEEDED = {"monai": "monai", "nnunet": "nnunetv2"}


def main(folder: Path) -> int:
    """Do what ``request.json`` asks; 0 done, 1 failed, with the reason in ``answer.json``."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    sys.addaudithook(_no_network)
    try:
        answer = _RUNNERS[request["kind"]](request, folder)
    except InvalidInput as error:
        answer = {"ok": False, "sentence": str(error)}
    except ModuleNotFoundError as error:
        answer = {"ok": False, "sentence": _missing(request["kind"], error.name or "")}
    except MemoryError:
        answer = {"ok": False, "sentence": "The network does not fit into memory."}
    except Exception as error:  # whatever a model's code raises
        words = " ".join(str(error).split())[:200]
        answer = {
            "ok": False,
            "sentence": f"The model's code failed with {type(error).__name__} ({words}).",
        }
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    return 0 if answer["ok"] else 1


def _no_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse connections: a model has no reason to call anyone."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        raise PermissionError("the model tried to reach the network, which is refused")
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        raise PermissionError("the model tried to reach the network, which is refused")


def _missing(kind: str, module: str) -> str:
    package = _NEEDED.get(kind, "torch")
    if module.split(".")[0] == package:
        return (
            f"This model needs the Python package {package}, which is not installed; "
            f"'pip install {package}' brings it."
        )
    return (
        f"This model needs the Python module {module}, which is not installed; "
        "install it as the model's own documentation says."
    )


def _torchscript(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Slide the model over ``volume.npy``; probabilities into ``result.npy``."""
    import torch

    from twin.networks.sliding_window import slide

    torch.set_num_threads(request["threads"])
    try:
        model = torch.jit.load(request["model"], map_location="cpu").eval()
    except RuntimeError:
        raise InvalidInput(
            "The model's file is no TorchScript; export it with torch.jit.script or trace "
            "(weights alone are no network), or as .onnx."
        ) from None

    def network(patch: Any) -> Any:
        with torch.inference_mode():
            result = model(torch.from_numpy(patch))
        return (result[0] if isinstance(result, list | tuple) else result).float().numpy()

    result = slide(
        network,
        np.load(folder / "volume.npy"),
        patch=request["patch"],
        overlap=request["overlap"],
        activation=request["activation"],
        channels=request["channels"],
    )
    np.save(folder / "result.npy", result)
    return {"ok": True, "version": f"torch {torch.__version__}"}


def _nnunet(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run nnU-Net's own predictor; its label map into ``result.nii.gz``."""
    from importlib.metadata import version

    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # type: ignore[import-not-found]

    torch.set_num_threads(request["threads"])
    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=True,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    folds = tuple(int(fold) if fold.isdigit() else fold for fold in request["folds"])
    predictor.initialize_from_trained_model_folder(
        request["model"], use_folds=folds, checkpoint_name=request["checkpoint"]
    )
    reader = predictor.plans_manager.image_reader_writer_class()
    images, properties = reader.read_images([str(folder / name) for name in request["images"]])
    labels = predictor.predict_single_npy_array(images, properties, None, None, False)
    reader.write_seg(labels, str(folder / "result.nii.gz"), properties)
    return {"ok": True, "version": f"nnunetv2 {version('nnunetv2')}"}


def _monai(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run a bundle's own transforms, network and inferer; its prediction into ``result.npy``."""
    import monai  # type: ignore[import-not-found]
    import torch
    from monai.bundle import ConfigParser  # type: ignore[import-not-found]

    torch.set_num_threads(request["threads"])
    root = Path(request["model"])
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / request["inference"]))
    parser.read_meta(str(root / "configs" / "metadata.json"))
    parser["bundle_root"] = str(root)
    parser["output_dir"] = str(folder / "saved")
    parser["device"] = "$torch.device('cpu')"
    parts = {}
    for name in ("preprocessing", "network_def", "inferer", "postprocessing"):
        if name not in parser:
            raise InvalidInput(
                f"The bundle's {request['inference']} has no {name!r}, so it cannot be run part "
                "by part; ask its authors for a bundle that keeps to MONAI's names."
            )
        parts[name] = parser.get_parsed_content(name)
    network = parts["network_def"]
    weights = root / "models" / "model.pt"
    if not weights.is_file():
        raise InvalidInput("The bundle has no models/model.pt; copy its weights there.")
    state = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict(state.get("model", state))
    network.eval()
    files = [str(folder / name) for name in request["images"]]
    data = parts["preprocessing"]({"image": files if len(files) > 1 else files[0]})
    with torch.inference_mode():
        data["pred"] = parts["inferer"](data["image"][None], network)[0]
    result = np.asarray(parts["postprocessing"](data)["pred"], np.float32)
    np.save(folder / "result.npy", result if result.ndim == 4 else result[None])
    return {"ok": True, "version": f"monai {monai.__version__}"}


_RUNNERS = {"torchscript": _torchscript, "nnunet": _nnunet, "monai": _monai}

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
