//! A map by name for stored state, which is small.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A map from names to values, in the order of the names. As JSON, it is an object.
///
/// A sorted list: the code of a `BTreeMap` has several kilobytes for each type of value, which a
/// Worker has no room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameMap<V>(Vec<(String, V)>);

impl<V> NameMap<V> {
    /// Returns the value of a name.
    pub fn get(&self, name: &str) -> Option<&V> {
        let index = self.find(name).ok()?;
        self.0.get(index).map(|(_, value)| value)
    }

    /// Returns the value of a name, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        let index = self.find(name).ok()?;
        self.0.get_mut(index).map(|(_, value)| value)
    }

    /// Returns whether there is a value of a name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Sets the value of a name.
    pub fn insert(&mut self, name: String, value: V) {
        match self.get_mut(&name) {
            Some(old) => *old = value,
            None => {
                let index = self.find(&name).unwrap_or_else(|index| index);
                self.0.insert(index, (name, value));
            }
        }
    }

    /// Removes a name.
    pub fn remove(&mut self, name: &str) {
        if let Ok(index) = self.find(name) {
            self.0.remove(index);
        }
    }

    /// Removes the entries for which `keep` returns `false`.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &V) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// Returns the entries in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns the values in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Returns the values in the order of their names, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the index of a name, or where it would be inserted.
    fn find(&self, name: &str) -> Result<usize, usize> {
        // Names often arrive in order.
        if self.0.last().is_none_or(|(last, _)| last.as_str() < name) {
            return Err(self.0.len());
        }
        self.0.binary_search_by(|(other, _)| other.as_str().cmp(name))
    }
}

impl<V: Default> NameMap<V> {
    /// Returns the value of a name, to change it. Adds a default one if there is none.
    #[expect(clippy::indexing_slicing, reason = "the entry was found or inserted")]
    pub fn get_or_default(&mut self, name: &str) -> &mut V {
        let index = self.find(name).unwrap_or_else(|index| {
            self.0.insert(index, (name.to_owned(), V::default()));
            index
        });
        &mut self.0[index].1
    }
}

impl<V> Default for NameMap<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> FromIterator<(String, V)> for NameMap<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        entries.into_iter().for_each(|(name, value)| map.insert(name, value));
        map
    }
}

impl<V> IntoIterator for NameMap<V> {
    type Item = (String, V);
    type IntoIter = std::vec::IntoIter<(String, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<V: Serialize> Serialize for NameMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for NameMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = NameMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<NameMap<V>, A::Error> {
                let mut map = NameMap::default();
                while let Some(name) = access.next_key()? {
                    map.insert(name, access.next_value()?);
                }
                Ok(map)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_behaves_like_a_btree_map(
            steps in prop::collection::vec((0..4, 0..12_u32, 0..100_u32), 0..60),
        ) {
            let (mut map, mut expected) = (NameMap::default(), BTreeMap::new());
            for (step, name, value) in steps {
                let name = format!("n{name}");
                match step {
                    0 => {
                        map.insert(name.clone(), value);
                        expected.insert(name.clone(), value);
                    }
                    1 => {
                        map.remove(&name);
                        expected.remove(&name);
                    }
                    2 => {
                        *map.get_or_default(&name) += value;
                        *expected.entry(name.clone()).or_default() += value;
                    }
                    _ => {
                        map.retain(|_, kept| kept % 3 > 0);
                        expected.retain(|_, kept| *kept % 3 > 0);
                    }
                }
                prop_assert!(map.iter().eq(expected.iter().map(|(name, value)| (name.as_str(), value))));
                prop_assert_eq!(map.get(&format!("n{value}")), expected.get(&format!("n{value}")));
                prop_assert_eq!((map.len(), map.is_empty()), (expected.len(), expected.is_empty()));
            }
            let json = serde_json::to_string(&expected).unwrap();
            prop_assert_eq!(&serde_json::to_string(&map).unwrap(), &json);
            prop_assert_eq!(serde_json::from_str::<NameMap<u32>>(&json).unwrap(), map);
        }
    }

    #[test]
    fn the_last_of_equal_names_is_kept_in_any_order() {
        let map: NameMap<u32> = serde_json::from_str(r#"{ "b": 1, "a": 2, "b": 3 }"#).unwrap();
        assert_eq!(map.iter().collect::<Vec<_>>(), [("a", &2), ("b", &3)]);
    }
}
