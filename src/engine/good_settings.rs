//! The last settings of the settings issue that could be used. The mirror keeps them: they rule where an edit cannot be
//! used, or a copy of GitLab shows an older text than GitLab did before. Where file or environment have changed since, some
//! of them may not go with those any more: the others still count.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::reconcile::is_older;
use super::{Engine, EngineError, SettingsProblem};
use crate::config::{File, IssueLayer, WrongSetting};
use crate::domain::inert::GitlabLine;
use crate::gitlab::Issue;
use crate::mirror::Fact;

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
    /// An edit by somebody who is no reviewer, where only those may.
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
                let context =
                    json!({ "kind": "invalid", "unfit": false, "reason": GitlabLine::new(&reason) });
                (format!("the settings in {place} cannot be used: {reason}"), wrong.clone(), context)
            }
            Self::Unfit(wrong) => {
                let reason = reason(wrong);
                let context = json!({ "kind": "invalid", "unfit": true, "reason": GitlabLine::new(&reason) });
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
        tracing::warn!(iid, "{text}");
        (SettingsProblem { text, wrong }, context)
    }
}

impl Engine {
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
