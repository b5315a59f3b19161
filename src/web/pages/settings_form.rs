//! The fields of the settings form: what each shows, and what somebody changed in it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::error_words::Complaint;
use super::forms::Fields;
use crate::config::{Origin, Setting, WrongSetting};
use crate::domain::Channel;
use crate::engine::Engine;

/// The days of the week as settings call them.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// How a value is written in the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    /// Several, with commas between.
    List,
    /// Yes or no; what holds where nobody says so.
    Flag(bool),
    /// One of a few words; the first may be empty.
    Choice(&'static [&'static str]),
    Days,
}

/// A field as the template sees it.
#[derive(Serialize)]
pub(super) struct Field {
    key: String,
    /// The last part of the key: the words for it hang on it.
    name: String,
    kind: &'static str,
    options: Vec<&'static str>,
    /// What stands in it; for days and flags, what is ticked.
    value: Value,
    /// Who says so: `default`, `file`, `issue` or `environment`; none where nobody does.
    origin: Option<Value>,
    /// What fixes it, as `origin` says it; none where nothing does.
    fixed_by: Option<Value>,
    /// What is wrong with it.
    wrong: Vec<Complaint>,
    /// What it became meanwhile, where the form asks for something else.
    meanwhile: Option<String>,
}

/// What the form has fields for, group by group.
fn layout() -> Vec<(&'static str, Vec<(String, Kind)>)> {
    let own = |keys: &[(&str, Kind)]| keys.iter().map(|(key, kind)| ((*key).to_owned(), *kind)).collect();
    let mut groups = vec![
        (
            "matches",
            own(&[
                ("min_score", Kind::Number),
                ("reviewers", Kind::List),
                ("language", Kind::Choice(&["de", "en"])),
                ("enforce_reviewers", Kind::Flag(false)),
            ]),
        ),
        (
            "batch",
            own(&[
                ("batch.mode", Kind::Choice(&["immediate", "digest"])),
                ("batch.at", Kind::List),
                ("batch.every", Kind::Text),
                ("batch.max", Kind::Number),
            ]),
        ),
        (
            "quiet_hours",
            own(&[
                ("quiet_hours.from", Kind::Text),
                ("quiet_hours.to", Kind::Text),
                ("quiet_hours.days", Kind::Days),
                ("quiet_hours.urgent_score", Kind::Number),
                ("quiet_hours.timezone", Kind::Text),
            ]),
        ),
        (
            "follow_up",
            own(&[
                ("remind_after", Kind::Text),
                ("expire_after", Kind::Text),
                ("quiet_alarm_after", Kind::Text),
            ]),
        ),
    ];
    for channel in Channel::MESSAGES {
        let kinds = [
            ("enabled", Kind::Flag(true)),
            ("delay", Kind::Text),
            ("batch.mode", Kind::Choice(&["", "immediate", "digest"])),
            ("batch.at", Kind::List),
            ("batch.every", Kind::Text),
            ("quiet_hours.from", Kind::Text),
            ("quiet_hours.to", Kind::Text),
            ("action_links", Kind::Flag(channel == Channel::Email)),
        ];
        let fields = kinds.iter().map(|(name, kind)| (format!("channels.{channel}.{name}"), *kind)).collect();
        groups.push((channel.as_str(), fields));
    }
    groups.push(("todo", own(&[("channels.todo.enabled", Kind::Flag(true))])));
    groups
}

/// The values that the form shows, by their keys; of what somebody typed in it, those that they typed over.
pub(super) fn seen(engine: &Engine, typed: Option<&Fields>) -> BTreeMap<String, Value> {
    let now = current(engine);
    let saw = saw(typed);
    let seen = |(key, kind): (String, Kind)| {
        let over = typed
            .zip(saw.get(&key))
            .filter(|(typed, saw)| shown(kind, saw) != as_sent(kind, &key, typed))
            .filter(|_| engine.setting_fixed_by(&key).is_none())
            .map(|(_, saw)| saw);
        let value = over.or_else(|| now.get(&key).map(|setting| &setting.value));
        (key.clone(), value.cloned().unwrap_or_default())
    };
    layout().into_iter().flat_map(|(_, fields)| fields).map(seen).collect()
}

/// What a form that was sent had shown.
fn saw(sent: Option<&Fields>) -> BTreeMap<String, Value> {
    sent.and_then(|sent| serde_json::from_str(sent.one("seen")).ok()).unwrap_or_default()
}

fn current(engine: &Engine) -> BTreeMap<String, Setting> {
    engine.explain_settings().into_iter().map(|setting| (setting.key.clone(), setting)).collect()
}

/// The form: as it was sent where it was, else as things are.
pub(super) fn groups(
    engine: &Engine,
    sent: Option<&Fields>,
    wrong: &[WrongSetting],
    meanwhile: &[String],
) -> BTreeMap<&'static str, Vec<Field>> {
    let now = current(engine);
    let saw = saw(sent);
    let field = |(key, kind): (String, Kind)| {
        let setting = now.get(&key);
        let value = setting.map_or(&Value::Null, |setting| &setting.value);
        let fixed_by = engine.setting_fixed_by(&key).map(|_| fixed_by(&key, &now));
        let sent = sent.filter(|_| fixed_by.is_none());
        Field {
            name: key.rsplit('.').next().unwrap_or_default().to_owned(),
            kind: match kind {
                Kind::Number => "number",
                Kind::Text => "text",
                Kind::List => "list",
                Kind::Flag(_) => "flag",
                Kind::Choice(_) => "choice",
                Kind::Days => "days",
            },
            options: match kind {
                Kind::Choice(options) => options.to_vec(),
                Kind::Days => DAYS.to_vec(),
                _ => Vec::new(),
            },
            value: match sent.map(|fields| as_sent(kind, &key, fields)) {
                // What nobody touched is shown as it is: somebody else may have changed it.
                Some(typed) if saw.get(&key).is_none_or(|saw| shown(kind, saw) != typed) => typed,
                _ => shown(kind, value),
            },
            origin: setting.map(|setting| origin(&setting.origin)),
            fixed_by,
            wrong: wrong.iter().filter(|one| one.key == key).map(|one| Complaint::of(&one.message)).collect(),
            meanwhile: meanwhile.contains(&key).then(|| in_words(value)),
            key,
        }
    };
    layout().into_iter().map(|(name, fields)| (name, fields.into_iter().map(field).collect())).collect()
}

/// Who fixes a key: its variable, or whoever says that only reviewers decide.
fn fixed_by(key: &str, now: &BTreeMap<String, Setting>) -> Value {
    let own = now.get(key).map(|setting| &setting.origin);
    let by = own.filter(|origin| matches!(origin, Origin::Environment(_)));
    by.or_else(|| now.get("enforce_reviewers").map(|setting| &setting.origin)).map_or(Value::Null, origin)
}

fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::Default => json!({ "kind": "default", "what": "" }),
        Origin::File(path) => json!({ "kind": "file", "what": path }),
        Origin::SettingsIssue(iid) => json!({ "kind": "issue", "what": format!("#{iid}") }),
        Origin::Environment(variable) => json!({ "kind": "environment", "what": variable }),
        Origin::Variable | Origin::CommandLine => json!({ "kind": "environment", "what": "" }),
    }
}

/// A value as a person writes it.
fn in_words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(in_words).collect::<Vec<_>>().join(", "),
        // `70`, not `70.0`.
        Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string())
        }
        other => other.to_string(),
    }
}

fn shown(kind: Kind, value: &Value) -> Value {
    match kind {
        Kind::Flag(usual) => value.as_bool().unwrap_or(usual).into(),
        Kind::Days if value.is_null() => DAYS.to_vec().into(),
        Kind::Days => value.clone(),
        _ => in_words(value).into(),
    }
}

fn as_sent(kind: Kind, key: &str, fields: &Fields) -> Value {
    match kind {
        Kind::Flag(_) => (!fields.one(key).is_empty()).into(),
        Kind::Days => fields.all(key).filter(|day| DAYS.contains(day)).collect(),
        _ => fields.one(key).trim().into(),
    }
}

/// What somebody changed in the form, as values of the settings file; null where they emptied a field.
///
/// # Errors
///
/// Everything that is wrong with what they typed.
pub(super) fn changes(
    engine: &Engine,
    fields: &Fields,
    saw: &BTreeMap<String, Value>,
) -> Result<Vec<(String, Value)>, Vec<WrongSetting>> {
    let (mut changes, mut wrong) = (Vec::new(), Vec::new());
    for (key, kind) in layout().into_iter().flat_map(|(_, fields)| fields) {
        let before = shown(kind, saw.get(&key).unwrap_or(&Value::Null));
        let sent = as_sent(kind, &key, fields);
        if sent == before || engine.setting_fixed_by(&key).is_some() {
            continue;
        }
        match meant(kind, &sent) {
            Ok(value) => changes.push((key, value)),
            Err(message) => wrong.push(WrongSetting { key, message }),
        }
    }
    no_quiet_hours(&mut changes, fields);
    wrong.extend(engine.settings_wrong_with(&changes));
    if wrong.is_empty() { Ok(changes) } else { Err(wrong) }
}

fn meant(kind: Kind, sent: &Value) -> Result<Value, String> {
    let text = sent.as_str().unwrap_or_default();
    Ok(match kind {
        Kind::Flag(_) | Kind::Days => sent.clone(),
        _ if text.is_empty() => Value::Null,
        Kind::Number => {
            let number = text.trim_end_matches('%').trim().replace(',', ".").parse::<f64>();
            match number {
                Ok(number) if number.is_finite() && number.fract() == 0.0 && number.abs() < 1e9 => {
                    #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
                    let whole = number as i64;
                    whole.into()
                }
                Ok(number) if number.is_finite() => number.into(),
                _ => return Err("must be a number".to_owned()),
            }
        }
        Kind::List => text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect(),
        Kind::Text | Kind::Choice(_) => text.into(),
    })
}

/// Who empties both times wants no quiet hours. Their zone and days stay for the digests, and two equal times say so
/// whatever file or default say.
fn no_quiet_hours(changes: &mut [(String, Value)], fields: &Fields) {
    let emptied = ["quiet_hours.from", "quiet_hours.to"].iter().all(|key| fields.one(key).trim().is_empty());
    if emptied {
        for (key, value) in changes {
            if matches!(key.as_str(), "quiet_hours.from" | "quiet_hours.to") {
                *value = "00:00".into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_people_write_them_and_read_back() {
        for (kind, value, text) in [
            (Kind::Number, json!(70), "70"),
            (Kind::Number, json!(72.5), "72.5"),
            (Kind::List, json!(["08:00", "17:30"]), "08:00, 17:30"),
            (Kind::Text, json!("2d"), "2d"),
            (Kind::Text, Value::Null, ""),
        ] {
            assert_eq!(shown(kind, &value), json!(text));
            assert_eq!(meant(kind, &json!(text)), Ok(value));
        }
        assert_eq!(shown(Kind::Number, &json!(70.0)), json!("70"));
        assert_eq!(meant(Kind::Number, &json!("72,5 %")), Ok(json!(72.5)));
        assert!(meant(Kind::Number, &json!("viel")).is_err());
        assert_eq!(shown(Kind::Flag(true), &Value::Null), json!(true));
        assert_eq!(shown(Kind::Days, &Value::Null).as_array().unwrap().len(), 7);
    }

    #[test]
    fn every_key_of_the_form_is_one_that_may_change() {
        for (key, _) in layout().into_iter().flat_map(|(_, fields)| fields) {
            let first = key.split('.').next().unwrap();
            assert!(crate::config::CHANGEABLE.contains(&first), "{key}");
        }
    }
}
