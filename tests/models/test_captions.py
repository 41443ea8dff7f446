"""Captions: the words that the model libraries themselves give, and clips found by words in them."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from fastapi.testclient import TestClient
from huggingface_hub import constants as hub_constants
from numpy.typing import NDArray
from open_clip import coca_model
from PIL import Image
from safetensors.torch import save_file
from sqlalchemy import inspect, select
from tokenizers import Tokenizer, models, pre_tokenizers

from api.app import create_app
from encoders.captioning.captioner import (
    DEFAULT_CAPTIONER,
    Captioner,
    clean_caption,
)
from encoders.captioning.coca_decoding import CocaDecoder
from encoders.captioning.registry import CAPTIONERS, open_captioner, resolve_captioner
from encoders.errors import EncoderUnavailableError, InvalidQueryError, NotFoundError
from encoders.types import normalise
from indexer.keeping import captions as captioning
from indexer.keeping.captions import caption_videos
from search.caption_words import LONGEST_WORD, caption_words
from search.catalog.tables import caption_words as word_rows
from search.catalog.tables import captions as caption_rows
from search.catalog.tables import key_frames
from search.library import Library
from search.query.engine import SearchEngine
from search.types import ClipPart, EncodedClip, Filters, Query

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
VOCABULARY = [
    *MARKS,
    "a",
    "red",
    "dog",
    "cat",
    "runs",
    "on",
    "the",
    "beach",
    "sits",
    "in",
    "snow",
    "two",
    "ride",
]
KINDS = ("blip", "git", "vision-encoder-decoder")
TINY_COCA: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
        "attentional_pool": True,
        "attn_pooler_queries": 8,
        "attn_pooler_heads": 2,
        "output_tokens": True,
    },
    "text_cfg": {
        "context_length": 76,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
        "embed_cls": True,
        "output_tokens": True,
    },
    "multimodal_cfg": {
        "context_length": 76,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
        "attn_pooler_heads": 2,
    },
    "custom_text": True,
}
DIM = 8


# --- models of random weights, and what their own libraries say ----------------------------------------


def pictures() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    noise = [random.integers(0, 256, (height, 60, 3), dtype=np.uint8) for height in (40, 60, 90)]
    return [*noise, *(np.full((50, 40, 3), value, np.uint8) for value in (0, 128, 255))]


def make_coca(folder: Path) -> Path:
    folder.mkdir()
    config = {"model_cfg": TINY_COCA, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    for (
        name,
        values,
    ) in model.named_parameters():  # louder than at the start of a training, else all look alike
        if values.ndim > 1 and "logit" not in name:
            torch.nn.init.normal_(values, std=0.5)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def make_transformers(folder: Path, kind: str, seed: int = 3) -> Path:
    import transformers as hf

    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]",
             "mask_token": "[MASK]", "bos_token": "[DEC]", "eos_token": "[SEP]"}  # fmt: skip
    hf.PreTrainedTokenizerFast(tokenizer_object=words, **marks).save_pretrained(folder)
    torch.manual_seed(seed)
    small = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 2,
             "initializer_range": 0.5}  # fmt: skip
    eyes = {**small, "image_size": 32, "patch_size": 8}
    ends = {"bos_token_id": 5, "eos_token_id": 3, "pad_token_id": 0}
    mouth = {**small, **ends, "vocab_size": len(VOCABULARY), "max_position_embeddings": 64}
    model: Any
    if kind == "blip":
        mouth |= {"encoder_hidden_size": 32, "sep_token_id": 3}
        blip = hf.BlipConfig(text_config=mouth, vision_config=eyes, initializer_range=0.5)
        model = hf.BlipForConditionalGeneration(blip)
    elif kind == "git":
        model = hf.GitForCausalLM(hf.GitConfig(vision_config=eyes, **mouth))
    else:
        config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
            hf.ViTConfig(**eyes),
            hf.GPT2Config(vocab_size=len(VOCABULARY), n_embd=32, n_layer=2, n_head=2, n_positions=64,
                          add_cross_attention=True, is_decoder=True, initializer_range=0.5),
            decoder_start_token_id=5, **ends,
        )  # fmt: skip
        model = hf.VisionEncoderDecoderModel(config=config)
        model.generation_config.update(decoder_start_token_id=5, num_beams=3, **ends)
    model.save_pretrained(folder)
    hf.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("captioners")
    made = {kind: make_transformers(place / kind, kind) for kind in KINDS}
    return {**made, "coca": make_coca(place / "coca")}


@pytest.fixture(scope="module")
def captioner(folders: dict[str, Path]) -> Captioner:
    return open_captioner(f"transformers:{folders['vision-encoder-decoder']}", device="cpu")


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is in the local cache, and nobody answers at the hub's address."""
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "hub"


def test_coca_says_what_open_clip_says(folders, monkeypatch):
    # open_clip writes no caption at all beside a transformers without its old beam search; the other way to
    # choose words, of which the likeliest is a special case, needs only this.
    monkeypatch.setattr(coca_model, "_has_transformers", True)
    monkeypatch.setitem(coca_model.GENERATION_TYPES, "top_k", coca_model.TopKLogitsWarper)
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folders['coca']}")
    model.eval()
    expected = []
    for picture in pictures():
        image = preprocess(Image.fromarray(picture))[None]
        tokens = model.generate(image, generation_type="top_k", top_k=1, seq_len=30, min_seq_len=5)[0]
        text = open_clip.decode(tokens).split("<end_of_text>")[0].replace("<start_of_text>", "")
        expected.append(clean_caption(text))
    coca = open_captioner(f"coca:local-dir:{folders['coca']}", device="cpu")
    assert coca.caption(pictures()) == expected
    assert len(set(expected)) > 3 and all(expected)  # it looked at the pictures
    assert coca.captioner_id.startswith("coca/local-dir/") and coca.device == "cpu"


@pytest.mark.parametrize("text", [{}, {"ls_init_value": 0.3, "heads": 4}])
def test_words_computed_one_by_one_are_as_likely_as_all_at_once(text):
    torch.manual_seed(1)
    config = {**TINY_COCA, "text_cfg": {**TINY_COCA["text_cfg"], **text}}
    config.pop("custom_text")
    model = open_clip.CoCa(**config).eval()
    torch.nn.init.normal_(model.text_decoder.text_projection)
    images = torch.randn(3, 3, 32, 32)
    tokens = torch.randint(0, 3, (3, 12))  # 0 is what open_clip takes for padding
    tokens[:, 0] = 49406
    with torch.inference_mode():
        decoder = CocaDecoder(model, model(images)["image_embs"])
        for length in range(1, 13):
            expected = model(images, tokens[:, :length], output_labels=False)["logits"][:, -1]
            torch.testing.assert_close(decoder.step(tokens[:, length - 1]), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_captioners_say_what_transformers_says(folders, kind):
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    folder = folders[kind]
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    tokenizer, processor = AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
    expected = []
    for picture in pictures():
        pixels = processor(images=Image.fromarray(picture), return_tensors="pt")["pixel_values"]
        tokens = model.generate(pixel_values=pixels, max_new_tokens=30)
        expected.append(tokenizer.decode(tokens[0], skip_special_tokens=True))
    made = open_captioner(f"transformers:{folder}", device="cpu")
    assert made.caption(pictures()) == expected
    assert len(set(expected)) > 3
    assert made.caption(pictures()) == made.caption(2 * pictures())[: len(expected)]
    assert made.caption([]) == []


@pytest.mark.parametrize("family", CAPTIONERS.ours, ids=lambda family: family.name)
def test_every_captioner_is_as_it_promises(folders, family):
    local = {"coca": f"local-dir:{folders['coca']}", "transformers": f"{folders['blip']}"}
    spec = f"{family.name}:{local[family.name]}" if family.name in local else family.example
    made = open_captioner(f" {spec} ", device="cpu")
    assert made.spec == resolve_captioner(spec) == resolve_captioner(made.spec) == spec
    assert made.captioner_id.startswith(f"{family.name}/") and made.device == "cpu"
    texts = made.caption(pictures())
    assert made.caption(pictures()) == texts == [clean_caption(text) for text in texts]
    assert len(texts) == len(pictures()) and made.caption([]) == []
    assert made.caption(pictures()[1:2]) == texts[1:2]
    assert resolve_captioner(family.example) == family.example


def test_other_weights_are_another_captioner(folders, captioner, tmp_path):
    other = make_transformers(tmp_path / "vision-encoder-decoder", "vision-encoder-decoder", seed=4)
    assert open_captioner(f"transformers:{other}").captioner_id != captioner.captioner_id
    again = open_captioner(f"transformers:{folders['vision-encoder-decoder']}")
    assert again.captioner_id == captioner.captioner_id


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("  a  red\ndog \0 runs\x1b[31m\u2028", "a red dog runs [31m"),
        ("Cafe\u0301", "Café"),
        ("", ""),
        ("ab " * 200, ("ab " * 100).strip()),
        ("x" * 400, "x" * 300),
    ],
)
def test_a_caption_is_one_line_of_bounded_length(said, kept):
    assert clean_caption(said) == kept


# --- what cannot be had ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (DEFAULT_CAPTIONER, r"mscoco_finetuned_CoCa-ViT-B-32.*local cache.*127\.0\.0\.1:9 does not.*or do"),
        ("transformers:some/captioner", r"some/captioner cannot be found in the local cache.*or do"),
        ("coca:ViT-B-32/laion2b_s34b_b79k", "ViT-B-32 is no CoCa model.*expected coca_ViT-B-32"),
        ("coca:coca_ViT-B-32/nonsense", "no weights with the tag 'nonsense'.*mscoco_finetuned"),
        ("coca:coca_ViT-B-32", "no weights with the tag"),
        ("blip", r"no captioner is called 'blip'; expected coca:.*or transformers:"),
        ("transformers:", "no captioner is called"),
        ("transformers:./nowhere", "nowhere holds no weights"),
        ("transformers:a/b/c", "neither a folder here nor a name on the hub"),
    ],
)  # fmt: skip
def test_what_is_not_here_is_refused_in_time(no_hub, spec, says):
    started = time.perf_counter()
    with pytest.raises(EncoderUnavailableError, match=says):
        open_captioner(spec, device="cpu")
    assert time.perf_counter() - started < 5


def test_damaged_folders_are_refused(folders, tmp_path, no_hub):
    def broken(name: str, change: Callable[[Path], object]) -> str:
        folder = tmp_path / name
        shutil.copytree(folders["blip"], folder)
        change(folder)
        return f"transformers:{folder}"

    def of_another_kind(folder: Path) -> None:
        (folder / "config.json").write_text('{"model_type": "llava"}', encoding="utf-8")

    def cut(folder: Path) -> None:
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:2000])

    def without_half(folder: Path) -> None:
        from safetensors.torch import load_file

        tensors = load_file(folder / "model.safetensors")
        kept = {name: values for name, values in tensors.items() if "text_decoder" not in name}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})

    for name, change, says in (
        (
            "weightless",
            lambda folder: (folder / "model.safetensors").unlink(),
            "holds no weights; expected mod",
        ),
        ("kind", of_another_kind, "of the kind 'llava'.*expected one of blip"),
        ("cut", cut, "cannot be loaded"),
        ("half", without_half, "lack .* tensors"),
        ("dumb", lambda folder: [one.unlink() for one in folder.glob("tokenizer*")], "knows . of 19 pieces"),
        ("configless", lambda folder: (folder / "config.json").unlink(), "configuration .* cannot be read"),
    ):
        with pytest.raises(EncoderUnavailableError, match=says):
            open_captioner(broken(name, change), device="cpu")


def test_what_is_in_the_cache_needs_no_hub(folders, no_hub, captioner):
    snapshot = no_hub / "models--made--captioner" / "snapshots" / ("0" * 40)
    shutil.copytree(folders["vision-encoder-decoder"], snapshot)
    (no_hub / "models--made--captioner" / "refs").mkdir()
    (no_hub / "models--made--captioner" / "refs" / "main").write_text("0" * 40)
    cached = open_captioner("transformers:made/captioner", device="cpu")
    assert cached.caption(pictures()) == captioner.caption(pictures())
    assert cached.captioner_id.startswith("transformers/made/captioner/")


def test_paths_become_absolute_and_names_stay(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(folders["blip"].parent)
    assert resolve_captioner("transformers:blip") == f"transformers:{folders['blip']}"
    assert resolve_captioner("coca:local-dir:coca") == f"coca:local-dir:{folders['coca']}"
    weights = "coca/open_clip_model.safetensors"
    expected = f"coca:coca_ViT-B-32/{folders['coca']}/open_clip_model.safetensors"
    assert resolve_captioner(f"coca:coca_ViT-B-32/{weights}") == expected
    for spec in (DEFAULT_CAPTIONER, "transformers:some/name", "coca:hf-hub:some/name"):
        assert resolve_captioner(spec) == spec


# --- words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A red dog, a RED dog.", ["a", "red", "dog"]),
        ("Straße ΣΊΣΥΦΟΣ ﬁsh", ["strasse", "σίσυφοσ", "fish"]),
        ("Cafe\u0301 ＣＡＦÉ", ["café"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("it's x_y\0z 4K", ["it", "s", "x", "y", "z", "4k"]),
        ("\ud800 !? 🎬", []),
        ("y" * 100, ["y" * LONGEST_WORD]),
    ],
)
def test_words_of_a_text(text, words):
    assert caption_words(text) == words


@pytest.mark.parametrize("words", ["", " ", "!?", "\ud800", " ".join(map(str, range(33)))])
def test_a_filter_without_words_or_with_too_many_is_refused(words):
    with pytest.raises(InvalidQueryError, match="1 to 32 words"):
        Filters(caption=words)


# --- the catalog -----------------------------------------------------------------------------------------


def jpeg(value: int) -> bytes:
    written = io.BytesIO()
    noise = np.random.default_rng(value).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(written, "JPEG")
    return written.getvalue()


JPEGS = [jpeg(value) for value in range(12)]


def add_video(library: Library, path: str, clips: int, frames: int = 2, broken: int | None = None) -> int:
    random = np.random.default_rng(len(path))
    made = []
    for number in range(clips):
        features = normalise(random.normal(size=(2, DIM)))
        stored = tuple((4.0 * number + k, JPEGS[(number + k) % 12]) for k in range(frames))
        if number == broken:
            stored = ((4.0 * number, JPEGS[0][:300]), *stored[1:])
        made.append(
            EncodedClip(4.0 * number, 4.0 * number + 4, normalise(features.mean(axis=0)),
                        features.astype(np.float16), 4.0 * number + np.arange(2.0), stored)
        )  # fmt: skip
    with library.write() as catalog:
        staged = catalog.stage_video(path, 1, 2)
        catalog.add_clips(staged, 0, made)
        return catalog.publish_video(staged, digest=path, duration_seconds=4.0 * clips)


@pytest.fixture(params=["sqlite", "postgresql"])
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Library]:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    library = Library(tmp_path / "library", database_url=url, device="cpu", create=True)
    with library.write() as catalog:
        catalog.create_library(encoder_spec="test", encoder_id="test", pooling="mean", dim=DIM, sampling="{}")
    yield library
    library.close()


def frame_ids(library: Library) -> list[int]:
    with library.read() as catalog:
        return list(catalog._connection.execute(select(key_frames.c.id).order_by(key_frames.c.id)).scalars())


def stored(library: Library) -> dict[int, tuple[str, str]]:
    with library.read() as catalog:
        return {
            row.key_frame_id: (row.text, row.model)
            for row in catalog._connection.execute(select(caption_rows))
        }


def caption_all(library: Library, texts: list[str], model: str = "written") -> None:
    with library.write() as catalog:
        written = dict(zip(frame_ids(library), itertools.cycle(texts)))
        assert catalog.captions.add(written, model) == len(written)


def found(library: Library, words: str, **more: Any) -> list[int]:
    filters = Filters(caption=words, **more)
    with library.read() as catalog:
        ids = catalog.clip_ids(filters).tolist()
        assert catalog.count_clips(filters) == len(ids)
        assert [clip.id for clip in catalog.list_clips(filters)] == ids
    return ids


def test_words_find_the_clips_of_which_one_caption_holds_them_all(library):
    add_video(library, "/a/one.mp4", 4)
    add_video(library, "/b/two.mp4", 3)
    texts = ["A red dog", "the cat on a Straße", "the dog sits", "a reddish dog", "", "two cafe\u0301s, Café"]
    caption_all(library, texts)
    with library.read() as catalog:
        clips = catalog.clip_ids(Filters()).tolist()
    said = {clip: [texts[(2 * n + k) % 6] for k in range(2)] for n, clip in enumerate(clips)}
    for words, expected in {
        "dog": ["A red dog", "the dog sits", "a reddish dog"],
        "DOG red": ["A red dog"],
        "red": ["A red dog"],
        "cat dog": [],  # both in one clip, but not in one caption
        "do": [],
        "do%": [],
        "STRASSE, cat": ["the cat on a Straße"],
        "CAFÉ": ["two cafe\u0301s, Café"],
        "cafés two": ["two cafe\u0301s, Café"],
    }.items():
        right = [clip for clip in clips if set(said[clip]) & set(expected)]
        assert found(library, words) == right, words
        below = [clip for clip in right if clip in clips[4:]]
        assert found(library, words, path_prefix="/b/") == below
    with library.read() as catalog:
        shown = catalog.views.clips(clips, "reddish").captions
        assert [shown[clip] for clip in clips[:3]] == ["A red dog", "a reddish dog", "two cafe\u0301s, Café"]


def test_a_library_without_captions_says_so(library):
    add_video(library, "/a.mp4", 2)
    with pytest.raises(InvalidQueryError, match=r"has no captions.*indexer caption"):
        found(library, "dog")


def test_captions_go_with_their_video_and_with_a_changed_file(library):
    gone, changed = add_video(library, "/gone.mp4", 2), add_video(library, "/changed.mp4", 2)
    add_video(library, "/kept.mp4", 1)
    caption_all(library, ["a dog runs"])
    with library.write() as catalog:
        catalog.remove_videos([gone])
    assert add_video(library, "/changed.mp4", 3) == changed
    with library.read() as catalog:
        left = set(catalog._connection.execute(select(word_rows.c.key_frame_id)).scalars())
        assert left == set(stored(library)) and len(left) == 2
        (clip_id,) = found(library, "dog")
        assert catalog.clips([clip_id])[clip_id].path == "/kept.mp4"
        assert len(catalog.captions.find_uncaptioned("written")[changed]) == 6


def test_a_key_frame_that_went_meanwhile_is_passed_over(library):
    add_video(library, "/a.mp4", 1)
    with library.write() as catalog:
        assert catalog.captions.add(dict.fromkeys((*frame_ids(library), 10**6), "a dog"), "m") == 2
        assert catalog.captions.add({10**6: "a dog"}, "m") == 0


def test_the_migration_goes_down_and_up_and_touches_nothing_else(library):
    add_video(library, "/a.mp4", 2)
    caption_all(library, ["a dog"])
    before = frame_ids(library)
    library.database.downgrade("0003")
    with library.read() as catalog:
        names = set(inspect(catalog._connection).get_table_names())
    assert "key_frames" in names and not names & {"captions", "caption_words"}
    library.database.migrate()
    assert frame_ids(library) == before and stored(library) == {}


# --- captioning ------------------------------------------------------------------------------------------


def expected_captions(library: Library, captioner: Captioner) -> dict[int, str]:
    with library.read() as catalog:
        return {
            frame: captioner.caption(
                [np.asarray(Image.open(io.BytesIO(catalog.key_frame_jpeg(frame))).convert("RGB"))]
            )[0]
            for frame in frame_ids(library)
        }


def test_captioning_goes_on_where_it_was_stopped(library, captioner, monkeypatch):
    monkeypatch.setattr(captioning, "FRAMES_PER_COMMIT", 4)
    add_video(library, "/a/one.mp4", 3)
    add_video(library, "/b/two.mp4", 2)

    def stop(done: int, total: int) -> None:
        assert total == 10
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        caption_videos(library, captioner, on_progress=stop)
    assert len(stored(library)) == 8
    done = []
    summary = caption_videos(library, captioner, on_progress=lambda *state: done.append(state))
    assert (summary.captioned, summary.kept, summary.videos, summary.broken) == (2, 8, 1, 0)
    assert done == [(0, 2), (2, 2)]
    texts = expected_captions(library, captioner)
    assert stored(library) == {frame: (text, captioner.captioner_id) for frame, text in texts.items()}
    summary = caption_videos(library, captioner)
    assert (summary.captioned, summary.kept) == (0, 10)


def test_broken_pictures_are_counted_and_paths_choose(library, captioner):
    add_video(library, "/a/one.mp4", 2, broken=1)
    add_video(library, "/b/two.mp4", 2)
    summary = caption_videos(library, captioner, ["/a"])
    assert summary.as_json() == {
        "model": captioner.captioner_id, "captioned": 3, "videos": 1, "kept": 0, "broken": 1,
    }  # fmt: skip
    assert caption_videos(library, captioner, ["/a/one.mp4", "/b"]).captioned == 4
    with pytest.raises(NotFoundError, match=r"/c.*indexed"):
        caption_videos(library, captioner, ["/c"])


def test_another_captioner_takes_the_place(library, captioner):
    add_video(library, "/a.mp4", 2)
    caption_all(library, ["zebra"], "another")
    summary = caption_videos(library, captioner)
    assert (summary.captioned, summary.kept) == (4, 0)
    assert found(library, "zebra") == []
    assert {model for _, model in stored(library).values()} == {captioner.captioner_id}


# --- search, over the command and over HTTP ----------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Library]:
    library = Library(tmp_path / "library", device="cpu", create=True)
    with library.write() as catalog:
        catalog.create_library(encoder_spec="test", encoder_id="test", pooling="mean", dim=DIM, sampling="{}")
    add_video(library, "/a/one.mp4", 4)
    caption_all(library, ["a red dog", "a dog [bold]", "the cat", ""])
    add_video(library, "/b/none.mp4", 1)
    yield library
    library.close()


def test_hits_pass_the_filter_and_carry_the_caption_that_let_them_in(written):
    def hits(**filters: Any) -> dict[int, str | None]:
        result = SearchEngine(written).search(Query((ClipPart(5),)), Filters(**filters))
        return {hit.clip_id: hit.caption for hit in result.hits}

    assert hits() == {1: "a red dog", 2: "the cat", 3: "a red dog", 4: "the cat"}
    assert hits(caption="bold dog") == {1: "a dog [bold]", 3: "a dog [bold]"}
    assert hits(caption="cat", path_prefix="/b/") == {}


def test_over_http(written):
    app = create_app(written, device="cpu")
    with TestClient(app, base_url="http://localhost:8000", raise_server_exceptions=False) as client:
        body = {"query": [{"clip_id": 5}], "filters": {"caption": "Cat"}}
        hits = client.post("/v1/search", json=body).json()["hits"]
        assert {hit["clip_id"]: hit["caption"] for hit in hits} == {2: "the cat", 4: "the cat"}
        answer = client.get("/v1/clips", params={"caption": "DOG red"}).json()
        assert (answer["total"], [clip["clip_id"] for clip in answer["clips"]]) == (2, [1, 3])
        for wrong in ("?!", ""):
            response = client.get("/v1/clips", params={"caption": wrong})
            assert response.status_code == 422 and "Traceback" not in response.text
        with written.write() as catalog:
            catalog.remove_videos([1])
        problem = client.get("/v1/clips", params={"caption": "dog"}).json()
        assert problem["type"].endswith("invalid-query") and "indexer caption" in problem["detail"]


def test_on_the_command_line(written, folders, indexer, no_hub):
    folder = written.folder
    ran = indexer("search", "--like", 5, "--caption", "dog bold", "--json", library=folder)
    assert [hit["caption"] for hit in json.loads(ran.out)["hits"]] == ["a dog [bold]"] * 2
    assert "a dog [bold]" in indexer("search", "--like", 5, "--caption", "bold", library=folder).out
    ran = indexer("search", "--caption", "dog", library=folder)
    assert ran.code == 2 and "say what to look for" in ran.err
    ran = indexer("caption", library=folder)
    assert ran.code == 1 and "does not answer" in ran.err and "do without captions" in ran.err
    assert ran.out == ""
    spec = f"transformers:{folders['blip']}"
    ran = indexer("caption", "/b", "--model", spec, "--device", "cpu", "--json", library=folder)
    assert (ran.code, json.loads(ran.out)["captioned"]) == (0, 2)
    assert "captioned 2 key frames of 1 video" in ran.err
    ran = indexer("caption", "/nowhere", "--model", spec, library=folder)
    assert ran.code == 1 and "/nowhere" in ran.err
