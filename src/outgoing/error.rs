//! Why a draft was not taken or a mail not sent.

use std::time::Duration;

use crate::domain::State;
use crate::domain::posted_match::FieldError;
use crate::engine::{DecisionError, EngineError};
use crate::mirror::MirrorError;

/// Why a draft was not taken or a mail not sent. But for [`OutgoingError::InDoubt`] nothing has left the house.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// There is no such match.
    #[error("there is no match {0}")]
    Unknown(u64),
    /// The match has no draft.
    #[error("match {0} has no draft yet; PUT /api/v1/matches/{0}/draft writes one")]
    NoDraft(u64),
    /// The match is not in a state in which that can be done.
    #[error("{what} while the match is {state}")]
    WrongState {
        /// What cannot be done.
        what: &'static str,
        /// Where the match stands.
        state: State,
    },
    /// Somebody else was first, or something changed meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// The same role was offered already.
    #[error("the same role may have been offered already through another agency: {}; {{\"override\": \"reason\"}} sends all the same", list(.0))]
    Duplicate(Vec<u64>),
    /// Of the same role it is not known yet, after a lost disk, what was done about it.
    #[error("what was done about the same role through another agency is not read from GitLab yet: {}; try again, or {{\"override\": \"reason\"}} sends all the same", list(.0))]
    UnreadDuplicate(Vec<u64>),
    /// Another instance may be sending right now.
    #[error("it is being sent by another instance, or was until a moment ago; nothing was sent from here; look again in {} s", .0.as_secs().max(1))]
    UnderWay(Duration),
    /// The draft is another than the caller believes.
    #[error("the draft has changed since it was read; read it again (its ETag is now \"{0}\")")]
    Changed(String),
    /// There is no draft where the caller believes one.
    #[error("there is no draft to replace; send no If-Match")]
    NotThere,
    /// The caller must say which draft is to be replaced.
    #[error(
        "there is a draft already that somebody else wrote or edited; read it and send its ETag as If-Match"
    )]
    SayWhich,
    /// Something in it is wrong.
    #[error("{}", .0.first().map_or("something is wrong", |error| &error.message))]
    Invalid(Vec<FieldError>),
    /// Nobody knows whether the mail left.
    #[error(
        "it is uncertain whether the mail left: {0}; look, then set the label job-match/sent, or send {{\"retry\": true}}"
    )]
    InDoubt(String),
    /// The other side will not take the mail before somebody has done something.
    #[error("the mail was not sent: {0}")]
    Refused(String),
    /// The mail was not sent, and trying again is worth it.
    #[error("the mail was not sent: {reason}")]
    NotNow {
        /// Why.
        reason: String,
        /// When to try again.
        after: Duration,
    },
    /// There is no way to send a mail.
    #[error(
        "sending is not set up: set VORHOELLE_SMTP_URL (or VORHOELLE_MAIL_FILE_DIR, or the VORHOELLE_GMAIL_… variables), VORHOELLE_MAIL_FROM and VORHOELLE_MAIL_TO"
    )]
    NotSetUp,
    /// Something did not do its part.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl OutgoingError {
    /// One field is wrong.
    pub(super) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }
}

impl From<DecisionError> for OutgoingError {
    fn from(error: DecisionError) -> Self {
        match error {
            DecisionError::Unknown(iid) => Self::Unknown(iid),
            DecisionError::NotAllowed { from, .. } => {
                Self::WrongState { what: "that cannot be done", state: from }
            }
            DecisionError::Engine(error) => Self::Engine(error),
        }
    }
}

impl From<MirrorError> for OutgoingError {
    fn from(error: MirrorError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<crate::gitlab::GitlabError> for OutgoingError {
    fn from(error: crate::gitlab::GitlabError) -> Self {
        Self::Engine(error.into())
    }
}

fn list(iids: &[u64]) -> String {
    iids.iter().map(|iid| format!("#{iid}")).collect::<Vec<_>>().join(", ")
}
