//! JSON conventions of the Beacon API: numbers and bytes are text.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserializer, Serializer, de};

/// Reads a JSON string through the type's `FromStr`.
pub(crate) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct Text<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(PhantomData))
}

/// A bare `u64` as decimal text.
pub(crate) mod quoted {
    use super::{Deserializer, Serializer, from_text};
    use crate::number::Decimal;

    pub(crate) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        from_text::<D, Decimal>(deserializer).map(|decimal| decimal.0)
    }
}

/// A `u64` above zero as decimal text.
pub(crate) mod quoted_above_zero {
    use serde::de::Error;

    use super::{Deserializer, quoted};

    pub(crate) use quoted::serialize;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        match quoted::deserialize(deserializer)? {
            0 => Err(D::Error::custom("must be above zero")),
            number => Ok(number),
        }
    }
}

/// A byte string of any length as `0x` hex text.
pub(crate) mod hex_bytes {
    use super::{Deserializer, Serializer, from_text};

    pub(crate) struct Hex(pub(crate) Vec<u8>);

    impl std::str::FromStr for Hex {
        type Err = hex::FromHexError;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            hex::decode(text.strip_prefix("0x").unwrap_or(text)).map(Self)
        }
    }

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("0x{}", hex::encode(bytes)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        from_text::<D, Hex>(deserializer).map(|hex| hex.0)
    }
}

/// A list of bare `u64`s as decimal texts.
pub(crate) mod quoted_list {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::quoted;

    #[derive(Deserialize)]
    struct Quoted(#[serde(with = "quoted")] u64);

    pub(crate) fn serialize<S: Serializer>(list: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(u64::to_string))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u64>, D::Error> {
        let list = Vec::<Quoted>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|Quoted(number)| number).collect())
    }
}
