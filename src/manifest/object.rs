//! Structs that are read from a JSON object, and never from a JSON list.
//!
//! What serde derives for a struct takes a JSON list as well, its fields by position: a
//! list in the place of a record would be read as one, or refused for a field that is
//! nowhere to be seen.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A struct that is read from an object only.
pub(super) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

pub(super) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let all = Vec::<Object<T>>::deserialize(deserializer)?;
    let mut all: Vec<T> = all.into_iter().map(|object| object.0).collect();
    // Most lists have one item, and were made for four.
    all.shrink_to_fit();
    Ok(all)
}

pub(super) fn objects_by<'de, K, T, D>(deserializer: D) -> Result<BTreeMap<K, Box<T>>, D::Error>
where
    K: Deserialize<'de> + Ord,
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let all = BTreeMap::<K, Object<T>>::deserialize(deserializer)?;
    Ok(all.into_iter().map(|(key, object)| (key, Box::new(object.0))).collect())
}
