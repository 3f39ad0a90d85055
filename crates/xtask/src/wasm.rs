//! A reader for the two sections of a wasm module that tell whether it is pure: what it imports,
//! and how many functions it defines (a module without any would be pure, and prove nothing).

/// What the sections say.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    /// The imports, as `module.name`.
    pub(crate) imports: Vec<String>,
    /// The number of functions defined.
    pub(crate) functions: u32,
}

const IMPORT_SECTION: u8 = 2;
const FUNCTION_SECTION: u8 = 3;

/// Reads a module. `None` if it is not one, or uses a kind of import younger than this parser.
pub(crate) fn summary(module: &[u8]) -> Option<Summary> {
    let mut rest = Reader(module.strip_prefix(b"\0asm\x01\0\0\0")?);
    let mut summary = Summary::default();
    while !rest.0.is_empty() {
        let id = rest.byte()?;
        let size = rest.number()?;
        let mut section = Reader(rest.bytes(size)?);
        match id {
            IMPORT_SECTION => summary.imports = section.imports()?,
            FUNCTION_SECTION => summary.functions = section.number()?,
            _ => {}
        }
    }
    Some(summary)
}

/// The bytes not read yet.
struct Reader<'module>(&'module [u8]);

impl<'module> Reader<'module> {
    fn imports(&mut self) -> Option<Vec<String>> {
        let count = self.number()?;
        (0..count)
            .map(|_| {
                let (module, name) = (self.name()?, self.name()?);
                self.skip_description()?;
                Some(format!("{module}.{name}"))
            })
            .collect()
    }

    /// Skips what kind of thing is imported.
    fn skip_description(&mut self) -> Option<()> {
        match self.byte()? {
            // A function: its type.
            0 => self.number().map(drop),
            // A table: the type of its elements, and limits.
            1 => self.byte().and_then(|_| self.skip_limits()),
            // A memory: limits.
            2 => self.skip_limits(),
            // A global: its type, and whether it can change.
            3 => self.bytes(2).map(drop),
            // A tag: an attribute, and its type.
            4 => self.byte().and_then(|_| self.number()).map(drop),
            _ => None,
        }
    }

    /// A minimum, and a maximum if the lowest bit of the flags says so.
    fn skip_limits(&mut self) -> Option<()> {
        let flags = self.byte()?;
        self.number()?;
        if flags & 1 == 1 {
            self.number()?;
        }
        Some(())
    }

    fn name(&mut self) -> Option<String> {
        let length = self.number()?;
        let bytes = self.bytes(length)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// An unsigned number in LEB128: seven bits a byte, lowest first.
    fn number(&mut self) -> Option<u32> {
        let mut value: u64 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    fn bytes(&mut self, count: u32) -> Option<&'module [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(sections: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        for (id, content) in sections {
            bytes.extend([*id, u8::try_from(content.len()).unwrap()]);
            bytes.extend(*content);
        }
        bytes
    }

    #[test]
    fn an_empty_module_imports_nothing() {
        assert_eq!(summary(&module(&[])), Some(Summary::default()));
    }

    #[test]
    fn every_kind_of_import_is_read_and_other_sections_are_skipped() {
        let imports = b"\x05\
            \x03env\x03now\x00\x81\x01\
            \x01a\x01t\x01\x70\x01\x02\x03\
            \x01a\x01m\x02\x00\x11\
            \x01a\x01g\x03\x7f\x01\
            \x01a\x01e\x04\x00\x02";
        let bytes = module(&[(0, b"custom"), (IMPORT_SECTION, imports), (FUNCTION_SECTION, b"\x02\0\0")]);
        let expected =
            Summary { imports: ["env.now", "a.t", "a.m", "a.g", "a.e"].map(str::to_owned).to_vec(), functions: 2 };
        assert_eq!(summary(&bytes), Some(expected));
    }

    #[test]
    fn what_is_no_module_or_cut_short_is_refused() {
        assert_eq!(summary(b""), None);
        assert_eq!(summary(b"<!doctype html>"), None);
        let mut cut = module(&[(IMPORT_SECTION, b"\x01\x03env\x03now\x00\x01")]);
        cut.pop();
        assert_eq!(summary(&cut), None);
        assert_eq!(summary(&module(&[(IMPORT_SECTION, b"\x01\x03env\x03now\x09")])), None);
    }

    #[test]
    fn numbers_are_at_most_32_bits() {
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 0x0f]).number(), Some(u32::MAX));
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 0x1f]).number(), None);
        assert_eq!(Reader(&[0x80; 6]).number(), None);
    }
}
