//! Runs the benchmark many times and prints one table of the results.
//!
//! Other programs on the machine only make a run slower, often for seconds. So the runs are short,
//! and the smallest median of each line counts. A missed target is printed below the table, but is
//! no failure: the targets are for an idle machine.

mod divan;
mod table;

use std::process::{Command, ExitCode, Stdio};

use divan::Measurements;

const RUNS: usize = 20;

fn main() -> ExitCode {
    println!("measuring {RUNS} times, 3 s each");
    let mut smallest = Measurements::default();
    for _ in 0..RUNS {
        let mut bench = Command::new("cargo");
        bench.current_dir(env!("CARGO_MANIFEST_DIR")).args(["bench", "--quiet", "--bench", "pick"]);
        match bench.stderr(Stdio::inherit()).output() {
            Ok(output) if output.status.success() => {
                smallest.merge(divan::read(&String::from_utf8_lossy(&output.stdout)));
            }
            result => {
                eprintln!("error: `cargo bench` failed: {result:?}");
                return ExitCode::FAILURE;
            }
        }
    }
    match table::table(&smallest) {
        Some(table) => println!("\n{table}"),
        None => {
            eprintln!("error: divan's output has no measurements");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
