"""Helper processes that turn sound files into features, one clip at a time.

A worker is a fresh Python that talks through its standard input and output: unlike multiprocessing's spawn it never
runs the caller's script again, it ends by itself when its parent dies, and a decoder that crashes on a bad file takes
nothing else down.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np

from slapkit.errors import AudioError, SlapkitError

_AHEAD = 8  # clips given out per worker before the first of them is taken back


@lru_cache(maxsize=4)
def _transform(config):
    from slapkit.audio.frontend import make_transform

    return make_transform(config).eval()


def extract(path: str | os.PathLike[str], config) -> np.ndarray:
    """Return the features, float16 `[frames, width]`, of one sound file under a `FrontendConfig`.

    A clip shorter than `config.min_s` is filled up to it as `config.padding` says. The result depends on the file's
    content only.

    Raises:
        AudioError: the sound cannot be read or is silent.
    """
    import torch

    from slapkit.audio import decode, windows

    wave = decode.read(path, sample_rate=config.sample_rate, reject_silent=True)
    wave = windows.fill(wave, round(config.min_s * config.sample_rate), config.padding)
    mel = _transform(config)(torch.from_numpy(wave)[None])[0].numpy()
    if not np.isfinite(mel).all():
        raise AudioError(f"{path} gives features that are not finite")
    return mel.astype(np.float16)


def attempt(path: str, config) -> np.ndarray | str:
    """Return the features of a file, or in words why there are none, without naming where the file lies."""
    try:
        return extract(path, config)
    except AudioError as error:
        return str(error).replace(str(path), "the sound")


def serve() -> None:
    """Answer requests from standard input until it closes. This is what a worker process runs."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not end up among the answers
    import torch

    torch.set_num_threads(1)
    _send(answers, "ready")
    # MP3's decoder writes notes about damaged files past Python; those files are listed, so the notes only alarm.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while True:
        try:
            path, config = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = attempt(path, config)
        except Exception as error:  # what is no AudioError stops the build, in the parent
            known = isinstance(error, SlapkitError)
            answer = error if known else SlapkitError(f"{path}: {type(error).__name__}: {error}")
        try:
            _send(answers, answer)
        except BrokenPipeError:  # the parent is gone
            return


def _send(stream, value) -> None:
    pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


class _Worker:
    """One helper process."""

    def __init__(self) -> None:
        import slapkit

        package = str(Path(slapkit.__file__).resolve().parent.parent)
        search = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": search}
        command = [sys.executable, "-c", "from slapkit.audio.worker import serve; serve()"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        try:
            pickle.load(self.process.stdout)
        except EOFError as error:
            status = self.process.wait()
            raise SlapkitError(f"a helper process ended at its start (status {status}), see above") from error

    def ask(self, path: str, config) -> np.ndarray | str:
        """Return what `attempt` gives in the process; EOFError or OSError where the process died."""
        _send(self.process.stdin, (path, config))
        answer = pickle.load(self.process.stdout)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                stream.close()


class Workers:
    """`count` helper processes; a context manager. One worker is this process itself."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._local = threading.local()
        self._started: list[_Worker] = []
        self._closed = False
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_error) -> None:
        self._closed = True
        for worker in self._started:
            worker.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, paths: Iterable[str], config) -> Iterator[np.ndarray | str]:
        """Yield the features of each file, or in words why there are none, in the order of `paths`."""
        if self._pool is None:
            for path in paths:
                yield _alone(path, config)
            return
        waiting: deque = deque()
        for path in paths:
            waiting.append(self._pool.submit(self._ask, path, config))
            if len(waiting) >= _AHEAD * self.count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _ask(self, path: str, config) -> np.ndarray | str:
        for last in (False, True):
            worker = getattr(self._local, "worker", None)
            if worker is None:
                worker = self._local.worker = _Worker()
                self._started.append(worker)
            try:
                return worker.ask(path, config)
            except (EOFError, OSError, pickle.UnpicklingError) as error:
                if self._closed:
                    raise SlapkitError("the helper processes were stopped") from error
                worker.close()
                self._local.worker = None
                if last:
                    return f"the decoder crashed on the sound, twice (status {worker.process.returncode})"
        raise AssertionError("unreachable")


def _alone(path: str, config) -> np.ndarray | str:
    """Do a worker's task here, with one thread as a worker has, so that the bits are the same."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return attempt(path, config)
    finally:
        torch.set_num_threads(threads)
