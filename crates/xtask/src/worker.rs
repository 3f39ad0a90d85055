//! Building the Worker with worker-build and the tools of `setup`. Without them, worker-build would
//! download tools in versions of its own choice.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use tunnel_balancer_config::{Platform, SourceFile, parse_for};

use crate::cli::BuildOptions;
use crate::failure::Failure;
use crate::process::{announce, run};
use crate::setup;
use crate::workspace::Workspace;

/// The size limit in gzipped bytes, far below the 3 MB of Cloudflare's free plan: a small Worker
/// starts quickly.
const LIMIT: usize = 430 * 1024;

/// The release build but for one crate, so that the tested code is the deployed code. The feature
/// does not compile without debug assertions.
const PANIC_ON_DEMAND: &[&str] =
    &["--features=panic-on-demand", "--config=profile.release.package.tunnel-balancer-worker.debug-assertions=true"];

/// Builds the Worker and checks its size.
pub(crate) fn build(workspace: &Workspace, options: &BuildOptions) -> Result<(), Failure> {
    let services = services(workspace, options)?;
    check_services(&services)?;
    let tools = setup::setup(workspace)?;
    announce(&format!("building the Worker with {} (some minutes the first time)", services.display()));

    let output = if options.panic_on_demand { "target/worker-panic-on-demand" } else { "crates/worker/build" };
    let output = workspace.root().join(output);
    let mut worker_build = Command::new(&tools.worker_build);
    worker_build
        .current_dir(workspace.root().join("crates/worker"))
        .arg(if options.debug { "--dev" } else { "--release" })
        .arg("--out-dir")
        .arg(&output)
        // The package. Arguments after it are for cargo.
        .arg(".")
        .args(if options.panic_on_demand { PANIC_ON_DEMAND } else { &[] })
        // A backtrace would hide the compiler's message.
        .env("RUST_BACKTRACE", "0")
        .env("SERVICES_FILE", &services)
        .env("WASM_BINDGEN_BIN", &tools.wasm_bindgen)
        .env("WASM_OPT_BIN", workspace.npm_program("wasm-opt"))
        .env("ESBUILD_BIN", workspace.npm_program("esbuild"))
        // A directory for wasm alone: the compiler may be another one, and each change of the
        // compiler rebuilds everything.
        .env("CARGO_TARGET_DIR", workspace.root().join("target/wasm"))
        // The release profile of the workspace is for speed. For a Worker, size counts more.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        // wasm-bindgen reads the `target_features` section, so wasm-opt strips later.
        .env("CARGO_PROFILE_RELEASE_STRIP", "none");
    tools.toolchain.apply(&mut worker_build);
    run(&mut worker_build)?;

    check_size(&output, options)
}

/// The absolute path of the configuration to compile in: cargo runs the build script in another
/// directory.
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
        Err(Failure::new(format!("{} is not a file", path.display()))
            .hint("copy one of examples/*.yaml to services.yaml, or name a file with --services"))
    }
}

/// Checks the configuration before the build, whose output would bury its errors.
fn check_services(path: &Path) -> Result<(), Failure> {
    let yaml = fs::read_to_string(path).map_err(|error| Failure::io("cannot read", path, &error))?;
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let name = path.display().to_string();
    parse_for(&yaml, Platform::Worker)
        .map(drop)
        .map_err(|errors| Failure::rendered(SourceFile::new(&name, &yaml, color).render_errors(&errors)))
}

fn check_size(output: &Path, options: &BuildOptions) -> Result<(), Failure> {
    let (mut raw, mut gzip) = (0, 0);
    for name in ["index_bg.wasm", "index.js"] {
        let path = output.join(name);
        let bytes = fs::read(&path).map_err(|error| Failure::io("cannot read", &path, &error))?;
        raw += bytes.len();
        gzip += gzipped(&bytes)?;
    }
    let (raw_kb, gzip_kb, limit_kb) = (kilobytes(raw), kilobytes(gzip), kilobytes(LIMIT));
    announce(&format!("{}: {raw_kb} KB, {gzip_kb} KB gzipped (limit {limit_kb} KB)", output.display()));
    if gzip > LIMIT && !options.debug && !options.panic_on_demand {
        return Err(Failure::new(format!("the Worker has {gzip_kb} KB gzipped, and the limit is {limit_kb} KB")).hint(
            "compare `cargo tree -p tunnel-balancer-worker` and `npx wasm-dis crates/worker/build/index_bg.wasm`",
        ));
    }
    Ok(())
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
    fn an_invalid_configuration_fails_before_the_build_with_its_diagnostics() {
        let path = std::env::temp_dir().join(format!("xtask-services-{}.yaml", std::process::id()));
        fs::write(&path, "services: { a.example.com: a-1.example.com }\n").unwrap();
        check_services(&path).unwrap();
        fs::write(&path, "servcies: { a.example.com: a-1.example.com }\n").unwrap();
        let failure = check_services(&path).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        assert!(failure.starts_with("error[unknown-key]: unknown key `servcies`\n"), "{failure}");
        assert!(failure.ends_with("= help: did you mean `services`?"), "{failure}");
    }

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
