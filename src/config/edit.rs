//! Changing settings in YAML that people wrote: comments, order and their way of writing stay.

use std::collections::BTreeMap;

use serde_json::Value;
use yaml_edit::path::YamlPath as _;
use yaml_edit::{Document, ScalarValue, YamlValue};

use super::layers::leaves;
use super::{File, WrongSetting};

/// Begins a document that has no key yet; gone once the first one is set.
const EMPTY: &str = "first_key: 0\n";
const EMPTY_KEY: &str = "first_key";

/// Sets keys, or removes those whose value is null, and makes sure that the result says just that. `at` and `every` are
/// one choice: who sets one takes the other away.
///
/// # Errors
///
/// Where the text is no YAML that can be edited or the result would say something else; the key is empty where it is
/// about the text as a whole.
pub fn edit(yaml: &str, changes: &[(String, Value)]) -> Result<String, WrongSetting> {
    let changes = with_one_choice(changes)?;
    let before = File::parse(yaml);
    // What cannot be understood may be what a change mends.
    let before = before.as_ref().map_or_else(|_| BTreeMap::new(), leaves);
    let changes = leaf_by_leaf(changes, &before);
    let mut wanted = before.clone();
    for (key, value) in &changes {
        match value {
            Value::Null => drop(wanted.remove(key)),
            value => drop(wanted.insert(key.clone(), value.clone())),
        }
    }
    let text =
        if is_comments_alone(yaml) { first_keys(yaml, &changes)? } else { edited(yaml, &changes, &wanted)? };
    let said = File::parse(&text)
        .map_err(|error| wrong(&error.key, format!("line {}: {}", error.line, error.message)))?;
    let said = leaves(&said);
    // Of a text that could not be understood only what was asked for is known.
    let differs = |key: &&String| match (wanted.get(*key), said.get(*key)) {
        (None, None) => false,
        (Some(Value::Number(wanted)), Some(said)) => wanted.as_f64() != said.as_f64(),
        (wanted, said) => wanted != said,
    };
    let asked = changes.iter().map(|(key, _)| key);
    let all = asked.chain(before.keys()).chain(said.keys().filter(|_| !before.is_empty()));
    match all.into_iter().find(differs) {
        None => Ok(text),
        Some(key) => {
            Err(wrong(key, "the YAML is written in a way that cannot be edited here; edit it in GitLab"))
        }
    }
}

/// The changes, and the removal of what they take the place of.
fn with_one_choice(changes: &[(String, Value)]) -> Result<Vec<(String, Value)>, WrongSetting> {
    let mut all = changes.to_vec();
    for (key, value) in changes {
        let other = match key.rsplit_once('.') {
            Some((batch, "at")) => format!("{batch}.every"),
            Some((batch, "every")) => format!("{batch}.at"),
            _ => continue,
        };
        match changes.iter().find(|(key, _)| *key == other) {
            Some((_, said)) if !value.is_null() && !said.is_null() => {
                return Err(wrong(key, format!("stands beside {other}; only one of the two can be set")));
            }
            Some(_) => {}
            None if value.is_null() => {}
            None => all.push((other, Value::Null)),
        }
    }
    Ok(all)
}

/// The changes, with the removal of a whole block as that of each key in it.
fn leaf_by_leaf(changes: Vec<(String, Value)>, before: &BTreeMap<String, Value>) -> Vec<(String, Value)> {
    let below = |key: &str| {
        let block = format!("{key}.");
        before.keys().filter(move |leaf| leaf.starts_with(&block)).cloned().collect::<Vec<_>>()
    };
    let leaves = |(key, value): (String, Value)| match below(&key) {
        leaves if value.is_null() && !leaves.is_empty() => {
            leaves.into_iter().map(|leaf| (leaf, Value::Null)).collect()
        }
        _ => vec![(key, value)],
    };
    changes.into_iter().flat_map(leaves).collect()
}

/// Keys below comments that stay as they are.
fn first_keys(comments: &str, changes: &[(String, Value)]) -> Result<String, WrongSetting> {
    let mut text = comments.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if changes.iter().all(|(_, value)| value.is_null()) {
        return Ok(text);
    }
    let document = parsed(EMPTY)?;
    for (key, value) in changes.iter().filter(|(_, value)| !value.is_null()) {
        set(&document, key, value)?;
    }
    document.try_remove_path(EMPTY_KEY).map_err(|error| cannot(EMPTY_KEY, &error))?;
    text.push_str(&document.to_string());
    Ok(text)
}

fn edited(
    yaml: &str,
    changes: &[(String, Value)],
    wanted: &BTreeMap<String, Value>,
) -> Result<String, WrongSetting> {
    let document = parsed(yaml)?;
    for (key, value) in changes {
        if !value.is_null() {
            set(&document, key, value)?;
        }
    }
    for (key, _) in changes.iter().filter(|(_, value)| value.is_null()) {
        // What is left empty above it goes with it.
        let mut gone = key.as_str();
        while let Some((above, _)) = gone.rsplit_once('.') {
            let below = format!("{above}.");
            if wanted.keys().any(|key| key.starts_with(&below)) {
                break;
            }
            gone = above;
        }
        if document.try_get_path(gone).is_ok() {
            document.try_remove_path(gone).map_err(|error| cannot(gone, &error))?;
        }
    }
    let text = document.to_string();
    if wanted.is_empty() {
        // Nothing is said any more; the comments stay.
        return Ok(text.lines().filter(|line| line.trim() != "{}").map(|line| format!("{line}\n")).collect());
    }
    Ok(text)
}

fn parsed(yaml: &str) -> Result<Document, WrongSetting> {
    yaml.parse::<Document>().map_err(|error| cannot("", &error))
}

fn set(document: &Document, key: &str, value: &Value) -> Result<(), WrongSetting> {
    let done = match value {
        Value::Null => Ok(()),
        Value::Bool(flag) => document.try_set_path(key, *flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => document.try_set_path(key, whole),
            None => document.try_set_path(key, number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => document.try_set_path(key, scalar(text)),
        Value::Array(items) => {
            let items: Vec<YamlValue> = items.iter().filter_map(Value::as_str).map(scalar).collect();
            document.try_set_path(key, items)
        }
        Value::Object(_) => return Err(wrong(key, "is no single value")),
    };
    done.map_err(|error| cannot(key, &error))
}

/// A text; a time in quotes, for to a reader of YAML 1.1 `20:00` is the number 1200.
fn scalar(text: &str) -> YamlValue {
    let is_time = text.contains(':') && text.chars().all(|c| c.is_ascii_digit() || c == ':');
    if is_time { YamlValue::from(ScalarValue::double_quoted(text)) } else { YamlValue::from(text) }
}

fn cannot(key: &str, error: &dyn std::fmt::Display) -> WrongSetting {
    wrong(key, format!("the YAML cannot be edited: {error}"))
}

fn wrong(key: &str, message: impl Into<String>) -> WrongSetting {
    WrongSetting { key: key.to_owned(), message: message.into() }
}

fn is_comments_alone(yaml: &str) -> bool {
    yaml.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn changed(yaml: &str, changes: &[(&str, Value)]) -> String {
        let changes: Vec<_> = changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        edit(yaml, &changes).unwrap()
    }

    #[test]
    fn comments_and_the_way_of_writing_stay() {
        let yaml = "# ours\nbatch: {mode: immediate, max: 20}   # at or every\nmin_score: 70 # percent\n";
        let after = changed(
            yaml,
            &[("batch.mode", json!("digest")), ("batch.at", json!(["08:00"])), ("min_score", json!(80.5))],
        );
        assert!(after.starts_with("# ours\nbatch: {mode: digest, max: 20"), "{after}");
        assert!(after.contains("# at or every") && after.contains("min_score: 80.5 # percent"), "{after}");
        assert_eq!(
            changed("language: de # or en\nmin_score: 70\n", &[("min_score", Value::Null)]).trim(),
            "language: de # or en"
        );
    }

    #[test]
    fn a_file_of_comments_gets_its_first_key() {
        let after = changed(
            "# min_score: 70\n",
            &[("quiet_hours.from", json!("22:00")), ("quiet_hours.to", json!("07:00"))],
        );
        assert!(after.starts_with("# min_score: 70\n"), "{after}");
        let file = File::parse(&after).unwrap();
        assert_eq!(file.quiet_hours.unwrap().from.as_deref(), Some("22:00"));
    }

    #[test]
    fn an_empty_block_gets_its_first_key_and_loses_its_last() {
        for comments in ["", "# min_score: 70", "# min_score: 70\n"] {
            let after = changed(comments, &[("channels.todo.enabled", json!(false))]);
            let begin = if comments.is_empty() { "" } else { "# min_score: 70\n" };
            assert_eq!(after, format!("{begin}channels:\n  todo:\n    enabled: false\n"));
            assert_eq!(changed(&after, &[("channels.todo.enabled", Value::Null)]), begin);
            assert_eq!(changed(comments, &[("min_score", Value::Null)]), begin);
        }
        assert_eq!(
            changed("quiet_hours: {from: \"22:00\"}\nlanguage: en\n", &[("quiet_hours.from", Value::Null)])
                .trim(),
            "language: en"
        );
    }

    #[test]
    fn a_whole_block_can_be_removed() {
        let yaml = "language: en\nquiet_hours:\n  from: \"22:00\"\n  to: \"07:00\"\nbatch: {mode: digest, at: [\"08:00\"]}\n";
        let after = changed(yaml, &[("quiet_hours", Value::Null), ("batch", Value::Null)]);
        assert_eq!(after.trim(), "language: en");
        assert_eq!(changed(&after, &[("quiet_hours", Value::Null)]).trim(), "language: en");
    }

    #[test]
    fn times_are_quoted() {
        let after = changed(
            "min_score: 70\n",
            &[("quiet_hours.from", json!("20:00")), ("batch.at", json!(["8:00", "17:30"]))],
        );
        for part in ["from: \"20:00\"", "\"8:00\"", "\"17:30\""] {
            assert!(after.contains(part), "{part} in {after}");
        }
    }

    #[test]
    fn who_sets_at_takes_every_away_and_the_reverse() {
        let at = changed("batch: {mode: digest, every: 2h}\n", &[("batch.at", json!(["08:00"]))]);
        assert_eq!(at.trim(), "batch: {mode: digest, at: [\"08:00\"]}");
        let every = changed(&at, &[("batch.every", json!("3h"))]);
        assert_eq!(every.trim(), "batch: {mode: digest, every: 3h}");
        let own = "channels:\n  email:\n    batch:\n      mode: digest\n      at: [\"08:00\"]\n";
        let own = changed(own, &[("channels.email.batch.every", json!("2h"))]);
        assert_eq!(own.trim(), "channels:\n  email:\n    batch:\n      mode: digest\n      every: 2h");
        let both = [("batch.at".to_owned(), json!(["08:00"])), ("batch.every".to_owned(), json!("2h"))];
        let error = edit("", &both).unwrap_err();
        assert_eq!(error.key, "batch.at");
        assert!(error.message.contains("batch.every"), "{error:?}");
    }

    #[test]
    fn a_change_may_mend_what_cannot_be_understood() {
        assert_eq!(
            changed("min_score: abc\nlanguage: en\n", &[("min_score", json!(80))]).trim(),
            "min_score: 80\nlanguage: en"
        );
    }

    proptest! {
        /// Nothing that stands in a value becomes a key of its own.
        #[test]
        fn a_value_stays_a_value(text in any::<String>()) {
            let edited = edit("min_score: 70\n", &[("quiet_hours.timezone".to_owned(), json!(text))]);
            if let Ok(yaml) = edited {
                let file = File::parse(&yaml).unwrap();
                prop_assert_eq!(file.quiet_hours.unwrap().timezone, Some(text));
                prop_assert_eq!((file.min_score, file.reviewers), (Some(70.0), None));
            }
        }
    }
}
