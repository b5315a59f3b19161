//! The settings issue: what people change while the service runs, as YAML in an issue of ours.
//!
//! It is the lowest of the service's own issues that were made as such: the mark in the text says so, the mirror
//! remembers which it is, and a label that somebody took off is put back. An edit that cannot be used, or comes from
//! somebody who may not, gets one comment, and the last good settings stay; they are kept in the mirror, so that after a
//! lost disk file and defaults rule until the edit is mended.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};

use super::good_settings::Refused;
use super::settings_block::{fingerprint, is_marked, marked, refuse_a_large_block, with_yaml, yaml_of};
use super::{Connected, Engine, EngineError, SettingsProblem};
use crate::config::{File, IssueLayer, Policy, Setting, WrongSetting, edit, leaves};
use crate::domain::inert::GitlabLine;
use crate::gitlab::events::LabelAction;
use crate::gitlab::issues::{IssueChange, NewIssue};
use crate::gitlab::labels::LabelKind;
use crate::gitlab::notes::Note;
use crate::gitlab::people::User;
use crate::gitlab::{Issue, issue_text};
use crate::mirror::Fact;

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

    /// Whether an issue is the settings issue, may be it, or carries its label.
    pub(super) fn is_about_settings(&self, connected: &Connected, issue: &Issue) -> bool {
        let is_marked = connected.is_us(issue.author.id) && is_marked(&issue.description);
        self.carries_settings_label(issue) || is_marked || self.known_settings_issue() == Some(issue.iid)
    }

    fn carries_settings_label(&self, issue: &Issue) -> bool {
        let names = self.names();
        issue.labels.iter().any(|name| names.kind_of_name(name) == Some(LabelKind::Settings))
    }

    /// Goes by the settings issue: by what was read of it already, or reads it.
    pub(super) async fn read_settings(
        &self,
        connected: &Connected,
        read: Option<Vec<Issue>>,
    ) -> Result<(), EngineError> {
        let _one_at_a_time = self.inner.changing_settings.lock().await;
        let (first, others) = match read {
            Some(issues) => self.choose(connected, issues)?,
            None => self.settings_issues(connected).await?,
        };
        match &first {
            None => {
                self.refuse_a_copy_without_it()?;
                self.inner.mirror.forget(Fact::SettingsIssue)?;
                self.go_by(None, None)?;
            }
            Some(issue) => {
                self.inner.mirror.remember(Fact::SettingsIssue, &issue.iid.to_string())?;
                self.read_settings_of(connected, issue).await?;
                if let Err(error) = self.put_label_back(connected, issue).await {
                    // GitLab may refuse it for good, and the settings count without it.
                    tracing::warn!(iid = issue.iid, %error, "the label of the settings issue could not be put back");
                }
            }
        }
        self.answer_others(connected, first.as_ref(), &others).await;
        Ok(())
    }

    /// Says in other people's issues with the settings label where the settings are. They may be many, and GitLab may refuse
    /// a comment on one for good: nobody waits for them, and who was not answered is the next time.
    async fn answer_others(&self, connected: &Connected, first: Option<&Issue>, others: &[Issue]) {
        if !self.may_mend() {
            return;
        }
        for other in others {
            let context = json!({ "kind": "other", "first": first.map(|first| first.iid) });
            let Err(error) = self.say_once(connected, other, "elsewhere", context).await else { continue };
            tracing::warn!(iid = other.iid, %error, "it was not said that issue {} has no effect", other.iid);
            // The next would fare no better now.
            if matches!(&error, EngineError::Gitlab(error) if error.is_passing()) {
                return;
            }
        }
    }

    /// Our own settings issue, and the others that carry the label.
    async fn settings_issues(
        &self,
        connected: &Connected,
    ) -> Result<(Option<Issue>, Vec<Issue>), EngineError> {
        let names = self.names();
        let mut issues = connected.project.issues_with_label(names.name(LabelKind::Settings)).await?;
        if let Some(iid) = self.known_settings_issue()
            && issues.iter().all(|issue| issue.iid != iid)
        {
            issues.extend(connected.project.issues_by_iid(&[iid]).await?);
        }
        self.choose(connected, issues)
    }

    /// Our own settings issue is the first that the service made as such; others with the label have no effect.
    fn choose(
        &self,
        connected: &Connected,
        mut issues: Vec<Issue>,
    ) -> Result<(Option<Issue>, Vec<Issue>), EngineError> {
        let known = self.known_settings_issue();
        // A match label that somebody put on it does not make it a match; one without is believed before it.
        issues.sort_by_key(|issue| (self.observed(issue).is_match, issue.iid));
        let mut first = None;
        let mut others = Vec::new();
        for issue in issues {
            let is_ours = connected.is_us(issue.author.id) && issue.moved_to_id.is_none();
            let is_labelled = self.carries_settings_label(&issue);
            // One from before there was a mark has the label and the block.
            let is_made_as_such = is_marked(&issue.description)
                || known == Some(issue.iid)
                || (is_labelled && !self.observed(&issue).is_match && yaml_of(&issue.description).is_some());
            if first.is_none() && is_ours && is_made_as_such && !self.is_a_match(&issue)? {
                first = Some(issue);
            } else if is_labelled {
                others.push(issue);
            }
        }
        Ok((first, others))
    }

    /// A match of ours that somebody put the settings label on, or the mark into, is no settings issue.
    fn is_a_match(&self, issue: &Issue) -> Result<bool, EngineError> {
        Ok(issue_text::read_back(&issue.description).is_some()
            || issue_text::read_erased(&issue.description).is_some()
            || self.inner.mirror.record(issue.iid)?.is_some_and(|record| record.issue_id == issue.id))
    }

    /// Puts the label back that somebody took off, or that vanished with its deletion. Where only reviewers may change
    /// settings, a stranger is told.
    async fn put_label_back(&self, connected: &Connected, issue: &Issue) -> Result<(), EngineError> {
        let may = self.may_mend();
        if self.carries_settings_label(issue) || !may {
            self.inner.untaken.forget_labels(issue.iid);
            return Ok(());
        }
        let names = self.fresh_names(&connected.project).await?;
        let label = names.name(LabelKind::Settings).to_owned();
        let change = IssueChange { add_labels: vec![label], ..IssueChange::default() };
        let after = self.write(connected, issue.clone(), &change).await?;
        if !self.carries_settings_label(&after) {
            return Ok(());
        }
        tracing::warn!(iid = issue.iid, "the label of the settings issue was lost; it was put back");
        if !self.only_reviewers_change(connected) {
            return Ok(());
        }
        let events = connected.project.label_events(issue.iid).await?;
        let taken_off = events.into_iter().rev().find(|event| {
            let kind = event.label.as_ref().and_then(|label| names.kind_of_id(label.id));
            kind == Some(LabelKind::Settings) && event.action == LabelAction::Remove
        });
        if let Some(who) = taken_off.and_then(|event| event.user)
            && !self.may_change_settings(connected, &who)
        {
            let about = format!("label {}", who.id);
            let context = json!({ "kind": "no_reviewer", "who": GitlabLine::new(&who.username) });
            self.say_once(connected, issue, &about, context).await?;
        }
        Ok(())
    }

    fn only_reviewers_change(&self, connected: &Connected) -> bool {
        self.inner.layers.reviewers_are_fixed() && !connected.is_a_reviewers_token()
    }

    fn may_change_settings(&self, connected: &Connected, who: &User) -> bool {
        let is_reviewer = |name: &String| name.eq_ignore_ascii_case(&who.username);
        connected.is_us(who.id) || self.policy().reviewers.usernames.iter().any(is_reviewer)
    }

    /// Goes by what an issue says, or by the last good settings; tells why it has no effect where it has none.
    ///
    /// # Errors
    ///
    /// Where what was read is older than what counts already, or GitLab or the mirror did not do its part.
    async fn read_settings_of(
        &self,
        connected: &Connected,
        issue: &Issue,
    ) -> Result<Option<Refused>, EngineError> {
        let good = self.last_good(issue)?;
        let yaml = yaml_of(&issue.description);
        let (last, unfit) = good.as_ref().map(|good| self.still_good(good)).unwrap_or_default();
        if let Some(good) = &good {
            let in_words = || unfit.as_ref().map(|refused| refused.in_words(issue.iid)).unzip();
            if let Err(stale) = self.refuse_older_settings(issue, good) {
                self.go_by(last, in_words().0)?;
                return Err(stale);
            }
            if yaml.as_deref() == Some(good.yaml.trim_end()) {
                let (problem, context) = in_words();
                self.go_by(last, problem)?;
                self.remember_as_new(issue, good)?;
                if let Some(context) = context {
                    self.say_why(connected, issue, context).await;
                }
                return Ok(unfit);
            }
        }
        let refused = match self.examine(connected, issue, yaml.as_deref()).await? {
            Ok(layer) => {
                self.remember_good(issue, yaml.as_deref().unwrap_or_default())?;
                tracing::info!(iid = issue.iid, "the settings in issue {} count from now on", issue.iid);
                self.go_by(Some(layer), None)?;
                return Ok(None);
            }
            Err(refused) => refused,
        };
        let (problem, context) = refused.in_words(issue.iid);
        self.go_by(last, Some(problem))?;
        self.say_why(connected, issue, context).await;
        Ok(Some(refused))
    }

    /// Says once why the settings that stand in an issue do not count. GitLab may refuse the comment for good, and so may the
    /// last check of a text that the operator changed: nobody waits for it, and it is tried again at the next read.
    async fn say_why(&self, connected: &Connected, issue: &Issue, context: Value) {
        if !self.may_mend() {
            return;
        }
        // Without a block each text is another mistake; the same text may be refused for another reason later.
        let text = yaml_of(&issue.description).unwrap_or_else(|| issue.description.clone());
        let about = fingerprint(&format!("{text}\n{context}"));
        if let Err(error) = self.say_once(connected, issue, &about, context).await {
            let iid = issue.iid;
            tracing::warn!(iid, %error, "it was not said in issue {iid} why its settings have no effect");
        }
    }

    /// What an edit says, or why it has no effect.
    async fn examine(
        &self,
        connected: &Connected,
        issue: &Issue,
        yaml: Option<&str>,
    ) -> Result<Result<IssueLayer, Refused>, EngineError> {
        if self.only_reviewers_change(connected) {
            let edit = connected.project.last_edit(issue.iid).await?;
            if self.is_nobodys(issue, edit.as_ref())? {
                return Ok(Err(Refused::NoReviewer(None)));
            }
            let editor = edit.map(|line| line.author);
            if let Some(editor) = editor.filter(|editor| !self.may_change_settings(connected, editor)) {
                return Ok(Err(Refused::NoReviewer(Some(editor.username))));
            }
        }
        let Some(yaml) = yaml else {
            let key = format!("issue #{}", issue.iid);
            let message = "has no block that begins with ```yaml and ends with ```".to_owned();
            return Ok(Err(Refused::Invalid(vec![WrongSetting { key, message }])));
        };
        Ok(self.understand(issue.iid, yaml).map_err(Refused::Invalid))
    }

    /// Reads a block of settings, alone and together with everything else that is set.
    pub(super) fn understand(&self, iid: u64, yaml: &str) -> Result<IssueLayer, Vec<WrongSetting>> {
        refuse_a_large_block(iid, yaml)?;
        let file = File::parse(yaml).map_err(|error| {
            vec![WrongSetting { key: format!("line {}", error.line), message: error.to_string() }]
        })?;
        let layer = IssueLayer { iid, file };
        self.inner.layers.policy(Some(&layer), &self.policy().former_users)?;
        Ok(layer)
    }

    /// Goes by these settings from now on.
    fn go_by(&self, layer: Option<IssueLayer>, problem: Option<SettingsProblem>) -> Result<(), EngineError> {
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

    /// Writes a comment unless the same one stands there already.
    async fn say_once(
        &self,
        connected: &Connected,
        issue: &Issue,
        about: &str,
        mut context: Value,
    ) -> Result<(), EngineError> {
        let hidden = format!("<!-- vorhoelle settings {about} -->");
        let is_it = |note: &Note| note.body.contains(&hidden);
        if issue.user_notes_count > 0 && connected.our_notes(issue.iid).await?.iter().any(is_it) {
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
        let remembered = || self.inner.mirror.fact(Fact::SettingsIssue).ok().flatten()?.parse().ok();
        self.issue_layer().map(|layer| layer.iid).or_else(remembered)
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
        self.refuse_a_copy_without_it()?;
        self.may_write()?;
        self.fresh_names(&connected.project).await?;
        let language = self.policy().language;
        let yaml = self.render_settings("settings.yml", json!({}))?;
        let name = format!("settings.{}.md", language.pick("de", "en"));
        let description = self.render_settings(&name, json!({ "yaml": yaml.trim_end() }))?;
        let new = NewIssue {
            title: language.pick("Einstellungen von Vorhölle", "Settings of Vorhölle").to_owned(),
            description: marked(&description),
            labels: vec![self.names().name(LabelKind::Settings).to_owned()],
            assignee: None,
            due_date: None,
        };
        let issue = connected.project.create_issue(&new).await?;
        tracing::info!(iid = issue.iid, "the settings issue is #{}", issue.iid);
        self.inner.mirror.remember(Fact::SettingsIssue, &issue.iid.to_string())?;
        self.remember_good(&issue, &yaml_of(&issue.description).unwrap_or_default())?;
        self.go_by(Some(IssueLayer { iid: issue.iid, file: File::default() }), None)?;
        Ok(issue)
    }

    fn render_settings(&self, name: &str, context: Value) -> Result<String, EngineError> {
        self.inner.templates.render(name, context).map_err(|error| EngineError::Text(error.to_string()))
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
        let (engine, changes, saw) = (self.clone(), changes.to_vec(), saw.cloned());
        let changing = async move { engine.change_settings_once(&changes, saw.as_ref()).await };
        self.uncancelled("the change of settings", changing).await
    }

    async fn change_settings_once(
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
        let refused = self.read_settings_of(&connected, &issue).await?;
        let invalid = |key: &str, message: String| {
            ChangeError::Invalid(vec![WrongSetting { key: key.to_owned(), message }])
        };
        let place = format!("issue #{}", issue.iid);
        let stands = yaml_of(&issue.description);
        // What a stranger wrote has no effect, nor has a block that is gone: the last good settings are changed, and
        // stand there again.
        let base = match (stands, refused) {
            (Some(stands), None | Some(Refused::Invalid(_) | Refused::Unfit(_))) => stands,
            _ => match self.last_good(&issue)? {
                Some(good) => good.yaml,
                None => self.render_settings("settings.yml", json!({}))?,
            },
        };
        refuse_a_large_block(issue.iid, &base).map_err(ChangeError::Invalid)?;
        let yaml = edit(&base, changes).map_err(|error| ChangeError::Invalid(vec![error]))?;
        refuse_a_large_block(issue.iid, &yaml).map_err(ChangeError::Invalid)?;
        let file = File::parse(&yaml).map_err(|error| invalid(&error.key, error.message))?;
        // A form that was sent twice wants what stands there already: that is nobody else's change.
        let changes_nothing = File::parse(&base).is_ok_and(|base| leaves(&base) == leaves(&file));
        if let Some(saw) = saw.filter(|_| !changes_nothing) {
            self.check_unchanged(changes, saw)?;
        }
        let layer = IssueLayer { iid: issue.iid, file };
        let former_users = self.policy().former_users.clone();
        self.inner.layers.policy(Some(&layer), &former_users).map_err(ChangeError::Invalid)?;
        let description = marked(&with_yaml(&issue.description, &yaml));
        let written = yaml_of(&description).unwrap_or_default();
        let reads_back = File::parse(&written).is_ok_and(|file| leaves(&file) == leaves(&layer.file));
        if written != yaml.trim_end() || !reads_back {
            let message = "would not read back as it was meant; edit it in GitLab".to_owned();
            return Err(invalid(&place, message));
        }
        if description.replace('\r', "").lines().any(|line| line.trim_start().starts_with('/')) {
            let message =
                "holds a line that begins with a slash, which GitLab would run; edit it there".to_owned();
            return Err(invalid(&place, message));
        }
        let done = connected.project.describe_issue(issue.iid, &description).await;
        let issue = self.note(done.map_err(EngineError::from))?;
        self.remember_good(&issue, &written)?;
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
