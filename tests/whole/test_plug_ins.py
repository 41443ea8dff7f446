"""Encoders, heads and captioners from outside the package: one file and one record each, by entry points."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants as hub_constants
from programs import run_python
from video_factory import write_video

from encoders import list_encoders, open_encoder, resolve_spec
from encoders.captioning.registry import CAPTIONERS, open_captioner
from encoders.embedding.registry import ENCODERS, pool_of
from encoders.errors import EncoderUnavailableError, HeadFileError
from encoders.heads.registry import HEADS, read_head
from encoders.weights.tensors import pack

ENCODER = '''
    """Frames by their mean colour; words by the colours that they name."""
    import numpy as np
    from encoders import EmbeddingBatch, Encoder, normalise, pool_features
    from encoders.embedding.encoder import clean_texts
    from encoders.embedding.family import EncoderFamily, KnownModel

    COLOURS = ("red", "green", "blue")

    class ColourEncoder(Encoder):
        dim, frame_size, has_text, tags_by_name, logit_scale, device = 4, 32, True, False, 10.0, "cpu"

        def __init__(self, spec, *, device, pooling):
            self.spec, self.encoder_id, self._pooling = spec, f"colours/mean/{pooling}", pooling

        def encode_frames(self, batch):
            means = batch.frames.mean(axis=(1, 2)) / 255
            return normalise(np.concatenate([means, np.full((len(means), 1), 0.05)], axis=1))

        def pool(self, features):
            return pool_features(features, self._pooling)

        def encode_text(self, texts):
            rows = [[word in text.split() for word in COLOURS] + [0.05] for text in clean_texts(texts)]
            vectors = normalise(np.array(rows, np.float32).reshape(len(texts), 4))
            return EmbeddingBatch(vectors, self.encoder_id)

    def resolve(spec):
        return spec.lower()

    FAMILY = EncoderFamily(
        name="colours", forms=("colours", "colours:<name>"), open=ColourEncoder, resolve=resolve,
        models=(KnownModel("colours", 4, "MIT", 0, "nobody, 2026", weights="none"),),
    )
'''
HEAD = '''
    """Scenes in which one colour is stronger than the others; reads the features of `colours`."""
    from dataclasses import dataclass, replace
    import numpy as np
    from encoders.errors import HeadFileError
    from encoders.heads.head import ActionSpan, HeadFamily
    from encoders.heads.segmentation import segments_from_curve
    from encoders.weights.tensors import pack, unpack

    @dataclass(frozen=True, slots=True)
    class StrongColour:
        actions: tuple
        columns: np.ndarray
        encoder_id: str = "colours/mean/mean"
        threshold: float = 0.5
        kind = "strong-colour"

        def localise(self, track):
            spans = []
            for action, column in zip(self.actions, self.columns):
                curve = track.features[:, column].astype(np.float32)
                for start, end, value in segments_from_curve(track, curve, high=0.8, low=0.6):
                    spans.append(ActionSpan(action, start, end, min(value, 1.0)))
            return sorted(spans, key=lambda span: span.start_seconds)

        def renamed(self, actions):
            return replace(self, actions=actions)

        def check(self, dim):
            if dim != 4:
                raise HeadFileError(f"strong colours are those of 4 features, got {dim}")

        def to_bytes(self):
            return pack({"columns": self.columns}, kind=self.kind, actions=list(self.actions))

    def read(content):
        tensors, card = unpack(content, "strong-colour", {"columns": (np.int64, 1)})
        return StrongColour(tuple(card["actions"]), tensors["columns"])

    FAMILY = HeadFamily(name="strong-colour", read=read)
'''
CAPTIONER = '''
    """Says which colour a picture has."""
    from encoders.captioning.captioner import CaptionerFamily

    class Sayer:
        captioner_id, device = "sayer/1", "cpu"

        def __init__(self, spec, *, device):
            self.spec = spec

        def caption(self, images):
            colours = [("red", "green", "blue")[int(image.mean(axis=(0, 1)).argmax())] for image in images]
            return [f"a {colour} picture" for colour in colours]

    FAMILY = CaptionerFamily(name="sayer", forms=("sayer",), example="sayer", open=Sayer)
'''


def install(folder: Path, package: str, group: str, name: str, source: str, value: str = "") -> None:
    """Puts a distribution into a folder as pip does: its module, and what says that it is installed."""
    module = package.replace("-", "_")
    (folder / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    facts = folder / f"{module}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{group}]\n{name} = {value or module + ':FAMILY'}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which distributions are found."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """A red film, a blue one, and one that is green for 4 s and then red for 4 s."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name, colours in (("red", "R"), ("blue", "B"), ("both", "GR")):
        frames = []
        for colour in colours:
            picture = np.full((48, 64, 3), 20, np.uint8)
            picture[:, :, "RGB".index(colour)] = 220
            frames += [picture] * 40
        write_video(folder / f"{name}.mp4", frames, fps=10)
    return folder


def test_each_is_one_file_and_one_record(
    site: Path, videos: Path, tmp_path: Path, indexer: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "film-colours", "reelseek.encoders", "colours", ENCODER)
    install(site, "strong-colour", "reelseek.heads", "strong-colour", HEAD)
    install(site, "sayer", "reelseek.captioners", "sayer", CAPTIONER)
    library = tmp_path / "library"

    def ran(*words: object) -> dict:
        done = indexer(*words, "--json", library=library)
        assert done.code == 0, done.err
        return json.loads(done.out)

    # The encoder: by its spec, as it resolves it, at work in every query and check.
    done = indexer("ingest", videos, "--encoder", "colours:LOUD", "--clip-seconds", 4, library=library)
    assert done.code == 0 and "encoder colours:loud" in done.err, done.err
    hits = ran("search", "a blue wall")["hits"]
    assert Path(hits[0]["path"]).name == "blue.mp4"
    assert ran("check")["ok"]
    other = indexer("ingest", videos, "--encoder", "offline", library=library)
    assert other.code == 1 and "made with colours:loud" in other.err
    # The head: a file that its own module writes, taken in, tagging, told of, found and exported again.
    from strong_colour import StrongColour

    one = StrongColour(("showing red",), np.array([0]))
    many = StrongColour(("turning green", "turning blue"), np.array([1, 2]))
    for number, head in enumerate((one, many)):
        (tmp_path / f"{number}.safetensors").write_bytes(head.to_bytes())
    assert ran("actions", "import", tmp_path / "0.safetensors")["segments"] == 2
    assert ran("actions", "import", tmp_path / "1.safetensors") == {
        "action": "head:strong-colour", "report": {"imported": True}, "segments": 2,
    }  # fmt: skip
    found = ran("find", "--action", "showing red")["segments"]
    assert [(Path(one["path"]).name, one["start_seconds"]) for one in found] == [
        ("both.mp4", pytest.approx(4.0, abs=0.5)), ("red.mp4", 0.0),
    ]  # fmt: skip
    assert {one["head"] for one in found} == {"taught"}
    assert ran("find", "--action", "turning green")["segments"][0]["head"] == "head:strong-colour"
    part = indexer("actions", "remove", "turning green", library=library)
    assert part.code != 0 and 'indexer actions remove "head:strong-colour"' in part.err
    listed = ran("actions", "list")
    assert {"head": "head:strong-colour", "kind": "strong-colour", "names": 2} in listed["heads"]
    assert indexer("actions", "rename", "showing red", "reddening", library=library).code == 0
    assert indexer("actions", "export", "reddening", tmp_path / "again", library=library).code == 0
    assert read_head((tmp_path / "again").read_bytes()).actions == ("reddening",)
    # What is ingested later is tagged by it too.
    write_video(videos / "later.mp4", [np.full((48, 64, 3), (220, 20, 20), np.uint8)] * 40, fps=10)
    assert indexer("ingest", videos, library=library).code == 0
    assert len(ran("find", "--action", "reddening")["segments"]) == 3
    # The captioner.
    assert ran("caption", "--model", "sayer")["model"] == "sayer/1"
    captioned = ran("search", "a wall", "--caption", "green picture")["hits"]
    assert {Path(hit["path"]).name for hit in captioned} == {"both.mp4"}
    # Once it is gone, what needs it says so, and nothing is lost.
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(site)])
    gone = run_python(
        "from search.library import Library\nfrom encoders.errors import ReelseekError\n"
        "from search.actions.tagging import Tagger\n"
        f"library = Library({str(library)!r})\n"
        "for use in (library.encoder, Tagger(library).retag):\n"
        "    try: use()\n    except ReelseekError as error: print(error)\n"
    )
    assert "no encoder is called 'colours:loud'" in gone.stdout, gone.stderr
    assert "'strong-colour'" in gone.stdout and "install that first" in gone.stdout
    assert 'indexer actions remove "head:strong-colour"' in gone.stdout


def test_an_encoder_of_a_plug_in_is_listed_with_its_facts(
    site: Path, indexer: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    install(site, "film-colours-listed", "reelseek.encoders", "listed", ENCODER.replace("colours", "listed"))
    (info,) = [info for info in list_encoders(0.0) if info.spec == "listed"]
    assert (info.dim, info.licence, info.available, info.reason) == (4, "MIT", True, "weights are installed")
    with pytest.raises(EncoderUnavailableError, match=r"no encoder is called 'nothing'.*listed:<name>"):
        resolve_spec("nothing")
    install(site, "marked-up", "reelseek.encoders", "a[/b]", "raise RuntimeError('no [/] licence')")
    shown = indexer("encoders")
    assert shown.code == 0 and "a[/b]" in shown.out and "no [/] licence" in " ".join(shown.out.split())


BROKEN = {
    "import": ("import nothing_of_this_name\n", "ModuleNotFoundError"),
    "raises": ("raise RuntimeError('no licence')\n", "no licence"),
    "exits": ("import sys; sys.exit('gone')\n", "SystemExit: gone"),
    "lacks": ("", "AttributeError"),
    "other": ("FAMILY = 3\n", "is no .*Family, but 3"),
    "mute": (
        "class Mute:\n def __repr__(self): raise KeyError('mute')\nFAMILY = Mute()\n",
        "KeyError: 'mute'",
    ),
    "misnamed": (
        "from encoders.embedding.family import EncoderFamily as E\n"
        "from encoders.heads.head import HeadFamily as H\n"
        "from encoders.captioning.captioner import CaptionerFamily as C\n"
        "FAMILY = {KIND}\n",
        "calls itself 'another'",
    ),
}
RECORDS = {
    "encoders": "E('another', ('another',), print)",
    "heads": "H('another', print)",
    "captioners": "C('another', ('another',), 'another', print)",
}
REGISTRIES = {"encoders": ENCODERS, "heads": HEADS, "captioners": CAPTIONERS}


@pytest.mark.parametrize("kind", REGISTRIES)
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plug_in_is_named_with_what_is_wrong_and_the_rest_goes_on(
    site: Path, kind: str, fault: str
) -> None:
    source, says = BROKEN[fault]
    registry, name = REGISTRIES[kind], f"broken-{kind}-{fault}"
    install(site, name, f"reelseek.{kind}", name, source.replace("{KIND}", RECORDS[kind]))
    # Beside it, one whose list of entry points is no such list.
    (site / "torn-1.0.dist-info").mkdir()
    (site / "torn-1.0.dist-info" / "entry_points.txt").write_text(f"[reelseek.{kind}]\nnonsense\n")
    (site / "torn-1.0.dist-info" / "METADATA").write_bytes(b"\xff\xfe")
    with pytest.raises((EncoderUnavailableError, HeadFileError), match=f"package {name} cannot .*{says}"):
        registry.find(name)
    usable, broken = registry.list_usable()
    assert set(registry.ours) <= set(usable)
    assert {one.package for one in broken} >= {name}
    assert any("torn" in one.package and "cannot be read" in one.reason for one in broken)
    if kind == "encoders":
        (info,) = [info for info in list_encoders(0.0) if info.spec == name]
        assert not info.available and name in info.reason
        assert resolve_spec("offline") == ("offline", "asked for")


@pytest.mark.parametrize("kind", REGISTRIES)
def test_two_of_one_name_are_an_error_that_names_both(site: Path, kind: str) -> None:
    registry = REGISTRIES[kind]
    ours = registry.ours[0].name
    for package in ("one-of-two", "another-one-of-two"):
        install(site, package, f"reelseek.{kind}", "twin", "raise RuntimeError('never imported')")
    install(site, "usurper", f"reelseek.{kind}", ours, "raise RuntimeError('never imported')")
    with pytest.raises((EncoderUnavailableError, HeadFileError), match=r"one-of.* and .*-of-two"):
        registry.find("twin")
    # Ours is ours, whatever is installed, and a listing tells of the other.
    assert registry.find(ours) is registry.ours[0]
    _, broken = registry.list_usable()
    clash = next(one for one in broken if one.package == "usurper")
    assert "reelseek and usurper" in clash.reason
    with pytest.raises((EncoderUnavailableError, HeadFileError), match="two packages"):
        registry.list_all()


def test_our_own_names_look_for_no_plug_in() -> None:
    ran = run_python(
        "import importlib.metadata, encoders\n"
        "from encoders.captioning.registry import resolve_captioner\n"
        "from encoders.embedding.registry import pool_of\n"
        "from encoders.heads.registry import HEADS\n"
        "importlib.metadata.distributions = None\n"
        "encoders.resolve_spec('offline'); encoders.resolve_spec('openclip:ViT-B-32/x')\n"
        "resolve_captioner('coca:x/y'); pool_of('openclip:a/b', 'mean'); HEADS.find('taught')\n"
        "try: encoders.resolve_spec('another')\nexcept TypeError: print('looked for')\n"
    )
    assert (ran.stdout, ran.stderr) == ("looked for\n", "")


def test_only_the_plug_in_that_is_asked_for_is_imported(site: Path) -> None:
    install(site, "film-colours-asked", "reelseek.encoders", "asked", ENCODER.replace("colours", "asked"))
    install(site, "bystander", "reelseek.encoders", "bystander", "raise RuntimeError('imported')")
    assert open_encoder("asked", device="cpu").encoder_id == "asked/mean/mean"
    assert "bystander" not in sys.modules


LIES = {
    "encoder_id": ('f"lying/mean/{pooling}"', "'offline/x'", "encoder_id that begins with lying/"),
    "dim": ('"cpu"\n', '"cpu"\n        dim = -1\n', "says -1 as its dim"),
    "spec": ("self.spec, self.encoder_id", "self._spec, self.encoder_id", "has no 'spec'"),
    "open": ("def __init__(self, spec, *, device, pooling):", "def __init__(self):", "TypeError"),
    "resolve": ("return spec.lower()", "return spec[10**10]", "IndexError"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_an_encoder_that_is_none_is_refused(site: Path, lie: str) -> None:
    old, new, says = LIES[lie]
    name = f"lying-{lie.replace('_', '')}"
    source = ENCODER.replace("colours", "lying").replace(old, new)
    assert source != ENCODER.replace("colours", "lying")
    install(site, f"{name}-encoder", "reelseek.encoders", name, source.replace("lying", name))
    with pytest.raises(EncoderUnavailableError, match=says.replace("lying", name)):
        open_encoder(name, device="cpu")


def test_features_of_another_shape_are_refused(
    site: Path, videos: Path, tmp_path: Path, indexer: Callable
) -> None:
    source = ENCODER.replace("colours", "thin")
    thin = source.replace("return normalise(np.concatenate", "return means.astype(np.float32)  # ")
    install(site, "thin-encoder", "reelseek.encoders", "thin", thin)
    done = indexer("ingest", videos, "--encoder", "thin", library=tmp_path / "library")
    assert done.code == 1 and "expected float32" in done.err
    assert pool_of("thin", "mean")(np.eye(4)[:1]).shape == (4,)


def test_features_that_are_no_numbers_are_refused(
    site: Path, videos: Path, tmp_path: Path, indexer: Callable
) -> None:
    source = ENCODER.replace("colours", "hollow").replace(
        "return normalise(np.concatenate", "return np.float32('nan') * normalise(np.concatenate"
    )
    install(site, "hollow-encoder", "reelseek.encoders", "hollow", source)
    done = indexer("ingest", videos, "--encoder", "hollow", library=tmp_path / "library")
    assert done.code == 1 and "no finite numbers" in done.err


def test_a_head_that_fails_or_finds_what_it_does_not_know_is_named(
    site: Path, videos: Path, tmp_path: Path, indexer: Callable
) -> None:
    install(site, "film-colours-again", "reelseek.encoders", "colours", ENCODER)
    library = tmp_path / "library"
    assert indexer("ingest", videos, "--encoder", "colours", library=library).code == 0
    faults = {"failing": "raise KeyError('lost')", "raving": "return [ActionSpan('running', 0, 1, 1.0)]"}
    for kind, body in faults.items():
        source = HEAD.replace("strong-colour", kind).replace("spans = []", body)
        install(site, f"{kind}-head", "reelseek.heads", kind, source)
        content = pack({"columns": np.array([0])}, kind=kind, actions=["walking"])
        (tmp_path / kind).write_bytes(content)
        done = indexer("actions", "import", tmp_path / kind, library=library)
        assert done.code == 1 and ("lost" in done.err or "'running'" in done.err), done.err
    assert json.loads(indexer("actions", "list", "--json", library=library).out)["actions"] == []
    (tmp_path / "garbled").write_bytes(pack({"columns": np.array([0])}, kind="failing"))
    done = indexer("actions", "import", tmp_path / "garbled", library=library)
    assert done.code == 1 and "KeyError" in done.err


def test_a_captioner_without_an_offer_is_told_what_there_is(site: Path) -> None:
    install(site, "sayer-listed", "reelseek.captioners", "teller", CAPTIONER.replace('"sayer"', '"teller"'))
    with pytest.raises(EncoderUnavailableError, match=r"expected coca:.*, or transformers:.*, or teller"):
        open_captioner("nothing")
