//! Everything that a build of the Worker needs, found or installed. Each part detects what exists,
//! so a second run changes nothing and takes a fraction of a second.

use std::fmt;
use std::path::PathBuf;

use crate::cache::Cache;
use crate::failure::Failure;
use crate::npm;
use crate::process::capture;
use crate::toolchain::WasmToolchain;
use crate::tools::Tool;
use crate::workspace::Workspace;

/// The tools of a Worker build.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) toolchain: WasmToolchain,
    /// `wasm-bindgen`, in the locked version.
    pub(crate) wasm_bindgen: PathBuf,
    node: String,
}

/// Finds or installs the tools. The parts that fail quickly come first.
pub(crate) fn setup(workspace: &Workspace) -> Result<Tools, Failure> {
    let cache = Cache::from_env()?;
    let node = npm::provide(workspace, &cache)?;
    let toolchain = WasmToolchain::provide(&cache)?;
    let wasm_bindgen = Tool::wasm_bindgen(&wasm_bindgen_version(workspace)?).provide(&cache)?;
    Ok(Tools { toolchain, wasm_bindgen, node })
}

/// Returns the version in Cargo.lock. Another version of the program cannot read the Worker's wasm.
fn wasm_bindgen_version(workspace: &Workspace) -> Result<String, Failure> {
    let id = capture(&mut workspace.cargo(&["pkgid", "wasm-bindgen"]))?;
    id.rsplit_once('@')
        .map(|(_, version)| version.to_owned())
        .ok_or_else(|| Failure::new(format!("`cargo pkgid wasm-bindgen` printed no version: {id}")))
}

impl fmt::Display for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The Worker can be built:")?;
        writeln!(f, "  Rust for wasm  {}", self.toolchain)?;
        writeln!(f, "  wasm-bindgen   {}", self.wasm_bindgen.display())?;
        write!(f, "  npm packages   as in package-lock.json, for Node {}", self.node)
    }
}
