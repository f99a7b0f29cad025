#!/usr/bin/env bash
# Makes a virtual environment: python.sh PYTHON VENV. Debian and Ubuntu keep the module for it in a package of its own.
set -euo pipefail
python=$1 venv=$2
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "agentd needs Python 3.11 or later; $python is $("$python" --version). Try: make PYTHON=python3.12" >&2
    exit 1
fi
echo "Making a virtual environment in $venv ..."
if ! "$python" -m venv "$venv" 2>/dev/null; then
    rm -rf "$venv"
    version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    sudo=""
    if [ "$(id -u)" != 0 ]; then sudo="sudo"; fi
    echo "Installing $version ..."
    $sudo apt-get update -qq && $sudo apt-get install -y -qq "$version" || {
        echo "Could not install it; run: apt-get install $version" >&2
        exit 1
    }
    "$python" -m venv "$venv"
fi
