//! What `--help` says. Each text teaches: what the command does, with what defaults, and an example
//! to copy.

use crate::step::Step;

/// What the reader asked help for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// `cargo xtask` alone.
    Overview,
    /// `setup --help`.
    Setup,
    /// `build --help`.
    Build,
    /// `dev --help`.
    Dev,
    /// `test --help`.
    Test,
    /// `bench --help`.
    Bench,
    /// `mutants --help`.
    Mutants,
    /// `test --list`.
    Steps,
}

/// The help text of a topic.
pub(crate) fn text(topic: Topic) -> String {
    match topic {
        Topic::Overview => OVERVIEW.to_owned(),
        Topic::Setup => SETUP.to_owned(),
        Topic::Build => BUILD.to_owned(),
        Topic::Dev => DEV.to_owned(),
        Topic::Test => format!("{TEST}\n\nSteps, in order:\n{}", steps()),
        Topic::Bench => BENCH.to_owned(),
        Topic::Mutants => MUTANTS.to_owned(),
        Topic::Steps => steps(),
    }
}

fn steps() -> String {
    Step::ALL.iter().map(|step| format!("  {:<12} {}", step.name(), step.about())).collect::<Vec<_>>().join("\n")
}

const OVERVIEW: &str = "\
The tasks of Tunnel Balancer.

Usage: cargo xtask <command> [options]

  setup    make this machine able to build the Worker (the other commands do it by themselves)
  build    build the Worker into crates/worker/build
  dev      build, then run the Worker locally with three demo servers
  test     everything CI runs, or single steps of it
  bench    measure what choosing a server costs, beside pingora and tower
  mutants  measure how many faults in the engine the tests notice

`cargo xtask <command> --help` explains one.
Deploying needs none of these: `npx wrangler deploy` calls `cargo xtask build` itself.";

const SETUP: &str = "\
Makes this machine able to build the Worker, and says what it does. Where everything is there, it changes nothing.

Usage: cargo xtask setup

What it looks after:
  * the standard library for wasm32-unknown-unknown: through rustup. Where rustup's servers cannot be reached,
    tools/debian-wasm-toolchain.sh builds a toolchain from Debian's packages into the cache
  * worker-build and wasm-bindgen, in the versions that Cargo.lock asks for: compiled once per machine into the cache
  * wrangler, workerd, esbuild and wasm-opt: by `npm ci` into node_modules

The first run takes some minutes, because the cargo tools are compiled.

Environment:
  TUNNEL_BALANCER_CACHE   where the tools are kept; default $XDG_CACHE_HOME/tunnel-balancer or ~/.cache/tunnel-balancer";

const BUILD: &str = "\
Builds the Worker: crates/worker/build/index.js and index_bg.wasm. Prints its size and fails if that is over 400 KB
gzipped, far below the 3 MB that Cloudflare's free plan takes, so that it starts quickly and stays that way.

Usage: cargo xtask build [--services FILE] [--debug] [--panic-on-demand]

  --services FILE   the configuration to compile in; default: the environment variable SERVICES_FILE, else services.yaml
                    at the root of the repository
  --debug           quick to build, large, with readable stack traces; its size is not checked
  --panic-on-demand
                    with debug assertions, and a panic for every client that asks for one: for the tests, never for
                    deployment. It goes to target/worker-panic-on-demand

Example: cargo xtask build --services examples/two-servers.yaml";

const DEV: &str = "\
Builds the Worker, starts three small demo servers and the Worker on a local workerd, and prints what to try. Ctrl-C
ends all of it.

Usage: cargo xtask dev [--port N]

  --port N   the port the Worker listens on; default: chosen by the demo, which prints it";

const TEST: &str = "\
Runs what CI runs. The first failing step ends the run with exit code 1 and the command that repeats only that step.

Usage: cargo xtask test [STEP...]
       cargo xtask test --list

Examples: cargo xtask test
          cargo xtask test fmt clippy unit
          cargo xtask test browser

`browser` runs only by name, because it needs more of the machine: Chromium and Python 3.11 (installed by apt-get where
there is one), JupyterLab (by pip, into the cache), and about a minute. Its logs are left in target/browser.

Environment:
  TUNNEL_BALANCER_CHROMIUM   the browser that `browser` uses; default: chromium, chromium-browser or google-chrome";

const BENCH: &str = "\
Measures what choosing a server costs, in ns and allocations, beside pingora-load-balancing and tower, and prints one
table. Fails if a choice of ours allocates.

Usage: cargo xtask bench

Measures twenty times and shows the least of the medians, because other programs only ever make a run slower; still,
leave the machine alone for the minute that it takes. The first run compiles pingora, which takes four minutes and needs cmake.
It is no part of the tests: crates/bench is a workspace of its own.";

const MUTANTS: &str = "\
Measures how many faults in the engine the tests notice. cargo-mutants changes the source in small ways, one at a time,
and runs the unit tests of core and sim, the scenarios and the properties on each change. Prints the share that fails a
test and the changes that fail none. Changes that do not compile or do not end are counted separately.

Usage: cargo xtask mutants [-- OPTION...]

  OPTION   an option of cargo-mutants. `--file GLOB` replaces the default files: crates/core/src/pool/**,
           crates/core/src/retry/**, exchange/** and forward.rs

Examples: cargo xtask mutants
          cargo xtask mutants -- --list
          cargo xtask mutants -- --file crates/core/src/retry/budget.rs --jobs 1
          cargo xtask mutants -- --shard 0/8

A full run takes about half an hour on two cores. `--shard K/N` runs a part of it. Logs are in target/mutants/mutants.out.
cargo-mutants is compiled once per machine into the cache, as `cargo xtask setup --help` describes.";
