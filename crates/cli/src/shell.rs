//! Commands that are printed, to be copied into a shell.

/// Returns an argument of a command. It is in quotes if the shell would change it.
pub(crate) fn quoted(argument: &str) -> String {
    // A path that begins like an option is one of the present directory.
    let argument = if argument.starts_with('-') { format!("./{argument}") } else { argument.to_owned() };
    let is_plain = |c: char| c.is_alphanumeric() || "_-./,:@%+".contains(c) || (cfg!(windows) && c == '\\');
    match argument.chars().all(is_plain) && !argument.is_empty() {
        true => argument,
        // The quotes of both shells of Windows. Paths cannot contain them.
        false if cfg!(windows) => format!("\"{argument}\""),
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_the_path() {
        assert_eq!(quoted("my-balancer/b\u{fc}cher_1.2"), "my-balancer/b\u{fc}cher_1.2");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        let names = ["a b", "$HOME", "`id`", "a\\b", "it's \"q\"", "~", "!x", "#x", "*", "a;b", "", "a\nb"];
        for name in names {
            let script = format!("printf %s {}", quoted(name));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), name, "{script}");
        }
        assert_eq!(quoted("-x"), "./-x");
        assert_eq!(quoted("-x y"), "'./-x y'");
    }
}
