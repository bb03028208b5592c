#!/usr/bin/env bash
# Resolves and tests dependency sets in temporary environments:
#   lowest    the lowest direct versions of pyproject.toml
#   locked    requirements/locked.txt
#   mwaa      Airflow 3.3.1 with the whole constraints file that Amazon MWAA imposes
#   3.3.0, 3.3.2   that Airflow with what the registry held on the day of its release, as Apache's constraints do
#   newest    whatever is newest; it may fail, which is reported and does not fail the script
# A Python that is not on this machine is reported as skipped. MATRIX="lowest-3.11 mwaa-3.12" runs a part;
# PYTEST_ARGS adds arguments.
set -uo pipefail
cd "$(dirname "$0")/.."

UV="${UV:-.uv/bin/uv}"
MATRIX="${MATRIX:-lowest-3.11 locked-3.11 locked-3.13 mwaa-3.12 3.3.0-3.12 3.3.2-3.12 newest-3.13}"
FOLDER="$(mktemp -d)"
trap 'rm -rf "$FOLDER"' EXIT
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 PYTHONDONTWRITEBYTECODE=1
unset VIRTUAL_ENV PYTHONPATH

. requirements/find_python.sh

released() { # version of Airflow: the day after its release
    case "$1" in
        3.3.0) echo 2026-07-06 ;;
        3.3.2) echo 2026-09-20 ;;
    esac
}

install_released() { # version of Airflow, python of the environment
    local pins="$FOLDER/airflow-$1.txt"
    printf 'apache-airflow==%s\napache-airflow-providers-%s\napache-airflow-providers-%s\nboto3\n' "$1" amazon standard |
        "$UV" pip compile --quiet --python "$2" --exclude-newer "$(released "$1")" --no-header --no-annotate - >"$pins" &&
        "$UV" pip install --quiet --python "$2" --constraint "$pins" --editable '.[dev]'
}

install_set() { # set, python of the environment
    case "$1" in
        3.3.*) install_released "$1" "$2" ;;
        mwaa) "$UV" pip install --quiet --python "$2" --constraint requirements/airflow-3.3.1-python3.12.txt \
            --editable '.[dev]' 'apache-airflow==3.3.1' ;;
        lowest) "$UV" pip install --quiet --python "$2" --resolution lowest-direct --editable '.[dev]' ;;
        locked)
            "$UV" pip install --quiet --python "$2" --require-hashes --requirement requirements/locked.txt &&
                "$UV" pip install --quiet --python "$2" --no-deps --no-build-isolation --editable .
            ;;
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
