//! Results: on standard output, or in a new file.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use tunnel_balancer_config::{Errors, SourceFile};
use tunnel_balancer_core::escape_invisible;

use crate::input::is_stdio;

/// Prints a result. A reader that closes its end early, such as `head`, is not an error.
pub(crate) fn print(text: &str) -> ExitCode {
    exit_code(write_to(stdout().lock(), text))
}

/// Prints a part of a result without end. Returns whether something reads it.
pub(crate) fn has_reader(text: &str) -> bool {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Prints a result that may contain strings of clients, servers or other files. Characters that a
/// terminal hides or obeys are escaped.
pub(crate) fn print_escaped(text: &str) -> ExitCode {
    print(&escaped(text))
}

/// Escapes the characters of a result that a terminal hides or obeys, apart from line breaks.
pub(crate) fn escaped(text: &str) -> String {
    text.split('\n').map(|line| escape_invisible(line.to_owned())).collect::<Vec<_>>().join("\n")
}

/// Prints a result, with colors on a terminal.
pub(crate) fn print_styled(text: &str) -> ExitCode {
    exit_code(write_to(anstream::stdout().lock(), text))
}

/// Prints a report with errors on standard error, with colors on a terminal.
pub(crate) fn print_errors(text: &str) {
    // Without standard error, the exit code shows them.
    let _ = write_to(anstream::stderr().lock(), text);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_line_breaks_are_not_escaped() {
        assert_eq!(escaped("a\u{202e}b\nc\u{2028}\u{1b}[31m\u{e9}\n"), "a\\u202eb\nc\\u2028\\u001b[31m\u{e9}\n");
    }
}
