//! The core decides and does nothing else: no clock, no random numbers, no JavaScript. On wasm that
//! can be proved, since whatever a module does to the world it does through an import.
//!
//! The proof compiles the core as a module of its own and keeps every function in, called or not.
//! So it covers the whole crate, and needs no list of what to call. (Generic functions are compiled
//! where they are used, so not here; and a clock of std is no import, it panics: clippy's
//! `disallowed-methods` look after that.)

use std::process::Command;

use crate::cache::Cache;
use crate::failure::Failure;
use crate::process::{announce, run};
use crate::target::WASM;
use crate::toolchain::WasmToolchain;
use crate::wasm;
use crate::workspace::Workspace;

/// Fails if the core's wasm imports anything.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let toolchain = WasmToolchain::provide(&Cache::from_env()?)?;
    let target = workspace.root().join("target/pure");
    let mut cargo = Command::new(toolchain.cargo());
    cargo
        .current_dir(workspace.root())
        .args(["rustc", "-p", "tunnel-balancer-core", "--lib", "--all-features"])
        .args(["--target", WASM, "--crate-type", "cdylib"])
        // The first makes the compiler keep what nobody calls, the second the linker.
        .args(["--", "-Clink-dead-code", "-Clink-arg=--no-gc-sections"])
        .env("CARGO_TARGET_DIR", &target);
    toolchain.apply(&mut cargo);
    run(&mut cargo)?;

    let path = target.join(WASM).join("debug/tunnel_balancer_core.wasm");
    let module = std::fs::read(&path).map_err(|error| Failure::io("cannot read", &path, &error))?;
    let summary =
        wasm::summary(&module).ok_or_else(|| Failure::new(format!("{} is no wasm module", path.display())))?;
    if !summary.imports.is_empty() {
        // One careless dependency brings a hundred: the first few tell whose they are.
        let shown = summary.imports.get(..10).unwrap_or(&summary.imports);
        return Err(Failure::new(format!(
            "the core is not pure; compiled to wasm it has {} imports:\n  {}",
            summary.imports.len(),
            shown.join("\n  ")
        ))
        .hint("a dependency of crates/core reaches for the platform: `cargo tree -p tunnel-balancer-core`"));
    }
    if summary.functions == 0 {
        return Err(Failure::new("the core's wasm has no functions, so the check proves nothing"));
    }
    announce(&format!("{} functions, no imports", summary.functions));
    Ok(())
}
