//! The target of the Worker, and how to see whether a compiler can build for it.

use std::path::Path;
use std::process::Command;

use crate::process::capture;

/// The target of the Worker.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// Whether a compiler has the standard library for [`WASM`]. Asks rustc rather than rustup: that is
/// quicker, and right for compilers from elsewhere too.
pub(crate) fn target_is_installed(rustc: &Path) -> bool {
    let printed = capture(Command::new(rustc).args(["--print", "target-libdir", "--target", WASM]));
    printed.is_ok_and(|directory| has_core(Path::new(&directory)))
}

fn has_core(directory: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(directory) else {
        return false;
    };
    files.flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    })
}
