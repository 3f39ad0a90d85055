//! Files that one command writes are valid input of others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tunnel_balancer_config::{Config, parse, parse_ingress};

#[test]
fn the_generated_ingress_serves_every_hostname() {
    for file in services_files() {
        for options in [&[][..], &["--host-header"]] {
            let ingress = stdout(run(&[&["generate", "cloudflared", "-f", &file][..], options].concat()));
            let rules = parse_ingress(&ingress).unwrap_or_else(|errors| panic!("{file}: {errors}\n{ingress}")).rules;
            assert!(rules.last().is_some_and(|rule| rule.is_catch_all()), "{file}: {ingress}");

            let written = write(&ingress, "config.yml");
            let compared = run(&[&["check", &file, "--cloudflared", &written][..], options].concat());
            assert!(stdout(compared).contains("\n  complete: "), "{file}");

            // The same without one hostname.
            let hostname = rules[0].hostname.clone().unwrap();
            let written = write(&ingress.replace(&hostname, "other.example.com"), "config.yml");
            let compared = run(&["check", &file, "--cloudflared", &written]);
            assert_eq!(compared.status.code(), Some(1), "{file}");
            assert!(
                String::from_utf8_lossy(&compared.stdout).contains(&format!("{hostname} is missing")),
                "{compared:?}"
            );
        }
    }
}

#[test]
fn the_import_of_a_generated_ingress_is_the_map() {
    let file = write(
        "services:\n  chat.example.com: [chat-a.example.com, chat-b.example.com]\n  \
         git.example.com: git-a.example.com\n",
        "map.yaml",
    );
    let tunnel = |pattern: &str, name: &str, url: &str| {
        let arguments =
            ["generate", "cloudflared", "-f", &file, "--host-header", "--service-url", url, "--tunnel", pattern];
        write(&stdout(run(&arguments)), name)
    };
    let home = tunnel("home=*-a.example.com", "home.yml", "http://localhost:80");
    let office = tunnel("office=*-b.example.com", "office.yml", "http://10.0.0.2");
    let imported = stdout(run(&["import", "cloudflared", &home, &office]));
    assert_eq!(map(&parse(&imported).unwrap()), map(&parse(&fs::read_to_string(file).unwrap()).unwrap()), "{imported}");
}

#[test]
fn services_of_imported_rules_are_generated_again() {
    let home = write(
        "ingress:\n- { hostname: chat-a.example.com, service: http://localhost:8080 }\n- { hostname: \
        git-a.example.com, service: unix:/run/git }\n- service: http_status:404\n",
        "ports.yml",
    );
    let map = write(&stdout(run(&["import", "cloudflared", &home])), "ports.yaml");
    let generated = stdout(run(&["generate", "cloudflared", "-f", &map]));
    let services = |text: &str| {
        parse_ingress(text).unwrap().rules.into_iter().map(|rule| (rule.hostname, rule.service)).collect::<Vec<_>>()
    };
    assert_eq!(services(&generated), services(&fs::read_to_string(home).unwrap()), "{generated}");
    assert!(!generated.contains("TODO: where"), "{generated}");
}

#[test]
fn maps_with_the_generated_access_lines_are_complete() {
    let mut lacking = 0;
    for file in services_files() {
        let lines = stdout(run(&["generate", "access", "-f", &file]));
        if lines.contains("No token is missing") {
            continue;
        }
        lacking += 1;
        let config = parse(&lines).unwrap_or_else(|errors| panic!("{file}: {errors}\n{lines}"));
        assert_eq!(config.secrets, ["ACCESS_ID", "ACCESS_SECRET"], "{file}");
        let protected = write(&lines, "access.yaml");
        let again = stdout(run(&["generate", "access", "-f", &protected]));
        assert!(again.contains("No token is missing"), "{file}: {again}");
    }
    assert!(lacking >= 3, "{lacking}");
}

#[test]
fn init_writes_a_valid_map() {
    let file = scratch("init.yaml").display().to_string();
    let servers =
        ["--server", "a.home.example.com", "--server", "http://a.office.example.com:8080/x", "--server", "[::1]:80"];
    let options = ["--host", "bücher.example/%C3%BC", "--policy", "hash", "--health-path", "/a?b={c}&d=["];
    let written = run(&[&["init", "--force", "--output", &file][..], &servers, &options].concat());
    assert!(written.status.success(), "{written:?}");
    let config = parse(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(config.services[0].health_check.as_ref().unwrap().path, "/a?b={c}&d=[");
    assert_eq!(map(&config), ["xn--bcher-kva.example/%C3%BC: a.home.example.com a.office.example.com:8080 [::1]:80"]);
    assert!(stdout(run(&["generate", "cloudflared", "-f", &file])).contains("hostname: a.home.example.com"));
}

/// `cargo xtask bless` rewrites services.yaml of the template. The other files are compiled in.
#[test]
fn the_npm_template_is_the_folder_that_init_writes() {
    let template = root().join("npm/template");
    let folder = scratch("folder");
    let options =
        ["--host", "chat.example.com", "--server", "chat-a.example.com", "--server", "chat-b.example.com", "--force"];
    let path = folder.display().to_string();
    stdout(run(&[&["init", "--npm", &path, "--health-path", "/health"][..], &options].concat()));
    let written = folder.join("services.yaml");
    if std::env::var_os("UPDATE").is_some() {
        fs::copy(&written, template.join("services.yaml")).unwrap();
    }
    let names = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.filter(|name| name != "README.md").collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(&folder), names(&template));
    for name in names(&folder) {
        let [written, template] = [&folder, &template].map(|directory| fs::read_to_string(directory.join(&name)));
        assert_eq!(written.unwrap(), template.unwrap(), "{name}: run `cargo xtask bless`");
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let script = stdout(run(&["completions", "bash"]));
    // The interface of bash: the words and the index of the current one; then the program, the
    // current word and the one before.
    let complete = r#"
set -- $(complete -p tunnel-balancer)
while [ "$1" != -F ]; do shift; done
complete_with=$2
COMP_WORDS=(tunnel-balancer generate cl); COMP_CWORD=2
$complete_with tunnel-balancer cl generate; echo "${COMPREPLY[*]}"
COMP_WORDS=(tunnel-balancer generate dns --z); COMP_CWORD=3
$complete_with tunnel-balancer --z dns; echo "${COMPREPLY[*]}"
"#;
    let script = write(&(script + complete), "completions.bash");
    match Command::new("bash").arg(script).output() {
        Ok(output) => assert_eq!(stdout(output), "cloudflared\n--zone\n"),
        Err(error) => skipped(&format!("completions in bash: {error}")),
    }
}

#[test]
fn manual_pages_are_written_to_a_new_directory() {
    let directory = scratch("share").join("man/man1");
    let _ = fs::remove_dir_all(scratch("share"));
    stdout(run(&["man", "--directory", &directory.display().to_string()]));
    assert!(fs::read_to_string(directory.join("tunnel-balancer-check.1")).unwrap().contains("check"));
    // The directory is a file.
    let failed = run(&["man", "--directory", &directory.join("tunnel-balancer.1").display().to_string()]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(String::from_utf8_lossy(&failed.stderr).starts_with("error: cannot write"), "{failed:?}");
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    for command in ["man", "check", "explain chat.example.com", "simulate", "generate dns"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tunnel-balancer"))
            .current_dir(root())
            .args(command.split(' '))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{command}: {output:?}");
    }
}

/// A deployment without the upload, with the wrangler.toml of the repository.
#[test]
fn wrangler_accepts_the_generated_routes() {
    let root = root();
    let wrangler = root.join("node_modules/.bin").join(if cfg!(windows) { "wrangler.cmd" } else { "wrangler" });
    let built = root.join("crates/worker/build");
    if !wrangler.exists() || !built.join("index.js").exists() {
        return skipped(
            "routes in wrangler: it is not installed, or the Worker is not built (`cargo xtask build` does both)",
        );
    }
    // Inside the repository, so that `node_modules` is found.
    let directory = scratch("wrangler");
    for copy in ["crates/worker/build", "crates/worker/js"] {
        fs::create_dir_all(directory.join(copy)).unwrap();
    }
    let build = ["crates/worker/build/index.js", "crates/worker/build/index_bg.wasm"];
    for file in build.into_iter().chain(["crates/worker/js/index.js", "worker.js", "services.yaml"]) {
        fs::copy(root.join(file), directory.join(file)).unwrap();
    }
    let services = write(
        "services:\n  chat.example.com: a.example.com\n  example.com/api: a.example.com\n  \
         www.example.net: a.example.com\n  bücher.example: a.example.com\n",
        "routes.yaml",
    );
    let routes = stdout(run(&["generate", "wrangler", "-f", &services, "--zone", "example.com"]));
    assert_eq!(routes.matches("[[routes]]").count(), 4, "{routes}");
    let toml = fs::read_to_string(root.join("wrangler.toml")).unwrap();
    // The Worker was built before.
    let with_routes = |routes: &str| toml.replace("command = \"cargo xtask build\"", "") + routes;
    let deploy = |toml: String| {
        fs::write(directory.join("wrangler.toml"), toml).unwrap();
        Command::new(&wrangler)
            .current_dir(&directory)
            .args(["deploy", "--dry-run", "--outdir", "out"])
            .env("WRANGLER_SEND_METRICS", "false")
            .env("CI", "1")
            .output()
            .unwrap()
    };
    stdout(deploy(with_routes(&routes)));
    // Wrangler does check routes: a custom domain has no path.
    let refused = deploy(with_routes(&routes.replace("www.example.net", "www.example.net/x")));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("Paths are not allowed in Custom Domains"),
        "{refused:?}"
    );
}

/// Returns the maps of this repository. Each has a tunnel.
fn services_files() -> Vec<String> {
    let root = root();
    let examples = fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = examples.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    files.push(root.join("services.yaml"));
    assert!(files.len() >= 5, "{files:?}");
    files.into_iter().map(|file| file.display().to_string()).collect()
}

/// Returns each service with its servers.
fn map(config: &Config) -> Vec<String> {
    let line = |service: &tunnel_balancer_core::Service| {
        let servers: Vec<&str> = service.servers().iter().map(|server| server.url.authority()).collect();
        format!("{}: {}", service.name(), servers.join(" "))
    };
    config.services.iter().map(line).collect()
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tunnel-balancer")).args(arguments).output().unwrap()
}

/// Returns the output of a command that succeeded.
fn stdout(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Prints a note. The test harness hides the output of tests that pass, but not that of `writeln`.
fn skipped(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "NOT CHECKED: {what}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Returns a path for a file of the current test.
fn scratch(name: &str) -> PathBuf {
    let test = std::thread::current().name().unwrap_or("test").replace(':', "_");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&directory).unwrap();
    directory.join(name)
}

fn write(text: &str, name: &str) -> String {
    let file = scratch(name);
    fs::write(&file, text).unwrap();
    file.display().to_string()
}
