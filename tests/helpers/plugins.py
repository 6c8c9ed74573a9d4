"""Packages that bring a plug-in, as pip would install them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def install_plugin(folder: Path, group: str, entry_point: str, code: str) -> Path:
    """Put a module `toy_plugin` with an entry point such as `toy = toy_plugin:TOY` in a folder."""
    info = folder / "toy_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry_point}\n")
    (folder / "toy_plugin.py").write_text(code)
    return folder


def run_python(*arguments: object, plugins: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with the plug-ins of another one installed."""
    path = os.pathsep.join([str(plugins), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
