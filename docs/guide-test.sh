#!/usr/bin/env bash
# Follows docs/spec-guide.md to the letter, in an empty folder, with the built program; stops where a step fails.
#   docs/guide-test.sh [PROGRAM]      default: target/debug/interlingua
# Blocks of the guide: `sh run` must succeed, `sh fails` must fail, `yaml file=PATH` (or json) is written to PATH,
# `text output` lists lines of which each must be found in the output of the commands before it.
# The guide's ports are replaced by free ones.
set -euo pipefail
cd "$(dirname "$0")/.."
guide=$PWD/docs/spec-guide.md
program=$(readlink -f "${1:-target/debug/interlingua}")
[[ -x $program ]] || { echo "there is no program $program: build it first" >&2; exit 2; }

work=$(mktemp -d)
finish() {
    local pids
    pids=$(jobs -p)
    # shellcheck disable=SC2086 # a list of ids
    [[ -z $pids ]] || kill $pids 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# Nothing listens there now; good enough for a test.
free_port() {
    local port
    for port in $(shuf -i 20000-29999 -n 50); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}
serve=$(free_port)
simulate=$(free_port)

mkdir "$work/bin" "$work/blocks" "$work/home"
ln -s "$program" "$work/bin/interlingua"
export PATH="$work/bin:$PATH"
unset "${!ANTHROPIC_@}" "${!OPENAI_@}" "${!GROQ_@}" "${!DEEPSEEK_@}" "${!OLLAMA_@}" 2>/dev/null || true

# One file for each block, with its number, what it is, and the line where it starts.
sed "s/8090/$serve/g; s/9101/$simulate/g" "$guide" | awk -v out="$work/blocks" '
    /^```(sh (run|fails)|text output|[a-z]+ file=)/ && !inside {
        inside = 1
        number++
        path = sprintf("%s/%03d", out, number)
        printf "%s\n%d\n", substr($0, 4), NR > (path ".head")
        printf "" > path
        next
    }
    /^```$/ && inside { inside = 0; close(path); close(path ".head"); next }
    /^```/ { other = !other }
    inside { print > path }
'

cd "$work/home"
output=$work/output
steps=0
fail() {
    echo "docs/spec-guide.md:$line: $1" >&2
    [[ ! -s $output ]] || tail -n 40 "$output" | sed 's/^/    /' >&2
    exit 1
}
for head in "$work"/blocks/*.head; do
    block=${head%.head}
    { read -r kind; read -r line; } <"$head"
    case $kind in
        'sh run' | 'sh fails')
            steps=$((steps + 1))
            status=0
            # In this very shell, so that exports and background jobs stay. (No `set -e` inside: the last status counts.)
            eval "$(cat "$block")" >"$output" 2>&1 </dev/null || status=$?
            if [[ $kind == 'sh run' && $status != 0 ]]; then fail "this failed with status $status:"; fi
            if [[ $kind == 'sh fails' && $status == 0 ]]; then fail "this should have failed:"; fi
            ;;
        'text output')
            while IFS= read -r wanted; do
                grep -qF -- "$wanted" "$output" || fail "the output lacks \`$wanted\`:"
            done <"$block"
            ;;
        *' file='*)
            path=${kind#* file=}
            mkdir -p "$(dirname "$path")"
            cp "$block" "$path"
            ;;
    esac
done
[[ $steps -ge 12 ]] || { echo "only $steps steps were found in the guide" >&2; exit 1; }
echo "the guide works: $steps steps"
