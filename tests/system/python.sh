#!/usr/bin/env bash
# Sets agentd up in a virtual environment: python.sh PYTHON VENV. It says what it does all the while.
set -euo pipefail
python=$1 venv=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "agentd needs Python 3.11 or later; $python is $("$python" --version). Try: make PYTHON=python3.12" >&2
    exit 1
fi

# Debian and Ubuntu keep what makes environments in a package of its own.
install_venv_package() {
    local package sudo=""
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" != 0 ]; then sudo="sudo"; fi
    if [ -n "$sudo" ] && ! command -v sudo >/dev/null; then
        echo "Python lacks its module for environments; as root, run: apt-get install $package" >&2
        exit 1
    fi
    echo "Installing $package ..."
    if ! { $sudo apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$package"; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        echo "Could not install it; as root, run: apt-get install $package" >&2
        exit 1
    fi
}

# Follows pip's lines on standard input; tells of every large download, and how far it is every five seconds.
progress() {
    local large='^ *Downloading ([^ ]*/)?([^ -]+-[^ -]+)[^ ]* (\([0-9.]+ MB\))'
    local line status found=0 doing="asking for packages" shown=$SECONDS
    while true; do
        status=0
        IFS= read -r -t 5 line || status=$?
        if [ "$status" -gt 0 ] && [ "$status" -le 128 ]; then
            return # pip has ended; above 128, it was silent for five seconds
        elif [ "$status" -gt 128 ]; then
            [[ $doing != unpacking* ]] || doing="unpacking: $(unpacked) of $found packages"
        elif [[ $line == Collecting* ]]; then
            found=$((found + 1))
        elif [[ $line =~ $large ]]; then
            doing="$found packages found, downloading ${BASH_REMATCH[2]} ${BASH_REMATCH[3]}"
            shown=-5
        elif [[ $line == Installing\ collected* ]]; then
            found=$(($(unpacked) + 1 + $(tr -cd , <<<"$line" | wc -c)))
            doing="unpacking $found packages"
        fi
        if [ $((SECONDS - shown)) -ge 5 ]; then
            echo "  $SECONDS s: $doing ..."
            shown=$SECONDS
        fi
    done
}

unpacked() { find "$venv"/lib -maxdepth 3 -name '*.dist-info' | wc -l; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Making a virtual environment in $venv ..."
if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
    rm -rf "$venv"
    install_venv_package
    "$python" -m venv "$venv"
fi
echo "Installing agentd and its providers (once; one to three minutes) ..."
if ! "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off --editable ".[dev]" 2>&1 |
    tee "$log" | progress; then
    tail -n 15 "$log" >&2
    echo "Could not install the packages; the same command, make, tries again." >&2
    exit 1
fi
echo "Installed in $SECONDS s."
