#!/usr/bin/env bash
# What the tests need beside Python: a browser, Node, promtool, redis-server, systemd-analyze, the shells whose completion
# is tested, recorded human speech, a sound server (25 MB), a LiveKit server, helm, and what reads a compose file.
# Installs only what is missing; names what cannot be had, and the tests that need it then fail.
set -uo pipefail
cd "$(dirname "$0")/../.."

sudo=""
if [ "$(id -u)" != 0 ]; then sudo="sudo"; fi

packages=()
command -v chromium >/dev/null || packages+=(chromium)
command -v promtool >/dev/null || packages+=(prometheus)
command -v redis-server >/dev/null || packages+=(redis-server)
command -v systemd-analyze >/dev/null || packages+=(systemd)
command -v zsh >/dev/null || packages+=(zsh)
command -v fish >/dev/null || packages+=(fish)
command -v node >/dev/null && command -v npm >/dev/null || packages+=(nodejs npm)
dpkg -s pocketsphinx-testdata >/dev/null 2>&1 || packages+=(pocketsphinx-testdata)
dpkg -s alsa-utils >/dev/null 2>&1 || packages+=(alsa-utils)
for package in pulseaudio pulseaudio-utils libasound2-plugins libportaudio2; do
    dpkg -s "$package" >/dev/null 2>&1 || packages+=("$package")
done
if [ ${#packages[@]} -gt 0 ]; then
    echo "Installing ${packages[*]} ..."
    $sudo apt-get update -qq
    # Daemons that come along (prometheus, redis-server) are not to be started: the tests run their own.
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
        echo "Could not install: ${packages[*]}" >&2
fi

# The file of Smart Turn's weights comes in this package, of which nothing else is used.
.venv/bin/python -c 'import importlib.util as i, sys; sys.exit(i.find_spec("pipecat") is None)' ||
    .venv/bin/python -m pip install -q --no-deps pipecat-ai==1.14.0 ||
    echo "Could not install pipecat-ai: the test of Smart Turn's own weights fails" >&2

# The JSON schemas of Kubernetes' own objects come in this one, of which nothing else is used (15 MB).
.venv/bin/python -c 'import importlib.util as i, sys; sys.exit(i.find_spec("kubernetes_validate") is None)' ||
    .venv/bin/python -m pip install -q --no-deps kubernetes-validate==1.31.0 ||
    echo "Could not install kubernetes-validate: the test of the chart's objects fails" >&2

bash tests/deploy/helm.sh || echo "Could not build helm: the tests of the chart fail" >&2
bash tests/deploy/compose.sh || echo "Could not build compose-check: the test of compose.yaml fails" >&2

.venv/bin/python - <<'PYTHON'
from agentd.cli.devserver import ensure_livekit_server

if ensure_livekit_server(lambda line: print(line, flush=True)) is None:
    print("No LiveKit server can be had here: install Go 1.24 or later, or put livekit-server on PATH.")
PYTHON
