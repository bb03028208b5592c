# Sourced: `find_python 3.12` prints the path of that Python, of uv's, the system's or pyenv's, or nothing.
find_python() {
    local found
    found="$("$UV" python find --no-project "$1" 2>/dev/null)" && { echo "$found"; return; }
    for found in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        [ -x "$found" ] && { echo "$found"; return; }
    done
}
