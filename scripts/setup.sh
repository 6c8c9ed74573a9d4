#!/bin/sh
# Make a virtual environment with quavf and the extras named in it: `sh scripts/setup.sh dev`.
# Settings, from the environment: PYTHON, VENV, TORCH (see the Makefile). Safe to repeat.
set -eu

PYTHON="${PYTHON:-python3}"
VENV="${VENV:-.venv}"
EXTRAS="${1:-dev}"

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup: $PYTHON is not Python 3.11 or newer; install it, or name one: make setup PYTHON=..." >&2
    exit 1
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else
        echo "setup: needs root once, for: $*" >&2
        return 1
    fi
}

install_system() {
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "setup: please install $* with your system's package manager, then run this again" >&2
        return 1
    fi
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

if [ ! -x "$VENV/bin/python" ]; then
    echo "setup: making $VENV"
    if ! "$PYTHON" -m venv "$VENV" 2>/dev/null; then
        rm -rf "$VENV"
        install_system python3-venv
        "$PYTHON" -m venv "$VENV"
    fi
fi

if [ -n "${TORCH:-}" ] && [ "$EXTRAS" = dev ]; then
    echo "setup: installing torch from $TORCH"
    "$VENV/bin/python" -m pip install --quiet --index-url "$TORCH" torch torchvision
fi

if [ "$EXTRAS" = dev ]; then
    echo "setup: installing quavf with everything (torch is large: this takes a few minutes)"
else
    echo "setup: installing quavf with what the demo needs"
fi
"$VENV/bin/python" -m pip install --quiet --editable ".[$EXTRAS]"

# Some packages of `dev` bring the OpenCV that opens windows, in the folder of the headless one. It
# needs the system's libGL and GLib, which a bare machine lacks.
if ! "$VENV/bin/python" -c 'import cv2' 2>/dev/null; then
    echo "setup: putting the headless OpenCV back in its place"
    "$VENV/bin/python" -m pip install --quiet --force-reinstall --no-deps opencv-python-headless
    "$VENV/bin/python" -c 'import cv2'
fi
echo "setup: done"
