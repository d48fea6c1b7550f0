//! A configuration for tests without a database: what is given, and for everything else the plainest value there is: no,
//! 0, nothing, the first of several. So a new setting needs no line in tests that it does not concern.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

use super::Config;

impl Config {
    /// A configuration of what is given, and of plain values.
    pub(crate) fn sample(given: &Value) -> Self {
        Self::deserialize(Sample(given)).unwrap()
    }
}

/// A value, or null for the plainest one of its type.
struct Sample<'a>(&'a Value);

macro_rules! plain {
    ($($method:ident $visit:ident $value:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Value::Null => visitor.$visit($value),
                given => given.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Sample<'de> {
    type Error = Error;

    plain! {
        deserialize_bool visit_bool false;
        deserialize_i8 visit_i64 0;
        deserialize_i16 visit_i64 0;
        deserialize_i32 visit_i64 0;
        deserialize_i64 visit_i64 0;
        deserialize_u8 visit_u64 0;
        deserialize_u16 visit_u64 0;
        deserialize_u32 visit_u64 0;
        deserialize_u64 visit_u64 0;
        deserialize_f64 visit_f64 0.0;
        deserialize_str visit_str "";
        deserialize_string visit_str "";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let list = self.0.as_array().map(Vec::as_slice).unwrap_or_default();
        visitor.visit_seq(SeqDeserializer::new(list.iter().map(Sample)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Some(unknown) =
            self.0.as_object().and_then(|o| o.keys().find(|key| !fields.contains(&key.as_str())))
        {
            return Err(Error::custom(format!("{name} has no field {unknown}")));
        }
        let value = |field: &&'static str| (*field, Sample(self.0.get(field).unwrap_or(&Value::Null)));
        visitor.visit_map(MapDeserializer::new(fields.iter().map(value)))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let first = variants.first().copied().unwrap_or_default();
        visitor.visit_enum(self.0.as_str().unwrap_or(first).into_deserializer())
    }

    forward_to_deserialize_any! {
        i128 u128 f32 char bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Sample<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[test]
fn what_is_given_and_else_plain_values() {
    let given =
        serde_json::json!({"pop3": {"max_errors": 3}, "services": [{"name": "pop3", "enabled": true}]});
    let config = Config::sample(&given);
    assert_eq!((config.pop3.max_errors, config.pop3.idle_timeout_seconds), (3, 0));
    assert!(config.service("pop3").unwrap().enabled && config.certificates.is_empty());
    assert_eq!(config.server.hostname, None);
}
