//! Everything a Worker build needs, found or installed. Each part knows how to tell that it is
//! there, so that a second run changes nothing and takes a fraction of a second.

use std::fmt;
use std::path::PathBuf;

use crate::cache::Cache;
use crate::cargo_lock;
use crate::failure::Failure;
use crate::npm;
use crate::toolchain::WasmToolchain;
use crate::tools::Tool;
use crate::workspace::Workspace;

/// The tools of a Worker build.
#[derive(Debug)]
pub(crate) struct Tools {
    /// The compiler.
    pub(crate) toolchain: WasmToolchain,
    /// `worker-build`.
    pub(crate) worker_build: PathBuf,
    /// `wasm-bindgen`, in the locked version.
    pub(crate) wasm_bindgen: PathBuf,
    node: String,
}

/// Finds or installs the tools. Quick failures come first: nobody likes to wait for minutes to hear
/// that Node is too old.
pub(crate) fn setup(workspace: &Workspace) -> Result<Tools, Failure> {
    let cache = Cache::from_env()?;
    let node = npm::provide(workspace, &cache)?;
    let toolchain = WasmToolchain::provide(&cache)?;
    let worker_build = Tool::WORKER_BUILD.provide(&cache)?;
    let lock = workspace.read("Cargo.lock")?;
    let bindgen_version = cargo_lock::version(&lock, "wasm-bindgen")?;
    let wasm_bindgen = Tool::wasm_bindgen(bindgen_version).provide(&cache)?;
    Ok(Tools { toolchain, worker_build, wasm_bindgen, node })
}

impl fmt::Display for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "This machine can build the Worker:")?;
        writeln!(f, "  Rust for wasm  {}", self.toolchain)?;
        writeln!(f, "  worker-build   {}", self.worker_build.display())?;
        writeln!(f, "  wasm-bindgen   {}", self.wasm_bindgen.display())?;
        write!(f, "  npm packages   as in package-lock.json, for Node {}", self.node)
    }
}
