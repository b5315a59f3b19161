//! Where each value comes from: built-in defaults, the file, the settings issue, the environment; the last one wins.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::File;
use super::file::{Batch, BatchMode};
use super::policy::{WrongSetting, wrong_values};
use super::yaml_position::line_of;
use crate::domain::Language;

/// What may change while the service runs: these keys count in the settings issue.
pub const CHANGEABLE: [&str; 10] = [
    "min_score",
    "language",
    "reviewers",
    "enforce_reviewers",
    "remind_after",
    "expire_after",
    "quiet_alarm_after",
    "batch",
    "quiet_hours",
    "channels",
];

/// Who says what a setting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The program.
    Default,
    /// The settings file.
    File(String),
    /// The settings issue, by its number.
    SettingsIssue(u64),
    /// A variable of the environment that stands for a key of the file.
    Environment(&'static str),
    /// The environment; the key is the variable's name.
    Variable,
    /// An option of the command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::SettingsIssue(iid) => write!(f, "settings issue #{iid}"),
            Self::Environment(variable) => f.write_str(variable),
            Self::Variable => f.write_str("environment"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value and who says so.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Setting {
    /// The key, with points between its parts: `quiet_hours.from`; or the variable's name.
    pub key: String,
    /// The value; secrets are `***`.
    pub value: Value,
    /// Who says so.
    #[schema(value_type = String)]
    pub origin: Origin,
}

/// What the settings issue says, and which issue that is.
#[derive(Clone, Debug, PartialEq)]
pub struct IssueLayer {
    /// Its number.
    pub iid: u64,
    /// What it says.
    pub file: File,
}

/// What was set, layer by layer; the settings issue comes and goes between file and environment.
#[derive(Clone, Debug)]
pub struct Layers {
    file: (String, File),
    /// The file's text, for the lines of what is wrong in it.
    text: String,
    environment: File,
}

impl Layers {
    /// The layers that stand while the service runs.
    pub fn new(path: String, text: String, file: File, environment: File) -> Self {
        Self { file: (path, file), text, environment }
    }

    /// Whether file or environment say that only reviewers decide: then the settings issue can change neither that nor
    /// who they are.
    pub fn reviewers_are_fixed(&self) -> bool {
        self.environment.enforce_reviewers.or(self.file.1.enforce_reviewers) == Some(true)
    }

    /// The variable of the environment that fixes a key, if one does.
    pub fn fixed_by(&self, key: &str) -> Option<&'static str> {
        leaves(&self.environment).contains_key(key).then(|| variable_of(key)).flatten()
    }

    /// Every key with its value and origin.
    pub fn explain(&self, issue: Option<&IssueLayer>) -> Vec<Setting> {
        let merged = self.merge(issue);
        merged.into_iter().map(|(key, (value, origin))| Setting { key, value, origin }).collect()
    }

    /// Everything together, as one file would say it.
    pub fn together(&self, issue: Option<&IssueLayer>) -> File {
        file_of(self.merge(issue).into_iter().map(|(key, (value, _))| (key, value)))
    }

    /// What of the settings issue can be used together with everything else that is set.
    pub fn usable(&self, issue: &IssueLayer, former_users: &BTreeSet<u64>) -> IssueLayer {
        let mut said = leaves(&issue.file);
        loop {
            let layer = IssueLayer { iid: issue.iid, file: file_of(said.clone()) };
            let Err(wrong) = self.policy(Some(&layer), former_users) else { return layer };
            let before = said.len();
            for WrongSetting { key, .. } in wrong {
                // What a key lacks, or does not go with, stands beside it.
                if said.remove(&key).is_none()
                    && let Some((above, _)) = key.rsplit_once('.')
                {
                    said.retain(|other, _| !other.starts_with(&format!("{above}.")));
                }
            }
            if said.len() == before {
                return IssueLayer { iid: issue.iid, file: File::default() };
            }
        }
    }

    /// Where a key stands that is wrong: file and line, the issue, or the variable. One that is missing is looked for at
    /// the keys above it.
    pub fn place(&self, key: &str, issue: Option<&IssueLayer>) -> String {
        let merged = self.merge(issue);
        let origin = and_above(key).find_map(|key| {
            let below = format!("{key}.");
            let said = merged.iter().filter(|(other, _)| *other == key || other.starts_with(&below));
            said.map(|(_, (_, origin))| origin).find(|origin| **origin != Origin::Default)
        });
        match origin {
            Some(Origin::File(_)) => self.place_in_file(key),
            Some(Origin::Environment(variable)) => (*variable).to_owned(),
            _ => key.to_owned(),
        }
    }

    fn place_in_file(&self, key: &str) -> String {
        let path = &self.file.0;
        match and_above(key).find_map(|key| line_of(&self.text, key)) {
            Some(line) => format!("{path}:{line}: {key}"),
            None => format!("{path}: {key}"),
        }
    }

    /// Every value of the file that cannot be used, with its place, whether or not another layer hides it.
    pub(super) fn wrong_in_file(&self) -> Vec<String> {
        let wrong = wrong_values(&self.file.1);
        wrong.iter().map(|one| format!("{}: {}", self.place_in_file(&one.key), one.message)).collect()
    }

    /// Everything that would be wrong with the settings issue if these keys were set in it; a null takes a key away.
    pub fn wrong_with(&self, issue: Option<&IssueLayer>, changes: &[(String, Value)]) -> Vec<WrongSetting> {
        let mut said = issue.map(|issue| leaves(&issue.file)).unwrap_or_default();
        let mut wrong = Vec::new();
        for (key, value) in changes {
            let mut alone = Value::Object(Map::new());
            put(&mut alone, key, value.clone());
            if let Err(error) = serde_json::from_value::<File>(alone) {
                wrong.push(WrongSetting { key: key.clone(), message: error.to_string() });
                continue;
            }
            said.remove(key);
            if !value.is_null() {
                said.insert(key.clone(), value.clone());
            }
        }
        let layer = IssueLayer { iid: issue.map_or(0, |issue| issue.iid), file: file_of(said) };
        wrong.extend(self.policy(Some(&layer), &BTreeSet::new()).err().unwrap_or_default());
        wrong
    }

    fn merge(&self, issue: Option<&IssueLayer>) -> BTreeMap<String, (Value, Origin)> {
        let mut merged = BTreeMap::new();
        overlay(&mut merged, leaves(&defaults()), |_| Origin::Default);
        overlay(&mut merged, leaves(&self.file.1), |_| Origin::File(self.file.0.clone()));
        if let Some(issue) = issue {
            let fixed = self.reviewers_are_fixed();
            let mut said = leaves(&issue.file);
            said.retain(|key, _| {
                let changeable = CHANGEABLE.contains(&key.split('.').next().unwrap_or_default());
                changeable && !(fixed && matches!(key.as_str(), "reviewers" | "enforce_reviewers"))
            });
            overlay(&mut merged, said, |_| Origin::SettingsIssue(issue.iid));
        }
        overlay(&mut merged, leaves(&self.environment), |key| {
            variable_of(key).map_or(Origin::Default, Origin::Environment)
        });
        merged
    }
}

/// What holds where nobody says otherwise.
pub(super) fn defaults() -> File {
    File {
        min_score: Some(70.0),
        language: Some(Language::De),
        reviewers: Some(Vec::new()),
        enforce_reviewers: Some(false),
        allow_public_project: Some(false),
        sync_interval: Some("5m".to_owned()),
        remind_after: Some("2d".to_owned()),
        expire_after: Some("off".to_owned()),
        quiet_alarm_after: Some("3d".to_owned()),
        batch: Some(Batch { mode: Some(BatchMode::Immediate), max: Some(20), ..Batch::default() }),
        ..File::default()
    }
}

/// The variable that sets a key.
pub(super) fn variable_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "min_score" => "VORHOELLE_MIN_SCORE",
        "reviewers" => "VORHOELLE_REVIEWERS",
        "enforce_reviewers" => "VORHOELLE_ENFORCE_REVIEWERS",
        "sync_interval" => "VORHOELLE_SYNC_INTERVAL",
        _ => return None,
    })
}

fn overlay(
    merged: &mut BTreeMap<String, (Value, Origin)>,
    said: BTreeMap<String, Value>,
    origin: impl Fn(&str) -> Origin,
) {
    // `at` and `every` are one choice: the later one takes the place of the earlier.
    for key in said.keys() {
        if let Some(batch) = key.strip_suffix(".at") {
            merged.remove(&format!("{batch}.every"));
        } else if let Some(batch) = key.strip_suffix(".every") {
            merged.remove(&format!("{batch}.at"));
        }
    }
    for (key, value) in said {
        let origin = origin(&key);
        merged.insert(key, (value, origin));
    }
}

/// Every value that a file says by its key, with points between the parts; lists whole.
pub fn leaves(file: &File) -> BTreeMap<String, Value> {
    fn walk(key: &str, value: Value, leaves: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(parts) => {
                for (name, value) in parts {
                    let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                    walk(&key, value, leaves);
                }
            }
            value => {
                leaves.insert(key.to_owned(), value);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", serde_json::to_value(file).unwrap_or_default(), &mut found);
    found
}

/// The file that says these values. Each came out of a `File`, or was tried in one, so that all of them make one.
fn file_of(leaves: impl IntoIterator<Item = (String, Value)>) -> File {
    let mut tree = Value::Object(Map::new());
    for (key, value) in leaves {
        put(&mut tree, &key, value);
    }
    serde_json::from_value(tree).unwrap_or_default()
}

fn put(tree: &mut Value, key: &str, value: Value) {
    match key.split_once('.') {
        None => tree[key] = value,
        Some((first, rest)) => {
            if !tree[first].is_object() {
                tree[first] = Value::Object(Map::new());
            }
            put(&mut tree[first], rest, value);
        }
    }
}

/// A key, and those above it: `channels.email.delay`, `channels.email`, `channels`.
fn and_above(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| key.rsplit_once('.').map(|(above, _)| above))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layers(file: &str, environment: File) -> Layers {
        Layers::new("settings.yml".to_owned(), file.to_owned(), File::parse(file).unwrap(), environment)
    }

    fn issue(yaml: &str) -> IssueLayer {
        IssueLayer { iid: 7, file: File::parse(yaml).unwrap() }
    }

    fn setting(layers: &Layers, issue: Option<&IssueLayer>, key: &str) -> Option<(Value, String)> {
        let all = layers.explain(issue);
        all.into_iter().find(|one| one.key == key).map(|one| (one.value, one.origin.to_string()))
    }

    #[test]
    fn the_last_layer_wins_and_every_value_says_where_it_comes_from() {
        let environment = File { min_score: Some(75.0), ..File::default() };
        let layers = layers("min_score: 80\nquiet_hours: {from: \"22:00\", to: \"07:00\"}\n", environment);
        let issue = issue("min_score: 90\nquiet_hours: {to: \"08:00\"}\n");
        let of = |key| setting(&layers, Some(&issue), key).unwrap();
        assert_eq!(of("min_score"), (json!(75.0), "VORHOELLE_MIN_SCORE".to_owned()));
        assert_eq!(of("quiet_hours.from"), (json!("22:00"), "settings.yml".to_owned()));
        assert_eq!(of("quiet_hours.to"), (json!("08:00"), "settings issue #7".to_owned()));
        assert_eq!(of("remind_after"), (json!("2d"), "default".to_owned()));
        assert_eq!(layers.fixed_by("min_score"), Some("VORHOELLE_MIN_SCORE"));
        assert_eq!(layers.fixed_by("language"), None);
    }

    #[test]
    fn the_issue_changes_only_what_may_change_at_run_time() {
        let fixed = layers("enforce_reviewers: true\nreviewers: [anna]\n", File::default());
        let said = issue(
            "enforce_reviewers: false\nreviewers: [mallory]\nallow_public_project: true\nlanguage: en\n",
        );
        let of = |key| setting(&fixed, Some(&said), key).unwrap().0;
        assert_eq!(of("enforce_reviewers"), json!(true));
        assert_eq!(of("reviewers"), json!(["anna"]));
        assert_eq!(of("allow_public_project"), json!(false));
        assert_eq!(of("language"), json!("en"));
        let free = layers("reviewers: [anna]\n", File::default());
        assert_eq!(setting(&free, Some(&said), "reviewers").unwrap().0, json!(["mallory"]));
    }

    #[test]
    fn of_an_issue_that_goes_no_more_with_the_other_layers_the_rest_is_used() {
        let nobody = BTreeSet::new();
        let fine = "language: en\nquiet_hours: {from: \"22:00\", to: \"07:00\"}\n";
        for wrong in [
            "",
            "min_score: 300\n",
            "enforce_reviewers: true\n",
            "batch: {mode: digest, max: 30}\n",
            "batch: {mode: digest, max: 300}\nchannels: {email: {batch: {mode: digest}, quiet_hours: {to: \"x\"}}}\n",
        ] {
            let said = issue(&format!("{fine}{wrong}"));
            let used = layers("", File::default()).usable(&said, &nobody);
            assert_eq!(used, issue(fine), "{wrong}");
        }
        let half = issue("language: en\nquiet_hours: {from: \"22:00\"}\n");
        assert_eq!(layers("", File::default()).usable(&half, &nobody), issue("language: en\n"));
    }

    #[test]
    fn at_and_every_are_one_choice() {
        let layers = layers("batch: {mode: digest, at: [\"08:00\"]}\n", File::default());
        let issue = issue("batch: {every: 2h}\n");
        assert_eq!(setting(&layers, Some(&issue), "batch.at"), None);
        assert_eq!(setting(&layers, Some(&issue), "batch.every").unwrap().0, json!("2h"));
        assert_eq!(setting(&layers, Some(&issue), "batch.mode").unwrap().0, json!("digest"));
    }

    #[test]
    fn what_a_digest_lacks_is_placed_where_it_is_asked_for() {
        let yaml = "language: en\nbatch: {mode: digest}\nchannels: {email: {batch: {at: [\"08:00\"]}}}\n";
        assert_eq!(layers(yaml, File::default()).place("batch.at", None), "settings.yml:2: batch.at");
    }

    #[test]
    fn a_wrong_value_is_found_on_its_line() {
        let yaml = "# from: here\nmin_score: 80\nquiet_hours:\n  # to: no\n  from: \"22:00\"\n  to: \"25:00\"\nchannels:\n  email: {delay: 1x}\n";
        let layers = layers(yaml, File::default());
        assert_eq!(layers.place("quiet_hours.to", None), "settings.yml:6: quiet_hours.to");
        assert_eq!(layers.place("channels.email.delay", None), "settings.yml:8: channels.email.delay");
        // What is missing, on the line of what it is missing in.
        assert_eq!(layers.place("quiet_hours.timezone", None), "settings.yml:3: quiet_hours.timezone");
        assert_eq!(layers.place("channels.slack.delay", None), "settings.yml:7: channels.slack.delay");
        assert_eq!(layers.place("remind_after", None), "remind_after");
    }
}
