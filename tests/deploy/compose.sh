#!/usr/bin/env bash
# Builds what reads a compose file with Docker Compose's own library (compose/main.go) into .cache/bin, unless it is there:
# ten seconds with Go, once.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=v2.10.2
target="$PWD/.cache/bin"
if [ "$target/compose-check" -nt tests/deploy/compose/main.go ]; then exit 0; fi
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir -p "$target"
cp tests/deploy/compose/main.go "$place"
cd "$place"
printf 'module compose\n\ngo 1.24\n' > go.mod
go mod edit -require "github.com/compose-spec/compose-go/v2@$version"
go mod tidy >/dev/null 2>&1
go build -ldflags='-s -w' -o "$target/compose-check" .
