#!/usr/bin/env bash
# Writes FOLDER/sbom.cdx.json: what an installation of the wheel in FOLDER brings, in CycloneDX.
set -euo pipefail
cd "$(dirname "$0")/.."
folder="${1:?usage: packages/sbom.sh FOLDER}"
UV="${UV:-.uv/bin/uv}"
inside="$(mktemp -d)"
trap 'rm -rf "$inside"' EXIT
"$UV" venv --quiet --python .venv/bin/python "$inside/venv"
grep -v -- '--hash' requirements/locked.txt | sed 's/ *\\$//' >"$inside/versions.txt"
"$UV" pip install --quiet --python "$inside/venv/bin/python" --constraint "$inside/versions.txt" "$folder"/airflow_distill-*.whl
.venv/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
    --output-file "$folder/sbom.cdx.json" "$inside/venv/bin/python"
echo "wrote $folder/sbom.cdx.json"
