//! The routes of a wrangler.toml.

use std::path::Path;

use toml_edit::{Document, Item, TableLike, Value};

use crate::input;

/// A wrangler.toml.
#[derive(Debug)]
pub(crate) struct WranglerFile {
    pub(crate) name: String,
    pub(crate) routes: Vec<FileRoute>,
}

/// A route as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileRoute {
    /// The line, from 1.
    pub(crate) line: usize,
    pub(crate) pattern: String,
    pub(crate) zone: Option<String>,
    pub(crate) is_custom_domain: bool,
    /// Keys that a route does not have. In TOML, a key below the last route belongs to it.
    pub(crate) other_keys: Vec<String>,
}

impl WranglerFile {
    /// Reads a file.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        Self::parse(&path.display().to_string(), &Self::text(path)?)
    }

    /// Reads the text of a file, which has to be TOML by its name.
    pub(crate) fn text(path: &Path) -> Result<String, String> {
        let is_json = path.extension().is_some_and(|extension| extension == "json" || extension == "jsonc");
        if is_json {
            return Err(format!(
                "error: cannot read {}: only TOML is supported\n  hint: convert it to a wrangler.toml",
                path.display()
            ));
        }
        input::any(path)
    }

    /// Reads the content of a file: its keys `route` and `routes`.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let document: Document<&str> = Document::parse(text).map_err(|error| {
            let line = line_at(text, error.span().map_or(0, |span| span.start));
            format!("{name}:{line}: error: not valid TOML: {}", error.message().lines().next().unwrap_or_default())
        })?;
        let mut routes = Vec::new();
        for key in ["route", "routes"] {
            match document.get(key) {
                Some(Item::ArrayOfTables(tables)) => {
                    routes.extend(tables.iter().map(|table| from_table(text, table, table.span())));
                }
                Some(Item::Value(Value::Array(array))) => {
                    routes.extend(array.iter().map(|value| from_value(text, value)))
                }
                Some(Item::Value(value)) => routes.push(from_value(text, value)),
                Some(Item::Table(table)) => routes.push(from_table(text, table, table.span())),
                Some(Item::None) | None => {}
            }
        }
        match routes.iter().find(|route| route.pattern.is_empty()) {
            Some(route) => {
                Err(format!("{name}:{}: error: expected a route: a string, or a table with `pattern`", route.line))
            }
            None => Ok(Self { name: name.to_owned(), routes }),
        }
    }

    /// The hosts with a custom domain.
    pub(crate) fn custom_domains(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().filter(|route| route.is_custom_domain).map(|route| route.pattern.as_str())
    }
}

fn from_value(text: &str, value: &Value) -> FileRoute {
    match value {
        Value::InlineTable(table) => from_table(text, table, table.span()),
        value => FileRoute {
            line: line_at(text, value.span().map_or(0, |span| span.start)),
            pattern: value.as_str().unwrap_or_default().to_ascii_lowercase(),
            zone: None,
            is_custom_domain: false,
            other_keys: Vec::new(),
        },
    }
}

fn from_table(text: &str, table: &dyn TableLike, span: Option<std::ops::Range<usize>>) -> FileRoute {
    const KEYS: [&str; 5] = ["pattern", "zone_name", "zone_id", "custom_domain", "enabled"];
    let string = |key| table.get(key).and_then(Item::as_str).map(str::to_ascii_lowercase);
    FileRoute {
        line: line_at(text, span.map_or(0, |span| span.start)),
        pattern: string("pattern").unwrap_or_default(),
        zone: string("zone_name"),
        is_custom_domain: table.get("custom_domain").and_then(Item::as_bool).unwrap_or(false),
        other_keys: table.iter().map(|(key, _)| key.to_owned()).filter(|key| !KEYS.contains(&key.as_str())).collect(),
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.get(..offset).unwrap_or_default().matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_in_all_their_forms() {
        let outline = |text: &str| {
            let routes = WranglerFile::parse("wrangler.toml", text).unwrap().routes;
            routes
                .iter()
                .map(|route| format!("{} {} {}", route.line, route.pattern, route.is_custom_domain))
                .collect::<Vec<_>>()
        };
        assert_eq!(outline("name = \"x\"\nroute = \"a.example.com/*\"\n"), ["2 a.example.com/* false"]);
        assert_eq!(outline("route = { pattern = \"A.example.com\", custom_domain = true }"), ["1 a.example.com true"]);
        assert_eq!(
            outline(
                "routes = [\n  \"a.example.com/*\",\n  { pattern = \"b.example.com\", custom_domain = true },\n]\n"
            ),
            ["2 a.example.com/* false", "3 b.example.com true"]
        );
        assert_eq!(
            outline(
                "[[routes]]\npattern = \"a.example.com\"\ncustom_domain = true\n\n[[routes]]\npattern \
                = \"b.example.com/*\"\n"
            ),
            ["1 a.example.com true", "5 b.example.com/* false"]
        );
        assert_eq!(outline("name = \"x\"\n# routes = [\"a.example.com/*\"]\n"), Vec::<String>::new());
    }

    #[test]
    fn keys_below_a_route_are_found() {
        let file = WranglerFile::parse("wrangler.toml", "[[routes]]\npattern = \"a/*\"\nname = \"x\"\n").unwrap();
        assert_eq!(file.routes[0].other_keys, ["name"]);
    }

    #[test]
    fn other_values_are_no_routes() {
        let table = [
            ("routes = [\n  5,\n]", 2),
            ("routes = [{ x = 1 }]", 1),
            ("route = \"\"", 1),
            ("name = \"x\"\nroute = 5", 2),
            ("[[routes]]\npattern = 5", 1),
        ];
        for (text, line) in table {
            let error = WranglerFile::parse("wrangler.toml", text).unwrap_err();
            let expected =
                format!("wrangler.toml:{line}: error: expected a route: a string, or a table with `pattern`");
            assert_eq!(error, expected, "{text}");
        }
    }

    #[test]
    fn json_is_not_supported() {
        for name in ["wrangler.json", "wrangler.jsonc"] {
            let error = WranglerFile::open(Path::new(name)).unwrap_err();
            assert!(error.starts_with(&format!("error: cannot read {name}: only TOML is supported")), "{error}");
        }
    }

    #[test]
    fn errors_have_a_line() {
        let error = WranglerFile::parse("wrangler.toml", "name = \"x\"\nroutes = [\n\"a\n").unwrap_err();
        assert!(error.starts_with("wrangler.toml:3: error: not valid TOML: "), "{error}");
    }
}
