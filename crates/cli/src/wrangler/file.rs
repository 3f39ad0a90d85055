//! The routes and bindings of a wrangler.toml, of one of its environments.

use std::path::Path;

use toml_edit::{Document, Item, TableLike, Value};

use crate::input;

/// A wrangler.toml, as wrangler reads it for one environment.
#[derive(Debug)]
pub(crate) struct WranglerFile {
    pub(crate) name: String,
    /// The environment. `None`: the top level.
    pub(crate) environment: Option<String>,
    /// The entry of the Worker, relative to the file.
    pub(crate) entry: Option<String>,
    pub(crate) routes: Vec<FileRoute>,
    /// Whether the routes are those of the top level, which an environment without routes has.
    pub(crate) are_routes_inherited: bool,
    /// The bindings of Workers KV, and of Durable Objects with a migration that creates their
    /// class.
    pub(crate) bindings: Vec<String>,
    /// Whether there is a cron trigger.
    pub(crate) has_cron: bool,
    /// The variables that are strings, with their values.
    pub(crate) variables: Vec<(String, String)>,
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
    /// Reads a file for an environment, which it has to have.
    pub(crate) fn open(path: &Path, environment: Option<&str>) -> Result<Self, String> {
        let (name, text) = (path.display().to_string(), Self::text(path)?);
        let file = Self::parse(&name, &text, environment)?;
        match environment.filter(|it| !has_environment(&text, it)) {
            Some(environment) => Err(format!(
                "error: {name} has no environment `{environment}`\n  hint: add its routes with `tunnel-balancer \
                 generate wrangler --env {environment} --write`"
            )),
            None => Ok(file),
        }
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

    /// Reads the content of a file for an environment. One that the file does not have inherits
    /// everything that wrangler lets environments inherit.
    pub(crate) fn parse(name: &str, text: &str, environment: Option<&str>) -> Result<Self, String> {
        let document: Document<&str> = Document::parse(text).map_err(|error| {
            let line = line_at(text, error.span().map_or(0, |span| span.start));
            format!("{name}:{line}: error: not valid TOML: {}", error.message().lines().next().unwrap_or_default())
        })?;
        let top: &dyn TableLike = document.as_table();
        let own = environment.map_or(Some(top), |environment| environment_of(top, environment));
        let own_routes = own.filter(|own| own.contains_key("route") || own.contains_key("routes"));
        let routes = routes(text, own_routes.unwrap_or(top));
        if let Some(route) = routes.iter().find(|route| route.pattern.is_empty()) {
            let expected = "expected a route: a string, or a table with `pattern`";
            return Err(format!("{name}:{}: error: {expected}", route.line));
        }
        let entry = own.and_then(|own| own.get("main")).or_else(|| top.get("main"));
        let migrations = own.and_then(|own| own.get("migrations")).or_else(|| top.get("migrations"));
        let triggers = own.and_then(|own| own.get("triggers")).or_else(|| top.get("triggers"));
        Ok(Self {
            name: name.to_owned(),
            environment: environment.map(str::to_owned),
            entry: entry.and_then(Item::as_str).map(str::to_owned),
            routes,
            are_routes_inherited: environment.is_some() && own_routes.is_none(),
            bindings: own.map_or_else(Vec::new, |own| bindings(own, migrations)),
            has_cron: triggers.is_some_and(has_cron),
            variables: own.map_or_else(Vec::new, variables),
        })
    }

    /// Returns the hosts with a custom domain.
    pub(crate) fn custom_domains(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().filter(|route| route.is_custom_domain).map(|route| route.pattern.as_str())
    }
}

fn has_environment(text: &str, environment: &str) -> bool {
    Document::parse(text).is_ok_and(|document| environment_of(document.as_table(), environment).is_some())
}

fn environment_of<'t>(top: &'t dyn TableLike, environment: &str) -> Option<&'t dyn TableLike> {
    top.get("env")?.as_table_like()?.get(environment)?.as_table_like()
}

/// Returns the values of the keys `route` and `routes`.
fn routes(text: &str, table: &dyn TableLike) -> Vec<FileRoute> {
    let mut routes = Vec::new();
    for key in ["route", "routes"] {
        match table.get(key) {
            Some(Item::ArrayOfTables(tables)) => {
                routes.extend(tables.iter().map(|table| from_table(text, table, table.span())));
            }
            Some(Item::Value(Value::Array(array))) => routes.extend(array.iter().map(|value| from_value(text, value))),
            Some(Item::Value(value)) => routes.push(from_value(text, value)),
            Some(Item::Table(table)) => routes.push(from_table(text, table, table.span())),
            Some(Item::None) | None => {}
        }
    }
    routes
}

/// Returns the names of the bindings that shared health can use.
fn bindings(table: &dyn TableLike, migrations: Option<&Item>) -> Vec<String> {
    let string = |table: &dyn TableLike, key| table.get(key).and_then(Item::as_str).map(str::to_owned);
    let namespaces = tables(table.get("kv_namespaces")).into_iter().filter_map(|table| string(table, "binding"));
    let migrations = tables(migrations);
    let classes: Vec<&str> = migrations
        .into_iter()
        .filter_map(|migration| migration.get("new_sqlite_classes")?.as_array())
        .flat_map(|classes| classes.iter().filter_map(Value::as_str))
        .collect();
    let objects = table.get("durable_objects").and_then(Item::as_table_like).and_then(|table| table.get("bindings"));
    let objects = tables(objects).into_iter().filter_map(|table| {
        let class = table.get("class_name").and_then(Item::as_str)?;
        string(table, "name").filter(|_| classes.contains(&class))
    });
    namespaces.chain(objects).collect()
}

fn has_cron(triggers: &Item) -> bool {
    let crons = triggers.as_table_like().and_then(|triggers| triggers.get("crons"));
    crons.and_then(Item::as_array).is_some_and(|crons| !crons.is_empty())
}

fn variables(table: &dyn TableLike) -> Vec<(String, String)> {
    let variables = table.get("vars").and_then(Item::as_table_like);
    let strings = variables.into_iter().flat_map(|variables| variables.iter());
    strings.filter_map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned()))).collect()
}

/// Returns the tables of an array such as `[[migrations]]`, or of one with inline tables.
fn tables(item: Option<&Item>) -> Vec<&dyn TableLike> {
    match item {
        Some(Item::ArrayOfTables(tables)) => tables.iter().map(|table| -> &dyn TableLike { table }).collect(),
        Some(Item::Value(Value::Array(array))) => {
            let tables = array.iter().filter_map(Value::as_inline_table);
            tables.map(|table| -> &dyn TableLike { table }).collect()
        }
        _ => Vec::new(),
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
            let routes = WranglerFile::parse("wrangler.toml", text, None).unwrap().routes;
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
        let file = WranglerFile::parse("wrangler.toml", "[[routes]]\npattern = \"a/*\"\nname = \"x\"\n", None).unwrap();
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
            let error = WranglerFile::parse("wrangler.toml", text, None).unwrap_err();
            let expected =
                format!("wrangler.toml:{line}: error: expected a route: a string, or a table with `pattern`");
            assert_eq!(error, expected, "{text}");
        }
    }

    #[test]
    fn json_is_not_supported() {
        for name in ["wrangler.json", "wrangler.jsonc"] {
            let error = WranglerFile::open(Path::new(name), None).unwrap_err();
            assert!(error.starts_with(&format!("error: cannot read {name}: only TOML is supported")), "{error}");
        }
    }

    #[test]
    fn errors_have_a_line() {
        let error = WranglerFile::parse("wrangler.toml", "name = \"x\"\nroutes = [\n\"a\n", None).unwrap_err();
        assert!(error.starts_with("wrangler.toml:3: error: not valid TOML: "), "{error}");
    }

    #[test]
    fn environments_inherit_routes_and_migrations_but_no_bindings() {
        let text = "routes = [\"a.example.com/*\"]
[vars]
A = \"top\"
[[migrations]]
tag = \"v1\"
new_sqlite_classes = [\"Monitor\"]
[triggers]
crons = [\"* * * * *\"]
[durable_objects]
bindings = [{ name = \"MONITOR\", class_name = \"Monitor\" }]
[env.own]
routes = []
vars = { B = \"own\" }
triggers = { crons = [] }
[[env.own.durable_objects.bindings]]
name = \"MONITOR\"
class_name = \"Monitor\"
[env.inherited]
";
        let read = |environment| {
            let file = WranglerFile::parse("wrangler.toml", text, environment).unwrap();
            let routes: Vec<&str> = file.routes.iter().map(|route| route.pattern.as_str()).collect();
            let variables: Vec<&str> = file.variables.iter().map(|(name, _)| name.as_str()).collect();
            format!(
                "{} {} {} {} {}",
                routes.join(","),
                file.are_routes_inherited,
                file.bindings.join(","),
                file.has_cron,
                variables.join(",")
            )
        };
        assert_eq!(read(None), "a.example.com/* false MONITOR true A");
        assert_eq!(read(Some("own")), " false MONITOR false B");
        assert_eq!(read(Some("inherited")), "a.example.com/* true  true ");
        assert_eq!(read(Some("missing")), "a.example.com/* true  true ");
        assert!(has_environment(text, "own") && !has_environment(text, "missing"));
    }
}
