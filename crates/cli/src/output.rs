//! Results: on standard output, or in a new file.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use tunnel_balancer_config::{Errors, SourceFile};

use crate::input::is_stdio;

/// Prints a result. A reader that closes its end early, such as `head`, is not an error.
pub(crate) fn print(text: &str) -> ExitCode {
    exit_code(write_to(stdout().lock(), text))
}

/// Prints a result, with colors on a terminal.
pub(crate) fn print_styled(text: &str) -> ExitCode {
    exit_code(write_to(anstream::stdout().lock(), text))
}

/// Writes a new file, or replaces one if `force` is set. `-` prints instead.
pub(crate) fn write(path: &Path, text: &str, force: bool) -> Result<(), String> {
    if is_stdio(path) {
        return write_to(stdout().lock(), text).map_err(|error| format!("cannot print: {error}"));
    }
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!("{} already exists", path.display()),
        _ => format!("cannot write {}: {error}", path.display()),
    })
}

/// Renders the errors in a YAML file, with colors if standard error is a terminal.
pub(crate) fn rendered(errors: &Errors, file: &str, content: &str) -> String {
    let color = anstream::AutoStream::choice(&stderr()) != anstream::ColorChoice::Never;
    SourceFile::new(file, content, color).render_errors(errors)
}

fn write_to(mut out: impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn exit_code(printed: io::Result<()>) -> ExitCode {
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot print: {error}");
            ExitCode::FAILURE
        }
    }
}
