//! Building the Worker: worker-build, told to use our tools only. It would download what it misses,
//! in versions of its own choice, and a build must not depend on that.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::cli::BuildOptions;
use crate::failure::Failure;
use crate::process::{announce, run};
use crate::setup;
use crate::workspace::Workspace;

/// Cloudflare takes 3 MB on the free plan. We stop far below: size is start-up time, and growth
/// should be noticed.
const LIMIT: usize = 400 * 1024;

/// The release build but for one crate, so that what recovers is what is deployed and little is
/// compiled anew. The feature refuses to be built without debug assertions.
const PANIC_ON_DEMAND: &[&str] =
    &["--features=panic-on-demand", "--config=profile.release.package.tunnel-balancer-worker.debug-assertions=true"];

/// Builds the Worker and checks its size.
pub(crate) fn build(workspace: &Workspace, options: &BuildOptions) -> Result<(), Failure> {
    let services = services(workspace, options)?;
    let tools = setup::setup(workspace)?;
    announce(&format!("building the Worker with {} (some minutes the first time)", services.display()));

    let output = if options.panic_on_demand { workspace.panicking_worker_output() } else { workspace.worker_output() };
    let mut worker_build = Command::new(&tools.worker_build);
    worker_build
        .current_dir(workspace.worker())
        .arg(if options.debug { "--dev" } else { "--release" })
        .arg("--out-dir")
        .arg(&output)
        // The package; what follows it is for cargo.
        .arg(".")
        .args(if options.panic_on_demand { PANIC_ON_DEMAND } else { &[] })
        // Its own backtrace would bury the compiler's message.
        .env("RUST_BACKTRACE", "0")
        .env("SERVICES_FILE", &services)
        .env("WASM_BINDGEN_BIN", &tools.wasm_bindgen)
        .env("WASM_OPT_BIN", workspace.npm_program("wasm-opt"))
        .env("ESBUILD_BIN", workspace.npm_program("esbuild"))
        .env("CARGO_TARGET_DIR", workspace.wasm_target())
        // The workspace's release profile is for the native proxy's speed; a Worker's time goes
        // into its download.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        // Stripping here would take the `target_features` section away that wasm-bindgen reads;
        // wasm-opt strips later.
        .env("CARGO_PROFILE_RELEASE_STRIP", "none");
    tools.toolchain.apply(&mut worker_build);
    run(&mut worker_build)?;

    check_size(&output, options)
}

/// The configuration to compile in, as an absolute path: cargo runs the build script in a directory
/// of its own.
fn services(workspace: &Workspace, options: &BuildOptions) -> Result<PathBuf, Failure> {
    let named = options.services.clone().or_else(|| {
        let variable = std::env::var_os("SERVICES_FILE")?;
        (!variable.is_empty()).then(|| PathBuf::from(variable))
    });
    let path = match named {
        Some(path) => std::path::absolute(&path).map_err(|error| Failure::io("cannot use", &path, &error))?,
        None => workspace.root().join("services.yaml"),
    };
    if path.is_file() {
        Ok(path)
    } else {
        Err(Failure::new(format!("there is no {}", path.display()))
            .hint("copy one of examples/*.yaml to services.yaml, or name a file by --services FILE"))
    }
}

fn check_size(output: &Path, options: &BuildOptions) -> Result<(), Failure> {
    let mut total = Size::default();
    for name in ["index_bg.wasm", "index.js"] {
        let path = output.join(name);
        let bytes =
            fs::read(&path).map_err(|error| Failure::io("the build succeeded, but cannot read", &path, &error))?;
        total.raw += bytes.len();
        total.gzip += gzipped(&bytes)?;
    }
    println!(
        "xtask: {}: {} KB, {} KB gzipped (limit {} KB)",
        output.display(),
        kilobytes(total.raw),
        kilobytes(total.gzip),
        kilobytes(LIMIT)
    );
    if total.gzip > LIMIT && !options.debug {
        return Err(Failure::new(format!(
            "the Worker is too large: {} KB gzipped, and the limit is {} KB",
            kilobytes(total.gzip),
            kilobytes(LIMIT)
        ))
        .hint(
            "`npx wasm-dis crates/worker/build/index_bg.wasm` or `cargo tree -p tunnel-balancer-worker` show what grew",
        ));
    }
    Ok(())
}

#[derive(Default)]
struct Size {
    raw: usize,
    gzip: usize,
}

fn gzipped(bytes: &[u8]) -> Result<usize, Failure> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .map(|compressed| compressed.len())
        .map_err(|error| Failure::new(format!("cannot compress the Worker: {error}")))
}

fn kilobytes(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_sizes_are_plausible() {
        let size = gzipped(&[7; 100_000]).unwrap();
        assert!((20..1000).contains(&size), "{size}");
    }

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!(kilobytes(0), 0);
        assert_eq!(kilobytes(1024), 1);
        assert_eq!(kilobytes(1025), 2);
    }
}
