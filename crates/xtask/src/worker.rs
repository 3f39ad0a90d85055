//! Building the Worker with the tools of `setup`.
//!
//! The steps are those of `worker-build`, but the entry of the Worker is `js/entry.js`: that of
//! `worker-build` makes an object and several proxies for each request.

use std::collections::BTreeSet;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value as Json, json};
use tunnel_balancer_config::{Platform, SourceFile, parse_for};

use crate::cli::BuildOptions;
use crate::failure::Failure;
use crate::files;
use crate::process::{announce, run};
use crate::setup::{self, Tools};
use crate::toolchain::WASM_TARGET;
use crate::workspace::Workspace;

/// The size limit in gzipped bytes. Cloudflare limits the uncompressed size, to 64 MiB; a small
/// Worker starts quickly.
const LIMIT: usize = 400 * 1024;

/// The release build but for one crate, so that the tested code is the deployed code. The feature
/// does not compile without debug assertions.
const PANIC_ON_DEMAND: &[&str] =
    &["--features=panic-on-demand", "--config=profile.release.package.tunnel-balancer-worker.debug-assertions=true"];

/// The text module of the Worker.
const SERVICES: &str = "services.yaml";

/// The module in the output directory.
const WASM: &str = "index_bg.wasm";

/// The script in the output directory.
const SCRIPT: &str = "index.js";

/// The features that the compiler and wasm-bindgen use, and no others: workerd may not support the
/// newest encodings.
const WASM_FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-exception-handling",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Builds the Worker and checks its size.
pub(crate) fn build(workspace: &Workspace, options: &BuildOptions) -> Result<(), Failure> {
    let notes = check_services(&workspace.root().join(SERVICES))?;
    let tools = setup::setup(workspace)?;
    announce("building the Worker (some minutes the first time)");

    let output = if options.panic_on_demand { "target/worker-panic-on-demand" } else { "crates/worker/build" };
    let output = workspace.root().join(output);
    let compiled = compile(workspace, &tools, options)?;
    let generated = generate(workspace, &tools, &compiled)?;
    bundle(workspace, &generated, &output)?;
    if options.debug {
        files::copy(&generated.join(WASM), &output.join(WASM))?;
    } else {
        let used = generated.join("used.wasm");
        remove_unused(workspace, &output.join(SCRIPT), &generated.join(WASM), &used)?;
        optimize(workspace, &used, &output.join(WASM))?;
    }
    check_size(&output, options)?;
    // Below the output of the compiler, which would bury them.
    notes.iter().for_each(|note| announce(note));
    Ok(())
}

/// Compiles the crate. Returns the module.
fn compile(workspace: &Workspace, tools: &Tools, options: &BuildOptions) -> Result<PathBuf, Failure> {
    // A directory for wasm alone: the compiler may be another one, and each change of the compiler
    // rebuilds everything.
    let directory = workspace.root().join("target/wasm");
    let mut cargo =
        workspace.cargo(&["build", "--lib", "--package", "tunnel-balancer-worker", "--target", WASM_TARGET]);
    cargo
        .args((!options.debug).then_some("--release"))
        .args(if options.panic_on_demand { PANIC_ON_DEMAND } else { &[] })
        .env("CARGO_TARGET_DIR", &directory)
        // The release profile of the workspace is for speed. For a Worker, size counts more.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z")
        // SHA-256 as a loop: a signature is a few blocks.
        .env("RUSTFLAGS", r#"--cfg=sha2_backend_soft="compact""#)
        // wasm-bindgen reads the `target_features` section. `optimize` removes it.
        .env("CARGO_PROFILE_RELEASE_STRIP", "none");
    tools.toolchain.apply(&mut cargo);
    run(&mut cargo)?;
    let profile = if options.debug { "debug" } else { "release" };
    Ok(directory.join(WASM_TARGET).join(profile).join("tunnel_balancer_worker.wasm"))
}

/// Generates the JavaScript that calls the module. Returns the directory of both.
fn generate(workspace: &Workspace, tools: &Tools, module: &Path) -> Result<PathBuf, Failure> {
    let directory = workspace.root().join("target/wasm/generated");
    let mut wasm_bindgen = Command::new(&tools.wasm_bindgen);
    wasm_bindgen.arg(module).arg("--out-dir").arg(&directory);
    // js/entry.js replaces the instance after a panic.
    wasm_bindgen.args(["--experimental-reset-state-function", "--force-enable-abort-handler"]);
    run(wasm_bindgen.args(["--target", "module", "--no-typescript", "--out-name", "index"]))?;
    Ok(directory)
}

/// Writes all JavaScript into one file. The module stays beside it.
fn bundle(workspace: &Workspace, generated: &Path, output: &Path) -> Result<(), Failure> {
    let script = generated.join("index.js");
    let text = fs::read_to_string(&script).map_err(|error| Failure::io("cannot read", &script, &error))?;
    // esbuild does not know the newer form, whose result is the same.
    let text = text.replacen("import source ", "import ", 1);
    files::write(&script, without_side_effects(&text))?;
    files::copy(&workspace.root().join("crates/worker/js/entry.js"), &generated.join("entry.js"))?;
    let mut esbuild = Command::new(workspace.npm_program("esbuild"));
    esbuild.arg(generated.join("entry.js")).arg(format!("--outfile={}", output.join(SCRIPT).display()));
    // wasm-bindgen repeats a key in an object, which would be a warning.
    esbuild.args(["--bundle", "--minify", "--format=esm", "--log-level=error"]);
    run(esbuild.arg(format!("--external:./{WASM}")))
}

/// Removes what keeps esbuild from leaving out the classes of the crate `worker` that the Worker
/// does not use: methods for `using` declarations, and calls that esbuild does not know.
fn without_side_effects(script: &str) -> String {
    let lines = script.lines().filter(|line| !line.starts_with("if (Symbol.dispose)"));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    text.replace("new FinalizationRegistry(", "/* @__PURE__ */ new FinalizationRegistry(")
}

/// Removes the exports of a module that its script does not name, and the functions that only these
/// need.
fn remove_unused(workspace: &Workspace, script: &Path, module: &Path, output: &Path) -> Result<(), Failure> {
    let text = fs::read_to_string(script).map_err(|error| Failure::io("cannot read", script, &error))?;
    let graph = output.with_extension("json");
    files::write(&graph, export_graph(&text))?;
    let mut metadce = Command::new(workspace.npm_program("wasm-metadce"));
    metadce.arg(module).arg("--output").arg(output).arg("--graph-file").arg(&graph).args(WASM_FEATURES);
    // It prints what it removes.
    run(metadce.arg("--debuginfo").stdout(Stdio::null()))
}

/// Returns the input of `wasm-metadce`: each property that the script names may be an export.
fn export_graph(script: &str) -> String {
    let property = |rest: &str| -> String {
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$')).collect()
    };
    let names: BTreeSet<String> = script.split('.').skip(1).map(property).collect();
    let exports = names.iter().map(|name| json!({ "name": name, "export": name }));
    let root = json!({ "name": "the script", "root": true, "reaches": names });
    Json::Array(exports.chain([root]).collect()).to_string()
}

/// Makes a module smaller. The names of its functions, which are a tenth of it, go to a file beside
/// it, for stack traces.
fn optimize(workspace: &Workspace, module: &Path, output: &Path) -> Result<(), Failure> {
    let mut wasm_opt = Command::new(workspace.npm_program("wasm-opt"));
    wasm_opt.arg(module).arg("--output").arg(output).args(WASM_FEATURES);
    // The stack is at the start of the memory, and grows towards it.
    // The second round is worth 1 KB.
    wasm_opt.args(["-Oz", "-Oz", "--low-memory-unused"]);
    // A large function with one caller stays a function of its own: its locals have low numbers,
    // and gzip compresses it better. That is worth 30 KB.
    wasm_opt.arg("--one-caller-inline-max-function-size=15");
    // Functions of one crate, and of one generic function, are similar: gzip compresses them better
    // side by side. That is worth 10 KB.
    wasm_opt.arg("--reorder-functions-by-name");
    wasm_opt.arg(format!("--symbolmap={}", output.with_extension("symbols").display()));
    run(wasm_opt.args(["--strip-debug", "--strip-producers", "--strip-target-features"]))
}

/// Checks the configuration before the build, and returns its warnings and the secrets it needs.
fn check_services(path: &Path) -> Result<Vec<String>, Failure> {
    let yaml = fs::read_to_string(path).map_err(|error| {
        Failure::io("cannot read", path, &error).hint("copy one of examples/*.yaml to services.yaml")
    })?;
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let name = path.display().to_string();
    let config = parse_for(&yaml, Platform::Worker)
        .map_err(|errors| Failure::rendered(SourceFile::new(&name, &yaml, color).render_errors(&errors)))?;
    let warnings =
        config.warnings.iter().map(|warning| format!("{SERVICES}:{}", warning.to_string().replace('\n', ";")));
    let secret = |name: &String| format!("{SERVICES} needs the secret {name}: npx wrangler secret put {name}");
    Ok(warnings.chain(config.secrets.iter().map(secret)).collect())
}

fn check_size(output: &Path, options: &BuildOptions) -> Result<(), Failure> {
    let (mut raw, mut gzip) = (0, 0);
    for name in [WASM, SCRIPT] {
        let path = output.join(name);
        let bytes = fs::read(&path).map_err(|error| Failure::io("cannot read", &path, &error))?;
        raw += bytes.len();
        gzip += gzipped(&bytes)?;
    }
    let (raw_kb, gzip_kb, limit_kb) = (kilobytes(raw), kilobytes(gzip), kilobytes(LIMIT));
    announce(&format!("{}: {raw_kb} KB, {gzip_kb} KB gzipped (limit {limit_kb} KB)", output.display()));
    if gzip > LIMIT && !options.debug && !options.panic_on_demand {
        return Err(Failure::new(format!("the Worker has {gzip_kb} KB gzipped, and the limit is {limit_kb} KB")).hint(
            "compare `cargo tree -p tunnel-balancer-worker` and `npx wasm-dis crates/worker/build/index_bg.wasm`",
        ));
    }
    Ok(())
}

fn gzipped(bytes: &[u8]) -> Result<usize, Failure> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .map(|compressed| compressed.len())
        .map_err(|error| Failure::new(format!("cannot compress the Worker: {error}")))
}

fn kilobytes(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_configuration_fails_before_the_build_with_its_diagnostics() {
        let path = std::env::temp_dir().join(format!("xtask-services-{}.yaml", std::process::id()));
        fs::write(&path, "services: { a.example.com: a-1.example.com }\n").unwrap();
        assert_eq!(check_services(&path).unwrap(), [""; 0]);
        let server = "{ url: \"http://10.0.0.1\", headers: { X-Key: \"${KEY}\" } }";
        let unreachable = format!("services: {{ a.example.com: {{ servers: [{server}] }} }}\n");
        fs::write(&path, unreachable).unwrap();
        let notes = check_services(&path).unwrap();
        assert!(notes[0].starts_with("services.yaml:1:"), "{notes:?}");
        assert_eq!(notes[1], "services.yaml needs the secret KEY: npx wrangler secret put KEY");
        fs::write(&path, "servcies: { a.example.com: a-1.example.com }\n").unwrap();
        let failure = check_services(&path).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        assert!(failure.starts_with("error[unknown-key]: unknown key `servcies`\n"), "{failure}");
        assert!(failure.ends_with("= help: did you mean `services`?"), "{failure}");
    }

    #[test]
    fn only_named_exports_are_kept() {
        let graph = export_graph("let a=b.exports;a.__wbg_x_free(1),a.run$1(),`${a.memory}`");
        let graph: Vec<Json> = serde_json::from_str(&graph).unwrap();
        let (root, exports) = graph.split_last().unwrap();
        let names = ["__wbg_x_free", "exports", "memory", "run$1"];
        assert_eq!(root["reaches"], json!(names));
        assert_eq!(exports, names.map(|name| json!({ "name": name, "export": name })));
    }

    #[test]
    fn unused_classes_have_no_side_effects() {
        let script = "class A {}\nif (Symbol.dispose) A.prototype[Symbol.dispose] = A.prototype.free;\n\
            const F = new FinalizationRegistry(free);\n";
        let expected = "class A {}\nconst F = /* @__PURE__ */ new FinalizationRegistry(free);\n";
        assert_eq!(without_side_effects(script), expected);
    }

    #[test]
    fn gzip_sizes_are_plausible() {
        let size = gzipped(&[7; 100_000]).unwrap();
        assert!((20..1000).contains(&size), "{size}");
    }

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!(kilobytes(0), 0);
        assert_eq!(kilobytes(1024), 1);
        assert_eq!(kilobytes(1025), 2);
    }
}
