//! The target of a release: what the compiler needs for it.

use std::fmt;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::process::{capture, succeeds};
use crate::toolchain::has_target;

/// A target of the compiler, such as `x86_64-unknown-linux-musl`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target(String);

impl Target {
    /// Returns the named targets, or the one of this machine.
    pub(crate) fn selected(named: &[String]) -> Result<Vec<Self>, Failure> {
        let targets =
            if named.is_empty() { vec![Self::of_machine()?] } else { named.iter().cloned().map(Self).collect() };
        match targets.iter().find(|target| !has_target(Path::new("rustc"), target.triple())) {
            Some(target) => Err(Failure::new(format!("missing Rust target {}", target.triple()))
                .hint(format!("run `rustup target add {}`", target.triple()))),
            None => Ok(targets),
        }
    }

    /// Returns the target of this machine. On Linux that is musl if it is installed, because its
    /// programs run on every distribution.
    pub(crate) fn of_machine() -> Result<Self, Failure> {
        let triple = capture(Command::new("rustc").args(["--print", "host-tuple"]))?;
        let musl = triple.replace("-gnu", "-musl");
        Ok(Self(if has_target(Path::new("rustc"), &musl) { musl } else { triple }))
    }

    pub(crate) fn triple(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_linux(&self) -> bool {
        self.0.contains("-linux-")
    }

    /// Returns the name of a program's file.
    pub(crate) fn file_name(&self, program: &str) -> String {
        if self.0.contains("-windows-") { format!("{program}.exe") } else { program.to_owned() }
    }

    /// Sets the flags of the compiler, and programs for C and for linking that the environment does
    /// not name.
    pub(crate) fn apply(&self, cargo: &mut Command, root: &Path) {
        // Flags with spaces are separated by this character.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.flags(root).join("\x1f"));
        let is_unset = |name: &String| std::env::var_os(name).is_none();
        let variables = self.variables(succeeds(Command::new("musl-gcc").arg("--version")));
        cargo.envs(variables.into_iter().filter(|(name, _)| is_unset(name)));
    }

    /// Checks that a program of Linux needs no library and no loader of the machine.
    pub(crate) fn check_static(&self, program: &Path) -> Result<(), Failure> {
        if !self.is_linux() {
            return Ok(());
        }
        let printed = capture(Command::new("readelf").args(["--program-headers", "--dynamic", "--wide"]).arg(program))
            .map_err(|failure| failure.hint("install the package binutils"))?;
        match printed.lines().find(|line| line.trim_start().starts_with("INTERP") || line.contains("(NEEDED)")) {
            Some(line) => Err(Failure::new(format!("{} is not static: {}", program.display(), line.trim()))),
            None => Ok(()),
        }
    }

    fn flags(&self, root: &Path) -> Vec<String> {
        // The paths of this machine would be a part of the program.
        let home = std::env::var_os("CARGO_HOME").or_else(|| {
            let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"))?;
            Some(Path::new(&home).join(".cargo").into())
        });
        let mut flags = vec![format!("--remap-path-prefix={}=/tunnel-balancer", root.display())];
        flags.extend(home.map(|home| format!("--remap-path-prefix={}=/cargo", Path::new(&home).display())));
        if !self.0.ends_with("-musl") && !self.0.contains("-apple-") {
            flags.push("-Ctarget-feature=+crt-static".to_owned());
        }
        flags
    }

    /// Returns the variables of cargo and of the crate `cc` for Linux.
    fn variables(&self, has_musl_gcc: bool) -> Vec<(String, String)> {
        if !self.is_linux() {
            return Vec::new();
        }
        let (architecture, _) = self.0.split_once('-').unwrap_or((&self.0, ""));
        let lower = self.0.replace('-', "_");
        let cc = |compiler: &str| (format!("CC_{lower}"), compiler.to_owned());
        // The compiler of glibc is sufficient for the C code of the cryptography, which needs no
        // library. Checks that glibc adds to it would need glibc.
        let flags = (format!("CFLAGS_{lower}"), "-U_FORTIFY_SOURCE".to_owned());
        if architecture != std::env::consts::ARCH {
            let compiler = format!("{architecture}-linux-gnu-gcc");
            let linker = (format!("CARGO_TARGET_{}_LINKER", lower.to_uppercase()), compiler.clone());
            vec![cc(&compiler), flags, linker]
        } else if self.0.ends_with("-musl") && !has_musl_gcc {
            vec![cc("cc"), flags]
        } else {
            Vec::new()
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)?;
        let note = if self.0.ends_with("-linux-gnu") {
            ", statically linked with glibc: names are resolved by its own DNS client alone. For musl, run `rustup \
             target add` for the target that ends with -musl"
        } else {
            ""
        };
        f.write_str(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(target: &str, has_musl_gcc: bool) -> Vec<String> {
        let variables = Target(target.to_owned()).variables(has_musl_gcc);
        variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn another_architecture_needs_a_compiler_and_a_linker() {
        let other = if cfg!(target_arch = "aarch64") { "x86_64" } else { "aarch64" };
        let upper = other.to_uppercase();
        let expected = [
            format!("CC_{other}_unknown_linux_musl={other}-linux-gnu-gcc"),
            format!("CFLAGS_{other}_unknown_linux_musl=-U_FORTIFY_SOURCE"),
            format!("CARGO_TARGET_{upper}_UNKNOWN_LINUX_MUSL_LINKER={other}-linux-gnu-gcc"),
        ];
        assert_eq!(names(&format!("{other}-unknown-linux-musl"), true), expected);
    }

    #[test]
    fn musl_needs_no_compiler_of_its_own() {
        let own = std::env::consts::ARCH;
        let target = format!("{own}-unknown-linux-musl");
        assert_eq!(names(&target, true), [""; 0]);
        let expected =
            [format!("CC_{own}_unknown_linux_musl=cc"), format!("CFLAGS_{own}_unknown_linux_musl=-U_FORTIFY_SOURCE")];
        assert_eq!(names(&target, false), expected);
        assert_eq!(names("x86_64-pc-windows-msvc", false), [""; 0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_with_libraries_is_not_static() {
        let target = Target("x86_64-unknown-linux-gnu".to_owned());
        let failure = target.check_static(&std::env::current_exe().unwrap()).unwrap_err().to_string();
        assert!(failure.contains(" is not static: INTERP "), "{failure}");
    }

    #[test]
    fn programs_have_the_suffix_of_their_system() {
        assert_eq!(Target("x86_64-pc-windows-msvc".to_owned()).file_name("a"), "a.exe");
        assert_eq!(Target("aarch64-apple-darwin".to_owned()).file_name("a"), "a");
    }
}
