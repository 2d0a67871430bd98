"""A tree that `vitalwire build` wrote, read back: every file is the one that its manifest tells of."""

import hashlib
import json
from pathlib import Path

from tools.build import MANIFEST, Build
from tools.flash.trouble import Trouble

AGAIN = "write it anew with vitalwire build"


def read(folder: Path) -> Build:
    """The Build in `folder`. Trouble when it is not whole."""
    try:
        text = (folder / MANIFEST).read_bytes()
        about = json.loads(text)
        built = Build(about["board"], about["format"], about["version"])
        for path, file in about["files"].items():
            data = (folder / path).read_bytes()
            if hashlib.sha256(data).hexdigest() != file["sha256"]:
                raise Trouble(f"{folder / path} is not the file that was built", AGAIN)
            built.files[path] = data
    except OSError as e:
        raise Trouble(f"{e.filename}: {e.strerror}", AGAIN) from e
    except (ValueError, KeyError, TypeError) as e:
        raise Trouble(f"{folder / MANIFEST} is no manifest of a build", AGAIN) from e
    built.files[MANIFEST] = text
    return built
