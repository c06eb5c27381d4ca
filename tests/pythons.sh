#!/usr/bin/env bash
# Runs the unit and contract tiers on each Python that pyproject.toml allows and this machine has: `make test-pythons`.
#
#   PYTHONS="3.12 3.13"   only these
#   words                 go to pytest in place of the two tiers
#
# Each Python has an environment of its own in .cache/pythons/, from both lock files, made again when one of them changes.
# Before the tests the product's lock alone is installed in another one, as in an image, and `mailroom --help` has to run in it.
# One that is not there is skipped and named. Fails where a tier fails, and where no Python was found.
set -uo pipefail
cd "$(dirname "$0")/.."
readonly CACHE=$PWD/.cache/pythons
read -ra WANTED <<<"${PYTHONS:-3.11 3.12 3.13}"
TESTS=("$@")
(($#)) || TESTS=(tests/unit tests/contract)

# Prints the first interpreter of a version that runs and can make environments. Shims of pyenv are on PATH for versions
# that they refuse to start, so each candidate is tried.
find_python() {
    local version=$1 candidate
    while read -r candidate; do
        if "$candidate" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done < <(
        type -ap "python$version"
        compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version.*/bin/python$version"
        compgen -G "${UV_PYTHON_INSTALL_DIR:-$HOME/.local/share/uv/python}/cpython-$version.*/bin/python$version"
    )
    return 1
}

# Makes an environment from lock files, unless it is there and was made by the same interpreter from the same files.
environment() {
    local folder=$1 python=$2
    shift 2
    local made
    made=$("$python" -VV && echo "$python" && cat pyproject.toml "$@" | sha256sum)
    [[ -e $folder/.made && $(<"$folder/.made") == "$made" ]] && return
    "$python" -m venv --clear "$folder" || return
    local pip=("$folder/bin/python" -m pip install -qq --disable-pip-version-check --no-deps)
    "${pip[@]}" --require-hashes "${@/#/--requirement=}" || return
    if [[ $* == *dev* ]]; then
        "${pip[@]}" --no-build-isolation --editable . || return
    fi
    "$folder/bin/python" -m pip check --disable-pip-version-check >/dev/null || {
        "$folder/bin/python" -m pip check --disable-pip-version-check
        return 1
    }
    echo "$made" >"$folder/.made"
}

# The product as an image has it: its own lock and its wheel, without what tests and tools need.
product() {
    local python=$1 version=$2 wheels=$CACHE/wheels-$2
    environment "$CACHE/$version-product" "$python" requirements.lock || return
    rm -rf "$wheels"
    "$CACHE/$version/bin/python" -m pip wheel -qq --no-deps --no-build-isolation --wheel-dir "$wheels" . || return
    local home=$CACHE/$version-product/bin
    "$home/python" -m pip install -qq --disable-pip-version-check --no-deps --no-index --force-reinstall "$wheels"/*.whl || return
    (
        cd /
        for command in "" worker api migrate; do
            "$home/mailroom" $command --help >/dev/null || exit
        done
        "$home/python" -c "import flows, tasks, blocks, deployments.worker.process, mailroom.api.serve" || exit
        # What needs more says so in one line.
        [[ $("$home/mailroom" drill --help 2>&1) == "mailroom: "*"install mailroom[sandbox]" ]]
    )
}

last() {
    grep . "$1" | tail -n 1
}

run() {
    local python=$1 version=$2
    environment "$CACHE/$version" "$python" requirements.lock requirements-dev.lock || return
    product "$python" "$version" || return
    "$CACHE/$version/bin/python" -m pytest -q -p no:cacheprovider "${TESTS[@]}"
}

mkdir -p "$CACHE"
found=0 failed=0 lines=()
for version in "${WANTED[@]}"; do
    if ! python=$(find_python "$version"); then
        lines+=("$version  is not on this machine: skipped")
        continue
    fi
    found=1
    log=$CACHE/$version.log
    echo "$version: $("$python" -V) at $python; its output is in ${log#"$PWD"/}"
    if run "$python" "$version" >"$log" 2>&1; then
        lines+=("$version  $("$python" -V): $(last "$log")")
    else
        failed=1
        tail -n 40 "$log"
        lines+=("$version  $("$python" -V): FAILED, see ${log#"$PWD"/}: $(last "$log")")
    fi
done
printf '%s\n' "" "${lines[@]}"
if ((!found)); then
    echo "none of ${WANTED[*]} is on this machine: install one, or name one that is there with PYTHONS=..." >&2
    exit 1
fi
exit "$failed"
