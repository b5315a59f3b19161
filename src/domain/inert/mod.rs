//! Foreign text is inert: job ads are written by strangers, and GitLab runs text.
//!
//! One type a sink; each can only be made by making text harmless for it. GitLab's form keeps the text readable and can
//! be undone exactly.

mod chat;
mod gitlab;
mod last_check;
mod markdown;

pub use chat::{SlackMarkup, WhatsAppLine, chat_length};
pub use gitlab::{GitlabBlock, GitlabLine, GitlabTitle};
pub use last_check::{Danger, Wanted, whole_text_guard};
pub use markdown::GitlabMarkdown;

use serde_json::Value;

/// JSON in which nothing means anything to Markdown: `< > & / @ # ! ~ $ %`, the backtick and everything that is not ASCII
/// are written as `\uXXXX`. Parses back to the same value.
pub fn json_block(value: &Value) -> String {
    let json = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut inert = String::with_capacity(json.len());
    let mut in_text = false;
    let mut escaped = false;
    for c in json.chars() {
        // Outside of texts nothing is foreign.
        let quote = c == '"' && !escaped;
        in_text ^= quote;
        escaped = c == '\\' && !escaped;
        let means_something = !c.is_ascii()
            || c == '\u{7f}'
            || matches!(c, '<' | '>' | '&' | '/' | '@' | '#' | '!' | '`' | '~' | '$' | '%');
        if in_text && means_something {
            for unit in c.encode_utf16(&mut [0; 2]) {
                inert.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            inert.push(c);
        }
    }
    inert
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_json_block_says_nothing_to_markdown_and_reads_back() {
        let value = json!({"a</details>": ["@all #1 !2 `x` --> /close \\/ \" ü 😀", -5, {"b": null}]});
        let block = json_block(&value);
        assert!(!block.contains(['<', '>', '&', '/', '@', '#', '!', '`', 'ü']), "{block}");
        assert_eq!(serde_json::from_str::<Value>(&block).unwrap(), value);
    }

    proptest! {
        #[test]
        fn any_text_in_a_json_block_reads_back(text in any::<String>(), key in any::<String>()) {
            let value = json!({ key: text });
            let block = json_block(&value);
            prop_assert!(block.is_ascii() && !block.contains("\n/"));
            prop_assert_eq!(serde_json::from_str::<Value>(&block).unwrap(), value);
        }
    }
}
