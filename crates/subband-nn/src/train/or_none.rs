//! Optional numbers in configuration files, where TOML has no null: the text `none` or the number.
//!
//! For `#[serde(with = "or_none")]`; so a printed configuration shows every field, and a flag can undo what a file says.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::Error as ValueError;
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, Unexpected, Visitor};
use serde::{Serialize, Serializer};

const NONE: &str = "none";

pub(super) fn serialize<T: Serialize, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => value.serialize(serializer),
        None => NONE.serialize(serializer),
    }
}

pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(OrNone(PhantomData))
}

struct OrNone<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrNone<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number or \"{NONE}\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == NONE { Ok(None) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        number(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        number(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        number(value)
    }
}

fn number<'de, T: Deserialize<'de>, E: Error>(value: impl IntoDeserializer<'de, ValueError>) -> Result<Option<T>, E> {
    T::deserialize(value.into_deserializer()).map(Some).map_err(E::custom)
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair {
        #[serde(with = "super")]
        clip: Option<f64>,
        #[serde(with = "super")]
        limit: Option<usize>,
    }

    #[test]
    fn numbers_and_none() {
        for (text, clip, limit) in [
            ("clip = 0.5\nlimit = 3\n", Some(0.5), Some(3)),
            ("clip = 2.0\nlimit = \"none\"\n", Some(2.0), None),
            ("clip = \"none\"\nlimit = 0\n", None, Some(0)),
        ] {
            let pair = Pair { clip, limit };
            assert_eq!(toml::from_str::<Pair>(text).unwrap(), pair);
            assert_eq!(toml::to_string(&pair).unwrap(), text);
        }
        assert_eq!(toml::from_str::<Pair>("clip = 5\nlimit = 1").unwrap().clip, Some(5.0));
        for (text, message) in [
            ("clip = \"off\"\nlimit = 1", "expected a number or \"none\""),
            ("clip = 1\nlimit = 1.5", "expected usize"),
            ("clip = 1\nlimit = -1", "expected usize"),
        ] {
            let error = toml::from_str::<Pair>(text).unwrap_err();
            assert!(error.message().contains(message), "{error}");
        }
    }
}
