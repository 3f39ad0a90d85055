//! Every policy is described in each document about policies.

use tunnel_balancer_config::policy_names;

use crate::sources::read;

#[test]
fn documents_name_every_policy() {
    let files = ["README.md", "docs/configuration.md", "docs/init.md", "docs/schema.md", "examples/all-settings.yaml"];
    for file in files {
        let text = read(file);
        let missing: Vec<&str> = policy_names().into_iter().filter(|name| !text.contains(name)).collect();
        assert!(missing.is_empty(), "{file} does not name the policies {missing:?}");
    }
    // The reference has the names from the table, and the description of the setting.
    let reference = read("docs/configuration.md");
    let missing: Vec<&str> =
        policy_names().into_iter().filter(|name| !reference.contains(&format!("`{name}`: "))).collect();
    assert!(missing.is_empty(), "the text of `policy` in crates/config/src/settings.rs does not describe {missing:?}");
}
