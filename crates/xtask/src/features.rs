//! The features of the libraries: each library builds with each selection of its features.
//!
//! Cargo unites the features of a workspace, so other steps never build most selections.

use crate::failure::Failure;
use crate::libraries::libraries;
use crate::process::{announce, run};
use crate::workspace::Workspace;

/// Lints each library with features, once for each selection.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    for library in libraries(workspace)?.iter().filter(|library| !library.features.is_empty()) {
        for selection in selections(&library.features) {
            announce(&format!("{} with the features {selection:?}", library.name));
            let mut cargo = workspace.cargo(&["clippy", "--lib", "--no-default-features", "--package", &library.name]);
            run(cargo.args(["--features", &selection.join(","), "--", "-D", "warnings"]))?;
        }
    }
    Ok(())
}

/// Returns all subsets, the smallest first.
fn selections(features: &[String]) -> Vec<Vec<&str>> {
    let mut selections = vec![Vec::new()];
    for feature in features {
        for index in 0..selections.len() {
            let mut larger = selections[index].clone();
            larger.push(feature.as_str());
            selections.push(larger);
        }
    }
    selections.sort_by_key(Vec::len);
    selections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selections_of_three_features_are_eight() {
        let features = ["a", "b", "c"].map(str::to_owned);
        let selections: Vec<_> = selections(&features).into_iter().map(|selection| selection.concat()).collect();
        assert_eq!(selections, ["", "a", "b", "c", "ab", "ac", "bc", "abc"]);
    }
}
