#!/usr/bin/env bash
# Checks every spec that differs from the commit BASE: it must be valid, its smoke profile must be
# cheap and run within limits of time and memory. What the change means goes to the job's summary.
#
#   bash .github/check-specs.sh BASE
set -uo pipefail

base=$1
summary=${GITHUB_STEP_SUMMARY:-/dev/stdout}
seconds=${SPEC_SECONDS:-900}
memory_gb=${SPEC_MEMORY_GB:-8}
exaflop=${SPEC_EXAFLOP:-0.0001}
work=$(mktemp -d)
trap 'git worktree remove --force "$work/base" >/dev/null 2>&1; rm -rf "$work"' EXIT

git worktree add --quiet --detach "$work/base" "$base" || exit 1
git diff -z --name-only --diff-filter=d --merge-base "$base" HEAD -- 'specs/*.yaml' \
    >"$work/changed" || exit 1
mapfile -d '' -t specs <"$work/changed"
failed=0

# What a spec makes the harness print is never taken for a command of the workflow.
if [[ -n ${GITHUB_ACTIONS:-} ]]; then
    quiet=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
    echo "::stop-commands::$quiet"
fi

check() {
    local spec=$1 code
    timeout 120 harness validate "$spec" || return 1
    [[ $spec != *claims.yaml ]] || return 0
    timeout 300 harness plan "$spec" || return 1
    timeout 300 harness plan "$spec" --profile smoke --limit-exaflop "$exaflop" || return 1
    timeout "$((seconds + 300))" harness run "$spec" --profile smoke --offline \
        --limit-hours "$(awk "BEGIN { print $seconds / 3600 }")" --limit-memory-gb "$memory_gb" \
        --store "$work/store" --out "$work/results"
    code=$?
    if [[ $code == 5 ]]; then
        echo "- the smoke profile was not run: its data or weights are not on this machine" >>"$summary"
        return 0
    fi
    return $code
}

[[ ${#specs[@]} -gt 0 ]] || echo "No spec differs from the base." >>"$summary"
for spec in "${specs[@]}"; do
    printf '# %s\n\n' "$(printf %q "$spec")" >>"$summary"
    if check "./$spec"; then
        printf -- '- passed\n\n' >>"$summary"
    else
        printf -- '- **failed**: see the log\n\n' >>"$summary"
        failed=1
    fi
    if [[ $spec == *claims.yaml ]]; then
        echo "Claims over several specs." >>"$summary"
    elif [[ -f "$work/base/$spec" ]]; then
        timeout 300 harness diff "$work/base/$spec" "./$spec" --format markdown >>"$summary" ||
            echo "What changed cannot be shown: one of the two specs is wrong." >>"$summary"
    else
        echo "A new spec." >>"$summary"
    fi
    echo >>"$summary"
done

if [[ -n ${GITHUB_ACTIONS:-} ]]; then
    echo "::$quiet::"
fi
exit $failed
