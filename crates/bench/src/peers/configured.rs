//! Peers with a configuration file.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::peers::{Peer, Setup, write};
use crate::{Result, root};

/// Writes the configuration of a peer, and returns the command that starts it.
pub(super) fn command(peer: Peer, program: &Path, directory: &Path, ports: [u16; 2], setup: &Setup) -> Result<Command> {
    let name = match peer {
        Peer::HaProxy => "haproxy.cfg",
        Peer::Caddy => "Caddyfile",
        _ => "nginx.conf",
    };
    let template = root().join("crates/bench/peers").join(name);
    let template = fs::read_to_string(&template).map_err(|error| format!("{}: {error}", template.display()))?;
    let file = directory.join(name);
    write(&file, fill(&template, directory, ports, setup))?;
    let mut command = Command::new(program);
    match peer {
        Peer::HaProxy => command.arg("-f").arg(&file),
        Peer::Caddy => {
            command.env("GOMAXPROCS", setup.threads.to_string()).env("HOME", directory);
            command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file)
        }
        _ => command.arg("-p").arg(directory).arg("-c").arg(&file),
    };
    Ok(command)
}

/// Replaces the names in `@` of a template, and removes the marks of what the setup has.
fn fill(template: &str, directory: &Path, ports: [u16; 2], setup: &Setup) -> String {
    let marks = [("#log ", setup.has_log), ("#tls ", setup.has_tls), ("#tuned ", setup.is_tuned)];
    let mut text = String::new();
    for line in template.lines() {
        let bare = line.trim_start();
        let marked = marks.iter().find_map(|(mark, is_on)| Some((bare.strip_prefix(mark)?, *is_on)));
        match marked {
            Some((setting, true)) => text.push_str(setting),
            Some((_, false)) => {}
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text.replace("@DIRECTORY@", &directory.display().to_string())
        .replace("@PORT@", &ports[0].to_string())
        .replace("@TLS_PORT@", &ports[1].to_string())
        .replace("@THREADS@", &setup.threads.to_string())
        .replace("@SERVER_A@", &setup.servers[0].to_string())
        .replace("@SERVER_B@", &setup.servers[1].to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_select_lines() {
        let setup = Setup { threads: 2, ..Setup::single("127.0.0.1:1".parse().unwrap()) };
        let template = "listen @PORT@\n  #log log @SERVER_A@\n#tls tls @TLS_PORT@\n# comment";
        let filled = fill(template, Path::new("/d"), [7, 8], &setup);
        assert_eq!(filled, "listen 7\nlog 127.0.0.1:1\n\n# comment\n");
    }
}
