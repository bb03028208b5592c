#!/usr/bin/env bash
# Builds both distributions twice, from copies in two places, and fails unless the files are equal.
#   dist.sh FOLDER    puts them and SHA256SUMS into FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:?usage: packages/dist.sh FOLDER}"
UV="$PWD/${UV:-.uv/bin/uv}"
copies="$(mktemp -d)"
trap 'rm -rf "$copies"' EXIT
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
# Without pins here a new build backend would make other bytes of the same commit.
pins=(--build-constraints "$PWD/requirements/locked.txt")

for turn in one another/place; do
    mkdir -p "$copies/$turn"
    if git rev-parse --git-dir >/dev/null 2>&1; then
        git ls-files -z | xargs -0 tar -cf - | tar -xf - -C "$copies/$turn"
    else # an unpacked sdist
        tar --exclude=./.venv --exclude=./.uv --exclude=./dist -cf - . | tar -xf - -C "$copies/$turn"
    fi
    find "$copies/$turn" -exec touch -d "$([ "$turn" = one ] && echo 2001-01-01 || echo now)" {} +
    "$UV" build --quiet "${pins[@]}" --out-dir "$copies/$turn.dist" "$copies/$turn"
    "$UV" build --quiet "${pins[@]}" --wheel --out-dir "$copies/$turn.dist" "$copies/$turn/packages/core"
    rm -f "$copies/$turn.dist/.gitignore"
    (cd "$copies/$turn.dist" && sha256sum -- * >"$copies/sums.$(basename "$turn")")
done

if ! diff "$copies/sums.one" "$copies/sums.place"; then
    echo "Two builds of the same files differ (above). Look for a time, a path or an order in what is packed." >&2
    exit 1
fi
mkdir -p "$out"
cp "$copies"/one.dist/* "$out"/
cp "$copies/sums.one" "$out/SHA256SUMS"
cat "$out/SHA256SUMS"
