//! Writes each seed of every property into a file of its own in `DIRECTORY/NAME/`, for a fuzzer.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use tunnel_balancer_properties::ALL;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: seeds DIRECTORY")?);
    for property in ALL {
        let directory = root.join(property.name);
        fs::create_dir_all(&directory)?;
        for (number, seed) in property.seeds.iter().enumerate() {
            fs::write(directory.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}
