//! The root file system of the container image: the program, root certificates, licenses and the
//! folder of the map. There is no shell and no library.

use std::fs;
use std::io;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::failure::Failure;
use crate::files;
use crate::process::announce;
use crate::workspace::Workspace;

use super::PROGRAM;

/// The root certificates of this machine and of the image: servers with HTTPS are verified by them.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// The size limit in bytes, uncompressed.
const LIMIT: u64 = 15_000_000;

/// The folder of the map.
const MAP: &str = "etc/tunnel-balancer";

/// Replaces a directory by the root file system.
pub(crate) fn assemble(workspace: &Workspace, program: &Path, directory: &Path) -> Result<(), Failure> {
    files::remove(directory)?;
    files::create(&directory.join(MAP))?;
    files::copy(program, &directory.join(PROGRAM))?;
    let certificates = Path::new("/").join(CERTIFICATES);
    files::copy(&certificates, &directory.join(CERTIFICATES))
        .map_err(|failure| failure.hint("install the package ca-certificates"))?;
    for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
        files::copy(&workspace.root().join(license), &directory.join("usr/share/doc").join(PROGRAM).join(license))?;
    }
    Ok(())
}

/// Checks the size of a root file system, and prints it.
pub(crate) fn check_size(directory: &Path) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::io("cannot read", directory, &error);
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    archive.append_dir_all("", directory).map_err(cannot)?;
    let packed = archive.into_inner().and_then(GzEncoder::finish).map_err(cannot)?.len() as u64;
    let size = size(directory).map_err(cannot)?;
    announce(&format!("the image has {:.1} MB, {:.1} MB gzipped", megabytes(size), megabytes(packed)));
    match size <= LIMIT {
        true => Ok(()),
        false => Err(Failure::new(format!("the image is larger than {:.0} MB", megabytes(LIMIT)))),
    }
}

/// Returns the sum of the sizes of all files.
fn size(directory: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
