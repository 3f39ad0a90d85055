//! The help of each command: what it does, its defaults, and an example.

use crate::step::Step;

/// The subject of a help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Overview,
    Setup,
    Build,
    Npm,
    Dev,
    Test,
    Release,
    Version,
    Bless,
    Bench,
    Mutants,
    /// The output of `test --list`.
    Steps,
}

impl Topic {
    /// The commands with their help.
    pub(crate) const COMMANDS: [(&str, Self, &str); 10] = [
        ("setup", Self::Setup, SETUP),
        ("build", Self::Build, BUILD),
        ("npm", Self::Npm, NPM),
        ("dev", Self::Dev, DEV),
        ("test", Self::Test, TEST),
        ("release", Self::Release, RELEASE),
        ("version", Self::Version, VERSION),
        ("bless", Self::Bless, BLESS),
        ("bench", Self::Bench, BENCH),
        ("mutants", Self::Mutants, MUTANTS),
    ];
}

/// Returns the help text of a topic.
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
  npm      build the Worker and the command line, and pack them as npm packages
  dev      build the Worker and run it locally with three demo servers
  test     run everything that CI runs, or single steps of it
  release  build the archives of a release, or the root file system of the container image
  version  set the version, date the changelog, commit and tag
  bless    accept the output of the current code in all snapshots
  bench    measure the balancer beside its peers
  mutants  measure how many faults in the engine the tests detect

`cargo xtask <command> --help` describes a command.
Deploying needs none of these: `npx wrangler deploy` runs `cargo xtask build` itself.";

const SETUP: &str = "\
Installs the tools that build the Worker. Changes nothing where they exist.

Usage: cargo xtask setup

  * the standard library for wasm32-unknown-unknown: through rustup. Where rustup's servers cannot be reached,
    tools/debian-wasm-toolchain.sh builds a toolchain from Debian's packages into the cache
  * wasm-bindgen, in the locked version: compiled once per machine into the cache (some minutes)
  * wrangler, workerd, esbuild and wasm-opt: through `npm ci` into node_modules

Environment:
  TUNNEL_BALANCER_CACHE   the cache; default: $XDG_CACHE_HOME/tunnel-balancer or ~/.cache/tunnel-balancer";

const BUILD: &str = "\
Builds the Worker: crates/worker/build/index.js and index_bg.wasm. Prints its size, and fails above 400 KB gzipped. The
limit of Cloudflare's free plan is 3 MB; a small Worker starts quickly. index_bg.symbols has the names of its functions,
for stack traces: `wasm-function[12]` is the line `12:`.

Usage: cargo xtask build [--debug] [--panic-on-demand]

  --debug             a quick, large build with readable stack traces; its size is not checked
  --panic-on-demand   a build for tests, in which a request can cause a panic, in target/worker-panic-on-demand

The build does not contain services.yaml, which wrangler adds as a text module. But it checks this file first, and
fails if it is invalid.";

const NPM: &str = "\
Builds the Worker and the command line for this machine, and packs them as npm packages: tunnel-balancer,
create-tunnel-balancer and tunnel-balancer-OS-CPU. The version is that of the workspace.

Usage: cargo xtask npm [--out DIR] [--program TARGET=FILE]... [--folders]

  --out DIR               the directory of the tarballs; default: target/npm
  --program TARGET=FILE   pack this program, which was built for a target of Rust, instead of building one
  --folders               only the folders, in target/npm-packages/node_modules, with the last build of the Worker and
                          of `cargo build -p tunnel-balancer`: for the tests

Example: cargo xtask npm --out dist";

const DEV: &str = "\
Builds the Worker, starts three demo servers and the Worker on a local workerd, and prints commands to try. Ctrl-C ends
all of them.

Usage: cargo xtask dev [--port N]

  --port N   the port of the Worker; default: a free one, which is printed";

const TEST: &str = "\
Runs what CI runs. The first step that fails ends the run with exit code 1.

Usage: cargo xtask test [STEP...] [-- FILTER...]
       cargo xtask test --list

  FILTER   selects tests of `unit` and `conformance` as in `cargo test`, files of `words` by a part of their path,
           cases of `status-page` by their name, and rows of `apps` by application, host and fault

Examples: cargo xtask test fmt clippy unit
          cargo xtask test conformance -- worker::affinity
          cargo xtask test words -- crates/core
          cargo xtask test apps -- git worker frozen
          cargo xtask test status-page -- --images docs/images      makes the pictures of the documentation

Steps that are opt-in run only when they are named. `status-page` and `browser` need
Chromium and take two minutes and one. TUNNEL_BALANCER_CHROMIUM names another browser. `browser` and `apps` need Python
3.11, and install applications into the cache. `apps` takes ten minutes or more. Logs are in target/status-page,
target/browser and target/apps. `site` writes target/site/book/index.html. `static` and `journey` need
root on Linux. `journey` also needs debootstrap and the network: it installs packages from the npm registry in a chroot
with Node alone, and prints how long a user waits. `platforms` installs two targets of rustup.";

const RELEASE: &str = "\
Builds what a release has, into target/release-archives: an archive for each target, with the program, completions,
manual pages, examples and a systemd unit, and SHA256SUMS. Two builds of a commit on one machine have the same bytes.

Usage: cargo xtask release [--target TARGET]... [--rootfs DIRECTORY]

  --target TARGET      a target of the compiler; default: that of this machine, on Linux with musl if it is installed
                       (`rustup target add x86_64-unknown-linux-musl`)
  --rootfs DIRECTORY   replace DIRECTORY by the root file system of the container image, and build no archives

Programs of Linux are static: they need no library of the machine. A C compiler is needed for the cryptography: for
another architecture `aarch64-linux-gnu-gcc` (on Debian: gcc-aarch64-linux-gnu), which also links. The variables
CC_TARGET and CARGO_TARGET_TARGET_LINKER name others.";

const VERSION: &str = "\
Makes the commit of a release: sets the version of all packages, moves the changes below `Unreleased` in CHANGELOG.md
under the version and the date, commits and tags. A checkout with changes is refused. Pushing the tag starts the
workflow of the release.

Usage: cargo xtask version X.Y.Z [--dry-run]

  --dry-run   print the changes, and make none";

const BLESS: &str = "\
Rewrites all snapshots with the output of the current code: the fixtures of config and the command line, the schema, the
reference of settings, the picture of a simulation, and the traces of scenarios and fleets. Read the diff afterwards.

Usage: cargo xtask bless

Outputs in README.md and docs/ are rewritten, too, except those with a line `...`.";

const BENCH: &str = "\
Measures the balancer beside its peers, and compares the results with the goals of crates/bench/goals.json. Prints
medians, ranges and ratios, and writes target/bench/report.html and report.json. Fails if a result is beyond its limit.

Usage: cargo xtask bench [PART...] [--smoke] [--rounds N] [--minutes N] [--beside DIR] [--output DIR]

  worker      the Worker on workerd, beside a failover script and a minimal proxy in JavaScript
  sharing     the Worker with each mode of shared health, on miniflare
  cold-start  the first requests of a cold isolate, with 1 and with 1,000 services
  size        the size of the Worker, by section and by crate
  native      `serve` beside a minimal proxy on hyper, Pingora, nginx, HAProxy and Caddy
  failover    lost requests and latencies of all of them while one of two servers fails
  selection   a selection, in ns and allocations, beside pingora, tower and crates for consistent hashing
  services    `serve` with 1 to 6,000 services
  reload      the latency while 1,000 services are reloaded
  long        memory and descriptors during an hour of faults and reloads; runs only when it is named

  --smoke        a short run of all parts that only checks the harness, with debug builds
  --rounds N     rounds of each row; default: 9
  --minutes N    the duration of `long`; default: 60
  --beside DIR   another checkout, whose build of the Worker is measured beside the current one
  --output DIR   where the reports are written

Example: cargo xtask bench worker --rounds 5 --beside ../before

All subjects of a row run in turns, so that other programs on the machine disturb them alike. Peers that are not
installed are skipped: on Debian, install nginx-light, haproxy, caddy, nghttp2-client (for HTTP/2) and cmake (for
pingora). The first run compiles pingora, which takes six minutes. crates/bench-peers is a workspace of its own.";

const MUTANTS: &str = "\
Measures how many faults in the engine the tests detect. cargo-mutants makes small changes to the source, one at a time,
and runs the tests of core, the unit tests of sim, the scenarios and the properties on each. Prints the share that fails
a test.

Usage: cargo xtask mutants [-- OPTION...]

  OPTION   an option of cargo-mutants. `--file GLOB` replaces the default files: crates/core/src/pool/**,
           crates/core/src/retry/**, exchange/** and forward.rs

Example: cargo xtask mutants -- --file crates/core/src/retry/budget.rs --jobs 1

A full run takes about half an hour on two cores. Logs are in target/mutants/mutants.out.";
