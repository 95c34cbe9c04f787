#!/usr/bin/env bash
# Writes what the documentation takes from the code and from data:
#   errors.md           the codes of mistakes in specs   <- engine/src/codes.rs
#   limits.md           every named bound                <- constants in engine/src and server/src
#   spec-reference.md   the examples                     <- docs/examples/
# `--check` writes nothing and fails if something is stale. Needs awk and nothing else.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

check=false
case "${1:-}" in
    '') ;;
    --check) check=true ;;
    *) echo "usage: docs/generate.sh [--check]" >&2; exit 2 ;;
esac
stale=0

# put FILE: standard input becomes the file, or is compared with it.
put() {
    local fresh
    fresh=$(mktemp)
    cat >"$fresh"
    if $check; then
        if ! diff -u "$1" "$fresh" >&2; then
            echo "$1 is stale: run docs/generate.sh" >&2
            stale=1
        fi
        rm -f "$fresh"
    elif cmp -s "$fresh" "$1"; then
        rm -f "$fresh"
    else
        cat "$fresh" >"$1"
        rm -f "$fresh"
        echo "wrote $1"
    fi
}

errors() {
    cat <<'TEXT'
# Mistakes in specs

<!-- Written by docs/generate.sh from engine/src/codes.rs. -->

`interlingua check FILES` and every start list all mistakes of all files at once: file, line, column, code, what is wrong, and
mostly what to do. A code never changes its meaning; a number that was released is never used again for something else.

```text
providers/acme.yaml:9:11: error[E0501]: unknown operator `$lookpu`
  help: did you mean `$lookup`?
```

`--json` gives the same as data: `code`, `file`, `line`, `column`, `pointer`, `message`, `help`.
What clients and operators meet at run time is in [config.md](config.md) and [record.md](record.md).
TEXT
    awk '
        /^codes! \{/ { on = 1; next }
        on && /^\}/ { exit }
        !on { next }
        /^ *\/\/ [0-9]/ {
            sub(/^ *\/\/ /, "")
            title = $0
            sub(/^[0-9x]+: /, "", title)
            title = toupper(substr(title, 1, 1)) substr(title, 2)
            range = $1
            sub(/:$/, "", range)
            printf "\n## E%s: %s\n\n| code | means |\n|---|---|\n", range, title
            next
        }
        /^ *\/\/\/ / { line = $0; sub(/^ *\/\/\/ /, "", line); text = text == "" ? line : text " " line; next }
        / = [0-9]+;/ {
            number = $3
            sub(/;$/, "", number)
            gsub(/\|/, "\\|", text)
            printf "| E%04d | %s |\n", number, text
            text = ""
        }
    ' engine/src/codes.rs
}

limits() {
    cat <<'TEXT'
# Limits

<!-- Written by docs/generate.sh from the constants in engine/src and server/src. -->

Everything that comes from outside is bounded. These are all the named bounds, as they stand in the code. Those of
`server/src/config` are defaults that an operator can change ([config.md](config.md)); the rest are fixed.
TEXT
    local folder title files
    while IFS='|' read -r title folder; do
        printf '\n## %s\n\n| constant | value | what |\n|---|---|---|\n' "$title"
        # shellcheck disable=SC2086 # a list of folders
        files=$(find $folder -name '*.rs' ! -path '*/tests*' ! -path '*/cases/*' | sort)
        # shellcheck disable=SC2086 # a list of files
        awk '
            FNR == 1 { text = "" }
            /^\/\/\/ / { line = $0; sub(/^\/\/\/ /, "", line); text = text == "" ? line : text " " line; next }
            /^(pub(\([a-z]+\))? )?const [A-Z_]+: (usize|u8|u16|u32|u64|Size|Period|Duration) = / && text != "" {
                line = $0
                sub(/^.*const /, "", line)
                name = line
                sub(/:.*/, "", name)
                value = line
                sub(/^[^=]*= /, "", value)
                sub(/;.*/, "", value)
                gsub(/_/, "", value)
                if (value ~ /^Size::kib/) { gsub(/[^0-9]/, "", value); value = value " KiB" }
                if (value ~ /^Size::mib/) { gsub(/[^0-9]/, "", value); value = value " MiB" }
                if (value ~ /fromsecs|::seconds/) { gsub(/[^0-9]/, "", value); value = value " s" }
                if (value ~ /frommins/) { gsub(/[^0-9]/, "", value); value = value " min" }
                if (value ~ /fromhours/) { gsub(/[^0-9]/, "", value); value = value " h" }
                if (value ~ /frommillis/) { gsub(/[^0-9]/, "", value); value = value " ms" }
                if (value ~ /^[0-9]+ \* 1024 \* 1024$/) { sub(/ .*/, "", value); value = value " Mi" }
                if (value ~ /^[0-9]+ \* 1024$/) { sub(/ .*/, "", value); value = value " Ki" }
                if (value ~ /^[0-9]+ << 20$/) { sub(/ .*/, "", value); value = value " Mi" }
                if (name !~ /^(LANGUAGE_VERSION|CLIENT_CLOSED|CALM|NO_ERROR|DATA|HEADERS|CONTINUATION|GOAWAY|FRAME_HEADER_BYTES|BLOCK_HEADER_BYTES|CHECKSUM_BYTES)$/) {
                    gsub(/\|/, "\\|", text)
                    printf "| `%s` (%s) | %s | %s |\n", name, FILENAME, value, text
                }
            }
            !/^#\[/ { text = "" }
        ' $files
    done <<'PLACES'
Loading specs|engine/src/spec engine/src/resolve.rs engine/src/resolve engine/src/diagnostic.rs engine/src/diagnostic engine/src/compile engine/src/standard
Requests, answers and streams in the engine|engine/src/json engine/src/codec engine/src/run engine/src/serve
Defaults of the configuration|server/src/config
The server|server/src/auth server/src/body server/src/budget.rs server/src/client.rs server/src/connection.rs server/src/frames.rs server/src/gateway server/src/identity.rs server/src/listener.rs server/src/pass server/src/respond.rs server/src/telemetry server/src/upstream
The simulator|engine/src/fixture server/src/simulator
PLACES
}

# Puts the files of docs/examples into the blocks behind their markers.
reference() {
    awk '
        /^<!-- example: .* -->$/ {
            print
            name = $3
            path = "docs/examples/" name
            print "```yaml"
            lines = 0
            while ((getline line < path) > 0) {
                lines++
                if (lines > 2) { print line }
            }
            close(path)
            if (lines == 0) { print "there is no " path > "/dev/stderr"; exit 1 }
            print "```"
            behind = 1
            next
        }
        behind { behind = 0; skip = /^```yaml$/; if (skip) { next } }
        skip && /^```$/ { skip = 0; next }
        skip { next }
        { print }
    ' docs/spec-reference.md
}

# covered: each example file is shown, and each operator and step has one.
covered() {
    local file name
    while read -r file; do
        if ! grep -q "^<!-- example: $file -->" docs/spec-reference.md; then
            echo "docs/spec-reference.md does not show docs/examples/$file" >&2
            stale=1
        fi
    done < <(cd docs/examples && find . -name '*.yaml' | sed 's,^\./,,' | sort)
    while read -r name; do
        if [[ ! -f docs/examples/$name.yaml ]]; then
            echo "operator \$$name has no file docs/examples/$name.yaml" >&2
            stale=1
        fi
    done < <(sed -n 's/^ *op("\$\([a-z_]*\)".*/\1/p' engine/src/compile/mapping.rs)
}

errors | put docs/errors.md
limits | put docs/limits.md
reference | put docs/spec-reference.md
covered
exit $stale
