//! The confirmation of a deployment.

use std::io::{BufRead, Write};

/// Asks a question. Only `y` and `yes` confirm.
pub(super) fn confirm(question: &str, input: &mut impl BufRead, output: &mut impl Write) -> bool {
    // Without a prompt, the input still counts.
    let _ = write!(output, "{question} [y/N] ").and_then(|()| output.flush());
    let mut line = String::new();
    let is_read = input.read_line(&mut line).is_ok();
    is_read && ["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_confirms() {
        for (typed, expected) in [("y\n", true), ("Yes\r\n", true), ("\n", false), ("no\n", false), ("", false)] {
            let mut shown = Vec::new();
            assert_eq!(confirm("Deploy?", &mut typed.as_bytes(), &mut shown), expected, "{typed:?}");
            assert_eq!(shown, b"Deploy? [y/N] ");
        }
    }
}
