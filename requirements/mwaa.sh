#!/usr/bin/env bash
# Tests in an environment like Amazon MWAA's: Python 3.12, Airflow 3.3.1 and the whole constraints file that MWAA imposes.
#   mwaa.sh stack    the loop on PostgreSQL, Celery and two workers, while its parts are killed and stopped (12 minutes)
#   mwaa.sh wheel    the wheel with its sandbox extra installed as a user does, and the demo from it (5 minutes)
#   mwaa.sh airflow  all Airflow tests (10 minutes)
# The environment is .venv-mwaa; it is made anew when the project's requirements or the constraints change.
set -euo pipefail
cd "$(dirname "$0")/.."

UV="${UV:-.uv/bin/uv}"
CONSTRAINTS=requirements/airflow-3.3.1-python3.12.txt
VENV=.venv-mwaa
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
export PYTHONPYCACHEPREFIX="$PWD/.venv-mwaa/pycache" # an installed wheel is compiled; a checkout stays clean
unset VIRTUAL_ENV PYTHONPATH
. requirements/find_python.sh

demo_from_wheel() { # installs without the checkout: nothing is on the path but what the wheel brings
    local folder wheel
    folder="$(mktemp -d)"
    trap 'rm -rf "$folder"' RETURN
    "$UV" build --quiet --wheel --no-build-isolation --python "$VENV/bin/python" --out-dir "$folder" .
    wheel="$(echo "$folder"/airflow_distill-*.whl)"
    "$UV" venv --quiet --python "$VENV/bin/python" "$folder/venv"
    "$UV" pip install --quiet --compile-bytecode --python "$folder/venv/bin/python" --constraint "$CONSTRAINTS" "$wheel[sandbox]"
    (cd "$folder" && env -u PYTHONPYCACHEPREFIX "$folder/venv/bin/airflow-distill" demo)
}

install_environment() {
    local wanted python
    wanted="$(cat pyproject.toml "$CONSTRAINTS" "$0" | sha256sum | cut -d' ' -f1)"
    [ "$(cat "$VENV/.ready" 2>/dev/null)" = "$wanted" ] && return
    python="$(find_python 3.12)"
    [ -n "$python" ] || { echo "Python 3.12 is needed (uv, system or pyenv) and is not on this machine" >&2; exit 2; }
    echo "Setting up $VENV with MWAA's versions ($python)"
    rm -rf "$VENV"
    "$UV" venv --quiet --python "$python" "$VENV"
    # pycurl is what Celery's SQS transport needs; MWAA's image has it, Apache's constraints do not name it.
    "$UV" pip install --quiet --python "$VENV/bin/python" --constraint "$CONSTRAINTS" --editable '.[dev]' \
        'apache-airflow==3.3.1' apache-airflow-providers-celery apache-airflow-providers-postgres gunicorn redis pycurl
    echo "$wanted" >"$VENV/.ready"
}

run_tests() { "$VENV/bin/python" -m pytest -q -p no:cacheprovider "$@"; }

case "${1:-}" in
    stack)
        install_environment
        run_tests -s -m stack tests/stack
        ;;
    wheel)
        install_environment
        demo_from_wheel
        ;;
    airflow)
        install_environment
        run_tests -m "airflow and not slow" -n 2 --dist loadfile
        ;;
    *) sed -n '2,6p' "$0"; exit 2 ;;
esac
