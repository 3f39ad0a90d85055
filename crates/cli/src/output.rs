//! Results: to stdout, or into a file that is not there yet.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write, stdout};
use std::path::Path;
use std::process::ExitCode;

/// Prints a result. A reader that has seen enough, such as `head`, is no failure.
pub(crate) fn print(text: &str) -> ExitCode {
    print_to(stdout().lock(), text)
}

/// The same with colours, on a terminal.
pub(crate) fn print_styled(text: &str) -> ExitCode {
    print_to(anstream::stdout().lock(), text)
}

/// Writes a new file; one that is there is replaced only with `force`.
pub(crate) fn write(path: &Path, text: &str, force: bool) -> Result<(), String> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!("{} is there already", path.display()),
        _ => format!("cannot write {}: {error}", path.display()),
    })
}

fn print_to(mut out: impl Write, text: &str) -> ExitCode {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: cannot print: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
