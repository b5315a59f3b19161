//! The text of one match or of several: what cannot be read of several fails alone.

use serde_json::Value;
use serde_json::value::RawValue;

use super::posted_match::FieldError;

/// What Windows programs begin a file with.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What was posted, not judged yet.
#[derive(Debug)]
pub enum Posted {
    /// One value.
    One(Value),
    /// A list; in place of what nobody can read, why.
    Several(Vec<Result<Value, FieldError>>),
}

/// Reads a JSON text.
///
/// # Errors
///
/// Where it is none, or the one value in it cannot be read.
pub fn read(text: &[u8]) -> serde_json::Result<Posted> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        return serde_json::from_slice(text).map(Posted::One);
    }
    // Half a character, a number that is too large, or what is nested too deeply is JSON all the same.
    let elements: Vec<&RawValue> = serde_json::from_slice(text)?;
    let element = |raw: &RawValue| {
        serde_json::from_str(raw.get()).map_err(|error| FieldError {
            field: String::new(),
            message: format!("this element cannot be read: {error}"),
        })
    };
    Ok(Posted::Several(elements.into_iter().map(element).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_read_of_several_fails_alone() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let text = format!("\u{feff} [{{\"a\": 1}}, \"\\ud83d\", 1e400, {deep}, 2]");
        let Ok(Posted::Several(values)) = read(text.as_bytes()) else { panic!("a list") };
        let read: Vec<Option<Value>> = values.into_iter().map(Result::ok).collect();
        assert_eq!(read, [Some(json!({"a": 1})), None, None, None, Some(json!(2))]);
    }

    #[test]
    fn what_is_no_json_is_refused_as_a_whole() {
        for text in ["", "[", "[1,]", "[1] 2", "{\"a\": 1", "[\"\u{0}\"]", "\"\\ud83d\""] {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(read(b"[\"\xff\"]").is_err(), "it is no UTF-8");
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(text in "[\\[\\]{}:,\"\\\\u0-9de. a]{0,40}") {
            let whole = serde_json::from_str::<Value>(&text).ok();
            let ours = match read(text.as_bytes()) {
                Ok(Posted::One(value)) => Some(value),
                Ok(Posted::Several(values)) => values.into_iter().collect::<Result<_, _>>().ok().map(Value::Array),
                Err(_) => None,
            };
            prop_assert_eq!(ours, whole);
        }
    }
}
