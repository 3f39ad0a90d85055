//! Names of values in the configuration, from the tables that also read them.

/// Returns the name of a value in a table of all values.
pub(crate) fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, other)| other == value).map_or("", |(name, _)| name)
}
