//! The launcher, `bin/tunnel-balancer.js`.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use std::{fs, path};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tunnel_balancer_tests::FaultyServer;
use tunnel_balancer_tests::Service;
use tunnel_balancer_tests::proxy::events;
use tunnel_balancer_tests::yaml::Yaml;

use crate::folder::{Running, package, root, text};

/// The launcher without the package of a platform.
struct Alone(TempDir);

impl Alone {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("bin")).expect("a new directory");
        for file in ["package.json", "bin/tunnel-balancer.js", "bin/program.js"] {
            let source = root().join("npm/tunnel-balancer").join(file);
            fs::copy(source, directory.path().join(file)).expect("a copy");
        }
        Self(directory)
    }

    /// Runs it on a platform in the words of Node.
    fn run_on(&self, platform: &str, cpu: &str) -> Output {
        let property =
            |name: &str, value: &str| format!("Object.defineProperty(process,'{name}',{{value:'{value}'}});");
        let script = property("platform", platform) + &property("arch", cpu);
        let mut node = Command::new("node");
        node.args(["--import", &format!("data:text/javascript,{script}")]);
        node.arg(self.0.path().join("bin/tunnel-balancer.js")).arg("check").output().expect("node is installed")
    }
}

/// The launcher and the package of this platform, as copies.
struct Installed {
    alone: Alone,
    platform: path::PathBuf,
}

impl Installed {
    fn new() -> Self {
        let alone = Alone::new();
        let packages = package("tunnel-balancer").with_file_name("");
        let platform = fs::read_dir(&packages).expect("packages").map(|entry| entry.expect("a package").path());
        let is_platform = |path: &path::PathBuf| path.join("bin").join("tunnel-balancer").is_file();
        let original = platform.into_iter().find(is_platform).expect("a package of this platform");
        let platform = alone.0.path().join("node_modules").join(original.file_name().expect("a name"));
        fs::create_dir_all(platform.join("bin")).expect("a new directory");
        for file in ["package.json", "bin/tunnel-balancer"] {
            fs::copy(original.join(file), platform.join(file)).expect("a copy");
        }
        Self { alone, platform }
    }

    fn run(&self) -> Output {
        let mut node = Command::new("node");
        node.arg(self.alone.0.path().join("bin/tunnel-balancer.js")).arg("--version");
        node.output().expect("node is installed")
    }

    /// Returns the error with which the launcher fails.
    fn error(&self) -> String {
        let output = self.run();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{output:?}");
        text(&output)
    }
}

#[test]
fn a_missing_package_is_named_with_its_likely_causes() {
    let output = Alone::new().run_on("darwin", "arm64");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{output:?}");
    assert_eq!(
        text(&output),
        "error: the package tunnel-balancer-darwin-arm64 is not installed\n  \
         hint: it is an optional dependency: install without `--no-optional` and `--omit=optional`\n  \
         hint: if package-lock.json was written on another platform, delete it and node_modules, and run \
         `npm install`\n"
    );
}

#[test]
fn an_unknown_platform_is_an_error_with_the_known_ones() {
    let output = Alone::new().run_on("freebsd", "x64");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let expected =
        "error: no program for freebsd-x64, only for darwin-arm64, darwin-x64, linux-arm64, linux-x64, win32-x64\n";
    assert!(text(&output).starts_with(expected), "{output:?}");
}

#[test]
fn a_program_that_cannot_run_is_an_error_with_a_hint() {
    use std::os::unix::fs::PermissionsExt as _;
    let installed = Installed::new();
    assert!(installed.run().status.success());
    let program = installed.platform.join("bin/tunnel-balancer");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).expect("permissions");
    let expected = format!(
        "error: cannot start {}: spawn {0} EACCES\n  hint: allow its execution: permissions, or the mount option \
         `noexec`\n",
        program.display()
    );
    assert_eq!(installed.error(), expected);

    let size = fs::metadata(&program).expect("a program").len();
    let reinstall = "  hint: delete node_modules, and run `npm install`\n";
    for (content, length) in [("", 0), ("exit 0\n", 7)] {
        fs::write(&program, content).expect("a writable file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("permissions");
        let expected = format!("error: expected {size} bytes in {}, found {length}\n{reinstall}", program.display());
        assert_eq!(installed.error(), expected);
    }

    let package = installed.platform.join("package.json");
    let version = env!("CARGO_PKG_VERSION");
    let other = fs::read_to_string(&package).expect("a file").replace(&format!("\"{version}\""), "\"0.0.9\"");
    fs::write(&package, other).expect("a writable file");
    let name = installed.platform.file_name().expect("a name").to_string_lossy();
    assert_eq!(installed.error(), format!("error: expected {name} in version {version}, found 0.0.9\n{reinstall}"));
}

#[test]
fn arguments_outputs_and_exit_codes_are_those_of_the_program() {
    let launch = |argument: &str| launcher().arg("check").arg(argument).output().expect("node is installed");
    let [valid, missing] = ["examples/two-servers.yaml", "no such file.yaml"].map(launch);
    assert_eq!(valid.status.code(), Some(0), "{valid:?}");
    assert!(String::from_utf8_lossy(&valid.stdout).contains("1 service, 2 servers"), "{valid:?}");
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no such file.yaml"), "{missing:?}");
}

#[tokio::test]
async fn signals_reach_the_program() {
    let (mut serve, file) = serve().await;
    fs::write(file.path(), Yaml::from(Service::of([]).host("invalid host")).0).expect("a writable file");
    kill_process(serve.pid(), Signal::HUP).expect("it runs");
    serve.log().until("a reload", |log| log.contains("config_rejected")).await;
    kill_process(serve.pid(), Signal::TERM).expect("it runs");
    assert_eq!(serve.ended().code(), Some(0), "{}", serve.log().text());
    let log = serve.log().until("the end", |log| log.contains("stopped")).await;
    assert!(events(&log).any(|line| line["event"] == "draining"), "{log}");
}

#[tokio::test]
async fn the_launcher_ends_by_the_signal_that_ended_the_program() {
    let (mut serve, _file) = serve().await;
    kill_process(child_of(serve.pid()), Signal::KILL).expect("it runs");
    assert_eq!(serve.ended().signal(), Some(Signal::KILL.as_raw()));
}

/// Starts `serve` by the launcher.
async fn serve() -> (Running, tempfile::NamedTempFile) {
    let a = FaultyServer::start("a").await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), Yaml::from(Service::of([&a])).0).expect("a writable file");
    let mut command = launcher();
    command.args(["serve", "--listen", "127.0.0.1:0", "-f"]).arg(file.path());
    let serve = Running::start(&mut command);
    serve.log().until("the port", |log| log.contains("\"listening\"")).await;
    (serve, file)
}

fn launcher() -> Command {
    let script: path::PathBuf = package("tunnel-balancer").join("bin/tunnel-balancer.js");
    let mut node = Command::new("node");
    node.current_dir(root()).arg(script).stdin(Stdio::null());
    node
}

fn child_of(parent: Pid) -> Pid {
    let table = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().expect("ps is installed");
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let ids = table.lines().filter_map(|line| {
        let mut ids = line.split_whitespace().map(|id| id.parse().ok());
        Some((ids.next()??, ids.next()??))
    });
    let mut children = ids.filter(|(_, id): &(i32, i32)| *id == parent.as_raw_nonzero().get()).map(|(id, _)| id);
    children.next().and_then(Pid::from_raw).expect("the program runs")
}
