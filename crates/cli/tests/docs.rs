//! Checks of the documentation: links have targets, files are valid, commands exist, and their
//! output is as shown.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tunnel_balancer_config::{Code, Diagnostic, parse, parse_ingress, parse_scenario};

#[test]
fn links_have_targets() {
    let mut dead = String::new();
    let mut followed = 0;
    for page in pages() {
        for link in links(&prose(&text(&page))) {
            // rustdoc checks the links of a guide to items.
            if link.contains("://") || link.starts_with("crate::") {
                continue;
            }
            let (path, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let is_there =
                target.exists() && anchor.is_none_or(|anchor| anchors(&text(&target)).contains(&anchor.to_owned()));
            followed += 1;
            if !is_there {
                writeln!(dead, "{}: {link}", page.display()).unwrap();
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{dead}");
    assert!(followed > 50, "{followed}");
}

#[test]
fn shown_files_are_valid() {
    let mut taken = 0;
    for page in pages() {
        for block in blocks(&text(&page)).into_iter().filter(|block| block.language == "yaml") {
            let place = format!("{}:{}", page.display(), block.line);
            let has = |key: &str| block.text.lines().any(|line| line.starts_with(key));
            if has("timeline:") {
                parse_scenario(&block.text, None).unwrap_or_else(|errors| panic!("{place}: {errors}"));
            } else if has("ingress:") {
                parse_ingress(&block.text).unwrap_or_else(|errors| panic!("{place}: {errors}"));
            } else if has("services:") {
                let config = parse(&block.text).unwrap_or_else(|errors| panic!("{place}: {errors}"));
                // Some recipes are for `serve`, which reaches private addresses.
                let warnings = config.warnings.iter().filter(|warning| warning.code != Code::Unreachable);
                assert_eq!(warnings.collect::<Vec<_>>(), [] as [&Diagnostic; 0], "{place}");
            } else {
                continue;
            }
            taken += 1;
        }
    }
    assert!(taken >= 10, "{taken}");
}

/// The commands are parsed but not run, since the files that they name may not exist.
#[test]
fn shown_commands_exist() {
    let mut tried = 0;
    for page in pages() {
        for block in
            blocks(&text(&page)).into_iter().filter(|block| ["sh", "console"].contains(&block.language.as_str()))
        {
            for line in block.text.lines() {
                let line = if block.language == "sh" { line } else { line.strip_prefix("$ ").unwrap_or_default() };
                let line = line.strip_prefix("npx ").unwrap_or(line);
                if !line.starts_with("tunnel-balancer ") {
                    continue;
                }
                // Without redirections and other parts for the shell.
                let command = line.split([';', '|', '>', '#']).next().unwrap_or_default().trim_end();
                let script =
                    format!("eval 'set -- {}'; shift; exec \"$0\" \"$@\" --help", command.replace('\'', "'\\''"));
                let output = Command::new("sh").args(["-c", &script, PROGRAM]).output().unwrap();
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{}:{}: {command}\n{errors}", page.display(), block.line);
                tried += 1;
            }
        }
    }
    assert!(tried >= 30, "{tried}");
}

#[test]
fn every_command_is_in_the_readme() {
    let output = Command::new(PROGRAM).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    // Continuation lines have a larger indentation.
    let lines = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let commands: Vec<&str> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() >= 10, "{commands:?}");
    let readme = text(&root().join("README.md"));
    let table: Vec<&str> = readme.lines().filter(|line| line.starts_with("| [`")).collect();
    for command in commands.into_iter().filter(|command| *command != "help") {
        let named = table.iter().any(|row| row.split(']').next().unwrap_or_default().contains(&format!("`{command}`")));
        assert!(named, "README.md does not document `{command}`");
    }
}

/// Runs the commands of `console` blocks. A line `...` stands for any number of lines; `UPDATE=1`
/// rewrites outputs without such a line. Commands run beside the files of the repository, those of
/// the page's test cases, and `services.yaml` and `worker.js` as the page has shown them last.
/// Commands of the migrations need other machines: `tests/migrations` runs them.
#[cfg(unix)]
#[test]
fn shown_output_is_current() {
    let mut run = 0;
    for page in pages().into_iter().filter(|page| !page.starts_with(root().join(MIGRATIONS))) {
        let directory = clone_for(&page);
        let mut status = 0;
        for block in blocks(&text(&page)) {
            match block.language.as_str() {
                "yaml" if block.text.starts_with("services:") => {
                    fs::write(directory.join("services.yaml"), &block.text).unwrap();
                }
                "js" => fs::write(directory.join("worker.js"), &block.text).unwrap(),
                _ => {}
            }
            // npm has no packages here to run.
            let is_ours = ["$ tunnel-balancer ", "$ npx tunnel-balancer "].iter().any(|it| block.text.starts_with(it));
            if block.language != "console" || !is_ours {
                continue;
            }
            for shown in block.text.strip_prefix("$ ").unwrap_or_default().split("\n$ ") {
                let (command, expected) = shown.split_once('\n').unwrap_or((shown, ""));
                let output = Command::new("sh")
                    .args(["-c", &format!("exec 2>&1; (exit {status}); {}", command.trim_start_matches("npx "))])
                    .current_dir(&directory)
                    .env("PATH", search_path())
                    .output()
                    .unwrap();
                status = output.status.code().unwrap_or(1);
                let printed = String::from_utf8(output.stdout).unwrap();
                run += 1;
                if std::env::var_os("UPDATE").is_some() && !lines(expected).contains(&"...") {
                    // A new command has no output yet.
                    let with = |output: &str| format!("{}\n", format!("$ {command}\n{}", output.trim_end()).trim_end());
                    let (found, update) = (with(expected), with(&printed));
                    fs::write(&page, text(&page).replacen(&found, &update, 1)).unwrap();
                    continue;
                }
                assert!(
                    matches(&lines(expected), &lines(&printed)),
                    "{}:{}: `{command}` prints\n{printed}\nbut the page shows\n{expected}",
                    page.display(),
                    block.line
                );
            }
        }
    }
    assert!(run >= 15, "{run}");
}

/// The directory of the pages about migrations.
const MIGRATIONS: &str = "docs/migrate";

const PROGRAM: &str = env!("CARGO_BIN_EXE_tunnel-balancer");

/// A fenced block of a page.
struct Block {
    language: String,
    text: String,
    /// The line number of its start.
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                open = Some(Block { language: language.to_owned(), text: String::new(), line: index + 2 });
            }
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks
}

/// Returns the text outside of blocks.
fn prose(page: &str) -> String {
    page.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

/// Returns the targets of links, images and link definitions.
fn links(prose: &str) -> Vec<String> {
    let between = |start: &'static str, end: char| {
        prose.split(start).skip(1).filter_map(move |rest| rest.split(end).next()).map(str::to_owned)
    };
    let definitions = prose.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
    between("](", ')')
        .chain(between(" src=\"", '"'))
        .chain(between(" srcset=\"", '"'))
        .chain(definitions.map(|(_, target)| target.to_owned()))
        .collect()
}

/// Returns the anchors that GitHub makes of headings.
fn anchors(page: &str) -> Vec<String> {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        _ => (c.is_alphanumeric() || "-_".contains(c)).then(|| c.to_ascii_lowercase()),
    };
    let heading = |line: &str| {
        line.starts_with('#').then(|| line.trim_start_matches('#').trim().chars().filter_map(kept).collect())
    };
    prose(page).lines().filter_map(heading).collect()
}

fn lines(text: &str) -> Vec<&str> {
    text.trim_end().lines().map(str::trim_end).collect()
}

fn matches(expected: &[&str], printed: &[&str]) -> bool {
    match expected {
        [] => printed.is_empty(),
        ["...", rest @ ..] => (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..])),
        [line, rest @ ..] => printed.split_first().is_some_and(|(first, after)| first == line && matches(rest, after)),
    }
}

/// Returns all pages.
fn pages() -> Vec<PathBuf> {
    let mut pages = pages_below(&root());
    pages.sort();
    assert!(pages.len() >= 10, "{pages:?}");
    pages
}

/// Returns the pages below a directory, without those of packages and of build outputs.
fn pages_below(directory: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && !["build", "node_modules", "target"].contains(&name) {
            pages.extend(pages_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages
}

/// Creates a directory with the files that the commands of a page need.
#[cfg(unix)]
fn clone_for(page: &Path) -> PathBuf {
    let name = page.file_stem().unwrap().to_str().unwrap();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs").join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    for linked in ["examples", "schema"] {
        std::os::unix::fs::symlink(root().join(linked), directory.join(linked)).unwrap();
    }
    let cases = root().join(format!("crates/cli/tests/cmd/{name}.in"));
    let beside = fs::read_dir(cases).into_iter().flatten().map(|entry| entry.unwrap().path());
    let own = ["services.yaml", "wrangler.toml"].map(|file| root().join(file));
    for file in beside.filter(|file| file.is_file()).chain(own) {
        fs::copy(&file, directory.join(file.file_name().unwrap())).unwrap();
    }
    directory
}

#[cfg(unix)]
fn search_path() -> String {
    let program = Path::new(PROGRAM).parent().unwrap();
    format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default())
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
