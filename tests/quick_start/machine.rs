//! The machine of a reader: an empty directory, and the programs on the `PATH`.

use std::fs::{self, File};
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tunnel_balancer_tests::proxy::Proxy;

use crate::page::Page;

/// The longest time of a page. One of them compiles a program.
const LIMIT: Duration = Duration::from_mins(10);

pub(crate) struct Machine {
    directory: TempDir,
    /// The target directory of cargo, which later runs use again.
    target: PathBuf,
    /// The ports and addresses of a page, and free ones in their place: tests run at the same time.
    addresses: Vec<(String, String)>,
}

impl Machine {
    /// Creates a machine with the built program, and free ports for these ports and addresses.
    pub(crate) fn new(name: &str, addresses: &[&str]) -> Self {
        let proxy = Proxy::find().unwrap_or_else(|error| panic!("{error}"));
        let directory = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir().expect("a directory");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quick-start");
        let machine = Self { directory, target, addresses: free(addresses) };
        for directory in [machine.programs(), machine.machines(), machine.home()] {
            fs::create_dir_all(directory).expect("a directory");
        }
        symlink(proxy.program(), machine.programs().join("tunnel-balancer")).expect("a link");
        if Command::new("python3").arg("--version").output().is_err() {
            println!("no Python on this machine: its file server is one of Node");
            machine.install("python3", include_str!("stand_ins/python3.mjs"));
        }
        machine
    }

    /// Links a clone of the repository beside the first directory of a page.
    pub(crate) fn link_repository(&self) {
        symlink(repository(), self.home().join("tunnel-balancer")).expect("a link");
    }

    /// Creates a clone of the repository with one file, which has the addresses of this machine.
    pub(crate) fn clone_file(&self, file: &str) {
        let text = fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let clone = self.home().join("tunnel-balancer");
        fs::create_dir(&clone).expect("a directory");
        fs::write(clone.join(file), self.replace(&text)).expect("a file");
    }

    /// Installs a program.
    pub(crate) fn install(&self, name: &str, program: &str) {
        let path = self.programs().join(name);
        fs::write(&path, program).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
    }

    /// Replaces the addresses of a page.
    pub(crate) fn replace(&self, text: &str) -> String {
        self.addresses.iter().fold(text.to_owned(), |text, (shown, free)| text.replace(shown, free))
    }

    /// Runs a page in an empty directory. Panics unless it prints what it shows.
    pub(crate) fn follow(&self, page: &str) {
        self.follow_after("", page);
    }

    /// Runs commands of the test, and then a page.
    pub(crate) fn follow_after(&self, commands: &str, page: &str) {
        let page = Page::read(page, self);
        page.assert_output(&self.run(&format!("{}\n{}", self.replace(commands), page.script)));
    }

    /// Runs a script, and returns its output. Panics if it fails. Programs that it leaves in the
    /// background are killed.
    fn run(&self, script: &str) -> String {
        // The output is a file, because programs in the background would keep a pipe open.
        let output = self.directory.path().join("output");
        let file = File::create(&output).expect("a file");
        let path = std::env::var("PATH").expect("a PATH");
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(self.home()).process_group(0);
        shell.env("PATH", format!("{}:{path}", self.programs().display())).env("CARGO_TARGET_DIR", &self.target);
        shell.env("MACHINES", self.machines()).env("REPOSITORY", repository());
        shell.stdin(Stdio::null()).stderr(file.try_clone().expect("a file")).stdout(file);
        let mut group = Group(shell.spawn().expect("a shell"));
        let status = group.wait();
        let output = fs::read_to_string(output).expect("an output");
        match status {
            Some(status) if status.success() => output,
            Some(status) => panic!("the commands failed ({status}):\n{output}"),
            None => panic!("the commands did not end within {LIMIT:?}:\n{output}"),
        }
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    fn programs(&self) -> PathBuf {
        self.directory.path().join("bin")
    }

    /// The ids of the processes in place of other machines, by their addresses.
    fn machines(&self) -> PathBuf {
        self.directory.path().join("machines")
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// Returns a free port, or a free address of this machine, for each one.
///
/// A page may compile a program before it uses a port. So the ports are none that the kernel gives
/// to connections of other programs meanwhile (on Linux, those from 32,768 on).
fn free(addresses: &[&str]) -> Vec<(String, String)> {
    const PORTS: Range<u16> = 10_000..32_000;

    // Processes start at different ports, and tests of one process continue where others ended.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % u32::from(PORTS.end - PORTS.start)).expect("a small number");
    let next = || PORTS.start + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % (PORTS.end - PORTS.start);
    let bind = || std::iter::repeat_with(next).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let bound: Vec<_> = addresses.iter().map(|address| (*address, bind().expect("a free port"))).collect();
    let addr = |listener: &TcpListener| listener.local_addr().expect("an address");
    let replacement = |(address, listener): (&str, &TcpListener)| match address.contains(':') {
        true => addr(listener).to_string(),
        false => addr(listener).port().to_string(),
    };
    bound.iter().map(|(address, listener)| ((*address).to_owned(), replacement((address, listener)))).collect()
}

/// A shell with the programs that it started. All of them are killed on drop.
struct Group(Child);

impl Group {
    fn wait(&mut self) -> Option<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(status) = self.0.try_wait().expect("a child process") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}
