//! An independent validator with the schema, as editors have.

use std::sync::OnceLock;

use boon::{Compiler, SchemaIndex, Schemas};

/// Compares a file with the schema.
pub(crate) fn check(yaml: &str) -> Result<(), String> {
    static SCHEMA: OnceLock<(Schemas, SchemaIndex)> = OnceLock::new();
    let (schemas, index) = SCHEMA.get_or_init(|| {
        let schema = serde_json::from_str(&tunnel_balancer_config::schema()).unwrap();
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("services.schema.json", schema).unwrap();
        let index = compiler.compile("services.schema.json", &mut schemas).unwrap();
        (schemas, index)
    });
    let json = tunnel_balancer_config::as_json(yaml).ok_or("syntax error")?;
    schemas.validate(&json, *index).map_err(|error| error.to_string())
}
