"""Loads a user's app by path: imported under a name of its own, which carries the hash of the file."""

import importlib.util
import sys
import threading
import traceback
from pathlib import Path
from types import ModuleType

import msgspec

from mooring.client.app import App, declaring_only
from mooring.core.errors import ConfigError
from mooring.core.text import digest

_lock = threading.Lock()
_loaded: dict[tuple[str, bytes], App] = {}


class LoadedApp(msgspec.Struct, frozen=True):
    """An app and the hash of the file that it was loaded from."""

    app: App
    digest: bytes


def load_app(path: str | Path) -> App:
    """The file's `App`.

    Raises:
        ConfigError: no such file, it fails to load, or it declares none.
    """
    return load(path).app


def load(path: str | Path) -> LoadedApp:
    """The app with its hash; the same bytes are loaded once. The file's folder becomes importable, as for a script."""
    file = Path(path).resolve()
    try:
        source = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"The app {file} cannot be read: {error.strerror}.", hint="Is the path right?") from error
    hash_ = digest(source)
    with _lock:
        key = (str(file), hash_)
        if key not in _loaded:
            _loaded[key] = _app_of(_import(file, hash_), file)
        return LoadedApp(_loaded[key], hash_)


def _import(file: Path, hash_: bytes) -> ModuleType:
    name = f"mooring_app_{hash_.hex()[:16]}_{digest(str(file).encode()).hex()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} is no Python file.", hint="Give the path of the .py file that holds your App.")
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # types of tools are looked up there
    try:
        with declaring_only():
            spec.loader.exec_module(module)
    except Exception as error:  # edge: a user's file may raise anything
        del sys.modules[name]
        raise ConfigError(
            f"The app {file} does not load: {type(error).__name__}: {error} ({_where(error, file)}).",
            hint="Mend it, or install what it needs beside Mooring; `python FILE` shows more.",
        ) from error
    return module


def _where(error: BaseException, file: Path) -> str:
    """The deepest line of the user's own folder that the error came through."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(file.parent) and "site-packages" not in frame.filename
    ]
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else f"{file}, before its first line"


def _app_of(module: ModuleType, file: Path) -> App:
    named = getattr(module, "app", None)
    if isinstance(named, App):
        return named
    found = {id(value): value for value in vars(module).values() if isinstance(value, App)}
    if len(found) == 1:
        return next(iter(found.values()))
    what = "declares no App" if not found else f"declares {len(found)} Apps and none is named 'app'"
    raise ConfigError(f"{file} {what}.", hint='Write: app = mooring.App("name")')
