//! What is said about a decision, whichever way it comes.

use super::posted_match::clean_text;

/// Longest, in characters.
pub const COMMENT_LIMIT: usize = 5_000;

/// What is said about a decision is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most {COMMENT_LIMIT} characters are allowed")]
pub struct CommentTooLong;

/// What is said about a decision, as it is kept; none where nothing is.
///
/// # Errors
///
/// Where it is too long.
pub fn decision_comment(text: &str) -> Result<Option<String>, CommentTooLong> {
    let text = clean_text(text).trim().to_owned();
    if text.chars().count() > COMMENT_LIMIT {
        return Err(CommentTooLong);
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_cleaned_first_and_counted_then() {
        assert_eq!(decision_comment(" call\r\nClara\u{7}\n"), Ok(Some("call\nClara".to_owned())));
        assert_eq!(decision_comment(" \u{0}\n"), Ok(None));
        let longest = "ü".repeat(COMMENT_LIMIT);
        assert_eq!(decision_comment(&format!("{longest}\u{7} \n")), Ok(Some(longest.clone())));
        assert_eq!(decision_comment(&format!("{longest}ü")), Err(CommentTooLong));
    }
}
