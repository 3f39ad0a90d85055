//! A fleet of 6,000 isolates in 300 data centers, in each mode of `health_sharing`, while a server
//! fails. Writes the results into docs/scale.md and pictures beside it.
//!
//! ```text
//! cargo run --release -p tunnel-balancer-sim --example scale              # about five minutes on two cores
//! cargo run --release -p tunnel-balancer-sim --example scale -- --check   # compares, and writes nothing
//! ```

mod case;
mod chart;
mod report;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use case::{Case, Figures};

const PAGE: &str = "docs/scale.md";

/// What encloses the results in the page.
const BEGIN: &str = "<!-- Results: written by `cargo run --release -p tunnel-balancer-sim --example scale` -->\n";
const END: &str = "<!-- End of the results -->\n";

fn main() -> ExitCode {
    let is_check = std::env::args().any(|argument| argument == "--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match write(&root, is_check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all cases, and writes or compares the files.
fn write(root: &Path, is_check: bool) -> Result<(), String> {
    let page = read(&root.join(PAGE))?;
    let (before, rest) = page.split_once(BEGIN).ok_or_else(|| format!("{PAGE} has no line {BEGIN:?}"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| format!("{PAGE} has no line {END:?}"))?;
    let figures = run_all(&Case::all());
    let page = format!("{before}{BEGIN}\n{}\n{END}{after}", report::tables(&figures));
    let pictures = report::pictures(&figures).into_iter().map(|(name, svg)| (format!("docs/images/{name}"), svg));
    for (name, text) in pictures.chain([(PAGE.to_owned(), page)]) {
        let path = root.join(&name);
        if !is_check {
            fs::write(&path, text).map_err(|error| format!("cannot write {name}: {error}"))?;
        } else if read(&path)? != text {
            return Err(format!("{name} differs: run this program without --check"));
        }
    }
    Ok(())
}

/// Runs the cases on all cores, the longest first.
fn run_all(cases: &[Case]) -> Vec<Figures> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(vec![None; cases.len()]));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let figures = case.run();
                    eprintln!("{case}: {:.0} s", start.elapsed().as_secs_f64());
                    let mut results = results.lock().expect("no case panics while locked");
                    let place = cases.iter().position(|other| other == case).expect("a case of the list");
                    results[place] = Some(figures);
                }
            });
        }
    });
    results.into_inner().expect("no case panics while locked").into_iter().flatten().collect()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
