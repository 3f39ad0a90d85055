//! The folder of a deployment with npm. Its files, apart from services.yaml, are those of
//! `npm/template`.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use crate::map_file::MapFile;
use crate::replace::check_editable;
use crate::{output, shell};

/// Where the package is below the folder, with the schema and the examples.
pub(crate) const PACKAGE: &str = "node_modules/tunnel-balancer/";

/// The directory of `--npm` without a value.
pub(crate) const DEFAULT: &str = "tunnel-balancer";

const FILES: [(&str, &str); 5] = [
    ("wrangler.toml", include_str!("../../../npm/template/wrangler.toml")),
    ("package.json", include_str!("../../../npm/template/package.json")),
    ("worker.js", include_str!("../../../npm/template/worker.js")),
    (".gitignore", include_str!("../../../npm/template/.gitignore")),
    (".dev.vars.example", include_str!("../../../npm/template/.dev.vars.example")),
];

/// Checks that every file can be written, so that an error leaves no part of a folder. With
/// `force`, files may exist.
///
/// # Errors
/// The first file that cannot be written, for the terminal.
pub(crate) fn check(directory: &Path, force: bool) -> Result<(), String> {
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            let name = directory.display();
            return Err(format!("error: {name} is not a directory\n  hint: name a new folder, or one that exists"));
        }
        // The folder is created.
        Err(_) => return Ok(()),
    }
    let unwritable = |path: &Path, error: io::Error| format!("error: cannot write {}: {error}", path.display());
    tempfile::tempfile_in(directory).map_err(|error| unwritable(directory, error))?;
    check_editable(&directory.join(MapFile::DEFAULT))?;
    for (name, _) in FILES {
        let file = directory.join(name);
        if fs::symlink_metadata(&file).is_err() {
            continue;
        }
        if !force {
            return Err(format!("error: {} already exists\n  hint: replace it with `--force`", file.display()));
        }
        check_editable(&file)?;
        OpenOptions::new().append(true).open(&file).map_err(|error| unwritable(&file, error))?;
    }
    Ok(())
}

/// Creates the directory, and writes services.yaml, unless it is `None`, and the other files.
/// Returns a line for each file.
pub(crate) fn write(directory: &Path, map: Option<&str>, force: bool) -> Result<String, String> {
    fs::create_dir_all(directory).map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    let mut report = String::new();
    for (name, text) in map.map(|map| (MapFile::DEFAULT, map)).into_iter().chain(FILES) {
        let file = directory.join(name);
        output::write(&file, text, force)?;
        report += &format!("wrote {}\n", file.display());
    }
    if map.is_none() {
        report += &format!("kept {}\n", directory.join(MapFile::DEFAULT).display());
    }
    Ok(report)
}

/// Returns the commands that follow.
pub(crate) fn next_steps(directory: &Path) -> String {
    let change_directory = match directory.to_str() {
        Some(".") => String::new(),
        _ => format!("  cd {}\n", shell::quoted(&directory.display().to_string())),
    };
    format!(
        "
Next:
{change_directory}  npm install
  npx tunnel-balancer check                                       report errors and estimated usage
  npx tunnel-balancer simulate                                    simulate an outage of the first server
  npx tunnel-balancer generate cloudflared --tunnel NAME=PATTERN  print the rules of a tunnel
  npx tunnel-balancer generate wrangler --write                   write the routes into wrangler.toml
  npx wrangler dev                                                run the Worker on this machine
  npx tunnel-balancer deploy                                      check, deploy, and request every hostname
"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn template(name: &str) -> &'static str {
        FILES.iter().find(|(file, _)| *file == name).expect("a file of the template").1
    }

    fn json(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn versions_are_those_of_the_workspace() {
        let dependencies = &json(template("package.json"))["dependencies"];
        let tools = json(include_str!("../../../package.json"));
        assert_eq!(dependencies["tunnel-balancer"], env!("CARGO_PKG_VERSION"));
        assert_eq!(dependencies["wrangler"], tools["devDependencies"]["wrangler"]);
        for package in [
            include_str!("../../../npm/tunnel-balancer/package.json"),
            include_str!("../../../npm/create-tunnel-balancer/package.json"),
        ] {
            let package = json(package);
            assert_eq!(package["version"], env!("CARGO_PKG_VERSION"), "{package}");
            let others = ["dependencies", "optionalDependencies"].map(|key| package[key].as_object());
            for (name, version) in others.into_iter().flatten().flatten() {
                assert_eq!(version, env!("CARGO_PKG_VERSION"), "{name}");
            }
        }
    }

    #[test]
    fn wrangler_toml_has_the_settings_of_the_repository() {
        // The template differs in comments and in the build command.
        let settings = |text: &str| -> Vec<String> {
            let is_setting = |line: &&str| !line.starts_with('#') && !line.trim().is_empty();
            let is_of_build = |line: &&str| line.starts_with("command = ") || line.starts_with("watch_dir = ");
            text.lines().filter(is_setting).filter(|line| !is_of_build(line)).map(str::to_owned).collect()
        };
        let repository = include_str!("../../../wrangler.toml");
        assert!(settings(repository).len() > 8);
        assert_eq!(settings(template("wrangler.toml")), settings(repository));
    }
}
