//! The size of the Worker: gzipped, by section of the module, and by crate.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tunnel_balancer_tests::workerd::BuiltWorker;
use wasmparser::{Parser, Payload};

use crate::Result;
use crate::sheet::{Metric, OURS, Sheet};

const SIZE: Metric = Metric::lower("size", "KB");
const SECTIONS: Metric = Metric::lower("size by section", "KB");
const CRATES: Metric = Metric::lower("code by crate", "KB");

/// All metrics of the part.
#[cfg(test)]
pub(crate) const METRICS: &[Metric] = &[SIZE, SECTIONS, CRATES];

/// The number of crates that have a row.
const LARGEST: usize = 20;

/// Measures the built Worker.
pub(crate) fn measure(sheet: &mut Sheet) -> Result<()> {
    let directory = BuiltWorker::find()?.path().to_owned();
    let read = |name: &str| fs::read(directory.join(name)).map_err(|error| format!("{name}: {error}"));
    let (wasm, script) = (read("index_bg.wasm")?, read("index.js")?);
    let gzipped = gzip(&wasm)? + gzip(&script)?;
    sheet.record(SIZE, "gzipped", OURS, kilobytes(gzipped));
    sheet.record(SIZE, "module", OURS, kilobytes(wasm.len()));
    sheet.record(SIZE, "script", OURS, kilobytes(script.len()));

    let symbols = String::from_utf8_lossy(&read("index_bg.symbols")?).into_owned();
    let module = Module::parse(&wasm)?;
    for (section, size) in largest(&module.sections) {
        sheet.record(SECTIONS, section, OURS, kilobytes(size));
    }
    let mut crates: BTreeMap<String, usize> = BTreeMap::new();
    for (index, name) in symbols.lines().filter_map(|line| line.split_once(':')) {
        let index = index.parse::<usize>().map_err(|error| format!("index_bg.symbols: {index}: {error}"))?;
        // The first functions are imports, which have no code.
        let size = index.checked_sub(module.imports).and_then(|index| module.functions.get(index));
        *crates.entry(crate_of(name).to_owned()).or_default() += size.copied().unwrap_or_default();
    }
    for (name, size) in largest(&crates).take(LARGEST) {
        sheet.record(CRATES, name, OURS, kilobytes(size));
    }
    Ok(())
}

/// The sizes inside a module.
#[derive(Debug, Default)]
struct Module {
    sections: BTreeMap<String, usize>,
    /// The number of imported functions.
    imports: usize,
    /// The sizes of the functions, in order.
    functions: Vec<usize>,
}

impl Module {
    fn parse(wasm: &[u8]) -> Result<Self> {
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload.map_err(|error| format!("index_bg.wasm: {error}"))?;
            if let Some((id, range)) = payload.as_section() {
                *module.sections.entry(section_name(id)).or_default() += (range.end - range.start) as usize;
            }
            match payload {
                Payload::ImportSection(imports) => {
                    let is_function =
                        |import: &wasmparser::Import<'_>| matches!(import.ty, wasmparser::TypeRef::Func(_));
                    module.imports = imports.into_imports().flatten().filter(is_function).count();
                }
                Payload::CodeSectionEntry(body) => {
                    let range = body.range();
                    module.functions.push((range.end - range.start) as usize);
                }
                _ => {}
            }
        }
        Ok(module)
    }
}

/// Returns the names of the specification.
fn section_name(id: u8) -> String {
    const NAMES: [&str; 14] = [
        "custom",
        "type",
        "import",
        "function",
        "table",
        "memory",
        "global",
        "export",
        "start",
        "element",
        "code",
        "data",
        "data count",
        "tag",
    ];
    NAMES.get(usize::from(id)).map_or_else(|| format!("section {id}"), |name| (*name).to_owned())
}

/// Returns the crate of a function, such as `alloc` of `alloc::vec::Vec<T>::push`, and of
/// `<alloc::vec::Vec<T> as core::fmt::Debug>::fmt`.
fn crate_of(symbol: &str) -> &str {
    let path =
        symbol.trim_start_matches(['<', '&', '*', '(', '[']).trim_start_matches("mut ").trim_start_matches("dyn ");
    match path.split_once("::") {
        Some((name, _)) if name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') => name,
        _ => "other",
    }
}

fn largest(sizes: &BTreeMap<String, usize>) -> impl Iterator<Item = (&str, usize)> {
    let mut sizes: Vec<(&str, usize)> = sizes.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    sizes.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    sizes.into_iter()
}

fn gzip(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let compressed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    compressed.map(|compressed| compressed.len()).map_err(|error| format!("cannot compress the Worker: {error}"))
}

fn kilobytes(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_belong_to_the_crate_of_their_type() {
        for (symbol, expected) in [
            ("serde_yaml::de::Deserializer::from_str::h0123", "serde_yaml"),
            ("<alloc::vec::Vec<T> as core::fmt::Debug>::fmt::h0123", "alloc"),
            ("<&mut core::slice::Iter<T> as x::Y>::next", "core"),
            ("memcpy", "other"),
            ("<T as core::any::Any>::type_id", "other"),
        ] {
            assert_eq!(crate_of(symbol), expected, "{symbol}");
        }
    }

    #[test]
    fn sections_and_functions_of_a_module_are_counted() {
        // (module (func) (func nop))
        let wasm = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x03\x02\0\0\x0a\x08\x02\x02\0\x0b\x03\0\x01\x0b";
        let module = Module::parse(wasm).unwrap();
        assert_eq!((module.imports, module.functions.as_slice()), (0, [2, 3].as_slice()));
        assert_eq!(module.sections["code"], 8);
    }
}
