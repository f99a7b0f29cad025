#!/bin/sh
# Writes deploy/requirements.lock anew: what `agentd[all,otel]` needs today, each file with its hash.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/venv"
"$place/venv/bin/pip" install -q "pip-tools>=7.4,<8"
"$place/venv/bin/python" - > "$place/requirements.in" <<'PROGRAM'
import re, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
def expanded(extra):
    for each in project["optional-dependencies"][extra]:
        own = re.fullmatch(r"agentd\[(.*)\]", each)
        yield from (more for name in own[1].split(",") for more in expanded(name)) if own else [each]
print("\n".join(dict.fromkeys([*project["dependencies"], *expanded("all"), *expanded("otel")])))
PROGRAM
"$place/venv/bin/pip-compile" -q --generate-hashes --strip-extras --no-annotate --no-header \
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links -o "$place/requirements.lock" "$place/requirements.in"
{
    sed -n '/^#/p' deploy/requirements.lock
    echo
    grep -v '^#' "$place/requirements.lock" | sed '/^$/d'
} > "$place/written"
cp "$place/written" deploy/requirements.lock
