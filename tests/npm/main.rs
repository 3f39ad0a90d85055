//! The npm packages: the launcher of the program, and a folder with the built Worker on wrangler.
//!
//! `cargo xtask test conformance` creates the packages first, with the last build of the Worker.
//! Nothing is installed from a registry: `cargo xtask test journey` does that.

mod deployment;
mod folder;
mod launcher;
