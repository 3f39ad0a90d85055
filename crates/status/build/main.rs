//! Makes the page from its sources: one HTML document with its styles and its script, and the value
//! of `Content-Security-Policy` that a browser enforces for it. Only this script and these styles
//! are used, and requests go only to the origin of the page.

mod compact;
mod digest;

use std::fs;
use std::io::{ErrorKind, Result};
use std::path::Path;

use compact::compact;
use digest::digest;

/// The directory of the sources.
const SOURCES: &str = "src/page";

/// The parts of the script, in order.
const SCRIPT: [&str; 9] = [
    "js/dom.js",
    "js/format.js",
    "js/charts.js",
    "js/facts.js",
    "js/full.js",
    "js/details.js",
    "js/control.js",
    "js/public.js",
    "js/main.js",
];

fn main() -> Result<()> {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed={SOURCES}");
    // The last declaration of a rule needs no semicolon.
    let styles = compact(&read("page.css")?, compact::STYLES).replace(";}", "}");
    let script = compact(&SCRIPT.map(read).into_iter().collect::<Result<String>>()?, compact::SCRIPT);
    let document = read("page.html")?
        .replace("<style></style>", &["<style>", &styles, "</style>"].concat())
        .replace("<script></script>", &["<script>", &script, "</script>"].concat());
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(&script),
        digest(&styles)
    );
    write("page.html", &document)?;
    write("page.policy", &policy)
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(Path::new(SOURCES).join(name))
}

fn write(name: &str, text: &str) -> Result<()> {
    let directory = std::env::var_os("OUT_DIR").ok_or(ErrorKind::NotFound)?;
    fs::write(Path::new(&directory).join(name), text)
}
