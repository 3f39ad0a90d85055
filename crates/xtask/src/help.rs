//! The help of each command: what it does, its defaults, and an example.

use crate::step::Step;

/// The subject of a help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Overview,
    Setup,
    Build,
    Dev,
    Test,
    Bless,
    Bench,
    Mutants,
    /// The output of `test --list`.
    Steps,
}

impl Topic {
    /// The commands with their help.
    pub(crate) const COMMANDS: [(&str, Self, &str); 7] = [
        ("setup", Self::Setup, SETUP),
        ("build", Self::Build, BUILD),
        ("dev", Self::Dev, DEV),
        ("test", Self::Test, TEST),
        ("bless", Self::Bless, BLESS),
        ("bench", Self::Bench, BENCH),
        ("mutants", Self::Mutants, MUTANTS),
    ];
}

/// The help text of a topic.
pub(crate) fn text(topic: Topic) -> String {
    let text = Topic::COMMANDS.iter().find(|(_, command, _)| *command == topic).map_or(OVERVIEW, |(_, _, text)| text);
    match topic {
        Topic::Steps => steps(),
        Topic::Test => format!("{text}\n\nSteps, in order:\n{}", steps()),
        _ => text.to_owned(),
    }
}

fn steps() -> String {
    Step::ALL.iter().map(|step| format!("  {:<12} {}", step.name(), step.about())).collect::<Vec<_>>().join("\n")
}

const OVERVIEW: &str = "\
The tasks of Tunnel Balancer.

Usage: cargo xtask <command> [options]

  setup    install the tools that build the Worker (the other commands do so, too)
  build    build the Worker into crates/worker/build
  dev      build the Worker and run it locally with three demo servers
  test     run everything that CI runs, or single steps of it
  bless    accept the output of the current code in all snapshots
  bench    measure the cost of a selection, beside pingora and tower
  mutants  measure how many faults in the engine the tests detect

`cargo xtask <command> --help` describes a command.
Deploying needs none of these: `npx wrangler deploy` runs `cargo xtask build` itself.";

const SETUP: &str = "\
Installs the tools that build the Worker. Changes nothing where they exist.

Usage: cargo xtask setup

  * the standard library for wasm32-unknown-unknown: through rustup. Where rustup's servers cannot be reached,
    tools/debian-wasm-toolchain.sh builds a toolchain from Debian's packages into the cache
  * worker-build and wasm-bindgen, in the locked versions: compiled once per machine into the cache (some minutes)
  * wrangler, workerd, esbuild and wasm-opt: through `npm ci` into node_modules

Environment:
  TUNNEL_BALANCER_CACHE   the cache; default: $XDG_CACHE_HOME/tunnel-balancer or ~/.cache/tunnel-balancer";

const BUILD: &str = "\
Builds the Worker: crates/worker/build/index.js and index_bg.wasm. Prints its size, and fails above 430 KB gzipped. The
limit of Cloudflare's free plan is 3 MB; a small Worker starts quickly.

Usage: cargo xtask build [--services FILE] [--debug] [--panic-on-demand]

  --services FILE     the configuration to compile in; default: the environment variable SERVICES_FILE, or services.yaml
                      at the root of the repository
  --debug             a quick, large build with readable stack traces; its size is not checked
  --panic-on-demand   a build for tests, in which a request can cause a panic, in target/worker-panic-on-demand

Example: cargo xtask build --services examples/two-servers.yaml";

const DEV: &str = "\
Builds the Worker, starts three demo servers and the Worker on a local workerd, and prints commands to try. Ctrl-C ends
all of them.

Usage: cargo xtask dev [--port N]

  --port N   the port of the Worker; default: a free one, which is printed";

const TEST: &str = "\
Runs what CI runs. The first step that fails ends the run with exit code 1.

Usage: cargo xtask test [STEP...] [-- FILTER...]
       cargo xtask test --list

  FILTER   selects tests of `unit` and `conformance` as in `cargo test`, files of `words` by a part of their path, and
           rows of `apps` by application, host and fault

Examples: cargo xtask test fmt clippy unit
          cargo xtask test conformance -- worker::affinity
          cargo xtask test words -- crates/core
          cargo xtask test apps -- git worker frozen

`browser` and `apps` are opt-in: they run only when they are named. Both need Python 3.11, and install applications into
the cache. `browser` needs Chromium and takes about a minute. TUNNEL_BALANCER_CHROMIUM names another browser. `apps`
takes ten minutes or more. Logs are in target/browser and target/apps.";

const BLESS: &str = "\
Rewrites all snapshots with the output of the current code: the fixtures of config and the command line, the schema, the
reference of settings, the picture of a simulation, and the traces of scenarios and fleets. Read the diff afterwards.

Usage: cargo xtask bless

Outputs in README.md and docs/ are rewritten, too, except those with a line `...`.";

const BENCH: &str = "\
Measures the cost of a selection, in ns and allocations, beside pingora-load-balancing and tower, and prints a table.
Fails if a selection of Tunnel Balancer allocates.

Usage: cargo xtask bench

Measures twenty times in about a minute, and prints the smallest medians, because other programs only make a run slower.
The first run compiles pingora, which takes four minutes and needs cmake. crates/bench is a workspace of its own.";

const MUTANTS: &str = "\
Measures how many faults in the engine the tests detect. cargo-mutants makes small changes to the source, one at a time,
and runs the unit tests of core and sim, the scenarios and the properties on each. Prints the share that fails a test.

Usage: cargo xtask mutants [-- OPTION...]

  OPTION   an option of cargo-mutants. `--file GLOB` replaces the default files: crates/core/src/pool/**,
           crates/core/src/retry/**, exchange/** and forward.rs

Example: cargo xtask mutants -- --file crates/core/src/retry/budget.rs --jobs 1

A full run takes about half an hour on two cores. Logs are in target/mutants/mutants.out.";
