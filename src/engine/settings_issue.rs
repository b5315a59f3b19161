//! The settings issue: what people change while the service runs, as YAML in an issue of ours.
//!
//! It is the lowest of the service's own issues that carry the settings label. An edit that cannot be used, or comes
//! from somebody who may not, gets one comment, and the last good settings stay; they are kept in the mirror, so that
//! after a lost disk file and defaults rule until the edit is mended.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Connected, Engine, EngineError};
use crate::config::{File, IssueLayer, Policy, Setting, WrongSetting, edit};
use crate::domain::inert::GitlabLine;
use crate::gitlab::Issue;
use crate::gitlab::issues::NewIssue;
use crate::gitlab::labels::LabelKind;

const FENCE_BEGIN: &str = "```yaml\n";
const FENCE_END: &str = "\n```";
/// Under this name the mirror keeps the last good settings.
const FACT: &str = "settings";

/// Why settings were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A key that something else fixes.
    #[error("{key} is fixed by {by}; change it there")]
    Fixed {
        /// The key.
        key: String,
        /// The variable, or the file.
        by: String,
    },
    /// Somebody else changed these keys since the caller looked.
    #[error("{} changed meanwhile", .0.join(", "))]
    Meanwhile(Vec<String>),
    /// Values that cannot be used.
    #[error("the settings cannot be used")]
    Invalid(Vec<WrongSetting>),
    /// Something did not do its part.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// The last good settings of an issue.
#[derive(Serialize, Deserialize)]
struct Good {
    iid: u64,
    yaml: String,
}

/// Why an edit has no effect.
enum Refused {
    Invalid(String),
    NoReviewer(Option<String>),
}

impl Engine {
    /// Every setting with its value and who says so.
    pub fn explain_settings(&self) -> Vec<Setting> {
        self.inner.layers.explain(self.issue_layer().as_ref())
    }

    /// Everything that would be wrong if these settings were changed; nothing is written.
    pub fn settings_wrong_with(&self, changes: &[(String, Value)]) -> Vec<WrongSetting> {
        self.inner.layers.wrong_with(self.issue_layer().as_ref(), changes)
    }

    fn issue_layer(&self) -> Option<IssueLayer> {
        self.inner.issue_layer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether an issue is the settings issue, or carries its label.
    pub(super) fn is_about_settings(&self, issue: &Issue) -> bool {
        let names = self.names();
        let labelled = issue.labels.iter().any(|name| names.kind_of_name(name) == Some(LabelKind::Settings));
        labelled || self.issue_layer().is_some_and(|layer| layer.iid == issue.iid)
    }

    /// Goes by the settings issue: by what was read of it already, or reads it.
    pub(super) async fn read_settings(
        &self,
        connected: &Connected,
        read: Option<Vec<Issue>>,
    ) -> Result<(), EngineError> {
        let _one_at_a_time = self.inner.changing_settings.lock().await;
        let (first, others) = match read {
            Some(issues) => choose(connected, issues),
            None => self.settings_issues(connected).await?,
        };
        if self.may_write().is_ok() && self.may_follow().is_ok() {
            for other in &others {
                let context = json!({ "kind": "other", "first": first.as_ref().map(|first| first.iid) });
                self.say_once(connected, other, "elsewhere", context).await?;
            }
        }
        match first {
            None => self.go_by(None, None),
            Some(issue) => self.read_settings_of(connected, &issue).await,
        }
    }

    /// Our own settings issue, and the others that carry the label.
    async fn settings_issues(
        &self,
        connected: &Connected,
    ) -> Result<(Option<Issue>, Vec<Issue>), EngineError> {
        let names = self.names();
        let issues = connected.project.issues_with_label(names.name(LabelKind::Settings)).await?;
        Ok(choose(connected, issues))
    }

    async fn read_settings_of(&self, connected: &Connected, issue: &Issue) -> Result<(), EngineError> {
        let good = self.inner.mirror.fact(FACT)?;
        let good = good
            .and_then(|text| serde_json::from_str::<Good>(&text).ok())
            .filter(|good| good.iid == issue.iid);
        let yaml = yaml_of(&issue.description).map(|range| &issue.description[range]);
        if let (Some(yaml), Some(good)) = (yaml, &good)
            && *yaml == good.yaml
        {
            return self.go_by(self.understand(issue.iid, yaml).ok(), None);
        }
        let refused = match self.examine(connected, issue, yaml).await? {
            Ok(layer) => {
                self.remember_good(issue.iid, yaml.unwrap_or_default())?;
                tracing::info!(iid = issue.iid, "the settings in issue {} count from now on", issue.iid);
                return self.go_by(Some(layer), None);
            }
            Err(refused) => refused,
        };
        let (problem, context) = match refused {
            Refused::Invalid(reason) => (
                format!("the settings in issue #{} cannot be used: {reason}", issue.iid),
                json!({ "kind": "invalid", "reason": GitlabLine::new(&reason) }),
            ),
            Refused::NoReviewer(who) => (
                format!("the settings in issue #{} were changed by somebody who is no reviewer", issue.iid),
                json!({ "kind": "no_reviewer", "who": who.as_deref().map(GitlabLine::new) }),
            ),
        };
        tracing::warn!(iid = issue.iid, "{problem}");
        if self.may_write().is_ok() && self.may_follow().is_ok() {
            self.say_once(connected, issue, &fingerprint(yaml.unwrap_or_default()), context).await?;
        }
        let last = good.and_then(|good| self.understand(issue.iid, &good.yaml).ok());
        self.go_by(last, Some(problem))
    }

    /// What an edit says, or why it has no effect.
    async fn examine(
        &self,
        connected: &Connected,
        issue: &Issue,
        yaml: Option<&str>,
    ) -> Result<Result<IssueLayer, Refused>, EngineError> {
        if self.inner.layers.reviewers_are_fixed() && !connected.is_a_reviewers_token() {
            let editor = connected.project.last_editor(issue.iid).await?;
            if let Some(editor) = editor.filter(|editor| !connected.is_us(editor.id)) {
                let reviewers = &self.policy().reviewers;
                let is_reviewer = |name: &String| name.eq_ignore_ascii_case(&editor.username);
                if !reviewers.usernames.iter().any(is_reviewer) {
                    return Ok(Err(Refused::NoReviewer(Some(editor.username))));
                }
            }
        }
        let Some(yaml) = yaml else {
            return Ok(Err(Refused::Invalid("there is no block that begins with ```yaml".to_owned())));
        };
        Ok(self.understand(issue.iid, yaml).map_err(Refused::Invalid))
    }

    /// Reads a block of settings, alone and together with everything else that is set.
    fn understand(&self, iid: u64, yaml: &str) -> Result<IssueLayer, String> {
        let file = File::parse(yaml).map_err(|(line, error)| format!("line {line}: {error}"))?;
        let layer = IssueLayer { iid, file };
        match self.inner.layers.policy(Some(&layer), &self.policy().former_users) {
            Ok(_) => Ok(layer),
            Err(wrong) => {
                let words = wrong.iter().map(|one| format!("{}: {}", one.key, one.message));
                Err(words.collect::<Vec<_>>().join("; "))
            }
        }
    }

    /// Goes by these settings from now on.
    fn go_by(&self, layer: Option<IssueLayer>, problem: Option<String>) -> Result<(), EngineError> {
        self.status_mut().settings_problem = problem;
        let policy = self.inner.layers.policy(layer.as_ref(), &self.policy().former_users);
        let Ok(policy) = policy else {
            return Err(EngineError::Text("the settings cannot be put together".to_owned()));
        };
        let reviewers_changed = policy.reviewers != self.policy().reviewers;
        *self.inner.issue_layer.write().unwrap_or_else(PoisonError::into_inner) = layer;
        *self.inner.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
        if reviewers_changed {
            self.inner.reviewers_changed.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        self.inner.news.notify_waiters();
        Ok(())
    }

    fn remember_good(&self, iid: u64, yaml: &str) -> Result<(), EngineError> {
        let good = serde_json::to_string(&Good { iid, yaml: yaml.to_owned() });
        let good = good.map_err(|error| EngineError::Text(error.to_string()))?;
        Ok(self.inner.mirror.remember(FACT, &good)?)
    }

    /// Writes a comment unless the same one stands there already.
    async fn say_once(
        &self,
        connected: &Connected,
        issue: &Issue,
        about: &str,
        mut context: Value,
    ) -> Result<(), EngineError> {
        let hidden = format!("<!-- vorhoelle settings {about} -->");
        let said = issue.user_notes_count > 0
            && connected
                .project
                .notes(issue.iid)
                .await?
                .iter()
                .any(|note| connected.is_us(note.author.id) && note.body.contains(&hidden));
        if said {
            return Ok(());
        }
        context["hidden"] = hidden.into();
        let wanted = context["first"].as_u64().into_iter().collect();
        let text = self.comment_text("settings_refused", context, wanted)?;
        match connected.project.comment(issue.iid, &text).await {
            // It may stand there; the next look finds out.
            Err(error) if error.is_unclear() => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// The number of the settings issue, where there is one.
    pub fn known_settings_issue(&self) -> Option<u64> {
        self.issue_layer().map(|layer| layer.iid)
    }

    /// The number of the settings issue; it is made where there is none.
    ///
    /// # Errors
    ///
    /// As any write.
    pub async fn settings_issue(&self) -> Result<u64, EngineError> {
        if let Some(layer) = self.issue_layer() {
            return Ok(layer.iid);
        }
        let connected = self.connected().await?;
        let _one_at_a_time = self.inner.changing_settings.lock().await;
        Ok(self.settings_issue_of(&connected).await?.iid)
    }

    async fn settings_issue_of(&self, connected: &Connected) -> Result<Issue, EngineError> {
        if let (Some(issue), _) = self.settings_issues(connected).await? {
            return Ok(issue);
        }
        self.may_write()?;
        self.fresh_names(&connected.project).await?;
        let language = self.policy().language;
        let render = |name: &str, context: Value| {
            self.inner.templates.render(name, context).map_err(|error| EngineError::Text(error.to_string()))
        };
        let yaml = render("settings.yml", json!({}))?;
        let name = format!("settings.{}.md", language.pick("de", "en"));
        let new = NewIssue {
            title: language.pick("Einstellungen von Vorhölle", "Settings of Vorhölle").to_owned(),
            description: render(&name, json!({ "yaml": yaml.trim_end() }))?,
            labels: vec![self.names().name(LabelKind::Settings).to_owned()],
            assignee: None,
            due_date: None,
        };
        let issue = connected.project.create_issue(&new).await?;
        tracing::info!(iid = issue.iid, "the settings issue is #{}", issue.iid);
        let yaml = yaml_of(&issue.description).map(|range| issue.description[range].to_owned());
        self.remember_good(issue.iid, &yaml.unwrap_or_default())?;
        self.go_by(Some(IssueLayer { iid: issue.iid, file: File::default() }), None)?;
        Ok(issue)
    }

    /// Writes changed settings into the settings issue; a null takes a key away, so that file or default count again.
    /// Where the caller says what they `saw`, nobody's later change of the same keys is written over.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; nothing is changed then.
    pub async fn change_settings(
        &self,
        changes: &[(String, Value)],
        saw: Option<&BTreeMap<String, Value>>,
    ) -> Result<(), ChangeError> {
        self.check_free(changes)?;
        let connected = self.connected().await?;
        let _one_at_a_time = self.inner.changing_settings.lock().await;
        self.may_write()?;
        let issue = self.settings_issue_of(&connected).await?;
        // GitLab may not have told us of an edit yet.
        self.read_settings_of(&connected, &issue).await?;
        if let Some(saw) = saw {
            self.check_unchanged(changes, saw)?;
        }
        let invalid = |key: &str, message: String| {
            ChangeError::Invalid(vec![WrongSetting { key: key.to_owned(), message }])
        };
        let place = format!("issue #{}", issue.iid);
        let Some(range) = yaml_of(&issue.description) else {
            return Err(invalid(&place, "has no block that begins with ```yaml; put one there".to_owned()));
        };
        let stands = &issue.description[range.clone()];
        if self.status().settings_problem.is_some() && self.understand(issue.iid, stands).is_ok() {
            let message = "was changed by somebody who is no reviewer; take that back there first".to_owned();
            return Err(invalid(&place, message));
        }
        let yaml = edit(stands, changes).map_err(|error| invalid("", error))?;
        let yaml = yaml.trim_end().to_owned();
        let file = File::parse(&yaml).map_err(|(_, error)| invalid("", error))?;
        let layer = IssueLayer { iid: issue.iid, file };
        let former_users = self.policy().former_users.clone();
        self.inner.layers.policy(Some(&layer), &former_users).map_err(ChangeError::Invalid)?;
        let mut description = issue.description.clone();
        description.replace_range(range, &yaml);
        if description.replace('\r', "").lines().any(|line| line.trim_start().starts_with('/')) {
            let message =
                "holds a line that begins with a slash, which GitLab would run; edit it there".to_owned();
            return Err(invalid(&place, message));
        }
        let written = connected.project.describe_issue(issue.iid, &description).await;
        self.note(written.map_err(EngineError::from))?;
        self.remember_good(issue.iid, &yaml)?;
        Ok(self.go_by(Some(layer), None)?)
    }

    /// What fixes a key, so that the settings issue cannot change it.
    pub fn setting_fixed_by(&self, key: &str) -> Option<&'static str> {
        let layers = &self.inner.layers;
        let about_reviewers = matches!(key, "reviewers" | "enforce_reviewers");
        layers.fixed_by(key).or_else(|| {
            (about_reviewers && layers.reviewers_are_fixed())
                .then_some("enforce_reviewers: true in the settings file or the environment")
        })
    }

    /// Whether nothing else fixes these keys.
    fn check_free(&self, changes: &[(String, Value)]) -> Result<(), ChangeError> {
        let mut fixed = changes.iter().filter_map(|(key, _)| Some((key, self.setting_fixed_by(key)?)));
        match fixed.next() {
            None => Ok(()),
            Some((key, by)) => Err(ChangeError::Fixed { key: key.clone(), by: by.to_owned() }),
        }
    }

    /// Whether these keys still have the values that the caller saw.
    fn check_unchanged(
        &self,
        changes: &[(String, Value)],
        saw: &BTreeMap<String, Value>,
    ) -> Result<(), ChangeError> {
        let now: BTreeMap<String, Value> =
            self.explain_settings().into_iter().map(|setting| (setting.key, setting.value)).collect();
        let differs = |key: &&String| now.get(*key) != saw.get(*key).filter(|value| !value.is_null());
        let meanwhile: Vec<String> = changes.iter().map(|(key, _)| key).filter(differs).cloned().collect();
        if meanwhile.is_empty() { Ok(()) } else { Err(ChangeError::Meanwhile(meanwhile)) }
    }

    /// What people have set.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.inner.policy.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Our own settings issue is the first that the service made; the others have no effect.
fn choose(connected: &Connected, mut issues: Vec<Issue>) -> (Option<Issue>, Vec<Issue>) {
    issues.sort_by_key(|issue| issue.iid);
    let ours = |issue: &Issue| connected.is_us(issue.author.id) && issue.moved_to_id.is_none();
    let first = issues.iter().position(ours).map(|index| issues.remove(index));
    (first, issues)
}

/// Where the settings stand in a description.
fn yaml_of(description: &str) -> Option<std::ops::Range<usize>> {
    let begin = description.find(FENCE_BEGIN)? + FENCE_BEGIN.len();
    if description[begin..].starts_with("```") {
        return Some(begin..begin);
    }
    Some(begin..begin + description[begin..].find(FENCE_END)?)
}

fn fingerprint(yaml: &str) -> String {
    Sha256::digest(yaml).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_found_whatever_stands_around_it() {
        let text = "x\n\n```yaml\nmin_score: 80\nlanguage: en\n```\n\ny";
        assert_eq!(&text[yaml_of(text).unwrap()], "min_score: 80\nlanguage: en");
        assert_eq!(yaml_of("```yaml\n```").unwrap().len(), 0);
        assert_eq!(yaml_of("```json\n{}\n```"), None);
        assert_eq!(yaml_of("```yaml\nopen"), None);
    }
}
