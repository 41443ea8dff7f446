"""The action classifiers trained on Kinetics: their names, facts and weight files.

Nothing here imports torch, so that a name can be checked before anything is loaded. The names of
the actions, the size of the frames and their normalisation come with the weights; the frame rates
do so only in the words of the weights' documentation, and stand here.
"""

from __future__ import annotations

import difflib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from encoders.errors import EncoderUnavailableError
from encoders.weights.digests import check_checkpoint, file_digest, first_line
from encoders.weights.hub import HUB_TIMEOUT_SECONDS, cached_file, cached_or_downloaded, hub_url

PREFIX = "kinetics:"
HUB_PREFIX = "hf:"
TORCHVISION_URL = "https://download.pytorch.org/models/"
CONFIG_FILE = "config.json"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
PROCESSOR_FILES = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, slots=True)
class ClassifierInfo:
    """One classifier that `open_classifier` takes.

    Attributes:
        name: What follows "kinetics:" in its spec.
        library: What builds it.
        family: transformers' `model_type`, or the architecture that torchvision builds.
        weights: File on torchvision's server, or repository of the hub; empty where nobody
            publishes weights for Kinetics-400 in this form and a folder has to be given.
        clip_frames: T, frames that it sees at a time.
        fps: Rate at which it was trained to see them, frames per second.
        frame_size: Short side in pixels of the frames that it wants.
        parameters: How many the network has.
        licence: Of the weights, SPDX name.
        paper: Authors, year, arXiv id.
    """

    name: str
    library: Literal["torchvision", "transformers"]
    family: str
    weights: str
    clip_frames: int
    fps: float
    frame_size: int
    parameters: int
    licence: str
    paper: str

    @property
    def spec(self) -> str:
        """The spec that `open_classifier` takes."""
        return PREFIX + self.name

    @property
    def size_bytes(self) -> int:
        """Size of the weights, as float32."""
        return 4 * self.parameters

    @property
    def source(self) -> str:
        """The source of the weights, for people."""
        if not self.weights:
            return f"a local folder: {self.spec}/<folder>"
        return (TORCHVISION_URL if self.library == "torchvision" else f"{hub_url()}/") + self.weights

    @property
    def is_cached(self) -> bool:
        """True where the weights lie on this machine already."""
        if not self.weights:
            return False
        if self.library == "torchvision":
            return (_torchvision_cache() / self.weights).is_file()
        return cached_file(self.weights, WEIGHT_FILES) is not None


_R3D = "Tran et al. 2018, arXiv:1711.11248"
_SWIN = "Liu et al. 2022, arXiv:2106.13230"
_VIDEOMAE = "Tong et al. 2022, arXiv:2203.12602"
_TIMESFORMER = "Bertasius et al. 2021, arXiv:2102.05095"
_BSD, _APACHE, _NC = "BSD-3-Clause", "Apache-2.0", "CC-BY-NC-4.0"
_TV: Literal["torchvision"] = "torchvision"
_TF: Literal["transformers"] = "transformers"
# The rates of torchvision's are those of its recipes. The transformers sample every 4th (VideoMAE,
# V-JEPA 2), 32nd or 16th (TimeSformer) or 2nd (ViViT) frame of videos of 30 frames per second.
KNOWN_CLASSIFIERS = tuple(
    ClassifierInfo(*record)
    for record in (
        ("mvit_v2_s", _TV, "mvit_v2_s", "mvit_v2_s-ae3be167.pth", 16, 7.5, 256, 34_537_744, _APACHE,
         "Li et al. 2022, arXiv:2112.01526"),
        ("mvit_v1_b", _TV, "mvit_v1_b", "mvit_v1_b-dbeb1030.pth", 16, 7.5, 256, 36_610_672, _APACHE,
         "Fan et al. 2021, arXiv:2104.11227"),
        ("s3d", _TV, "s3d", "s3d-d76dad2f.pth", 128, 15.0, 256, 8_320_048, _BSD,
         "Xie et al. 2018, arXiv:1712.04851"),
        ("r3d_18", _TV, "r3d_18", "r3d_18-b3b3357e.pth", 16, 15.0, 128, 33_371_472, _BSD, _R3D),
        ("r2plus1d_18", _TV, "r2plus1d_18", "r2plus1d_18-91a641e6.pth", 16, 15.0, 128, 31_505_325, _BSD,
         _R3D),
        ("mc3_18", _TV, "mc3_18", "mc3_18-a90a0ba3.pth", 16, 15.0, 128, 11_695_440, _BSD, _R3D),
        ("swin3d_t", _TV, "swin3d_t", "swin3d_t-7615ae03.pth", 32, 15.0, 256, 28_158_070, _APACHE, _SWIN),
        ("swin3d_s", _TV, "swin3d_s", "swin3d_s-da41c237.pth", 32, 15.0, 256, 49_816_678, _APACHE, _SWIN),
        ("swin3d_b", _TV, "swin3d_b", "swin3d_b_1k-24f7c7c6.pth", 32, 15.0, 256, 88_048_984, _APACHE, _SWIN),
        ("swin3d_b_22k", _TV, "swin3d_b", "swin3d_b_22k-7c6ae6fa.pth", 32, 15.0, 256, 88_048_984, _APACHE,
         _SWIN),
        ("videomae_small", _TF, "videomae", "MCG-NJU/videomae-small-finetuned-kinetics", 16, 7.5, 224,
         22_033_936, _NC, _VIDEOMAE),
        ("videomae_base", _TF, "videomae", "MCG-NJU/videomae-base-finetuned-kinetics", 16, 7.5, 224,
         86_534_800, _NC, _VIDEOMAE),
        ("videomae_large", _TF, "videomae", "MCG-NJU/videomae-large-finetuned-kinetics", 16, 7.5, 224,
         304_270_736, _NC, _VIDEOMAE),
        ("videomae_huge", _TF, "videomae", "MCG-NJU/videomae-huge-finetuned-kinetics", 16, 7.5, 224,
         632_119_440, _NC, _VIDEOMAE),
        ("timesformer_base", _TF, "timesformer", "facebook/timesformer-base-finetuned-k400", 8, 0.9375, 224,
         121_566_352, _NC, _TIMESFORMER),
        ("timesformer_hr", _TF, "timesformer", "facebook/timesformer-hr-finetuned-k400", 16, 1.875, 448,
         122_024_080, _NC, _TIMESFORMER),
        ("vivit_b_16x2", _TF, "vivit", "google/vivit-b-16x2-kinetics400", 32, 15.0, 256, 88_954_000, "MIT",
         "Arnab et al. 2021, arXiv:2103.15691"),
        ("vjepa2", _TF, "vjepa2", "", 64, 7.5, 292, 375_717_648, "MIT",
         "Assran et al. 2025, arXiv:2506.09985"),
    )
)  # fmt: skip
_BY_NAME = {info.name: info for info in KNOWN_CLASSIFIERS}


def split_classifier_spec(spec: str) -> tuple[str, str | None]:
    """Splits a spec into the known name, or "hf:<org>/<name>", and the path behind it, if any.

    Raises:
        EncoderUnavailableError: There is no such classifier.
    """
    rest = spec.strip().removeprefix(PREFIX)
    if rest.startswith(HUB_PREFIX) and spec.strip().startswith(PREFIX):
        parts = rest.removeprefix(HUB_PREFIX).split("/")
        if len(parts) != 2 or not all(parts):
            raise EncoderUnavailableError(
                f"{spec!r} names no repository of the hub; expected {PREFIX}{HUB_PREFIX}<org>/<name>, such "
                f"as {PREFIX}{HUB_PREFIX}{_BY_NAME['videomae_base'].weights}"
            )
        return rest, None
    name, slash, path = rest.partition("/")
    if not spec.strip().startswith(PREFIX) or name not in _BY_NAME:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), _BY_NAME, n=4, cutoff=0.5)
        listed = "close to it: " if close else "there are: "
        raise EncoderUnavailableError(
            f"no action classifier is called {spec!r}; expected {PREFIX}<name>, "
            f"{PREFIX}<name>/<checkpoint or folder> or {PREFIX}{HUB_PREFIX}<org>/<name>; "
            + listed
            + ", ".join(PREFIX + known for known in close or _BY_NAME)
        )
    if slash and not path:
        raise EncoderUnavailableError(f"{spec!r} names no file behind the slash; give one, or leave it out")
    if not slash and not _BY_NAME[name].weights:
        raise EncoderUnavailableError(
            f"nobody publishes {name} for Kinetics-400 in the form that transformers reads; give a "
            f"folder of your own as {PREFIX}{name}/<folder>, or choose {KNOWN_CLASSIFIERS[0].spec}"
        )
    return name, path or None


def known_classifier(name: str) -> ClassifierInfo:
    """The record of a name that `split_classifier_spec` gave; not of "hf:" names."""
    return _BY_NAME[name]


def check_local(info: ClassifierInfo, path: str) -> Path:
    """The absolute path of a checkpoint (torchvision) or model folder (transformers) that is there.

    Raises:
        EncoderUnavailableError: It is not there, or not of this kind.
    """
    place = Path(path).expanduser().absolute()
    if info.library == "torchvision":
        return check_checkpoint(place)
    if not place.is_dir():
        raise EncoderUnavailableError(
            f"there is no folder {place}; {info.name} is read from a folder that holds {CONFIG_FILE}, "
            f"{WEIGHT_FILES[0]} and {PROCESSOR_FILES[0]}, as transformers writes them"
        )
    find_in_folder(place, (CONFIG_FILE,))
    find_in_folder(place, WEIGHT_FILES)
    find_in_folder(place, PROCESSOR_FILES)
    return place


def find_in_folder(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of these files in a folder.

    Raises:
        EncoderUnavailableError: None of them is there.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise EncoderUnavailableError(
        f"the folder {folder} holds no {' or '.join(names)}; save the model with `save_pretrained`, and "
        "its processor beside it"
    )


def find_on_hub(repository: str, names: tuple[str, ...]) -> Path:
    """The first of these files that the local cache, or else the hub, holds.

    Raises:
        EncoderUnavailableError: Neither has it, or the hub does not answer in time.
    """
    return cached_or_downloaded(
        repository, names, "the classifier", f"or give a local folder as {PREFIX}<name>/<folder>"
    )


def find_torchvision_file(info: ClassifierInfo, folder: Path) -> Path:
    """The published weights in torch's cache folder, downloaded if they are not there yet.

    Raises:
        EncoderUnavailableError: The server does not answer, or the file is not what it should be.
    """
    file, url = folder / info.weights, TORCHVISION_URL + info.weights
    digest = file.stem.rpartition("-")[2]
    if file.is_file():
        if file_digest(file).startswith(digest):
            return file
        raise EncoderUnavailableError(
            f"the weights {file} are damaged: their SHA-256 does not begin with {digest}; delete the file "
            "to have it downloaded again"
        )
    if not _server_answers(url):
        raise EncoderUnavailableError(
            f"the weights {info.weights} are not in {folder}, and {url} does not answer; put the file "
            f"there, or give its path as {info.spec}/<checkpoint>"
        )
    from torch.hub import download_url_to_file

    try:
        folder.mkdir(parents=True, exist_ok=True)
        download_url_to_file(url, str(file), hash_prefix=digest, progress=False)
    except Exception as error:  # the network's own kinds, a full disk, a wrong digest
        raise EncoderUnavailableError(
            f"the weights {url} cannot be downloaded: {first_line(error)}; try again"
        ) from error
    return file


def _torchvision_cache() -> Path:
    """The folder in which torch.hub keeps checkpoints, by its documented rule, without importing it."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def _server_answers(url: str, timeout_seconds: float = HUB_TIMEOUT_SECONDS) -> bool:
    """Asks a server whether it has this file, with a limit that also holds for name servers."""
    from urllib.request import Request, urlopen

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:  # who switches the network off means all of it
        return False
    answers: list[bool] = []

    def ask() -> None:
        try:
            with urlopen(Request(url, method="HEAD"), timeout=timeout_seconds):
                answers.append(True)
        except (OSError, ValueError):
            pass

    probe = threading.Thread(target=ask, name="weights-probe", daemon=True)
    probe.start()
    probe.join(timeout_seconds)
    return bool(answers)
