//! Compiles a services file into the Worker. The build fails if the file is invalid.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use tunnel_balancer_config::{Platform, parse_for};

fn main() {
    println!("cargo:rerun-if-env-changed=SERVICES_FILE");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = root.join(env::var_os("SERVICES_FILE").map_or_else(|| "services.yaml".into(), PathBuf::from));
    println!("cargo:rerun-if-changed={}", file.display());
    if let Err(message) = compile_in(&file) {
        eprintln!("{message}");
        process::exit(1);
    }
}

/// Copies a valid `file` to the place from which `src/services.rs` includes it.
fn compile_in(file: &Path) -> Result<(), String> {
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let yaml = fs::read_to_string(file).map_err(|error| {
        format!("{}: {error}\n  hint: SERVICES_FILE names the services file to compile in", file.display())
    })?;
    let config = parse_for(&yaml, Platform::Worker).map_err(|errors| errors.in_file(&name).to_string())?;
    for warning in config.warnings {
        println!("cargo:warning={name}:{}", warning.to_string().replace('\n', ";"));
    }
    for secret in config.secrets {
        println!("cargo:warning={name} needs the secret {secret}: npx wrangler secret put {secret}");
    }
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or("OUT_DIR is not set: run this with cargo")?;
    fs::write(out.join("services.yaml"), yaml).map_err(|error| format!("{}: {error}", out.display()))
}
