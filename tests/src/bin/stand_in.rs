//! Takes the place of programs that a test cannot run, such as `ssh` or `npx wrangler`.
//!
//! It is started under the name of such a program. It sends its name, arguments, directory and
//! input to the address in [`ADDRESS`] as one line of JSON, and prints the `output` of the response
//! to stdout. Its exit code is the `status`. See `tests/migrations`.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::{env, io};

use serde_json::{Value, json};

/// The variable with the address of the test.
const ADDRESS: &str = "STAND_IN_ADDRESS";

fn main() -> ExitCode {
    match run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("stand_in: {error}");
            ExitCode::from(125)
        }
    }
}

fn run() -> Result<u8, Box<dyn Error>> {
    let mut arguments = env::args();
    let program = arguments.next().unwrap_or_default();
    let program = Path::new(&program).file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    let call = json!({
        "program": program,
        "arguments": arguments.collect::<Vec<_>>(),
        "directory": env::current_dir()?,
        "input": input,
    });
    let mut test = TcpStream::connect(env::var(ADDRESS)?)?;
    writeln!(test, "{call}")?;
    let mut response = String::new();
    BufReader::new(test).read_line(&mut response)?;
    let response: Value = serde_json::from_str(&response)?;
    print!("{}", response["output"].as_str().unwrap_or_default());
    Ok(response["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(1))
}
