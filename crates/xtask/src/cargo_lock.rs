//! Reading versions out of Cargo.lock. The wasm-bindgen program must be exactly the version of the
//! wasm-bindgen library in the Worker, or the two do not understand each other.

use crate::failure::Failure;

/// The locked version of a package; a package locked in several versions is a failure.
pub(crate) fn version<'lock>(lock: &'lock str, package: &str) -> Result<&'lock str, Failure> {
    let mut versions = lock
        .split("[[package]]")
        .filter(|entry| field(entry, "name") == Some(package))
        .filter_map(|entry| field(entry, "version"));
    match (versions.next(), versions.next()) {
        (Some(only), None) => Ok(only),
        (Some(one), Some(other)) => {
            Err(Failure::new(format!("Cargo.lock holds {package} twice, in version {one} and {other}"))
                .hint("find out who asks for the older one: `cargo tree --duplicates`"))
        }
        (None, _) => Err(Failure::new(format!("Cargo.lock does not name {package}"))
            .hint("it is written by cargo: `cargo update --workspace` completes it")),
    }
}

fn field<'entry>(entry: &'entry str, name: &str) -> Option<&'entry str> {
    entry.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(" = ")?;
        value.strip_prefix('"')?.strip_suffix('"')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"version = 4

[[package]]
name = "wasm-bindgen"
version = "0.2.130"
source = "registry"
dependencies = [
 "cfg-if",
]

[[package]]
name = "wasm-bindgen-macro"
version = "0.2.131"

[[package]]
name = "syn"
version = "1.0.0"

[[package]]
name = "syn"
version = "2.0.0"
"#;

    #[test]
    fn finds_the_version_of_exactly_that_package() {
        assert_eq!(version(LOCK, "wasm-bindgen").unwrap(), "0.2.130");
        assert_eq!(version(LOCK, "wasm-bindgen-macro").unwrap(), "0.2.131");
    }

    #[test]
    fn a_missing_or_ambiguous_package_is_told() {
        let missing = version(LOCK, "wasm").unwrap_err().to_string();
        assert!(missing.contains("does not name wasm"), "{missing}");
        let twice = version(LOCK, "syn").unwrap_err().to_string();
        assert!(twice.contains("1.0.0 and 2.0.0"), "{twice}");
    }
}
