//! Where things are, whatever the current directory is: wrangler and editors call us from anywhere.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The checkout this program belongs to.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the checkout. `cargo run` names our package's directory in the environment, which is
    /// right even after the checkout was moved; the directory compiled in serves when the program
    /// is started by hand.
    pub(crate) fn locate() -> Result<Self, Failure> {
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .filter(|directory| directory.ends_with("crates/xtask"))
            .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let root = package.ancestors().nth(2).filter(|root| root.join("Cargo.toml").is_file());
        match root {
            Some(root) => Ok(Self { root: root.to_owned() }),
            None => Err(Failure::new(format!("there is no repository around {}", package.display()))
                .hint("start this program by `cargo xtask` inside the repository")),
        }
    }

    /// The root of the repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The Worker's package.
    pub(crate) fn worker(&self) -> PathBuf {
        self.root.join("crates/worker")
    }

    /// The Worker as built: `index.js` and `index_bg.wasm`.
    pub(crate) fn worker_output(&self) -> PathBuf {
        self.worker().join("build")
    }

    /// The Worker that panics on demand, out of the way of the one that is deployed.
    pub(crate) fn panicking_worker_output(&self) -> PathBuf {
        self.root.join("target/worker-panic-on-demand")
    }

    /// A program that npm installed.
    pub(crate) fn npm_program(&self, name: &str) -> PathBuf {
        let name = if cfg!(windows) { format!("{name}.cmd") } else { name.to_owned() };
        self.root.join("node_modules/.bin").join(name)
    }

    /// Cargo's directory for wasm builds: of its own, because another compiler may be used for
    /// them, and sharing a directory would rebuild everything at each change between the two.
    pub(crate) fn wasm_target(&self) -> PathBuf {
        self.root.join("target/wasm")
    }

    /// The text of a file at the root.
    pub(crate) fn read(&self, name: &str) -> Result<String, Failure> {
        let path = self.root.join(name);
        std::fs::read_to_string(&path).map_err(|error| {
            Failure::io("cannot read", &path, &error)
                .hint(format!("{name} belongs to the repository: `git checkout {name}`"))
        })
    }
}
