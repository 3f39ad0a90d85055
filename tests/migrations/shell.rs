//! The terminal in which the commands of a page are typed: one shell for all of them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use tunnel_balancer_tests::within;

/// A running shell. Killed on drop.
pub(crate) struct Shell {
    child: Child,
    pipes: Arc<Mutex<Pipes>>,
}

struct Pipes {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// The start of the line after an output.
const END: &str = "\u{1}end ";

impl Shell {
    /// Starts a shell in a directory with environment variables.
    pub(crate) fn start(directory: &Path, variables: &[(String, String)]) -> Self {
        let mut child = Command::new("sh")
            .current_dir(directory)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let input = child.stdin.take().expect("the input is piped");
        let output = BufReader::new(child.stdout.take().expect("the output is piped"));
        Self { child, pipes: Arc::new(Mutex::new(Pipes { input, output })) }
    }

    /// Runs a command. Returns what it prints, and its exit code.
    pub(crate) async fn run(&self, command: &str) -> (String, i32) {
        let pipes = Arc::clone(&self.pipes);
        let line = format!("{{ {command}\n}} </dev/null 2>&1; printf '\\n\\001end %s\\n' $?\n");
        let run = tokio::task::spawn_blocking(move || pipes.lock().expect("no panic while locked").run(&line));
        within(&format!("the end of `{command}`"), run).await.expect("no panic")
    }
}

impl Pipes {
    fn run(&mut self, line: &str) -> (String, i32) {
        self.input.write_all(line.as_bytes()).expect("the shell runs");
        let (mut output, mut line) = (String::new(), String::new());
        while self.output.read_line(&mut line).expect("UTF-8") > 0 {
            if let Some(status) = line.strip_prefix(END) {
                return (output.trim_end().to_owned(), status.trim().parse().expect("an exit code"));
            }
            output += &line;
            line.clear();
        }
        panic!("the shell ended: {output}");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
