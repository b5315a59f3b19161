//! Changing settings in YAML that people wrote: comments, order and their way of writing stay.

use serde_json::Value;
use yaml_edit::path::YamlPath as _;
use yaml_edit::{Document, YamlValue};

use super::File;
use super::layers::leaves;

/// Sets keys, or removes those whose value is null, and makes sure that the result says just that.
///
/// # Errors
///
/// In words, where the text is no YAML that can be edited or the result would say something else.
pub fn edit(yaml: &str, changes: &[(String, Value)]) -> Result<String, String> {
    let (comments, document) = if is_comments_alone(yaml) {
        (yaml.to_owned(), Document::new())
    } else {
        let document =
            yaml.parse::<Document>().map_err(|error| format!("the YAML cannot be edited: {error}"))?;
        (String::new(), document)
    };
    for (key, value) in changes {
        let edited = match value {
            Value::Null if document.try_get_path(key).is_err() => Ok(()),
            Value::Null => document.try_remove_path(key).map(drop),
            Value::Bool(flag) => document.try_set_path(key, *flag),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => document.try_set_path(key, whole),
                None => document.try_set_path(key, number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => document.try_set_path(key, text.as_str()),
            Value::Array(items) => {
                let items: Vec<YamlValue> =
                    items.iter().filter_map(Value::as_str).map(YamlValue::from).collect();
                document.try_set_path(key, items)
            }
            Value::Object(_) => return Err(format!("{key}: is no single value")),
        };
        edited.map_err(|error| format!("{key}: the YAML cannot be edited: {error}"))?;
    }
    let text = format!("{comments}{document}");
    let said = File::parse(&text).map_err(|(line, error)| format!("line {line}: {error}"))?;
    let said = leaves(&said);
    for (key, value) in changes {
        let there = said.get(key);
        let same = match value {
            Value::Null => there.is_none(),
            Value::Number(number) => there.and_then(Value::as_f64) == number.as_f64(),
            // Where both are said, `at` counts; `every` stays written all the same.
            value => there == Some(value) || (there.is_none() && key.ends_with(".every")),
        };
        if !same {
            return Err(format!(
                "{key}: the YAML is written in a way that cannot be edited here; edit it in GitLab"
            ));
        }
    }
    Ok(text)
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
