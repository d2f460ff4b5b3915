//! AMF0, the encoding of RTMP's commands. Decoding is bounded.
//!
//! Types and markers are those of Adobe's "Action Message Format -- AMF 0" (2007), section 2.

/// A value. Types that are not needed (dates, references, XML) decode as `Null`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AmfValue {
    Number(f64),
    Boolean(bool),
    String(String),
    Object(Vec<(String, AmfValue)>),
    Null,
}

const NUMBER: u8 = 0;
const BOOLEAN: u8 = 1;
const STRING: u8 = 2;
const OBJECT: u8 = 3;
const NULL: u8 = 5;
const UNDEFINED: u8 = 6;
const REFERENCE: u8 = 7;
const ECMA_ARRAY: u8 = 8;
const OBJECT_END: u8 = 9;
const STRICT_ARRAY: u8 = 10;
const DATE: u8 = 11;
const LONG_STRING: u8 = 12;
const UNSUPPORTED: u8 = 13;
const XML: u8 = 15;
const TYPED_OBJECT: u8 = 16;

/// The deepest nesting that is decoded. Servers use two levels (`ex` within a status).
const MAX_DEPTH: u8 = 8;

impl AmfValue {
    /// A string.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// An object with these fields, in order.
    pub(super) fn object(fields: impl IntoIterator<Item = (&'static str, Self)>) -> Self {
        Self::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The field of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().find(|(field, _)| field == name).map(|(_, value)| value),
            Self::Number(_) | Self::Boolean(_) | Self::String(_) | Self::Null => None,
        }
    }

    /// The text, if this is a string.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Number(_) | Self::Boolean(_) | Self::Object(_) | Self::Null => None,
        }
    }

    /// The number, if this is one.
    pub(super) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Boolean(_) | Self::String(_) | Self::Object(_) | Self::Null => None,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => {
                out.push(NUMBER);
                out.extend(number.to_be_bytes());
            }
            Self::Boolean(value) => out.extend([BOOLEAN, u8::from(*value)]),
            Self::String(text) => {
                if let Ok(length) = u16::try_from(text.len()) {
                    out.push(STRING);
                    out.extend(length.to_be_bytes());
                } else {
                    out.push(LONG_STRING);
                    out.extend(u32::try_from(text.len()).unwrap_or(0).to_be_bytes());
                }
                out.extend(text.as_bytes());
            }
            Self::Object(fields) => {
                out.push(OBJECT);
                write_fields(out, fields);
            }
            Self::Null => out.push(NULL),
        }
    }
}

fn write_fields(out: &mut Vec<u8>, fields: &[(String, AmfValue)]) {
    for (name, value) in fields {
        // The names are our own, and short.
        out.extend(u16::try_from(name.len()).unwrap_or(0).to_be_bytes());
        out.extend(name.as_bytes());
        value.write(out);
    }
    out.extend([0, 0, OBJECT_END]);
}

/// Encodes `values` in a row.
pub(super) fn encode(values: &[AmfValue]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        value.write(&mut out);
    }
    out
}

/// `@setDataFrame` and `onMetaData` with these fields, as an array with its length: some servers read nothing else.
pub(super) fn metadata(fields: &[(String, AmfValue)]) -> Vec<u8> {
    let mut out = encode(&[AmfValue::text("@setDataFrame"), AmfValue::text("onMetaData")]);
    out.push(ECMA_ARRAY);
    out.extend(u32::try_from(fields.len()).unwrap_or(0).to_be_bytes());
    write_fields(&mut out, fields);
    out
}

/// Decodes the values in `bytes`, up to the first that is malformed or incomplete.
pub(super) fn decode(bytes: &[u8]) -> Vec<AmfValue> {
    let mut rest = AmfReader(bytes);
    std::iter::from_fn(|| if rest.0.is_empty() { None } else { rest.value(0) }).collect()
}

/// The rest of the input. `None`: it is malformed.
struct AmfReader<'a>(&'a [u8]);

impl AmfReader<'_> {
    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<f64> {
        self.array().map(f64::from_be_bytes)
    }

    fn short_text(&mut self) -> Option<String> {
        let length = u16::from_be_bytes(self.array()?);
        Some(String::from_utf8_lossy(self.take(length.into())?).into_owned())
    }

    fn long_text(&mut self) -> Option<String> {
        let length = u32::from_be_bytes(self.array()?);
        Some(String::from_utf8_lossy(self.take(usize::try_from(length).ok()?)?).into_owned())
    }

    fn fields(&mut self, depth: u8) -> Option<AmfValue> {
        let mut fields = Vec::new();
        loop {
            let name = self.short_text()?;
            if name.is_empty() && self.0.first() == Some(&OBJECT_END) {
                self.byte()?;
                return Some(AmfValue::Object(fields));
            }
            fields.push((name, self.value(depth + 1)?));
        }
    }

    fn value(&mut self, depth: u8) -> Option<AmfValue> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.byte()? {
            NUMBER => self.number().map(AmfValue::Number),
            BOOLEAN => self.byte().map(|byte| AmfValue::Boolean(byte != 0)),
            STRING => self.short_text().map(AmfValue::String),
            OBJECT => self.fields(depth),
            NULL | UNDEFINED | UNSUPPORTED => Some(AmfValue::Null),
            REFERENCE => self.take(2).map(|_| AmfValue::Null),
            ECMA_ARRAY => {
                // The length is only a hint: the end is marked.
                self.take(4)?;
                self.fields(depth)
            }
            STRICT_ARRAY => {
                let length = u32::from_be_bytes(self.array()?);
                // Each value has at least one byte: a length that is too high ends with the message.
                for _ in 0..length {
                    self.value(depth + 1)?;
                }
                Some(AmfValue::Null)
            }
            DATE => self.take(10).map(|_| AmfValue::Null),
            LONG_STRING => self.long_text().map(AmfValue::String),
            XML => self.long_text().map(|_| AmfValue::Null),
            TYPED_OBJECT => {
                self.short_text()?;
                self.fields(depth)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = AmfValue> {
        let leaf = prop_oneof![
            any::<f64>()
                .prop_filter("not a number is equal to nothing", |number| !number.is_nan())
                .prop_map(AmfValue::Number),
            any::<bool>().prop_map(AmfValue::Boolean),
            ".{0,20}".prop_map(AmfValue::String),
            Just(AmfValue::Null),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            proptest::collection::vec(("[a-z]{1,8}", inner), 0..6).prop_map(AmfValue::Object)
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(all in proptest::collection::vec(values(), 0..5)) {
            prop_assert_eq!(decode(&encode(&all)), all);
        }

        #[test]
        fn whatever_a_server_says_is_read_to_its_end_or_to_what_is_malformed(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0_u8..18], 0..600)
        ) {
            prop_assert!(decode(&bytes).len() <= bytes.len());
        }
    }

    #[test]
    fn what_is_cut_off_or_too_deep_is_left_out() {
        let mut bytes = encode(&[AmfValue::text("_result"), AmfValue::Number(1.0)]);
        bytes.extend([OBJECT, 0, 1, b'a']);
        assert_eq!(decode(&bytes), [AmfValue::text("_result"), AmfValue::Number(1.0)]);
        let nested: Vec<u8> = [OBJECT, 0, 1, b'a'].repeat(10_000);
        assert_eq!(decode(&nested), []);
        let endless: Vec<u8> = [STRICT_ARRAY, 255, 255, 255, 255].repeat(3);
        assert_eq!(decode(&endless), []);
    }

    #[test]
    fn a_text_longer_than_a_short_one_can_be_is_written_as_a_long_one() {
        let long = [AmfValue::text("x".repeat(70_000))];
        assert_eq!(decode(&encode(&long)), long);
    }

    #[test]
    fn arrays_and_types_of_other_servers_are_read() {
        let mut bytes = vec![ECMA_ARRAY, 0, 0, 0, 9, 0, 1, b'a', BOOLEAN, 1, 0, 0, OBJECT_END];
        bytes.extend([TYPED_OBJECT, 0, 1, b'T', 0, 0, OBJECT_END]);
        bytes.extend([STRICT_ARRAY, 0, 0, 0, 2, NULL, UNDEFINED]);
        bytes.extend([DATE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, REFERENCE, 0, 1, XML, 0, 0, 0, 1, b'x']);
        let object = AmfValue::object([("a", AmfValue::Boolean(true))]);
        let all =
            [object, AmfValue::Object(Vec::new()), AmfValue::Null, AmfValue::Null, AmfValue::Null, AmfValue::Null];
        assert_eq!(decode(&bytes), all);
    }
}
