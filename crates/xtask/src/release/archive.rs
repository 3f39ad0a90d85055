//! Archives with the same bytes for the same files, whatever the machine and the time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use tar::{Builder, Header};

use crate::failure::Failure;

/// The files of an archive, below one folder.
#[derive(Debug)]
pub(crate) struct Archive {
    root: String,
    files: BTreeMap<String, Contents>,
}

#[derive(Debug)]
struct Contents {
    bytes: Vec<u8>,
    mode: u32,
}

impl Archive {
    /// Creates an archive without files, which are unpacked into the folder `root`.
    pub(crate) fn new(root: &str) -> Self {
        Self { root: root.to_owned(), files: BTreeMap::new() }
    }

    /// Adds a file.
    pub(crate) fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), Contents { bytes: bytes.into(), mode: 0o644 });
    }

    /// Adds a file that can be executed.
    pub(crate) fn add_program(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), Contents { bytes: bytes.into(), mode: 0o755 });
    }

    /// Writes the archive, compressed. All files have the time `timestamp`, in seconds since 1970,
    /// and the owner 0.
    pub(crate) fn write(&self, path: &Path, timestamp: u64) -> Result<(), Failure> {
        self.write_to(path, timestamp).map_err(|error| Failure::io("cannot write", path, &error))
    }

    fn write_to(&self, path: &Path, timestamp: u64) -> io::Result<()> {
        let file = BufWriter::new(File::create(path)?);
        let mut archive = Builder::new(GzBuilder::new().mtime(0).write(file, Compression::best()));
        for (name, Contents { bytes, mode }) in &self.files {
            let mut header = Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(*mode);
            header.set_mtime(timestamp);
            header.set_uid(0);
            header.set_gid(0);
            archive.append_data(&mut header, format!("{}/{name}", self.root), &bytes[..])?;
        }
        archive.into_inner()?.finish()?.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn bytes_depend_on_the_files_alone() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, names: [&str; 2]| {
            let mut archive = Archive::new("root");
            names.iter().for_each(|name| archive.add(*name, *name));
            archive.add_program("program", "x");
            let path = directory.path().join(name);
            archive.write(&path, 1).unwrap();
            std::fs::read(path).unwrap()
        };
        let bytes = write("one", ["a", "b/c"]);
        assert_eq!(bytes, write("other", ["b/c", "a"]));
        let mut archive = tar::Archive::new(GzDecoder::new(&bytes[..]));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let (path, header) = (entry.path().unwrap().display().to_string(), entry.header());
            let owner = (header.uid().unwrap(), header.gid().unwrap());
            (path, text, header.mode().unwrap(), header.mtime().unwrap(), owner)
        });
        let expected = [("root/a", "a", 0o644), ("root/b/c", "b/c", 0o644), ("root/program", "x", 0o755)]
            .map(|(path, text, mode)| (path.to_owned(), text.to_owned(), mode, 1, (0, 0)));
        assert_eq!(entries.collect::<Vec<_>>(), expected);
    }
}
