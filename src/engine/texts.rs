//! The service's comments: one plain sentence for people, and a hidden part for what it must remember.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Decision, Engine, EngineError};
use crate::domain::State;
use crate::domain::decide::Refusal;
use crate::domain::history::{Step, Through};
use crate::domain::inert::{GitlabLine, Wanted};
use crate::gitlab::hidden::Hidden;
use crate::gitlab::issue_text;
use crate::gitlab::notes::Note;
use crate::mirror::Record;

/// The hidden part of a comment that says who decided.
#[derive(Serialize, Deserialize)]
struct HiddenDecision {
    decision: Decided,
}

#[derive(Serialize, Deserialize)]
struct Decided {
    from: State,
    to: State,
    by: String,
    through: Through,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    nonce: Uuid,
}

impl Engine {
    pub(super) fn decision_text(
        &self,
        from: State,
        decision: &Decision,
        nonce: Uuid,
    ) -> Result<String, EngineError> {
        let hidden = hidden_decision(from, decision, nonce)?;
        self.text(
            "decision",
            json!({
                "to": decision.to,
                "by": GitlabLine::new(&decision.by),
                "through": decision.through,
                "comment": decision.comment.as_deref().map(GitlabLine::new),
                "hidden": hidden,
            }),
        )
    }

    pub(super) fn refusal_text(&self, refusal: &Refusal, record: &Record) -> Result<String, EngineError> {
        let allowed = record.state.allowed(record.undo_sent());
        let (kind, to, who) = match refusal {
            Refusal::Ambiguous => ("ambiguous", None, None),
            Refusal::NotAllowed { to, .. } => ("not_allowed", Some(*to), None),
            Refusal::NoState => ("no_state", None, None),
            Refusal::NoReviewer { who } => ("no_reviewer", None, who.as_deref()),
        };
        self.text(
            "refusal",
            json!({
                "kind": kind,
                "state": record.state,
                "to": to,
                "allowed": allowed,
                "who": who.map(GitlabLine::new),
            }),
        )
    }

    pub(super) fn duplicate_text(&self, first: u64) -> Result<String, EngineError> {
        self.text_with(
            "duplicate",
            json!({ "first": first }),
            &Wanted { mentions: Vec::new(), references: vec![first] },
        )
    }

    /// A comment of ours from its template.
    ///
    /// # Errors
    ///
    /// Where the template is wrong, or would put foreign text where it could do harm.
    pub fn comment_text(
        &self,
        name: &str,
        context: Value,
        references: Vec<u64>,
    ) -> Result<String, EngineError> {
        self.text_with(name, context, &Wanted { mentions: Vec::new(), references })
    }

    fn text(&self, name: &str, context: Value) -> Result<String, EngineError> {
        self.text_with(name, context, &Wanted::default())
    }

    fn text_with(&self, name: &str, context: Value, wanted: &Wanted) -> Result<String, EngineError> {
        let language = self.policy().language.pick("de", "en");
        issue_text::comment(
            &self.inner.templates,
            &format!("comments/{name}.{language}.md"),
            &context,
            wanted,
        )
        .map_err(|error| EngineError::Text(error.to_string()))
    }
}

/// The hidden part of a comment that says who decided.
pub(super) fn hidden_decision(from: State, decision: &Decision, nonce: Uuid) -> Result<String, EngineError> {
    let hidden = HiddenDecision {
        decision: Decided {
            from,
            to: decision.to,
            by: decision.by.clone(),
            through: decision.through,
            comment: decision.comment.clone(),
            nonce,
        },
    };
    let hidden = serde_json::to_value(&hidden).map_err(|error| EngineError::Text(error.to_string()))?;
    Ok(Hidden::Decision.of(&hidden))
}

/// The decision that a comment of ours records.
pub(super) fn decision_of(note: &Note) -> Option<Step> {
    let HiddenDecision { decision } = Hidden::Decision.read(&note.body)?;
    Some(Step {
        from: decision.from,
        to: decision.to,
        by: decision.by,
        at: note.created_at,
        through: decision.through,
        comment: decision.comment,
    })
}
