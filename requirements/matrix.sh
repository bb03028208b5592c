#!/usr/bin/env bash
# Resolves and tests dependency sets in temporary environments: the lowest direct versions, the locked ones, the newest.
# The newest set may fail; that is reported and does not fail the script. A Python that is not on this machine is
# reported as skipped. MATRIX="lowest-3.11 locked-3.13" runs a part; PYTEST_ARGS adds arguments.
set -uo pipefail
cd "$(dirname "$0")/.."

UV="${UV:-.uv/bin/uv}"
MATRIX="${MATRIX:-lowest-3.11 locked-3.11 locked-3.13 newest-3.13}"
FOLDER="$(mktemp -d)"
trap 'rm -rf "$FOLDER"' EXIT
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 PYTHONDONTWRITEBYTECODE=1
unset VIRTUAL_ENV PYTHONPATH

find_python() { # a path, or nothing
    local found
    found="$("$UV" python find --no-project "$1" 2>/dev/null)" && { echo "$found"; return; }
    for found in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        [ -x "$found" ] && { echo "$found"; return; }
    done
}

install_set() { # set, python of the environment
    case "$1" in
        lowest) "$UV" pip install --quiet --python "$2" --resolution lowest-direct --editable '.[dev]' ;;
        locked) "$UV" pip install --quiet --python "$2" --constraint requirements/locked.txt --editable '.[dev]' ;;
        newest) "$UV" pip install --quiet --python "$2" --upgrade --editable '.[dev]' ;;
        *) echo "unknown set: $1" >&2; return 2 ;;
    esac
}

run_tests() { # set, python of the environment
    local quick="not slow and not airflow"
    [ "$1" = locked ] || quick="$quick and not locked"
    "$2" -m pytest -q -p no:cacheprovider -n 2 -m "$quick" ${PYTEST_ARGS:-} &&
        "$2" -m pytest -q -p no:cacheprovider -m airflow tests/pipelines/test_dag_factory.py ${PYTEST_ARGS:-}
}

versions() { # python of the environment
    "$1" - <<'PYTHON'
from importlib.metadata import version
names = ("apache-airflow", "apache-airflow-providers-amazon", "boto3", "pendulum", "msgspec", "moto")
print("  ".join(f"{name} {version(name)}" for name in names))
PYTHON
}

failed=0
report=()
for entry in $MATRIX; do
    kind="${entry%-*}" wanted="${entry##*-}"
    python="$(find_python "$wanted")"
    if [ -z "$python" ]; then
        report+=("$entry: skipped, there is no Python $wanted here")
        continue
    fi
    echo "== $entry ($python)"
    inside="$FOLDER/$entry/bin/python"
    if "$UV" venv --quiet --python "$python" "$FOLDER/$entry" && install_set "$kind" "$inside"; then
        told="$(versions "$inside")"
        echo "$told"
        if run_tests "$kind" "$inside"; then result="passed"; else result="FAILED"; fi
    else
        told="" result="FAILED to install"
    fi
    rm -rf "${FOLDER:?}/$entry"
    report+=("$entry: $result  $told")
    case "$result" in FAILED*) [ "$kind" = newest ] || failed=1 ;; esac
done

echo "== summary"
printf '%s\n' "${report[@]}"
exit "$failed"
