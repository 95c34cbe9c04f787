# What CI runs is `.ci/run`; these are its parts, by name. `just` is convenient and not needed.

# Everything that CI runs, on this machine.
ready:
    .ci/run fmt clippy doc docs guide deny test

# The quick ones, before a commit.
quick:
    .ci/run fmt docs

fmt:
    .ci/run fmt

clippy:
    .ci/run clippy

test:
    .ci/run test

doc:
    .ci/run doc

# Licences, advisories, double versions; needs cargo-deny.
deny:
    .ci/run deny

# Follow docs/spec-guide.md with the built program.
guide:
    .ci/run guide

# Write what the documentation takes from the code, the published schemas, the coverage table and the outputs of cases.
update:
    docs/generate.sh
    UPDATE=1 cargo test --workspace

bench:
    cargo bench -p interlingua-engine
    cargo bench -p interlingua-tests --bench load

# Mixed traffic for a while: memory, open files and threads must not grow.
soak minutes="30":
    cargo bench -p interlingua-tests --bench soak -- --minutes {{minutes}}
