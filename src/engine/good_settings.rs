//! The last settings of the settings issue that could be used. The mirror keeps them: they rule where an edit cannot be
//! used, or a copy of GitLab shows an older text than GitLab did before. Where file or environment have changed since, some
//! of them may not go with those any more: the others still count.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::reconcile::{NOT_COPIED_YET, is_older};
use super::{Engine, EngineError, SettingsProblem};
use crate::config::{File, IssueLayer, Settings, WrongSetting};
use crate::domain::inert::GitlabLine;
use crate::domain::masked::masked;
use crate::gitlab::Issue;
use crate::gitlab::notes::Note;
use crate::mirror::{Fact, Mirror};

/// So many characters of a reason are said: a block may hold thousands of mistakes, and GitLab takes no comment without end.
const REASON_LIMIT: usize = 2_000;

/// The last good settings of an issue.
#[derive(Serialize, Deserialize)]
pub(super) struct Good {
    iid: u64,
    /// What stands in its block.
    pub(super) yaml: String,
    /// The issue's time when it was read last.
    #[serde(default)]
    updated_at: Option<Timestamp>,
}

/// Why what stands in the settings issue does not count.
pub(super) enum Refused {
    /// An edit that cannot be used.
    Invalid(Vec<WrongSetting>),
    /// What was good, and does not go with what file and environment say now.
    Unfit(Vec<WrongSetting>),
    /// An edit by somebody who is no reviewer, where only those may; nobody knows of whom it is where there is no name.
    NoReviewer(Option<String>),
}

impl Refused {
    /// What to say of it, in the log too: for `/health` and pages, and for the comment.
    pub(super) fn in_words(&self, iid: u64) -> (SettingsProblem, Value) {
        let place = format!("issue #{iid}");
        let reason = |wrong: &[WrongSetting]| {
            let words = wrong.iter().map(|one| match one.key.as_str() {
                "" => one.message.clone(),
                key => format!("{key}: {}", one.message),
            });
            words.collect::<Vec<_>>().join("; ")
        };
        let (text, wrong, context) = match self {
            Self::Invalid(wrong) => {
                let reason = reason(wrong);
                let context = json!({ "kind": "invalid", "unfit": false, "reason": GitlabLine::new(&shortened(&reason)) });
                (format!("the settings in {place} cannot be used: {reason}"), wrong.clone(), context)
            }
            Self::Unfit(wrong) => {
                let reason = reason(wrong);
                let context = json!({ "kind": "invalid", "unfit": true, "reason": GitlabLine::new(&shortened(&reason)) });
                let text = format!(
                    "the settings in {place} do not go any more with what is set elsewhere, and have no effect where \
                     they do not: {reason}"
                );
                (text, wrong.clone(), context)
            }
            Self::NoReviewer(who) => {
                let text = format!("the settings in {place} were changed by somebody who is no reviewer");
                let message = "was changed by somebody who is no reviewer".to_owned();
                let context = json!({ "kind": "no_reviewer", "who": who.as_deref().map(GitlabLine::new) });
                (text, vec![WrongSetting { key: place, message }], context)
            }
        };
        // `/health` asks for no token, and a log is read by many: whom a mistyped value names stands on the page alone.
        let text = shortened(&masked(&text));
        tracing::warn!(iid, "{text}");
        (SettingsProblem { text, wrong }, context)
    }
}

/// The beginning of a text that is too long to be read.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(REASON_LIMIT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The settings of the settings issue that the service goes by, as far as its mirror tells.
pub fn settings_of_the_issue(settings: &Settings) -> Option<IssueLayer> {
    let owner = format!("{} {}", settings.gitlab.url, settings.gitlab.project);
    let good = Mirror::peek(&settings.database, &owner, Fact::GoodSettings)?;
    let good: Good = serde_json::from_str(&good).ok()?;
    let said = IssueLayer { iid: good.iid, file: File::parse(&good.yaml).ok()? };
    Some(settings.layers.usable(&said, &settings.policy.former_users))
}

impl Engine {
    /// Refuses to take the settings issue for gone where GitLab told of it a moment ago: a copy may not have it yet.
    pub(super) fn refuse_a_copy_without_it(&self) -> Result<(), EngineError> {
        if self.known_settings_issue().is_none() {
            return Ok(());
        }
        let good = self.inner.mirror.fact(Fact::GoodSettings)?;
        let good = good.and_then(|text| serde_json::from_str::<Good>(&text).ok());
        let age = good.and_then(|good| good.updated_at).map(|at| self.inner.clock.now().duration_since(at));
        if age.is_some_and(|age| age.abs() < NOT_COPIED_YET) { Err(EngineError::Stale) } else { Ok(()) }
    }

    /// Whether GitLab says nowhere who changed a text, which is not the last good one.
    ///
    /// # Errors
    ///
    /// Where its line about that may still be on its way: it is written after the text.
    pub(super) fn is_nobodys(&self, issue: &Issue, edit: Option<&Note>) -> Result<bool, EngineError> {
        let known = self.last_good(issue)?.and_then(|good| good.updated_at);
        // A text from before the last good one is what a GitLab that was set back has, and its lines with it.
        let known = known.filter(|known| issue.updated_at > *known);
        let is_untold = known.is_some_and(|known| edit.is_none_or(|line| line.created_at <= known));
        let age = self.inner.clock.now().duration_since(issue.updated_at);
        if is_untold && age.abs() < NOT_COPIED_YET { Err(EngineError::Stale) } else { Ok(is_untold) }
    }

    /// The last good settings of an issue, where there were any.
    pub(super) fn last_good(&self, issue: &Issue) -> Result<Option<Good>, EngineError> {
        let good = self.inner.mirror.fact(Fact::GoodSettings)?;
        let good = good.and_then(|text| serde_json::from_str::<Good>(&text).ok());
        Ok(good.filter(|good| good.iid == issue.iid))
    }

    /// Remembers what an issue says as good, and how new that is.
    pub(super) fn remember_good(&self, issue: &Issue, yaml: &str) -> Result<(), EngineError> {
        let good = Good { iid: issue.iid, yaml: yaml.to_owned(), updated_at: Some(issue.updated_at) };
        let good = serde_json::to_string(&good).map_err(|error| EngineError::Text(error.to_string()))?;
        Ok(self.inner.mirror.remember(Fact::GoodSettings, &good)?)
    }

    /// Remembers how new what is good already is.
    pub(super) fn remember_as_new(&self, issue: &Issue, good: &Good) -> Result<(), EngineError> {
        if good.updated_at == Some(issue.updated_at) { Ok(()) } else { self.remember_good(issue, &good.yaml) }
    }

    /// What of the last good settings still counts beside what file and environment say now, and why the rest does not.
    pub(super) fn still_good(&self, good: &Good) -> (Option<IssueLayer>, Option<Refused>) {
        match self.understand(good.iid, &good.yaml) {
            Ok(layer) => (Some(layer), None),
            Err(wrong) => {
                let file = File::parse(&good.yaml).ok();
                let said = file.map(|file| IssueLayer { iid: good.iid, file });
                let layers = &self.inner.layers;
                (
                    said.map(|said| layers.usable(&said, &self.policy().former_users)),
                    Some(Refused::Unfit(wrong)),
                )
            }
        }
    }

    /// Refuses an issue that was read from a copy older than the settings that count.
    pub(super) fn refuse_older_settings(&self, issue: &Issue, good: &Good) -> Result<(), EngineError> {
        if good.updated_at.is_some_and(|known| is_older(issue, known)) {
            self.refuse_a_lagging_copy(issue)?;
        } else {
            self.inner.lagging.forget(issue.iid);
        }
        Ok(())
    }
}
