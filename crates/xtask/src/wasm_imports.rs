//! The core decides and does nothing else: no clock, no random numbers, no JavaScript. A wasm
//! module reaches its environment through imports only, so the core must not have any.
//!
//! The core is compiled as a module of its own, with every function, called or not. Generic
//! functions are not covered, because they are compiled where they are used. Neither is a clock of
//! std, which panics on wasm: clippy's `disallowed-methods` rejects it.

use std::process::Command;

use crate::cache::Cache;
use crate::failure::Failure;
use crate::process::{announce, capture, run};
use crate::toolchain::{WASM_TARGET, WasmToolchain};
use crate::workspace::Workspace;

/// Prints the imports of a module, one a line.
const LIST_IMPORTS: &str = "\
const module = new WebAssembly.Module(fs.readFileSync(process.argv[1]));
WebAssembly.Module.imports(module).forEach(({ module, name }) => console.log(`${module}.${name}`));";
/// The core's module has several hundred kilobytes. One below this size lacks its functions.
const MIN_SIZE: u64 = 100 * 1024;

/// Fails if the core's wasm imports anything.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let toolchain = WasmToolchain::provide(&Cache::from_env()?)?;
    let target = workspace.root().join("target/wasm-imports");
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(workspace.root())
        .args(["rustc", "-p", "tunnel-balancer-core", "--lib", "--all-features"])
        .args(["--target", WASM_TARGET, "--crate-type", "cdylib"])
        // Without these, the compiler and the linker remove uncalled functions.
        .args(["--", "-Clink-dead-code", "-Clink-arg=--no-gc-sections"])
        .env("CARGO_TARGET_DIR", &target);
    run(&mut cargo)?;

    let module = target.join(WASM_TARGET).join("debug/tunnel_balancer_core.wasm");
    let size = std::fs::metadata(&module).map_err(|error| Failure::io("cannot read", &module, &error))?.len();
    if size < MIN_SIZE {
        return Err(Failure::new(format!("{} has only {size} bytes: functions are missing", module.display())));
    }
    let imports = capture(Command::new("node").args(["-e", LIST_IMPORTS]).arg(&module))?;
    if imports.is_empty() {
        announce(&format!("{} KB of wasm, no imports", size / 1024));
        return Ok(());
    }
    // One dependency can bring a hundred imports.
    let first = imports.lines().take(10).collect::<Vec<_>>().join("\n  ");
    Err(Failure::new(format!("the core, compiled to wasm, has {} imports:\n  {first}", imports.lines().count()))
        .hint("find the dependency of crates/core that uses the platform: `cargo tree -p tunnel-balancer-core`"))
}
